//! Routes that Cinder has and this service has not yet: an honest 501, where Cinder's version and path would be right.
//!
//! Each route keeps the version it came with: below it, it is 404 as in Cinder. A path or method that Cinder does not have
//! either stays a plain 404, for clients tell "not there" from "not yet" by that.

use actix_web::HttpResponse;

use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::routes::{Access, Action, Routes};

/// A path, what it is for, and its methods with the version each came with and who may call it.
struct Later {
    path: &'static str,
    what: &'static str,
    methods: &'static [(Verb, u16, Access)],
}

enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

use Verb::{Delete as DELETE, Get as GET, Post as POST, Put as PUT};

const fn later(path: &'static str, what: &'static str, methods: &'static [(Verb, u16, Access)]) -> Later {
    Later { path, what, methods }
}

const BACKUPS: &str = "backups";
const TRANSFERS: &str = "volume transfers";
const QOS: &str = "QoS specs";
const GROUPS: &str = "groups";
const GROUP_TYPES: &str = "group types";
const GROUP_SNAPSHOTS: &str = "group snapshots";
const CONSISTENCY_GROUPS: &str = "consistency groups";
const HOSTS: &str = "hosts";

const CAPABILITIES: &str = "reporting the capabilities of a driver";
const CLEANUP: &str = "cleaning up by request";

const BACKUP_ACTIONS: &[Action] = &[
    Action::new(
        "os-reset_status",
        "volume_extension:backup_admin_actions:reset_status",
    ),
    Action::new(
        "os-force_delete",
        "volume_extension:backup_admin_actions:force_delete",
    ),
];
const GROUP_ACTIONS: &[Action] = &[
    Action::new("delete", "group:delete"),
    Action::new("reset_status", "group:reset_status"),
    Action::new("enable_replication", "group:enable_replication"),
    Action::new("disable_replication", "group:disable_replication"),
    Action::new("failover_replication", "group:failover_replication"),
    Action::new("list_replication_targets", "group:list_replication_targets"),
];
const GROUP_SNAPSHOT_ACTIONS: &[Action] = &[Action::new("reset_status", "group:reset_group_snapshot_status")];

/// All of them (facts: `cinder/routes.tsv`, `cinder/policy.tsv`). Longer paths that could be taken for an id come first.
#[rustfmt::skip]
static ROUTES: &[Later] = &[
    later("/backups", BACKUPS, &[(GET, 0, Access::rule("backup:get_all")), (POST, 0, Access::rule("backup:create"))]),
    later("/backups/detail", BACKUPS, &[(GET, 0, Access::rule("backup:get_all"))]),
    later("/backups/import_record", BACKUPS, &[(POST, 0, Access::rule("backup:backup-import"))]),
    later("/backups/{id}", BACKUPS, &[(GET, 0, Access::rule("backup:get")), (PUT, 9, Access::rule("backup:update")), (DELETE, 0, Access::rule("backup:delete"))]),
    later("/backups/{id}/restore", BACKUPS, &[(POST, 0, Access::rule("backup:restore"))]),
    later("/backups/{id}/export_record", BACKUPS, &[(GET, 0, Access::rule("backup:export-import"))]),
    later("/backups/{id}/action", BACKUPS, &[(POST, 0, Access::Actions(BACKUP_ACTIONS))]),
    later("/os-volume-transfer", TRANSFERS, &[(GET, 0, Access::rule("volume:get_all_transfers")), (POST, 0, Access::rule("volume:create_transfer"))]),
    later("/os-volume-transfer/detail", TRANSFERS, &[(GET, 0, Access::rule("volume:get_all_transfers"))]),
    later("/os-volume-transfer/{id}", TRANSFERS, &[(GET, 0, Access::rule("volume:get_transfer")), (DELETE, 0, Access::rule("volume:delete_transfer"))]),
    later("/os-volume-transfer/{id}/accept", TRANSFERS, &[(POST, 0, Access::rule("volume:accept_transfer"))]),
    later("/volume-transfers", TRANSFERS, &[(GET, 0, Access::rule("volume:get_all_transfers")), (POST, 0, Access::rule("volume:create_transfer"))]),
    later("/volume-transfers/detail", TRANSFERS, &[(GET, 0, Access::rule("volume:get_all_transfers"))]),
    later("/volume-transfers/{id}", TRANSFERS, &[(GET, 0, Access::rule("volume:get_transfer")), (DELETE, 0, Access::rule("volume:delete_transfer"))]),
    later("/volume-transfers/{id}/accept", TRANSFERS, &[(POST, 0, Access::rule("volume:accept_transfer"))]),
    later("/qos-specs", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:get_all")), (POST, 0, Access::rule("volume_extension:qos_specs_manage:create"))]),
    later("/qos-specs/{id}", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:get")), (PUT, 0, Access::rule("volume_extension:qos_specs_manage:update")), (DELETE, 0, Access::rule("volume_extension:qos_specs_manage:delete"))]),
    later("/qos-specs/{id}/delete_keys", QOS, &[(PUT, 0, Access::rule("volume_extension:qos_specs_manage:delete"))]),
    later("/qos-specs/{id}/associations", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:get_all"))]),
    later("/qos-specs/{id}/associate", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:update"))]),
    later("/qos-specs/{id}/disassociate", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:update"))]),
    later("/qos-specs/{id}/disassociate_all", QOS, &[(GET, 0, Access::rule("volume_extension:qos_specs_manage:update"))]),
    later("/group_types", GROUP_TYPES, &[(GET, 11, Access::Token), (POST, 11, Access::rule("group:group_types:create"))]),
    later("/group_types/{id}", GROUP_TYPES, &[(GET, 11, Access::Token), (PUT, 11, Access::rule("group:group_types:update")), (DELETE, 11, Access::rule("group:group_types:delete"))]),
    later("/group_types/{id}/group_specs", GROUP_TYPES, &[(GET, 11, Access::rule("group:group_types_specs:get_all")), (POST, 11, Access::rule("group:group_types_specs:create"))]),
    later("/group_types/{id}/group_specs/{key}", GROUP_TYPES, &[(GET, 11, Access::rule("group:group_types_specs:get")), (PUT, 11, Access::rule("group:group_types_specs:update")), (DELETE, 11, Access::rule("group:group_types_specs:delete"))]),
    later("/groups", GROUPS, &[(GET, 13, Access::rule("group:get_all")), (POST, 13, Access::rule("group:create"))]),
    later("/groups/detail", GROUPS, &[(GET, 13, Access::rule("group:get_all"))]),
    later("/groups/action", GROUPS, &[(POST, 14, Access::rule("group:create"))]),
    later("/groups/{id}", GROUPS, &[(GET, 13, Access::rule("group:get")), (PUT, 13, Access::rule("group:update"))]),
    later("/groups/{id}/action", GROUPS, &[(POST, 13, Access::Actions(GROUP_ACTIONS))]),
    later("/group_snapshots", GROUP_SNAPSHOTS, &[(GET, 14, Access::rule("group:get_all_group_snapshots")), (POST, 14, Access::rule("group:create_group_snapshot"))]),
    later("/group_snapshots/detail", GROUP_SNAPSHOTS, &[(GET, 14, Access::rule("group:get_all_group_snapshots"))]),
    later("/group_snapshots/{id}", GROUP_SNAPSHOTS, &[(GET, 14, Access::rule("group:get_group_snapshot")), (DELETE, 14, Access::rule("group:delete_group_snapshot"))]),
    later("/group_snapshots/{id}/action", GROUP_SNAPSHOTS, &[(POST, 19, Access::Actions(GROUP_SNAPSHOT_ACTIONS))]),
    later("/consistencygroups", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get_all")), (POST, 0, Access::rule("group:create"))]),
    later("/consistencygroups/detail", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get_all"))]),
    later("/consistencygroups/create_from_src", CONSISTENCY_GROUPS, &[(POST, 0, Access::rule("group:create"))]),
    later("/consistencygroups/{id}", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get")), (PUT, 0, Access::rule("group:update")), (DELETE, 0, Access::rule("group:delete"))]),
    later("/consistencygroups/{id}/update", CONSISTENCY_GROUPS, &[(PUT, 0, Access::rule("group:update"))]),
    later("/consistencygroups/{id}/delete", CONSISTENCY_GROUPS, &[(POST, 0, Access::rule("group:delete"))]),
    later("/cgsnapshots", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get_all_group_snapshots")), (POST, 0, Access::rule("group:create_group_snapshot"))]),
    later("/cgsnapshots/detail", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get_all_group_snapshots"))]),
    later("/cgsnapshots/{id}", CONSISTENCY_GROUPS, &[(GET, 0, Access::rule("group:get_group_snapshot")), (DELETE, 0, Access::rule("group:delete_group_snapshot"))]),
    later("/os-hosts", HOSTS, &[(GET, 0, Access::rule("volume_extension:hosts"))]),
    later("/os-hosts/{id}", HOSTS, &[(GET, 0, Access::rule("volume_extension:hosts")), (PUT, 0, Access::rule("volume_extension:hosts"))]),
    later("/capabilities/{id}", CAPABILITIES, &[(GET, 0, Access::rule("volume_extension:capabilities"))]),
    later("/workers/cleanup", CLEANUP, &[(POST, 24, Access::rule("workers:cleanup"))]),
];

pub(super) fn routes(routes: &mut Routes) {
    for Later { path, what, methods } in ROUTES {
        for (verb, since, access) in *methods {
            let answer = move |_: Caller| async move {
                Err::<HttpResponse, Fault>(Fault::not_implemented(format!("Not implemented: {what}.")))
            };
            let route = match verb {
                GET => routes.get(path, *access, answer),
                POST => routes.post(path, *access, answer),
                PUT => routes.put(path, *access, answer),
                DELETE => routes.delete(path, *access, answer),
            };
            route.since(*since);
        }
    }
}
