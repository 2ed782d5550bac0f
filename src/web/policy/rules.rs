//! The rules of Cinder, with the roles that they require by default, and the named checks that its policy files may use (cinder:
//! `policies/*.py`).

use super::Level;

/// A rule of Cinder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CinderRule {
    /// Its name.
    pub name: &'static str,
    /// The least role that it requires.
    pub level: Level,
    /// The requests that it is for.
    pub operations: &'static str,
}

/// All rules of Cinder.
pub fn cinder_rules() -> impl Iterator<Item = CinderRule> {
    let lines = include_str!("rules.tsv").lines().skip(1);
    lines.filter_map(|line| {
        let (name, rest) = line.split_once('\t')?;
        let (level, operations) = rest.split_once('\t')?;
        let level = match level {
            "reader" => Level::Reader,
            "member" => Level::Member,
            _ => Level::Admin,
        };
        Some(CinderRule {
            name,
            level,
            operations,
        })
    })
}

/// The name of the check that a rule of this level has by default.
pub fn role_rule(level: Level) -> &'static str {
    match level {
        Level::Reader => "xena_system_admin_or_project_reader",
        Level::Member => "xena_system_admin_or_project_member",
        Level::Admin => "admin_api",
    }
}

/// The named checks of Cinder (cinder: `policies/base.py`).
pub const NAMED: [(&str, &str); 6] = [
    ("context_is_admin", "role:admin"),
    (
        "admin_api",
        "is_admin:True or (role:admin and is_admin_project:True)",
    ),
    (
        "admin_or_owner",
        "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s",
    ),
    (
        "system_or_domain_or_project_admin",
        "(role:admin and system_scope:all) or (role:admin and domain_id:%(domain_id)s) or (role:admin and \
         project_id:%(project_id)s)",
    ),
    (
        "xena_system_admin_or_project_reader",
        "(role:admin) or (role:reader and project_id:%(project_id)s)",
    ),
    (
        "xena_system_admin_or_project_member",
        "(role:admin) or (role:member and project_id:%(project_id)s)",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_rule() {
        let lines = include_str!("rules.tsv").lines().count() - 1;
        assert_eq!((cinder_rules().count(), lines), (161, 161));
        let without = cinder_rules().filter(|rule| rule.operations.is_empty());
        let without: Vec<&str> = without.map(|rule| rule.name).collect();
        // It is asked while a request of another rule is served.
        assert_eq!(without.len(), 1, "{without:?}");
    }
}
