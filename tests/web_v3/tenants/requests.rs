//! What is sent to each route so that it succeeds for whom its rule allows. A route that reads a body and is not here fails the tests,
//! so a new one needs a line.

use pumice::web::routes::RouteInfo;

/// A request, with `{…}` for what there is.
pub struct Sent {
    /// Method, path and action, as in the table of routes.
    row: &'static str,
    /// The body, or the arguments of an action.
    pub body: &'static str,
    /// The query.
    pub query: &'static str,
    /// What an administrator does before, in the same words.
    pub before: &'static [(&'static str, &'static str)],
    /// The status for whom the rule allows, if it is no success.
    pub expects: Option<u16>,
    /// Why a stranger is answered otherwise about what there is than about what there is not.
    pub tells: Option<&'static str>,
}

const fn sent(row: &'static str, body: &'static str) -> Sent {
    Sent {
        row,
        body,
        query: "",
        before: &[],
        expects: None,
        tells: None,
    }
}

impl Sent {
    const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn after(self, before: &'static [(&'static str, &'static str)]) -> Self {
        Self { before, ..self }
    }

    const fn is(self, status: u16) -> Self {
        Self {
            expects: Some(status),
            ..self
        }
    }

    const fn tells(self, why: &'static str) -> Self {
        Self {
            tells: Some(why),
            ..self
        }
    }
}

const ACTION: &str = "POST /volumes/{volume_id}/action";
const ATTACH: (&str, &str) = (
    ACTION,
    r#"{"os-attach": {"instance_uuid": "{nothing}", "mountpoint": "/dev/vdb"}}"#,
);
const OFFERED: (&str, &str) = (
    "POST /types/{type_id}/encryption",
    r#"{"encryption": {"provider": "luks", "control_location": "front-end"}}"#,
);

const REQUESTS: &[Sent] = &[
    sent(
        "POST /volumes",
        r#"{"volume": {"size": 1, "snapshot_id": "{snapshot_id}"}}"#,
    ),
    sent("PUT /volumes/{volume_id}", r#"{"volume": {"name": "n"}}"#),
    sent(
        "POST /volumes/{volume_id}/metadata",
        r#"{"metadata": {"{key}": "nova"}}"#,
    ),
    sent(
        "PUT /volumes/{volume_id}/metadata",
        r#"{"metadata": {"{key}": "nova"}}"#,
    ),
    sent(
        "PUT /volumes/{volume_id}/metadata/{key}",
        r#"{"meta": {"{key}": "nova"}}"#,
    ),
    // No volume is encrypted.
    sent("GET /volumes/{volume_id}/encryption/{key}", "").is(404),
    sent(
        "POST /volumes/{volume_id}/action os-attach",
        r#"{"instance_uuid": "{nothing}", "mountpoint": "/dev/vdb"}"#,
    ),
    sent("POST /volumes/{volume_id}/action os-detach", "{}").after(&[ATTACH]),
    sent("POST /volumes/{volume_id}/action os-reserve", "{}"),
    sent("POST /volumes/{volume_id}/action os-unreserve", "{}").after(&[(ACTION, r#"{"os-reserve": {}}"#)]),
    sent("POST /volumes/{volume_id}/action os-begin_detaching", "{}").after(&[ATTACH]),
    sent("POST /volumes/{volume_id}/action os-roll_detaching", "{}")
        .after(&[ATTACH, (ACTION, r#"{"os-begin_detaching": {}}"#)]),
    sent(
        "POST /volumes/{volume_id}/action os-initialize_connection",
        r#"{"connector": {"initiator": "iqn.x", "host": "h1"}}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-terminate_connection",
        r#"{"connector": {"host": "h1"}}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-volume_upload_image",
        r#"{"image_name": "i"}"#,
    ),
    sent("POST /volumes/{volume_id}/action os-extend", r#"{"new_size": 2}"#),
    sent(
        "POST /volumes/{volume_id}/action os-extend_volume_completion",
        "{}",
    )
    .is(400),
    sent(
        "POST /volumes/{volume_id}/action os-update_readonly_flag",
        r#"{"readonly": true}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-set_bootable",
        r#"{"bootable": true}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-retype",
        r#"{"new_type": "{type_id}"}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-set_image_metadata",
        r#"{"metadata": {"k": "v"}}"#,
    ),
    sent("POST /volumes/{volume_id}/action os-show_image_metadata", "{}"),
    sent(
        "POST /volumes/{volume_id}/action os-unset_image_metadata",
        r#"{"key": "k"}"#,
    )
    .after(&[(ACTION, r#"{"os-set_image_metadata": {"metadata": {"k": "v"}}}"#)]),
    sent(
        "POST /volumes/{volume_id}/action revert",
        r#"{"snapshot_id": "{snapshot_id}"}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-reimage",
        r#"{"image_id": "{nothing}"}"#,
    ),
    sent(
        "POST /volumes/{volume_id}/action os-reset_status",
        r#"{"status": "available"}"#,
    ),
    sent("POST /volumes/{volume_id}/action os-force_delete", "{}"),
    sent(
        "POST /volumes/{volume_id}/action os-force_detach",
        r#"{"connector": null}"#,
    )
    .after(&[ATTACH]),
    // There is no other backend.
    sent(
        "POST /volumes/{volume_id}/action os-migrate_volume",
        r#"{"host": "h@other#lvm"}"#,
    )
    .is(400),
    sent(
        "POST /volumes/{volume_id}/action os-migrate_volume_completion",
        r#"{"new_volume": "{snapshot_id}"}"#,
    )
    .is(404),
    sent("POST /volumes/{volume_id}/action os-unmanage", "{}"),
    sent(
        "POST /attachments",
        r#"{"attachment": {"volume_uuid": "{volume_id}"}}"#,
    ),
    sent(
        "PUT /attachments/{attachment_id}",
        r#"{"attachment": {"connector": {"initiator": "iqn.x", "host": "h1"}}}"#,
    ),
    sent("POST /attachments/{attachment_id}/action os-complete", "{}").after(&[(
        "PUT /attachments/{attachment_id}",
        r#"{"attachment": {"connector": {"initiator": "iqn.x", "host": "h1"}}}"#,
    )]),
    sent("POST /types", r#"{"volume_type": {"name": "{new}"}}"#),
    sent("PUT /types/{type_id}", r#"{"volume_type": {"name": "{new}"}}"#),
    sent(
        "POST /types/{type_id}/extra_specs",
        r#"{"extra_specs": {"{key}": "nova"}}"#,
    ),
    sent("PUT /types/{type_id}/extra_specs/{key}", r#"{"{key}": "nova"}"#),
    sent(
        "POST /types/{type_id}/encryption",
        r#"{"encryption": {"provider": "luks", "control_location": "front-end"}}"#,
    ),
    sent("GET /types/{type_id}/encryption/{key}", "").is(404),
    sent(
        "PUT /types/{type_id}/encryption/{key}",
        r#"{"encryption": {"cipher": "aes"}}"#,
    )
    .after(&[OFFERED]),
    sent("DELETE /types/{type_id}/encryption/{key}", "").after(&[OFFERED]),
    sent(
        "POST /types/{type_id}/action addProjectAccess",
        r#"{"project": "{new}"}"#,
    ),
    sent(
        "POST /types/{type_id}/action removeProjectAccess",
        r#"{"project": "{target_id}"}"#,
    ),
    sent(
        "PUT /default-types/{target_id}",
        r#"{"default_type": {"volume_type": "{public_type}"}}"#,
    ),
    sent("GET /default-types/{target_id}", "").after(&[(
        "PUT /default-types/{target_id}",
        r#"{"default_type": {"volume_type": "{public_type}"}}"#,
    )]),
    sent("POST /qos-specs", r#"{"qos_specs": {"name": "{new}"}}"#),
    sent("PUT /qos-specs/{id}", r#"{"qos_specs": {"k": "v"}}"#),
    sent("PUT /qos-specs/{id}/delete_keys", r#"{"keys": ["k"]}"#)
        .after(&[("PUT /qos-specs/{id}", r#"{"qos_specs": {"k": "v"}}"#)]),
    sent("GET /qos-specs/{id}/associate", "").query("?vol_type_id={type_id}"),
    sent("GET /qos-specs/{id}/disassociate", "").query("?vol_type_id={type_id}"),
    sent(
        "PUT /os-quota-sets/{target_id}",
        r#"{"quota_set": {"volumes": -1}}"#,
    ),
    sent(
        "PUT /os-quota-class-sets/{class}",
        r#"{"quota_class_set": {"backups": 7}}"#,
    ),
    sent(
        "PUT /os-services/enable",
        r#"{"host": "h@lvm", "binary": "cinder-volume"}"#,
    ),
    // Of a host that is not there: others need the one that is.
    sent(
        "PUT /os-services/disable",
        r#"{"host": "nowhere", "binary": "cinder-volume"}"#,
    )
    .is(404),
    sent(
        "PUT /os-services/disable-log-reason",
        r#"{"host": "nowhere", "binary": "cinder-volume", "disabled_reason": "r"}"#,
    )
    .is(404),
    sent("PUT /os-services/freeze", r#"{"host": "h@lvm"}"#),
    sent("PUT /os-services/thaw", r#"{"host": "h@lvm"}"#),
    sent("PUT /os-services/failover_host", r#"{"host": "h@lvm"}"#).is(400),
    sent("PUT /os-services/failover", r#"{"host": "h@lvm"}"#).is(400),
    sent("PUT /os-services/get-log", "{}"),
    sent(
        "PUT /os-services/set-log",
        r#"{"binary": "cinder-backup", "level": "INFO"}"#,
    ),
    sent("PUT /os-services/{action}", "{}").is(404),
    sent("PUT /os-hosts/{id}", r#"{"status": "enable"}"#),
    sent("PUT /clusters/enable", r#"{"name": "c"}"#).is(404),
    sent("PUT /clusters/disable", r#"{"name": "c"}"#).is(404),
    sent("GET /clusters/{name}", "").is(404),
    sent("POST /workers/cleanup", "{}"),
    sent("POST /snapshots", r#"{"snapshot": {"volume_id": "{volume_id}"}}"#),
    sent("PUT /snapshots/{snapshot_id}", r#"{"snapshot": {"name": "n"}}"#),
    sent(
        "POST /snapshots/{snapshot_id}/metadata",
        r#"{"metadata": {"{key}": "nova"}}"#,
    ),
    sent(
        "PUT /snapshots/{snapshot_id}/metadata",
        r#"{"metadata": {"{key}": "nova"}}"#,
    ),
    sent(
        "PUT /snapshots/{snapshot_id}/metadata/{key}",
        r#"{"meta": {"{key}": "nova"}}"#,
    ),
    sent(
        "POST /snapshots/{snapshot_id}/action os-reset_status",
        r#"{"status": "available"}"#,
    ),
    sent("POST /snapshots/{snapshot_id}/action os-force_delete", "{}"),
    sent("POST /snapshots/{snapshot_id}/action os-unmanage", "{}"),
    sent(
        "POST /snapshots/{snapshot_id}/action os-update_snapshot_status",
        r#"{"status": "available"}"#,
    )
    .is(400),
    sent(
        "POST /os-volume-transfer",
        r#"{"transfer": {"volume_id": "{volume_id}"}}"#,
    ),
    sent(
        "POST /volume-transfers",
        r#"{"transfer": {"volume_id": "{volume_id}"}}"#,
    ),
    sent(
        "POST /os-volume-transfer/{transfer_id}/accept",
        r#"{"accept": {"auth_key": "wrong"}}"#,
    )
    .is(400)
    .tells("it is for others that it was offered"),
    sent(
        "POST /volume-transfers/{transfer_id}/accept",
        r#"{"accept": {"auth_key": "wrong"}}"#,
    )
    .is(400)
    .tells("it is for others that it was offered"),
    sent("GET /manageable_volumes", "").query("?host=h@lvm"),
    sent("GET /manageable_volumes/detail", "").query("?host=h@lvm"),
    sent("GET /os-volume-manage", "").query("?host=h@lvm"),
    sent("GET /os-volume-manage/detail", "").query("?host=h@lvm"),
    sent("GET /manageable_snapshots", "").query("?host=h@lvm"),
    sent("GET /manageable_snapshots/detail", "").query("?host=h@lvm"),
    sent("GET /os-snapshot-manage", "").query("?host=h@lvm"),
    sent("GET /os-snapshot-manage/detail", "").query("?host=h@lvm"),
    sent(
        "POST /manageable_volumes",
        r#"{"volume": {"host": "h@lvm#lvm", "ref": {"source-name": "nothing"}}}"#,
    )
    .is(202),
    sent(
        "POST /os-volume-manage",
        r#"{"volume": {"host": "h@lvm#lvm", "ref": {"source-name": "nothing"}}}"#,
    )
    .is(202),
    sent(
        "POST /manageable_snapshots",
        r#"{"snapshot": {"volume_id": "{volume_id}", "ref": {"source-name": "nothing"}}}"#,
    ),
    sent(
        "POST /os-snapshot-manage",
        r#"{"snapshot": {"volume_id": "{volume_id}", "ref": {"source-name": "nothing"}}}"#,
    ),
];

/// The name of a row in this table.
pub fn name(row: &RouteInfo) -> String {
    let method = row.method.as_ref().map_or("GET", |method| method.as_str());
    match row.action {
        None => format!("{method} {}", row.path),
        Some(action) => format!("{method} {} {action}", row.path),
    }
}

/// What is sent to a route. Routes that read a body, and are served, must be here.
pub fn of(row: &RouteInfo) -> Sent {
    let name = name(row);
    let known = REQUESTS.iter().find(|known| known.row == name);
    match known {
        Some(known) => Sent { ..*known },
        None => {
            let reads = name.starts_with("POST") || name.starts_with("PUT");
            assert!(
                !reads || !row.is_served,
                "say in tests/web_v3/tenants/requests.rs what is sent to {name}"
            );
            sent("", if row.action.is_some() { "{}" } else { "" })
        }
    }
}

/// Lines that are of no route.
pub fn unknown<'r>(rows: impl Iterator<Item = &'r RouteInfo> + Clone) -> Vec<&'static str> {
    let is_unknown = |sent: &&Sent| !rows.clone().any(|row| name(row) == sent.row);
    REQUESTS.iter().filter(is_unknown).map(|sent| sent.row).collect()
}
