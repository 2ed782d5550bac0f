//! Policy rules and the roles that they require.
//!
//! A rule is Cinder's, with the least of the personas `reader`, `member` and `admin` that it requires (cinder: `policies/*.py`). It
//! is in the row of its route (`routes`), or beside the handler that requires more than its route does. A rule applies in the
//! caller's **own project**; an administrator may do everything in every project. Roles imply others (admin → member → reader), as
//! Keystone's default roles do. The rules `inspect:*` are Pumice's own.

pub use crate::model::role::Level;
use crate::model::{Context, Error, ProjectId};

/// A policy rule: its Cinder name, e.g. `volume:create`, and the role that it requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in refusals.
    pub name: &'static str,
    /// The least role that it requires.
    pub level: Level,
}

/// A rule that allows readers, members and administrators.
pub const fn reader(name: &'static str) -> Rule {
    Rule {
        name,
        level: Level::Reader,
    }
}

/// A rule that allows members and administrators.
pub const fn member(name: &'static str) -> Rule {
    Rule {
        name,
        level: Level::Member,
    }
}

/// A rule that allows administrators only.
pub const fn admin(name: &'static str) -> Rule {
    Rule {
        name,
        level: Level::Admin,
    }
}

impl Rule {
    /// Whether the rule allows the caller to act on a resource of `project`.
    pub fn allows(self, context: &Context, project: &ProjectId) -> bool {
        if context.is_admin {
            return true;
        }
        let may = context.has(self.level);
        // A token without a project has none of its own.
        may && context.project_id == *project && !project.as_str().is_empty()
    }

    /// Cinder's 403 for this rule.
    pub fn refusal(self) -> Error {
        match self.name.starts_with("volume_extension:default_") {
            // cinder: `api/v3/default_types.py` has a text of its own.
            true => Error {
                client: "You are not authorized to perform this operation.".to_owned(),
                ..Error::forbidden_by(self.name)
            },
            false => Error::forbidden_by(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::role::highest;

    fn someone(roles: &[&str]) -> Context {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        Context {
            project_id: "mine".into(),
            is_admin: highest(&roles) == Some(Level::Admin),
            roles,
            ..Context::internal("test")
        }
    }

    #[test]
    fn a_reader_may_look_and_a_member_may_change_and_only_an_admin_may_administer() {
        let mine = ProjectId::from("mine");
        let allowed = |roles: &[&str]| {
            [
                reader("volume:get"),
                member("volume:create"),
                admin("volume_extension:services:index"),
            ]
            .map(|rule| rule.allows(&someone(roles), &mine))
        };
        assert_eq!(allowed(&[]), [false, false, false]);
        assert_eq!(allowed(&["heat_stack_owner"]), [false, false, false]);
        assert_eq!(allowed(&["reader"]), [true, false, false]);
        assert_eq!(allowed(&["Member"]), [true, true, false]);
        assert_eq!(allowed(&["admin"]), [true, true, true]);
    }

    #[test]
    fn only_an_admin_reaches_into_another_project() {
        let theirs = ProjectId::from("theirs");
        let show = reader("volume_extension:quotas:show");
        assert!(!show.allows(&someone(&["member", "reader"]), &theirs));
        assert!(show.allows(&someone(&["admin"]), &theirs));
    }

    #[test]
    fn a_refusal_is_in_cinders_words() {
        let error = admin("volume_extension:type_create").refusal();
        assert_eq!(
            error.client,
            "Policy doesn't allow volume_extension:type_create to be performed."
        );
    }
}
