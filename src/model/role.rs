//! Roles: the permission levels of the names in a context, for the policy of the API and for the actors.

use super::Context;

/// A permission level. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// May read.
    Reader,
    /// May change the project's resources.
    Member,
    /// May do everything, in all projects.
    Admin,
}

impl Level {
    /// The name of the role that gives it.
    pub fn role(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// `Admin` in some cases, else `Member`.
    pub fn or_admin(is_for_admins: bool) -> Self {
        if is_for_admins { Self::Admin } else { Self::Member }
    }
}

/// The highest level that any of the roles gives. Names are compared case-insensitively, as in oslo.policy.
pub fn highest(roles: &[String]) -> Option<Level> {
    use Level::{Admin, Member, Reader};
    let level = |role: &String| {
        [("admin", Admin), ("member", Member), ("reader", Reader)]
            .into_iter()
            .find_map(|(name, level)| role.eq_ignore_ascii_case(name).then_some(level))
    };
    roles.iter().filter_map(level).max()
}

impl Context {
    /// Whether the caller has this level in its project.
    pub fn has(&self, level: Level) -> bool {
        self.is_admin || highest(&self.roles).is_some_and(|has| has >= level)
    }
}
