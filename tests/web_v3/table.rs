//! The table of routes agrees with Cinder's, and the reference with the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pumice::model::{Context, ProjectId};
use pumice::web::policy::rules::cinder_rules;
use pumice::web::policy::{Level, Rule};
use pumice::web::routes::{RouteInfo, Routes};
use pumice::web::{identity, v3};

fn rows() -> Vec<RouteInfo> {
    Routes::of(v3::routes).infos()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A pattern without the names of its parameters.
fn unnamed(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}" } else { part }.to_owned();
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn method(row: &RouteInfo) -> String {
    row.method.as_ref().map_or("any".to_owned(), ToString::to_string)
}

#[test]
fn every_route_of_cinder_is_a_row() {
    let cinders: BTreeSet<String> = include_str!("../api/routes.tsv")
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect();
    let ours: BTreeSet<String> = rows()
        .iter()
        .filter(|row| !row.purpose.is_empty())
        .map(|row| {
            let (path, action) = (unnamed(row.path), row.action.unwrap_or_default());
            // What openstackclient and openstacksdk list without a version.
            let since = match row.path {
                path if path.starts_with("/messages") => 3,
                path if path.starts_with("/manageable_") => 8,
                _ => row.since,
            };
            format!("{}\t{path}\t{action}\t3.{since}", method(row))
        })
        .collect();
    assert_eq!(cinders.len(), 207);
    assert_eq!(ours, cinders);
}

/// What is not served: how its path begins, and why. Nothing else answers 501.
const NOT_SERVED: &[(&str, &str)] = &[
    ("/backups", "backups"),
    ("/groups", "groups"),
    ("/group_types", "groups"),
    ("/group_snapshots", "groups"),
    ("/consistencygroups", "the groups of old clients"),
    ("/cgsnapshots", "the groups of old clients"),
    ("/volumes/{volume_id}/action os-volume_upload_image", "images"),
    ("/volumes/{volume_id}/action os-reimage", "images"),
];

/// The same of the identity service.
const IDENTITY_NOT_SERVED: &[(&str, &str)] = &[
    ("/v3/groups", "users have roles themselves"),
    ("/v3/projects/{id}/groups/", "users have roles themselves"),
    ("/v3/credentials", "of services that are not there"),
    ("/v3/policies", "rules are in the policy file"),
    ("/v3/limits", "limits are those of quota sets"),
    ("/v3/registered_limits", "limits are those of quota sets"),
    ("/v3/OS-TRUST/", "application credentials have their purpose"),
    ("/v3/domains", "there is one"),
    ("/v3/services", "those of the configuration"),
    ("/v3/endpoints", "those of the configuration"),
    ("/v3/regions", "there is one"),
    ("/v3/system/", "an administrator is one of the system"),
    (
        "/v3/roles/{id}/implies/",
        "roles include what they include by default",
    ),
];

/// The rows that say that they are not served, and those that refuse a part of what they are for, are of what is not served.
#[test]
fn nothing_else_answers_501() {
    let mut used: BTreeSet<&(&str, &str)> = BTreeSet::new();
    let mut find = |reasons: &'static [(&str, &str)], row: &RouteInfo| {
        let request = format!("{} {}", row.path, row.action.unwrap_or_default());
        let found = reasons
            .iter()
            .find(|(beginning, _)| request.starts_with(beginning));
        assert!(
            found.is_some(),
            "{} {request} answers 501, and no reason is given",
            method(row)
        );
        used.extend(found);
    };
    rows()
        .iter()
        .filter(|row| !row.is_served)
        .for_each(|row| find(NOT_SERVED, row));
    let identity = Routes::of(identity::add_routes).infos();
    identity
        .iter()
        .filter(|row| !row.is_served)
        .for_each(|row| find(IDENTITY_NOT_SERVED, row));
    assert_eq!(
        used.len(),
        NOT_SERVED.len() + IDENTITY_NOT_SERVED.len(),
        "only {used:?}"
    );
    // Of images, backups and groups, that a new volume may name.
    let partly: Vec<_> = rows()
        .iter()
        .filter(|row| row.faults.contains(&501))
        .map(|row| format!("{} {}", method(row), row.path))
        .collect();
    assert_eq!(partly, ["POST /volumes"]);
}

#[test]
fn no_row_hides_a_later_one() {
    let rows = rows();
    let takes = |pattern: &str, path: &str| {
        let (pattern, path): (Vec<&str>, Vec<&str>) =
            (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern
                .iter()
                .zip(&path)
                .all(|(part, given)| part.starts_with('{') || part == given)
    };
    for (at, later) in rows.iter().enumerate() {
        let hides = |row: &&RouteInfo| row.path != later.path && takes(row.path, later.path);
        let hidden_by = rows[..at].iter().find(hides).map(|row| row.path);
        assert_eq!(hidden_by, None, "{}", later.path);
    }
}

#[test]
fn a_path_names_one_subject_and_a_key_of_it() {
    for row in rows() {
        let parts = row.path.split('/').filter(|part| part.starts_with('{'));
        assert!(parts.filter(|part| *part != "{key}").count() <= 1, "{}", row.path);
    }
}

fn levels() -> BTreeMap<&'static str, Level> {
    cinder_rules().map(|rule| (rule.name, rule.level)).collect()
}

#[test]
fn every_rule_asks_for_what_cinder_asks_for() {
    let levels = levels();
    for rule in rows().iter().filter_map(RouteInfo::rule) {
        assert_eq!(levels.get(rule.name), Some(&rule.level), "{}", rule.name);
    }
    // Those that stand beside a handler or a view.
    let mut found = 0;
    for file in sources(&root().join("src/web")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (maker, level) in [
            ("reader(\"", Level::Reader),
            ("member(\"", Level::Member),
            ("admin(\"", Level::Admin),
        ] {
            for text in text.split(maker).skip(1) {
                let name = text.split('"').next().unwrap();
                if name.starts_with("inspect:") {
                    continue;
                }
                assert_eq!(levels.get(name), Some(&level), "{name} in {file:?}");
                found += 1;
            }
        }
    }
    assert!(found > 180, "only {found} rules were found");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => found.push(path),
        }
    }
    found
}

/// What Cinder itself answered to a member with 403 and to an administrator with success.
#[test]
fn what_cinder_refuses_a_member_is_for_administrators() {
    let mine = ProjectId::from("mine");
    let someone = |roles: &[&str], is_admin| Context {
        project_id: mine.clone(),
        is_admin,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Context::internal("test")
    };
    let rules: BTreeMap<&str, Rule> = rows()
        .iter()
        .filter_map(RouteInfo::rule)
        .map(|rule| (rule.name, rule))
        .collect();
    for name in [
        "backup:backup-import",
        "backup:export-import",
        "clusters:get_all",
        "group:group_types:create",
        "group:group_types_specs:get_all",
        "group:reset_status",
        "scheduler_extension:scheduler_stats:get_pools",
        "volume_extension:backup_admin_actions:reset_status",
        "volume_extension:capabilities",
        "volume_extension:hosts",
        "volume_extension:list_manageable",
        "volume_extension:qos_specs_manage:create",
        "volume_extension:qos_specs_manage:get",
        "volume_extension:qos_specs_manage:get_all",
        "volume_extension:quota_classes:get",
        "volume_extension:quotas:delete",
        "volume_extension:quotas:update",
        "volume_extension:services:index",
        "volume_extension:services:update",
        "volume_extension:snapshot_admin_actions:reset_status",
        "volume_extension:type_create",
        "volume_extension:type_update",
        "volume_extension:types_extra_specs:create",
        "volume_extension:volume_admin_actions:extend_volume_completion",
        "volume_extension:volume_admin_actions:force_detach",
        "volume_extension:volume_admin_actions:migrate_volume",
        "volume_extension:volume_admin_actions:migrate_volume_completion",
        "volume_extension:volume_admin_actions:reset_status",
        "volume_extension:volume_manage",
        "volume_extension:volume_type_access:addProjectAccess",
        "volume_extension:volume_type_access:get_all_for_type",
        "volume_extension:volume_type_encryption:get",
        "volume_extension:volume_unmanage",
        "workers:cleanup",
    ] {
        let rule = rules[name];
        assert!(
            !rule.allows(&someone(&["member", "reader"], false), &mine),
            "{name}"
        );
        assert!(rule.allows(&someone(&["admin"], true), &mine), "{name}");
    }
}

/// Where the part of the reference begins that is written from the table.
const WRITTEN: &str =
    "<!-- From here on a test writes this page: UPDATE=1 cargo test --test web_v3 table -->\n";

fn reference() -> String {
    let rows: Vec<RouteInfo> = rows().into_iter().filter(|row| !row.purpose.is_empty()).collect();
    let served = rows.iter().filter(|row| row.is_served).count();
    let mut page = format!(
        "{WRITTEN}\nOf {} routes and actions {served} are served and {} answer 501.\n",
        rows.len(),
        rows.len() - served
    );
    let mut section = "";
    for row in &rows {
        if row.section != section {
            section = row.section;
            write!(
                page,
                "\n## {section}\n\n| method | path | action | since | state | for |\n|---|---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let action = row.action.map_or(String::new(), |action| format!("`{action}`"));
        let state = if row.is_served { "served" } else { "501" };
        writeln!(
            page,
            "| {} | `{}` | {action} | 3.{} | {state} | {} |",
            method(row),
            row.path,
            row.since,
            row.purpose
        )
        .unwrap();
    }
    page.push_str(
        "\n## Identity service\n\nKeystone's API v3, relative to `/identity`; only with `auth.strategy = \"embedded\"`.\n\n\
         | method | path | state |\n|---|---|---|\n",
    );
    for row in Routes::of(identity::add_routes).infos() {
        let state = if row.is_served { "served" } else { "501" };
        writeln!(page, "| {} | `{}` | {state} |", method(&row), row.path).unwrap();
    }
    page
}

#[test]
fn the_reference_is_the_table() {
    let path = root().join("docs/reference/api.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let by_hand = page.split(WRITTEN).next().unwrap();
    let expected = format!("{by_hand}{}", reference());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/reference/api.md is not the table of routes: UPDATE=1 writes it anew"
        );
    }
}
