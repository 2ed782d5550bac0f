//! Roles: what the names in a context mean, for the policy of the API and for the actors behind it.

use super::Context;

/// What something asks of the caller. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// May look.
    Reader,
    /// May change what is the project's.
    Member,
    /// May do everything, in all projects.
    Admin,
}

impl Level {
    /// What asks for an administrator in some cases, and else for a member.
    #[must_use]
    pub fn or_admin(is_for_admins: bool) -> Self {
        if is_for_admins { Self::Admin } else { Self::Member }
    }
}

/// The highest level that any of the roles gives. Names are compared as oslo.policy does, without regard to case.
#[must_use]
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
    #[must_use]
    pub fn has(&self, level: Level) -> bool {
        self.is_admin || highest(&self.roles).is_some_and(|has| has >= level)
    }
}
