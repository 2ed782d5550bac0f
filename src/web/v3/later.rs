//! Routes that Cinder has and this service has not yet: an honest 501, where Cinder's version and path would be right.
//!
//! Each route keeps the version it came with: below it, it is 404 as in Cinder. A path or method that Cinder does not have
//! either stays a plain 404, for clients tell "not there" from "not yet" by that.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::web::caller::Caller;
use crate::web::fault::{Fault, unknown_route};

/// A path, what it is for, and its methods with the version each came with.
struct Later {
    path: &'static str,
    what: &'static str,
    methods: &'static [(Method, u16)],
}

const fn later(path: &'static str, what: &'static str, methods: &'static [(Method, u16)]) -> Later {
    Later { path, what, methods }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

const BACKUPS: &str = "backups";
const TRANSFERS: &str = "volume transfers";
const QOS: &str = "QoS specs";
const GROUPS: &str = "groups";
const GROUP_TYPES: &str = "group types";
const GROUP_SNAPSHOTS: &str = "group snapshots";
const CONSISTENCY_GROUPS: &str = "consistency groups";
const HOSTS: &str = "hosts";

/// All of them (facts: `cinder/routes.tsv`). Longer paths that could be taken for an id come first.
static ROUTES: &[Later] = &[
    later("/backups", BACKUPS, &[(GET, 0), (POST, 0)]),
    later("/backups/detail", BACKUPS, &[(GET, 0)]),
    later("/backups/import_record", BACKUPS, &[(POST, 0)]),
    later("/backups/{id}", BACKUPS, &[(GET, 0), (PUT, 9), (DELETE, 0)]),
    later("/backups/{id}/restore", BACKUPS, &[(POST, 0)]),
    later("/backups/{id}/export_record", BACKUPS, &[(GET, 0)]),
    later("/backups/{id}/action", BACKUPS, &[(POST, 0)]),
    later("/os-volume-transfer", TRANSFERS, &[(GET, 0), (POST, 0)]),
    later("/os-volume-transfer/detail", TRANSFERS, &[(GET, 0)]),
    later("/os-volume-transfer/{id}", TRANSFERS, &[(GET, 0), (DELETE, 0)]),
    later("/os-volume-transfer/{id}/accept", TRANSFERS, &[(POST, 0)]),
    later("/volume-transfers", TRANSFERS, &[(GET, 0), (POST, 0)]),
    later("/volume-transfers/detail", TRANSFERS, &[(GET, 0)]),
    later("/volume-transfers/{id}", TRANSFERS, &[(GET, 0), (DELETE, 0)]),
    later("/volume-transfers/{id}/accept", TRANSFERS, &[(POST, 0)]),
    later("/qos-specs", QOS, &[(GET, 0), (POST, 0)]),
    later("/qos-specs/{id}", QOS, &[(GET, 0), (PUT, 0), (DELETE, 0)]),
    later("/qos-specs/{id}/delete_keys", QOS, &[(PUT, 0)]),
    later("/qos-specs/{id}/associations", QOS, &[(GET, 0)]),
    later("/qos-specs/{id}/associate", QOS, &[(GET, 0)]),
    later("/qos-specs/{id}/disassociate", QOS, &[(GET, 0)]),
    later("/qos-specs/{id}/disassociate_all", QOS, &[(GET, 0)]),
    later("/group_types", GROUP_TYPES, &[(GET, 11), (POST, 11)]),
    later(
        "/group_types/{id}",
        GROUP_TYPES,
        &[(GET, 11), (PUT, 11), (DELETE, 11)],
    ),
    later(
        "/group_types/{id}/group_specs",
        GROUP_TYPES,
        &[(GET, 11), (POST, 11)],
    ),
    later(
        "/group_types/{id}/group_specs/{key}",
        GROUP_TYPES,
        &[(GET, 11), (PUT, 11), (DELETE, 11)],
    ),
    later("/groups", GROUPS, &[(GET, 13), (POST, 13)]),
    later("/groups/detail", GROUPS, &[(GET, 13)]),
    later("/groups/action", GROUPS, &[(POST, 14)]),
    later("/groups/{id}", GROUPS, &[(GET, 13), (PUT, 13)]),
    later("/groups/{id}/action", GROUPS, &[(POST, 13)]),
    later("/group_snapshots", GROUP_SNAPSHOTS, &[(GET, 14), (POST, 14)]),
    later("/group_snapshots/detail", GROUP_SNAPSHOTS, &[(GET, 14)]),
    later(
        "/group_snapshots/{id}",
        GROUP_SNAPSHOTS,
        &[(GET, 14), (DELETE, 14)],
    ),
    later("/group_snapshots/{id}/action", GROUP_SNAPSHOTS, &[(POST, 19)]),
    later("/consistencygroups", CONSISTENCY_GROUPS, &[(GET, 0), (POST, 0)]),
    later("/consistencygroups/detail", CONSISTENCY_GROUPS, &[(GET, 0)]),
    later(
        "/consistencygroups/create_from_src",
        CONSISTENCY_GROUPS,
        &[(POST, 0)],
    ),
    later(
        "/consistencygroups/{id}",
        CONSISTENCY_GROUPS,
        &[(GET, 0), (PUT, 0), (DELETE, 0)],
    ),
    later("/consistencygroups/{id}/update", CONSISTENCY_GROUPS, &[(PUT, 0)]),
    later("/consistencygroups/{id}/delete", CONSISTENCY_GROUPS, &[(POST, 0)]),
    later("/cgsnapshots", CONSISTENCY_GROUPS, &[(GET, 0), (POST, 0)]),
    later("/cgsnapshots/detail", CONSISTENCY_GROUPS, &[(GET, 0)]),
    later("/cgsnapshots/{id}", CONSISTENCY_GROUPS, &[(GET, 0), (DELETE, 0)]),
    later("/os-hosts", HOSTS, &[(GET, 0)]),
    later("/os-hosts/{id}", HOSTS, &[(GET, 0), (PUT, 0)]),
    later(
        "/capabilities/{id}",
        "reporting the capabilities of a driver",
        &[(GET, 0)],
    ),
    later("/workers/cleanup", "cleaning up by request", &[(POST, 24)]),
];

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    for route in ROUTES {
        cfg.service(web::resource(route.path).default_service(web::to(
            move |request: HttpRequest, caller: Caller| async move { route.answer(request.method(), &caller) },
        )));
    }
}

impl Later {
    fn answer(&self, method: &Method, caller: &Caller) -> Result<HttpResponse, Fault> {
        let Some((_, since)) = self.methods.iter().find(|(known, _)| known == method) else {
            return Ok(unknown_route());
        };
        caller.since(*since)?;
        Err(Fault::not_implemented(format!("Not implemented: {}.", self.what)))
    }
}
