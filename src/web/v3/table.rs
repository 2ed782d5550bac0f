//! The routes of Cinder v3, relative to `/v3` or `/v3/{project_id}`: all of Cinder's routes, served or not.
//!
//! A row says what [`RouteInfo`](crate::web::routes::RouteInfo) describes; nothing else in `web` names a route or an action,
//! except its handler. Rows with a purpose are those of Cinder's reference, and of Pumice's (`docs/reference/api.md`, which a
//! test generates). Of two paths that match, the first answers, so longer ones that could match an id come first. Routes that are
//! not served keep their version and rule: below that version they answer 404, and callers that the rule denies 403.

use actix_web::http::Method;

use super::list_rows::{ListRows, paged};
use super::manageable_snapshots::Snapshots;
use super::manageable_volumes::Volumes;
use super::transfers::{NEW, OLD};
use super::volume_actions::{attaching, extend, image, migrate, retype, revert, status};
use super::{
    attachments, availability_zones, capabilities, cleanup, clusters, default_types, extensions, hosts,
    limits, log_levels, manageable, messages, metadata, qos_specs, quota_classes, quota_sets,
    resource_filters, scheduler_stats, services, snapshot_actions, snapshot_list, snapshots, transfers,
    type_access, type_encryption, type_extra_specs, types, volume_encryption, volume_list, volumes,
};
use crate::model::{Snapshot, Volume};
use crate::store::catalog::Stored;
use crate::web::microversion::Microversion;
use crate::web::policy::{Rule, admin, member, reader};
use crate::web::routes::answers::Content;
use crate::web::routes::{Access, Routes, RuleOrder};
use crate::web::schema;
use crate::web::views::shape::{Shape, field};
use crate::web::views::{
    self, attachment, message, pool, quota, service, snapshot, transfer, volume, volume_type,
};

const BACKUPS: &str = "Not implemented: backups.";
const GROUPS: &str = "Not implemented: groups.";
const GROUP_TYPES: &str = "Not implemented: group types.";
const GROUP_SNAPSHOTS: &str = "Not implemented: group snapshots.";
const CONSISTENCY_GROUPS: &str = "Not implemented: consistency groups.";

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

const TEXT: Content = Content::Other("text/plain");

/// In the format of the first version, whatever the version.
const ADOPTED_VOLUME: Shape = Shape::Object(&[field(
    "volume",
    Shape::InVersion(Microversion(0), &volume::ALL_FIELDS),
)]);

/// Adds the routes.
pub fn routes(t: &mut Routes) {
    of_volumes(t);
    of_types(t);
    of_operators(t);
    of_snapshots(t);
    of_backups_and_transfers(t);
    of_manageable(t);
    of_groups(t);
}

#[rustfmt::skip]
fn of_volumes(t: &mut Routes) {
    t.section("Volumes");
    t.list::<volume_list::Volumes>("/volumes", reader("volume:get_all")).does("brief list (id,name,links)");
    t.detail::<volume_list::Volumes>("/volumes/detail", reader("volume:get_all")).does("full list");
    t.get("/volumes/summary", reader("volume:get_all"), volume_list::summary).since(12).parameters(volume_list::ALL_TENANTS).ok(volume_list::SUMMARY).does("sums");
    t.post("/volumes", member("volume:create"), volumes::create).body(schema::volumes::CREATE).body_since(13, schema::volumes::CREATE_V313).body_since(47, schema::volumes::CREATE_V347).body_since(53, schema::volumes::CREATE_V353).faults(&[501]).accepted(volume::ONE).makes().does("create");
    t.get("/volumes/{volume_id}", reader("volume:get"), volumes::show).ok(volume::ONE).does("show");
    t.put("/volumes/{volume_id}", member("volume:update"), volumes::update).body(schema::volumes::UPDATE).body_since(53, schema::volumes::UPDATE_V353).ok(volume::ONE).does("update; >=3.53 at least one known key");
    t.delete("/volumes/{volume_id}", member("volume:delete"), volumes::delete).parameters(volumes::DELETE).empty(202).does("delete; force ignored below 3.23");
    t.get("/volumes/{volume_id}/metadata", reader("volume:get_volume_metadata"), metadata::list::<Stored<Volume>>).ok(metadata::ALL).does("list metadata; Etag >=3.15");
    t.post("/volumes/{volume_id}/metadata", member("volume:create_volume_metadata"), metadata::merge::<Stored<Volume>>).body(schema::volume_metadata::ALL).ok(metadata::ALL).does("merge metadata");
    t.put("/volumes/{volume_id}/metadata", member("volume:update_volume_metadata"), metadata::replace::<Stored<Volume>>).body(schema::volume_metadata::ALL).parameters(metadata::IF_MATCH).faults(&[412]).ok(metadata::ALL).does("replace all; If-Match checked >=3.15 (412)");
    t.get("/volumes/{volume_id}/metadata/{key}", reader("volume:get_volume_metadata"), metadata::show::<Stored<Volume>>).ok(metadata::ONE).does("show one key");
    t.put("/volumes/{volume_id}/metadata/{key}", member("volume:update_volume_metadata"), metadata::set::<Stored<Volume>>).body(schema::volume_metadata::ONE).parameters(metadata::IF_MATCH).faults(&[412]).ok(metadata::ONE).does("set one key; key must equal the URL key");
    t.delete("/volumes/{volume_id}/metadata/{key}", member("volume:delete_volume_metadata"), metadata::remove::<Stored<Volume>>).rule_order(RuleOrder::InHandler).empty(200).does("delete one key");
    t.get("/volumes/{volume_id}/encryption", reader("volume_extension:volume_encryption_metadata"), volume_encryption::list).ok(volume_encryption::KEY).does("encryption facts of a volume");
    t.get("/volumes/{volume_id}/encryption/{key}", reader("volume_extension:volume_encryption_metadata"), volume_encryption::show).answers(200, TEXT).does("one encryption fact");

    const ACTION: &str = "/volumes/{volume_id}/action";
    t.action(ACTION, "os-attach", member("volume_extension:volume_actions:attach"), attaching::attach).body(attaching::ATTACH).faults(&[409]).empty(202).does("mark attached (old flow)");
    t.action(ACTION, "os-detach", member("volume_extension:volume_actions:detach"), attaching::detach).body(attaching::DETACH).faults(&[409]).empty(202).does("mark detached (old flow)");
    t.action(ACTION, "os-reserve", member("volume_extension:volume_actions:reserve"), attaching::reserve).empty(202).does("available -> attaching");
    t.action(ACTION, "os-unreserve", member("volume_extension:volume_actions:unreserve"), attaching::unreserve).empty(202).does("undo reserve");
    t.action(ACTION, "os-begin_detaching", member("volume_extension:volume_actions:begin_detaching"), attaching::begin_detaching).empty(202).does("in-use -> detaching");
    t.action(ACTION, "os-roll_detaching", member("volume_extension:volume_actions:roll_detaching"), attaching::roll_detaching).empty(202).does("detaching -> in-use");
    t.action(ACTION, "os-initialize_connection", member("volume_extension:volume_actions:initialize_connection"), attaching::initialize).body(attaching::INITIALIZE_CONNECTION).faults(&[409]).ok(attaching::CONNECTION).does("export and return connection");
    t.action(ACTION, "os-terminate_connection", member("volume_extension:volume_actions:terminate_connection"), attaching::terminate).body(attaching::TERMINATE_CONNECTION).faults(&[409]).empty(202).does("undo export for connector");
    t.action(ACTION, "os-volume_upload_image", member("volume_extension:volume_actions:upload_image"), image::upload).not_served().body(image::UPLOAD).body_since(1, image::UPLOAD_V31).does("upload volume to image service");
    t.action(ACTION, "os-extend", member("volume:extend"), extend::extend).rule_order(RuleOrder::InHandler).body(extend::EXTEND).empty(202).does("grow; in-use allowed >=3.42");
    t.action(ACTION, "os-extend_volume_completion", admin("volume_extension:volume_admin_actions:extend_volume_completion"), extend::complete).body(extend::COMPLETION).always_refused().does("nova reports result of online extend (NFS-like drivers); documented since 3.71");
    t.action(ACTION, "os-update_readonly_flag", member("volume:update_readonly_flag"), status::update_readonly_flag).body(status::UPDATE_READONLY_FLAG).empty(202).does("set readonly admin metadata");
    t.action(ACTION, "os-set_bootable", member("volume:update"), status::set_bootable).body(status::SET_BOOTABLE).empty(200).does("set bootable flag");
    t.action(ACTION, "os-retype", member("volume:retype"), retype::retype).body(retype::RETYPE).empty(202).does("change type");
    t.action(ACTION, "os-set_image_metadata", member("volume_extension:volume_image_metadata:set"), image::set_metadata).body(image::SET_METADATA).ok(metadata::ALL).does("set volume_image_metadata");
    t.action(ACTION, "os-show_image_metadata", reader("volume:get_volume_metadata"), image::show_metadata).ok(metadata::ALL).does("show volume_image_metadata");
    t.action(ACTION, "os-unset_image_metadata", member("volume_extension:volume_image_metadata:remove"), image::unset_metadata).body(image::UNSET_METADATA).empty(200).does("remove image metadata key");
    t.action(ACTION, "revert", member("volume:revert_to_snapshot"), revert::revert).since(40).rule_order(RuleOrder::InHandler).body(revert::REVERT).faults(&[409]).empty(202).does("revert to latest snapshot");
    t.later_action::<Stored<Volume>>(ACTION, "os-reimage", member("volume:reimage"), "Writing an image to a volume is not implemented.").since(68).body(image::REIMAGE).does("rewrite volume with image");
    t.action(ACTION, "os-reset_status", admin("volume_extension:volume_admin_actions:reset_status"), status::reset_status).body(status::RESET_STATUS).empty(202).does("force states");
    t.action(ACTION, "os-force_delete", admin("volume_extension:volume_admin_actions:force_delete"), status::force_delete).empty(202).does("delete from any state");
    t.action(ACTION, "os-force_detach", admin("volume_extension:volume_admin_actions:force_detach"), attaching::force_detach).body(attaching::FORCE_DETACH).faults(&[409]).empty(202).does("terminate + detach");
    t.action(ACTION, "os-migrate_volume", admin("volume_extension:volume_admin_actions:migrate_volume"), migrate::migrate).body(migrate::MIGRATE).body_since(16, migrate::MIGRATE_V316).empty(202).does("move to other backend");
    t.action(ACTION, "os-migrate_volume_completion", admin("volume_extension:volume_admin_actions:migrate_volume_completion"), migrate::complete).body(migrate::COMPLETION).ok(migrate::COMPLETED).does("nova finishes attached migration");
    t.action(ACTION, "os-unmanage", admin("volume_extension:volume_unmanage"), status::unmanage).empty(202).does("forget without deleting data");

    t.section("Attachments");
    t.list::<attachments::Attachments>("/attachments", reader("volume:get_all")).since(27).does("list");
    t.detail::<attachments::Attachments>("/attachments/detail", reader("volume:get_all")).since(27).does("full list");
    t.get("/attachments/summary", reader("volume:get_all"), attachments::no_summary).since(27).always_refused();
    t.post("/attachments", member("volume:attachment_create"), attachments::create).body(schema::attachments::CREATE).body_since(54, schema::attachments::CREATE_V354).since(27).faults(&[409]).ok(attachment::ONE).makes().does("reserve (and connect when connector given)");
    t.get("/attachments/{attachment_id}", reader("volume:get"), attachments::show).since(27).ok(attachment::ONE).does("show");
    t.put("/attachments/{attachment_id}", member("volume:attachment_update"), attachments::update).body(schema::attachments::UPDATE).since(27).faults(&[409]).ok(attachment::ONE).does("connect");
    t.delete("/attachments/{attachment_id}", member("volume:attachment_delete"), attachments::delete).since(27).faults(&[409]).ok(attachment::OTHERS).does("disconnect");
    t.action("/attachments/{attachment_id}/action", "os-complete", member("volume:attachment_complete"), attachments::complete).since(44).faults(&[409]).empty(204).does("mark attached");
}

#[rustfmt::skip]
fn of_types(t: &mut Routes) {
    t.section("Volume types");
    t.get("/types", reader("volume_extension:type_get_all"), types::list).parameters(&paged(types::SORT_KEYS)).parameters(types::FILTERS).answers(200, Content::Page(types::PAGE)).does("list");
    t.get("/types/{type_id}", reader("volume_extension:type_get"), types::show).ok(volume_type::ONE).does("show; /types/default gives effective default");
    t.post("/types", admin("volume_extension:type_create"), types::create).body(schema::volume_types::CREATE).faults(&[409]).ok(volume_type::MANAGED).makes().does("create");
    t.put("/types/{type_id}", admin("volume_extension:type_update"), types::update).body(schema::volume_types::UPDATE).faults(&[409]).ok(volume_type::MANAGED).does("update");
    t.delete("/types/{type_id}", admin("volume_extension:type_delete"), types::delete).empty(202).does("delete; 400 if in use");
    t.get("/types/{type_id}/extra_specs", reader("volume_extension:types_extra_specs:index"), type_extra_specs::list).ok(type_extra_specs::ALL).does("list");
    t.post("/types/{type_id}/extra_specs", admin("volume_extension:types_extra_specs:create"), type_extra_specs::create).body(schema::volume_types::SET_EXTRA_SPECS).ok(type_extra_specs::SET).does("set several");
    t.get("/types/{type_id}/extra_specs/{key}", reader("volume_extension:types_extra_specs:show"), type_extra_specs::show).ok(type_extra_specs::ONE).does("show one");
    t.put("/types/{type_id}/extra_specs/{key}", admin("volume_extension:types_extra_specs:update"), type_extra_specs::update).body(schema::volume_types::SET_EXTRA_SPEC).ok(type_extra_specs::ONE).does("set one");
    t.delete("/types/{type_id}/extra_specs/{key}", admin("volume_extension:types_extra_specs:delete"), type_extra_specs::delete).empty(202).does("delete one");
    t.get("/types/{type_id}/encryption", admin("volume_extension:volume_type_encryption:get"), type_encryption::list).ok(type_encryption::ALL).does("show");
    t.post("/types/{type_id}/encryption", admin("volume_extension:volume_type_encryption:create"), type_encryption::create).body(type_encryption::CREATE).ok(type_encryption::SET).makes().does("create; 400 if type in use");
    t.get("/types/{type_id}/encryption/{key}", admin("volume_extension:volume_type_encryption:get"), type_encryption::show).ok(type_encryption::ONE).does("one field");
    t.put("/types/{type_id}/encryption/{key}", admin("volume_extension:volume_type_encryption:update"), type_encryption::update).body(type_encryption::UPDATE).ok(type_encryption::SET).does("update; 400 if type in use");
    t.delete("/types/{type_id}/encryption/{key}", admin("volume_extension:volume_type_encryption:delete"), type_encryption::delete).empty(202).does("delete; 400 if type in use");
    t.get("/types/{type_id}/os-volume-type-access", admin("volume_extension:volume_type_access:get_all_for_type"), type_access::list).ok(type_access::ALL).does("projects of a private type; 404 on public type");
    t.action("/types/{type_id}/action", "addProjectAccess", admin("volume_extension:volume_type_access:addProjectAccess"), type_access::add).rule_order(RuleOrder::BeforeResource).body(type_access::PROJECT_ACCESS).faults(&[409]).empty(202).does("grant; 409 duplicate; 400 on public type");
    t.action("/types/{type_id}/action", "removeProjectAccess", admin("volume_extension:volume_type_access:removeProjectAccess"), type_access::remove).rule_order(RuleOrder::BeforeResource).body(type_access::PROJECT_ACCESS).empty(202).does("revoke");

    t.section("Default types");
    t.get("/default-types", admin("volume_extension:default_get_all"), default_types::list).since(62).ok(default_types::ALL).does("all project defaults");
    t.get("/default-types/{target_id}", admin("volume_extension:default_get"), default_types::show).since(62).ok(default_types::ONE).does("one project default");
    t.put("/default-types/{target_id}", admin("volume_extension:default_set_or_update"), default_types::set).since(62).body(default_types::SET).ok(default_types::ONE).does("set");
    t.delete("/default-types/{target_id}", admin("volume_extension:default_unset"), default_types::unset).since(62).empty(204).does("unset");

    t.section("QoS specs");
    t.get("/qos-specs", admin("volume_extension:qos_specs_manage:get_all"), qos_specs::list).parameters(&paged(qos_specs::SORT_KEYS)).parameters(qos_specs::FILTERS).answers(200, Content::Page(qos_specs::PAGE)).does("list");
    t.post("/qos-specs", admin("volume_extension:qos_specs_manage:create"), qos_specs::create).body(qos_specs::CREATE).faults(&[409]).ok(qos_specs::ONE).makes().does("create");
    t.get("/qos-specs/{id}", admin("volume_extension:qos_specs_manage:get"), qos_specs::show).ok(qos_specs::ONE).does("show");
    t.put("/qos-specs/{id}", admin("volume_extension:qos_specs_manage:update"), qos_specs::update).body(qos_specs::UPDATE).ok(qos_specs::SET).does("set keys");
    t.delete("/qos-specs/{id}", admin("volume_extension:qos_specs_manage:delete"), qos_specs::delete).parameters(qos_specs::FORCE).empty(202).does("delete; 400 if associated and not force");
    t.put("/qos-specs/{id}/delete_keys", admin("volume_extension:qos_specs_manage:delete"), qos_specs::delete_keys).body(qos_specs::DELETE_KEYS).empty(202).does("remove keys");
    t.get("/qos-specs/{id}/associations", admin("volume_extension:qos_specs_manage:get_all"), qos_specs::associations).ok(qos_specs::ASSOCIATIONS).does("list types");
    t.get("/qos-specs/{id}/associate", admin("volume_extension:qos_specs_manage:update"), qos_specs::associate).parameters(qos_specs::TYPE).empty(202).does("associate (GET with effect)");
    t.get("/qos-specs/{id}/disassociate", admin("volume_extension:qos_specs_manage:update"), qos_specs::disassociate).parameters(qos_specs::TYPE).empty(202).does("disassociate (GET with effect)");
    t.get("/qos-specs/{id}/disassociate_all", admin("volume_extension:qos_specs_manage:update"), qos_specs::disassociate_all).empty(202).does("disassociate all (GET with effect)");
}

#[rustfmt::skip]
fn of_operators(t: &mut Routes) {
    t.section("Quotas");
    t.get("/os-quota-sets/{target_id}", reader("volume_extension:quotas:show"), quota_sets::show).parameters(quota_sets::USAGE).ok(quota::SET).does("limits; with usage: in_use/reserved/limit/allocated");
    t.get("/os-quota-sets/{target_id}/defaults", reader("volume_extension:quotas:show"), quota_sets::defaults).ok(quota::SET).does("defaults");
    t.put("/os-quota-sets/{target_id}", admin("volume_extension:quotas:update"), quota_sets::update).body(schema::quotas::QUOTA_SET).ok(quota::SET).does("set");
    t.delete("/os-quota-sets/{target_id}", admin("volume_extension:quotas:delete"), quota_sets::delete).empty(200).does("back to defaults");
    t.get("/os-quota-class-sets/{class}", admin("volume_extension:quota_classes:get"), quota_classes::show).ok(quota::CLASS_SET).does("show class limits");
    t.put("/os-quota-class-sets/{class}", admin("volume_extension:quota_classes:update"), quota_classes::update).body(schema::quotas::CLASS_SET).ok(quota::CLASS_SET).does("set class limits (class default = site default)");

    t.section("Limits, extensions, zones");
    t.get("/limits", Access::Token, limits::list).parameters(limits::PARAMETERS).ok(quota::ABSOLUTE).does("absolute limits + used");
    t.get("/extensions", Access::Token, extensions::list).ok(extensions::ALL).does("loaded extension aliases");
    t.get("/extensions/{alias}", Access::Token, extensions::show).ok(extensions::ONE).does("one");
    t.get("/os-availability-zone", Access::Token, availability_zones::list).ok(availability_zones::ZONES).does("list zones");

    const UPDATE: Rule = admin("volume_extension:services:update");
    t.section("Services and hosts");
    t.get("/os-services", admin("volume_extension:services:index"), services::list).parameters(services::PARAMETERS).ok(service::SERVICES).does("heartbeats; cluster 3.7; replication 3.26; backend_state 3.49");
    t.put("/os-services/enable", UPDATE, services::enable).body(schema::services::ENABLE_AND_DISABLE).ok(services::CHANGED).does("enable");
    t.put("/os-services/disable", UPDATE, services::disable).body(schema::services::ENABLE_AND_DISABLE).ok(services::CHANGED).does("disable");
    t.put("/os-services/disable-log-reason", UPDATE, services::disable).body(schema::services::DISABLE_LOG_REASON).ok(services::CHANGED).does("disable with reason");
    t.put("/os-services/freeze", UPDATE, services::freeze).body(schema::services::FREEZE_AND_THAW).empty(200).does("freeze backend for replication");
    t.put("/os-services/thaw", UPDATE, services::thaw).body(schema::services::FREEZE_AND_THAW).empty(200).does("thaw");
    t.put("/os-services/failover_host", UPDATE, services::failover).body(schema::services::FAILOVER).always_refused().does("replication failover");
    t.put("/os-services/failover", UPDATE, services::failover).since(26).rule_order(RuleOrder::BeforeVersion).body(schema::services::FAILOVER).always_refused().does("documented; route missing -> 404");
    t.put("/os-services/get-log", UPDATE, log_levels::get).since(32).rule_order(RuleOrder::BeforeVersion).body(log_levels::GET).ok(log_levels::LEVELS).does("read log levels");
    t.put("/os-services/set-log", UPDATE, log_levels::set).since(32).rule_order(RuleOrder::BeforeVersion).body(log_levels::SET).empty(202).does("set log level");
    t.put("/os-services/{action}", UPDATE, services::unknown).always_refused();
    t.get("/os-hosts", admin("volume_extension:hosts"), hosts::list).parameters(hosts::PARAMETERS).ok(hosts::HOSTS).does("hosts by service");
    t.get("/os-hosts/{id}", admin("volume_extension:hosts"), hosts::show).ok(hosts::USAGE).does("per project use of a host");
    t.put("/os-hosts/{id}", admin("volume_extension:hosts"), hosts::update).body(hosts::UPDATE).ok(hosts::CHANGED).does("enable/disable host");
    t.get("/scheduler-stats/get_pools", admin("scheduler_extension:scheduler_stats:get_pools"), scheduler_stats::get_pools).parameters(scheduler_stats::PARAMETERS).ok(pool::POOLS).does("scheduler view");
    t.get("/capabilities/{id}", admin("volume_extension:capabilities"), capabilities::show).ok(capabilities::CAPABILITIES).does("driver capability report");
    t.get("/clusters", admin("clusters:get_all"), clusters::list).since(7).parameters(clusters::PARAMETERS).ok(clusters::CLUSTERS).does("list clusters");
    t.get("/clusters/detail", admin("clusters:get_all"), clusters::list).since(7).parameters(clusters::PARAMETERS).ok(clusters::CLUSTERS).does("full");
    t.put("/clusters/enable", admin("clusters:update"), clusters::change).body(schema::clusters::ENABLE).since(7).always_refused().does("enable");
    t.put("/clusters/disable", admin("clusters:update"), clusters::change).body(schema::clusters::DISABLE).since(7).always_refused().does("disable");
    t.get("/clusters/{name}", admin("clusters:get"), clusters::show).since(7).parameters(clusters::OF_ONE).always_refused().does("show");
    t.post("/workers/cleanup", admin("workers:cleanup"), cleanup::cleanup).since(24).optional_body(cleanup::CLEANUP).accepted(cleanup::STARTED).does("clean unfinished work of dead services");

    t.section("Messages and filters");
    t.get("/resource_filters", Access::Token, resource_filters::list).since(33).parameters(resource_filters::PARAMETERS).ok(resource_filters::ALL).does("allowed list filters");
    t.list::<messages::Messages>("/messages", reader("message:get_all")).does("user messages");
    t.get("/messages/{message_id}", reader("message:get"), messages::show).ok(message::ONE).does("show");
    t.delete("/messages/{message_id}", member("message:delete"), messages::delete).empty(204).does("delete");
}

#[rustfmt::skip]
fn of_snapshots(t: &mut Routes) {
    t.section("Snapshots");
    t.list::<snapshot_list::Snapshots>("/snapshots", reader("volume:get_all_snapshots")).does("list");
    t.detail::<snapshot_list::Snapshots>("/snapshots/detail", reader("volume:get_all_snapshots")).does("full list");
    t.post("/snapshots", member("volume:create_snapshot"), snapshots::create).body(schema::snapshots::CREATE).accepted(snapshot::ONE).makes().does("create");
    t.get("/snapshots/{snapshot_id}", reader("volume:get_snapshot"), snapshots::show).ok(snapshot::ONE).does("show");
    t.put("/snapshots/{snapshot_id}", member("volume:update_snapshot"), snapshots::update).body(schema::snapshots::UPDATE).ok(snapshot::ONE).does("update");
    t.delete("/snapshots/{snapshot_id}", member("volume:delete_snapshot"), snapshots::delete).faults(&[409]).empty(202).does("delete");
    t.get("/snapshots/{snapshot_id}/metadata", reader("volume:get_snapshot_metadata"), metadata::list::<Stored<Snapshot>>).ok(metadata::ALL).does("list metadata");
    t.post("/snapshots/{snapshot_id}/metadata", member("volume:update_snapshot_metadata"), metadata::merge::<Stored<Snapshot>>).body(schema::snapshots::METADATA).ok(metadata::ALL).does("merge");
    t.put("/snapshots/{snapshot_id}/metadata", member("volume:update_snapshot_metadata"), metadata::replace::<Stored<Snapshot>>).body(schema::snapshots::METADATA).ok(metadata::ALL).does("replace all");
    t.get("/snapshots/{snapshot_id}/metadata/{key}", reader("volume:get_snapshot_metadata"), metadata::show::<Stored<Snapshot>>).ok(metadata::ONE).does("show key");
    t.put("/snapshots/{snapshot_id}/metadata/{key}", member("volume:update_snapshot_metadata"), metadata::set::<Stored<Snapshot>>).body(schema::snapshots::META).ok(metadata::ONE).does("set key");
    t.delete("/snapshots/{snapshot_id}/metadata/{key}", member("volume:delete_snapshot_metadata"), metadata::remove::<Stored<Snapshot>>).rule_order(RuleOrder::InHandler).empty(200).does("delete key");

    const ACTION: &str = "/snapshots/{snapshot_id}/action";
    t.action(ACTION, "os-reset_status", admin("volume_extension:snapshot_admin_actions:reset_status"), snapshot_actions::reset_status).body(snapshot_actions::RESET_STATUS).empty(202).does("force status");
    t.action(ACTION, "os-force_delete", admin("volume_extension:snapshot_admin_actions:force_delete"), snapshot_actions::force_delete).faults(&[409]).empty(202).does("delete from any status");
    t.action(ACTION, "os-unmanage", admin("snapshot_extension:snapshot_unmanage"), snapshot_actions::unmanage).faults(&[409]).empty(202).does("forget snapshot");
    t.action(ACTION, "os-update_snapshot_status", member("snapshot_extension:snapshot_actions:update_snapshot_status"), snapshot_actions::update_status).body(snapshot_actions::UPDATE_STATUS).empty(202).does("nova-assisted snapshots report status");
}

#[rustfmt::skip]
fn of_backups_and_transfers(t: &mut Routes) {
    t.section("Backups");
    t.later(GET, "/backups", reader("backup:get_all"), BACKUPS).does("list");
    t.later(GET, "/backups/detail", reader("backup:get_all"), BACKUPS).does("full list");
    t.later(POST, "/backups", member("backup:create"), BACKUPS).does("create");
    t.later(POST, "/backups/import_record", admin("backup:backup-import"), BACKUPS).does("import metadata");
    t.later(GET, "/backups/{id}", reader("backup:get"), BACKUPS).does("show");
    t.later(PUT, "/backups/{id}", member("backup:update"), BACKUPS).since(9).does("update");
    t.later(DELETE, "/backups/{id}", member("backup:delete"), BACKUPS).does("delete");
    t.later(POST, "/backups/{id}/restore", member("backup:restore"), BACKUPS).does("restore to given or new volume");
    t.later(GET, "/backups/{id}/export_record", admin("backup:export-import"), BACKUPS).does("export metadata");
    t.later_action::<()>("/backups/{id}/action", "os-reset_status", admin("volume_extension:backup_admin_actions:reset_status"), BACKUPS).does("force status");
    t.later_action::<()>("/backups/{id}/action", "os-force_delete", admin("volume_extension:backup_admin_actions:force_delete"), BACKUPS).does("delete from any status");

    t.section("Transfers");
    t.list::<transfers::Transfers<OLD>>("/os-volume-transfer", reader("volume:get_all_transfers")).does("list");
    t.detail::<transfers::Transfers<OLD>>("/os-volume-transfer/detail", reader("volume:get_all_transfers")).does("full list");
    t.post("/os-volume-transfer", member("volume:create_transfer"), transfers::create::<OLD>).rule_order(RuleOrder::InHandler).body(transfers::CREATE).accepted(transfer::CREATED).makes_secret().does("create");
    t.get("/os-volume-transfer/{transfer_id}", reader("volume:get_transfer"), transfers::show).ok(transfer::ONE).does("show");
    t.post("/os-volume-transfer/{transfer_id}/accept", member("volume:accept_transfer"), transfers::accept).body(transfers::ACCEPT).accepted(transfer::ACCEPTED).does("accept");
    t.delete("/os-volume-transfer/{transfer_id}", member("volume:delete_transfer"), transfers::delete).rule_order(RuleOrder::InHandler).empty(202).does("cancel");
    t.list::<transfers::Transfers<NEW>>("/volume-transfers", reader("volume:get_all_transfers")).does("list");
    t.detail::<transfers::Transfers<NEW>>("/volume-transfers/detail", reader("volume:get_all_transfers")).does("full list");
    t.post("/volume-transfers", member("volume:create_transfer"), transfers::create::<NEW>).rule_order(RuleOrder::InHandler).body(transfers::CREATE).body_since(55, transfers::CREATE_V355).accepted(transfer::CREATED).makes_secret().does("create");
    t.get("/volume-transfers/{transfer_id}", reader("volume:get_transfer"), transfers::show).ok(transfer::ONE).does("show");
    t.post("/volume-transfers/{transfer_id}/accept", member("volume:accept_transfer"), transfers::accept).body(transfers::ACCEPT).accepted(transfer::ACCEPTED).does("accept");
    t.delete("/volume-transfers/{transfer_id}", member("volume:delete_transfer"), transfers::delete).rule_order(RuleOrder::InHandler).empty(202).does("cancel");
}

#[rustfmt::skip]
fn of_manageable(t: &mut Routes) {
    const LIST_VOLUMES: Rule = admin("volume_extension:list_manageable");
    const LIST_SNAPSHOTS: Rule = admin("snapshot_extension:list_manageable");
    t.section("Adopting what exists");
    // Listed in every version: openstackclient and openstacksdk send none.
    t.get("/manageable_volumes", LIST_VOLUMES, manageable::list::<Volumes>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::VOLUMES).does("backend volumes");
    t.get("/manageable_volumes/detail", LIST_VOLUMES, manageable::detail::<Volumes>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::VOLUMES).does("with reason_not_safe, cinder_id, extra_info");
    t.post("/manageable_volumes", admin("volume_extension:volume_manage"), manageable::manage::<Volumes>).body(schema::manage::VOLUME).body_since(16, schema::manage::VOLUME_V316).since(8).accepted(ADOPTED_VOLUME).makes().does("adopt");
    t.get("/os-volume-manage", LIST_VOLUMES, manageable::list::<Volumes>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::VOLUMES).does("old name");
    t.get("/os-volume-manage/detail", LIST_VOLUMES, manageable::detail::<Volumes>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::VOLUMES).does("old name");
    t.post("/os-volume-manage", admin("volume_extension:volume_manage"), manageable::manage::<Volumes>).body(schema::manage::VOLUME).body_since(16, schema::manage::VOLUME_V316).accepted(ADOPTED_VOLUME).makes().does("old name");
    t.get("/manageable_snapshots", LIST_SNAPSHOTS, manageable::list::<Snapshots>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::SNAPSHOTS).does("backend snapshots");
    t.get("/manageable_snapshots/detail", LIST_SNAPSHOTS, manageable::detail::<Snapshots>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::SNAPSHOTS).does("with source_reference");
    t.post("/manageable_snapshots", admin("snapshot_extension:snapshot_manage"), manageable::manage::<Snapshots>).body(schema::manage::SNAPSHOT).since(8).accepted(snapshot::ADOPTED).makes().does("adopt");
    t.get("/os-snapshot-manage", LIST_SNAPSHOTS, manageable::list::<Snapshots>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::SNAPSHOTS).does("old name");
    t.get("/os-snapshot-manage/detail", LIST_SNAPSHOTS, manageable::detail::<Snapshots>).parameters(manageable::PARAMETERS).parameters(&paged(manageable::SORT_KEYS)).ok(views::manageable::SNAPSHOTS).does("old name");
    t.post("/os-snapshot-manage", admin("snapshot_extension:snapshot_manage"), manageable::manage::<Snapshots>).body(schema::manage::SNAPSHOT).accepted(snapshot::ADOPTED).makes().does("old name");
}

#[rustfmt::skip]
fn of_groups(t: &mut Routes) {
    t.section("Groups");
    t.later(GET, "/group_types", Access::Token, GROUP_TYPES).since(11).does("list");
    t.later(GET, "/group_types/{id}", Access::Token, GROUP_TYPES).since(11).does("show");
    t.later(POST, "/group_types", admin("group:group_types:create"), GROUP_TYPES).since(11).does("create");
    t.later(PUT, "/group_types/{id}", admin("group:group_types:update"), GROUP_TYPES).since(11).does("update");
    t.later(DELETE, "/group_types/{id}", admin("group:group_types:delete"), GROUP_TYPES).since(11).does("delete");
    t.later(GET, "/group_types/{id}/group_specs", admin("group:group_types_specs:get_all"), GROUP_TYPES).since(11).does("list");
    t.later(POST, "/group_types/{id}/group_specs", admin("group:group_types_specs:create"), GROUP_TYPES).since(11).does("set several");
    t.later(GET, "/group_types/{id}/group_specs/{key}", admin("group:group_types_specs:get"), GROUP_TYPES).since(11).does("show one");
    t.later(PUT, "/group_types/{id}/group_specs/{key}", admin("group:group_types_specs:update"), GROUP_TYPES).since(11).does("set one");
    t.later(DELETE, "/group_types/{id}/group_specs/{key}", admin("group:group_types_specs:delete"), GROUP_TYPES).since(11).does("delete one");
    t.later(GET, "/groups", reader("group:get_all"), GROUPS).since(13).does("list");
    t.later(GET, "/groups/detail", reader("group:get_all"), GROUPS).since(13).does("full list");
    t.later(POST, "/groups", member("group:create"), GROUPS).since(13).does("create");
    t.later_action::<()>("/groups/action", "create-from-src", member("group:create"), GROUPS).since(14).does("create from snapshot or group");
    t.later(GET, "/groups/{id}", reader("group:get"), GROUPS).since(13).does("show");
    t.later(PUT, "/groups/{id}", member("group:update"), GROUPS).since(13).does("update");
    t.later_action::<()>("/groups/{id}/action", "delete", member("group:delete"), GROUPS).since(13).does("delete");
    t.later_action::<()>("/groups/{id}/action", "reset_status", admin("group:reset_status"), GROUPS).since(20).does("force status");
    t.later_action::<()>("/groups/{id}/action", "enable_replication", member("group:enable_replication"), GROUPS).since(38).does("replication group");
    t.later_action::<()>("/groups/{id}/action", "disable_replication", member("group:disable_replication"), GROUPS).since(38).does("replication group");
    t.later_action::<()>("/groups/{id}/action", "failover_replication", member("group:failover_replication"), GROUPS).since(38).does("replication group");
    t.later_action::<()>("/groups/{id}/action", "list_replication_targets", member("group:list_replication_targets"), GROUPS).since(38).does("replication group");
    t.later(GET, "/group_snapshots", reader("group:get_all_group_snapshots"), GROUP_SNAPSHOTS).since(14).does("list");
    t.later(GET, "/group_snapshots/detail", reader("group:get_all_group_snapshots"), GROUP_SNAPSHOTS).since(14).does("full list");
    t.later(POST, "/group_snapshots", member("group:create_group_snapshot"), GROUP_SNAPSHOTS).since(14).does("create");
    t.later(GET, "/group_snapshots/{id}", reader("group:get_group_snapshot"), GROUP_SNAPSHOTS).since(14).does("show");
    t.later(DELETE, "/group_snapshots/{id}", member("group:delete_group_snapshot"), GROUP_SNAPSHOTS).since(14).does("delete");
    t.later_action::<()>("/group_snapshots/{id}/action", "reset_status", admin("group:reset_group_snapshot_status"), GROUP_SNAPSHOTS).since(19).does("force status");
    t.later(GET, "/consistencygroups", reader("group:get_all"), CONSISTENCY_GROUPS).does("list (superseded by groups)");
    t.later(GET, "/consistencygroups/detail", reader("group:get_all"), CONSISTENCY_GROUPS).does("full list");
    t.later(POST, "/consistencygroups", member("group:create"), CONSISTENCY_GROUPS).does("create");
    t.later(POST, "/consistencygroups/create_from_src", member("group:create"), CONSISTENCY_GROUPS).does("create from source");
    t.later(GET, "/consistencygroups/{id}", reader("group:get"), CONSISTENCY_GROUPS).does("show");
    t.later(PUT, "/consistencygroups/{id}", member("group:update"), CONSISTENCY_GROUPS).does("update (same as /update)");
    t.later(PUT, "/consistencygroups/{id}/update", member("group:update"), CONSISTENCY_GROUPS).does("update");
    t.later(POST, "/consistencygroups/{id}/delete", member("group:delete"), CONSISTENCY_GROUPS).does("delete");
    t.later(DELETE, "/consistencygroups/{id}", member("group:delete"), CONSISTENCY_GROUPS).does("delete");
    t.later(GET, "/cgsnapshots", reader("group:get_all_group_snapshots"), CONSISTENCY_GROUPS).does("list");
    t.later(GET, "/cgsnapshots/detail", reader("group:get_all_group_snapshots"), CONSISTENCY_GROUPS).does("full list");
    t.later(POST, "/cgsnapshots", member("group:create_group_snapshot"), CONSISTENCY_GROUPS).does("create");
    t.later(GET, "/cgsnapshots/{id}", reader("group:get_group_snapshot"), CONSISTENCY_GROUPS).does("show");
    t.later(DELETE, "/cgsnapshots/{id}", member("group:delete_group_snapshot"), CONSISTENCY_GROUPS).does("delete");
}
