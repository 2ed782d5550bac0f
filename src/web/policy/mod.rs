//! Policy rules: the roles that they require, and the checks of a policy file that replace them.
//!
//! A rule is Cinder's, with the least of the personas `reader`, `member` and `admin` that it requires (cinder: `policies/*.py`). It
//! is in the row of its route (`routes`), or beside the handler that requires more than its route does. A rule applies in the
//! caller's **own project**; an administrator may do everything in every project. Roles imply others (admin → member → reader), as
//! Keystone's default roles do. The rules `inspect:*` are Pumice's own.

pub mod check;
pub mod file;
mod parse;
pub mod rules;

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Map, Value, json};

use self::check::Question;
use self::file::PolicyFile;
use super::auth::Scope;
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

/// The policy in force: each rule requires its role, unless the policy file has another check for it.
#[derive(Debug, Default)]
pub struct Policy {
    file: RwLock<Arc<PolicyFile>>,
}

impl Policy {
    /// Puts a policy file in force.
    pub fn replace(&self, file: PolicyFile) {
        *self.file.write() = Arc::new(file);
    }

    /// Whether the rule allows the caller, with a token of this scope, to act on a resource of `project`.
    pub fn allows(&self, rule: Rule, context: &Context, scope: &Scope, project: &ProjectId) -> bool {
        let file = Arc::clone(&self.file.read());
        if !file.changes(rule) {
            return rule.allows(context, project);
        }
        let question = Question {
            rules: &file.checks,
            target: &target_of(project),
            caller: &caller_of(context, scope),
        };
        match file.checks.get(rule.name) {
            Some(check) => question.passes(check),
            None => question.passes_rule(rules::role_rule(rule.level)),
        }
    }

    /// The context, with `is_admin` as the policy file decides (cinder: `context_is_admin`).
    pub fn with_admin(&self, mut context: Context, scope: &Scope) -> Context {
        let file = Arc::clone(&self.file.read());
        if let Some(check) = file.own_check("context_is_admin") {
            context.is_admin = false;
            let question = Question {
                rules: &file.checks,
                target: &target_of(&context.project_id),
                caller: &caller_of(&context, scope),
            };
            context.is_admin = question.passes(check);
        }
        context
    }

    /// Whether the policy file decides about this rule, so that the caller's roles may be less than those that it requires by
    /// default.
    pub fn changes(&self, rule: Rule) -> bool {
        self.file.read().changes(rule)
    }
}

/// What checks know of a resource.
pub fn target_of(project: &ProjectId) -> Map<String, Value> {
    object(json!({"project_id": project.as_str()}))
}

/// What checks know of a caller (cinder: `context.py` `to_policy_values`).
pub fn caller_of(context: &Context, scope: &Scope) -> Map<String, Value> {
    let (system_scope, domain_id) = match scope {
        Scope::System => (Some("all"), None),
        Scope::Domain(id) => (None, Some(id.as_str())),
        Scope::Project | Scope::None => (None, None),
    };
    object(json!({
        "user_id": context.user_id.as_str(),
        // Not an empty text: checks compare it with `None`.
        "project_id": Some(context.project_id.as_str()).filter(|id| !id.is_empty()),
        "roles": context.roles,
        "is_admin": context.is_admin,
        "is_admin_project": true,
        "system_scope": system_scope,
        "domain_id": domain_id,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::role::highest;

    pub(super) fn someone(roles: &[&str]) -> Context {
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
