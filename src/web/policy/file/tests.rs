//! What policy files say, and what is refused of them. They are compared with oslo.policy itself in `tests/clients/test_policy.py`.

use serde_json::json;

use super::super::tests::someone;
use super::super::{Policy, admin, member, reader};
use super::*;
use crate::model::ProjectId;
use crate::web::auth::Scope;

#[test]
fn a_file_replaces_the_checks_that_it_names() {
    let policy = Policy::default();
    let (create, show, types) = (
        member("volume:create"),
        reader("volume:get"),
        admin("volume_extension:type_create"),
    );
    let allowed = |policy: &Policy, roles: &[&str], project: &str| {
        [create, show, types]
            .map(|rule| policy.allows(rule, &someone(roles), &Scope::Project, &ProjectId::from(project)))
    };
    assert_eq!(
        allowed(&policy, &["member", "reader"], "mine"),
        [true, true, false]
    );
    let file = |text: &str| {
        policy.replace(PolicyFile::parse(text).unwrap());
        &policy
    };
    let creators = "'volume:create': 'role:Creator and project_id:%(project_id)s'";
    for (text, roles, project, expected) in [
        (creators, vec!["creator"], "mine", [true, false, false]),
        (creators, vec!["creator"], "theirs", [false, false, false]),
        (creators, vec!["admin"], "mine", [false, true, true]),
        // A rule that is not in the file is as by default, also where another refers to it.
        (
            "'volume:get': 'rule:volume:create'",
            vec!["reader"],
            "mine",
            [false, false, false],
        ),
        (
            "'volume:get': 'rule:volume:create'",
            vec!["member"],
            "mine",
            [true, true, false],
        ),
        ("'volume:create': '!'", vec!["admin"], "mine", [false, true, true]),
        (
            "'volume_extension:type_create': ''",
            vec![],
            "theirs",
            [false, false, true],
        ),
        // The named checks are the defaults of all rules of a level.
        (
            "admin_api: 'role:operator'",
            vec!["operator"],
            "theirs",
            [false, false, true],
        ),
        (
            "admin_api: 'role:operator'",
            vec!["admin"],
            "mine",
            [true, true, false],
        ),
        (
            "x: '@'\nadmin_api: 'rule:x'",
            vec![],
            "mine",
            [false, false, true],
        ),
        (
            "'volume:create': 'rule:none'\ndefault: '@'",
            vec![],
            "mine",
            [true, false, false],
        ),
        (
            "'volume:create': [['role:a', 'role:b'], ['role:c']]",
            vec!["c"],
            "mine",
            [true, false, false],
        ),
        ("# nothing", vec!["member", "reader"], "mine", [true, true, false]),
    ] {
        assert_eq!(
            allowed(file(text), &roles, project),
            expected,
            "{text} {roles:?} {project}"
        );
    }
}

#[test]
fn a_check_can_ask_what_the_token_is_for() {
    let policy = Policy::default();
    let text = "'volume:create': 'role:member and system_scope:all'\n'volume:get': 'domain_id:d'\ncontext_is_admin: 'system_scope:all'";
    policy.replace(PolicyFile::parse(text).unwrap());
    let asked = |scope: Scope| {
        let context = someone(&["member"]);
        let [create, show] = [member("volume:create"), reader("volume:get")]
            .map(|rule| policy.allows(rule, &context, &scope, &ProjectId::from("theirs")));
        (create, show, policy.with_admin(context, &scope).is_admin)
    };
    assert_eq!(asked(Scope::Project), (false, false, false));
    assert_eq!(asked(Scope::System), (true, false, true));
    assert_eq!(asked(Scope::Domain("d".to_owned())), (false, true, false));
    assert_eq!(asked(Scope::Domain("e".to_owned())), (false, false, false));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    for (text, why) in [
        ("- a", "no YAML with a check for each rule"),
        ("a: '('", "a: it ends where a check should be"),
        ("a: '(@'", "a: a parenthesis is not closed"),
        ("a: '@)'", "a: a parenthesis is closed that is not open"),
        ("a: ')'", "a: a parenthesis is closed where a check should be"),
        ("a: '@ @'", "a: 'and' or 'or' is missing between two checks"),
        ("a: 'and @'", "a: 'and' or 'or' has no check before it"),
        ("a: 'not'", "a: it ends where a check should be"),
        ("a: ' '", "a: it ends where a check should be"),
        ("a: 'member'", "a: 'member' is no check such as role:member"),
        (
            "a: 'http://x/'",
            "a: 'http://x/' asks another service, which is not supported",
        ),
        (
            "a: 'project_id:%(user_id)s'",
            "a: only %(project_id)s is known of a resource, not %(user_id)s",
        ),
        ("a: 'project_id:%d'", "a: 'project_id:%d'"),
        ("a: '1x:1'", "a: '1x' is neither a whole number nor a name"),
        (
            "a: 'x-y:1'",
            "a: 'x-y' is neither a literal nor a name of the caller's values",
        ),
        ("a: null", "a: it is neither a text nor a list"),
        ("a: 7", "a: it is neither a text nor a list"),
        ("a: [[7]]", "a: a list has what is no text"),
        ("a: 'rule:b'\nb: 'not rule:a'", "a: it refers to itself"),
        ("default: 'rule:missing'", "default: it refers to itself"),
        ("a: 'rule:missing'\ndefault: 'rule:a'", "a: it refers to itself"),
        (
            "xena_system_admin_or_project_member: 'rule:volume:create'",
            "xena_system_admin_or_project_member: it refers to itself",
        ),
    ] {
        let faults = PolicyFile::parse(text).unwrap_err().join("\n");
        let why = why.trim_start_matches("a: 'project_id:%d'");
        assert!(faults.contains(why), "{text}: {faults}");
    }
    let deep = format!("a: '{}@{}'", "(".repeat(100), ")".repeat(100));
    let faults = PolicyFile::parse(&deep).unwrap_err();
    assert_eq!(faults, ["a: it is nested more than 64 deep"]);
    let nots = format!("a: '{}@'", "not ".repeat(100_000));
    assert!(PolicyFile::parse(&nots).is_err());
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let file = PolicyFile::parse("'volume:creat': '@'\n'volume:get': 'rule:nobody'").unwrap();
    assert_eq!(
        file.warnings,
        [
            "volume:creat: no rule of this service, and no check refers to it",
            "rule:nobody: there is no such rule, so nobody passes it"
        ]
    );
}

#[test]
fn values_of_the_caller_are_compared_as_pythons_texts() {
    let caller = json!({"is_admin": true, "domain": null, "n": 7, "user": {"domain": {"id": "d"}}, "list": [{"id": "x"}, {"id": "y"}]});
    let target = json!({"project_id": "p"});
    let rules = BTreeMap::new();
    let question = super::super::check::Question {
        rules: &rules,
        target: target.as_object().unwrap(),
        caller: caller.as_object().unwrap(),
    };
    for (text, expected) in [
        ("is_admin:True", true),
        ("is_admin:true", false),
        ("domain:None", true),
        ("n:7", true),
        ("user.domain.id:d", true),
        ("user.domain.no:d", false),
        ("list.id:y", true),
        ("list.id:z", false),
        ("'p':%(project_id)s", true),
        ("None:%(project_id)s", false),
        ("n:%(none)s", false),
        ("n:%%", false),
        ("@ or ! and !", true),
        ("not (@ and !)", true),
        ("NOT @ OR @", true),
    ] {
        let check = parse(&Value::from(text)).unwrap();
        assert_eq!(question.passes(&check), expected, "{text}");
    }
}
