//! Policy: which rule needs which role, and where.
//!
//! The table is Cinder's default policy with the `reader`, `member` and `admin` personas (cinder: `policies/*.py`). A rule
//! holds in the caller's **own project**; an administrator may do everything everywhere. Roles imply each other downwards
//! (admin → member → reader), as Keystone's default roles do. A rule that is not in the table allows nobody but an
//! administrator: forgetting one must not open a door. Each route has its rule in the table of routes (`routes`). The rules
//! `inspect:*` are this service's own.

pub use crate::model::role::Level;
use crate::model::{Context, Error, ProjectId};

/// A policy rule by its Cinder name, e.g. `volume:create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule(pub &'static str);

use Level::{Admin, Member, Reader};

/// Every rule and its level, sorted by name.
#[rustfmt::skip]
pub const RULES: &[(&str, Level)] = &[
    ("backup:backup-import", Admin),
    ("backup:backup_project_attribute", Admin),
    ("backup:create", Member),
    ("backup:delete", Member),
    ("backup:export-import", Admin),
    ("backup:get", Reader),
    ("backup:get_all", Reader),
    ("backup:restore", Member),
    ("backup:update", Member),
    ("clusters:get", Admin),
    ("clusters:get_all", Admin),
    ("clusters:update", Admin),
    ("group:access_group_types_specs", Admin),
    ("group:create", Member),
    ("group:create_group_snapshot", Member),
    ("group:delete", Member),
    ("group:delete_group_snapshot", Member),
    ("group:disable_replication", Member),
    ("group:enable_replication", Member),
    ("group:failover_replication", Member),
    ("group:get", Reader),
    ("group:get_all", Reader),
    ("group:get_all_group_snapshots", Reader),
    ("group:get_group_snapshot", Reader),
    ("group:group_project_attribute", Admin),
    ("group:group_snapshot_project_attribute", Admin),
    ("group:group_types:create", Admin),
    ("group:group_types:delete", Admin),
    ("group:group_types:update", Admin),
    ("group:group_types_specs:create", Admin),
    ("group:group_types_specs:delete", Admin),
    ("group:group_types_specs:get", Admin),
    ("group:group_types_specs:get_all", Admin),
    ("group:group_types_specs:update", Admin),
    ("group:list_replication_targets", Member),
    ("group:reset_group_snapshot_status", Admin),
    ("group:reset_status", Admin),
    ("group:update", Member),
    ("group:update_group_snapshot", Member),
    ("inspect:cancel_operation", Member),
    ("inspect:check", Admin),
    ("inspect:get_actors", Admin),
    ("inspect:get_decisions", Admin),
    ("inspect:get_finished_operations", Admin),
    ("inspect:get_operation", Reader),
    ("limits_extension:used_limits", Reader),
    ("message:delete", Member),
    ("message:get", Reader),
    ("message:get_all", Reader),
    ("scheduler_extension:scheduler_stats:get_pools", Admin),
    ("snapshot_extension:list_manageable", Admin),
    ("snapshot_extension:snapshot_actions:update_snapshot_status", Member),
    ("snapshot_extension:snapshot_manage", Admin),
    ("snapshot_extension:snapshot_unmanage", Admin),
    ("volume:accept_transfer", Member),
    ("volume:attachment_complete", Member),
    ("volume:attachment_create", Member),
    ("volume:attachment_delete", Member),
    ("volume:attachment_update", Member),
    ("volume:create", Member),
    ("volume:create_from_image", Member),
    ("volume:create_snapshot", Member),
    ("volume:create_transfer", Member),
    ("volume:create_volume_metadata", Member),
    ("volume:delete", Member),
    ("volume:delete_snapshot", Member),
    ("volume:delete_snapshot_metadata", Member),
    ("volume:delete_transfer", Member),
    ("volume:delete_volume_metadata", Member),
    ("volume:extend", Member),
    ("volume:extend_attached_volume", Member),
    ("volume:failover_host", Admin),
    ("volume:force_delete", Admin),
    ("volume:freeze_host", Admin),
    ("volume:get", Reader),
    ("volume:get_all", Reader),
    ("volume:get_all_snapshots", Reader),
    ("volume:get_all_transfers", Reader),
    ("volume:get_snapshot", Reader),
    ("volume:get_snapshot_metadata", Reader),
    ("volume:get_transfer", Reader),
    ("volume:get_volume_metadata", Reader),
    ("volume:multiattach", Member),
    ("volume:multiattach_bootable_volume", Member),
    ("volume:reimage", Member),
    ("volume:reimage_reserved", Member),
    ("volume:retype", Member),
    ("volume:revert_to_snapshot", Member),
    ("volume:thaw_host", Admin),
    ("volume:update", Member),
    ("volume:update_readonly_flag", Member),
    ("volume:update_snapshot", Member),
    ("volume:update_snapshot_metadata", Member),
    ("volume:update_volume_admin_metadata", Admin),
    ("volume:update_volume_metadata", Member),
    ("volume_extension:access_types_extra_specs", Reader),
    ("volume_extension:access_types_qos_specs_id", Admin),
    ("volume_extension:backup_admin_actions:force_delete", Admin),
    ("volume_extension:backup_admin_actions:reset_status", Admin),
    ("volume_extension:capabilities", Admin),
    ("volume_extension:default_get", Admin),
    ("volume_extension:default_get_all", Admin),
    ("volume_extension:default_set_or_update", Admin),
    ("volume_extension:default_unset", Admin),
    ("volume_extension:extended_snapshot_attributes", Reader),
    ("volume_extension:hosts", Admin),
    ("volume_extension:list_manageable", Admin),
    ("volume_extension:qos_specs_manage:create", Admin),
    ("volume_extension:qos_specs_manage:delete", Admin),
    ("volume_extension:qos_specs_manage:get", Admin),
    ("volume_extension:qos_specs_manage:get_all", Admin),
    ("volume_extension:qos_specs_manage:update", Admin),
    ("volume_extension:quota_classes:get", Admin),
    ("volume_extension:quota_classes:update", Admin),
    ("volume_extension:quotas:delete", Admin),
    ("volume_extension:quotas:show", Reader),
    ("volume_extension:quotas:update", Admin),
    ("volume_extension:services:index", Admin),
    ("volume_extension:services:update", Admin),
    ("volume_extension:snapshot_admin_actions:force_delete", Admin),
    ("volume_extension:snapshot_admin_actions:reset_status", Admin),
    ("volume_extension:type_create", Admin),
    ("volume_extension:type_delete", Admin),
    ("volume_extension:type_get", Reader),
    ("volume_extension:type_get_all", Reader),
    ("volume_extension:type_update", Admin),
    ("volume_extension:types_extra_specs:create", Admin),
    ("volume_extension:types_extra_specs:delete", Admin),
    ("volume_extension:types_extra_specs:index", Reader),
    ("volume_extension:types_extra_specs:read_sensitive", Admin),
    ("volume_extension:types_extra_specs:show", Reader),
    ("volume_extension:types_extra_specs:update", Admin),
    ("volume_extension:volume_actions:attach", Member),
    ("volume_extension:volume_actions:begin_detaching", Member),
    ("volume_extension:volume_actions:detach", Member),
    ("volume_extension:volume_actions:initialize_connection", Member),
    ("volume_extension:volume_actions:reserve", Member),
    ("volume_extension:volume_actions:roll_detaching", Member),
    ("volume_extension:volume_actions:terminate_connection", Member),
    ("volume_extension:volume_actions:unreserve", Member),
    ("volume_extension:volume_actions:upload_image", Member),
    ("volume_extension:volume_actions:upload_public", Admin),
    ("volume_extension:volume_admin_actions:extend_volume_completion", Admin),
    ("volume_extension:volume_admin_actions:force_delete", Admin),
    ("volume_extension:volume_admin_actions:force_detach", Admin),
    ("volume_extension:volume_admin_actions:migrate_volume", Admin),
    ("volume_extension:volume_admin_actions:migrate_volume_completion", Admin),
    ("volume_extension:volume_admin_actions:reset_status", Admin),
    ("volume_extension:volume_encryption_metadata", Reader),
    ("volume_extension:volume_host_attribute", Admin),
    ("volume_extension:volume_image_metadata:remove", Member),
    ("volume_extension:volume_image_metadata:set", Member),
    ("volume_extension:volume_image_metadata:show", Reader),
    ("volume_extension:volume_manage", Admin),
    ("volume_extension:volume_mig_status_attribute", Admin),
    ("volume_extension:volume_tenant_attribute", Reader),
    ("volume_extension:volume_type_access", Member),
    ("volume_extension:volume_type_access:addProjectAccess", Admin),
    ("volume_extension:volume_type_access:get_all_for_type", Admin),
    ("volume_extension:volume_type_access:removeProjectAccess", Admin),
    ("volume_extension:volume_type_encryption", Admin),
    ("volume_extension:volume_type_encryption:create", Admin),
    ("volume_extension:volume_type_encryption:delete", Admin),
    ("volume_extension:volume_type_encryption:get", Admin),
    ("volume_extension:volume_type_encryption:update", Admin),
    ("volume_extension:volume_unmanage", Admin),
    ("workers:cleanup", Admin),
];

impl Rule {
    /// What the rule asks for. A rule that nobody wrote down asks for an administrator.
    #[must_use]
    pub fn level(self) -> Level {
        match RULES.binary_search_by_key(&self.0, |(name, _)| name) {
            Ok(at) => RULES[at].1,
            Err(_) => {
                tracing::error!(rule = self.0, "unknown policy rule: only administrators pass");
                Admin
            }
        }
    }

    /// Whether a caller with these roles may do it to something of `project`.
    #[must_use]
    pub fn allows(self, context: &Context, project: &ProjectId) -> bool {
        if context.is_admin {
            return true;
        }
        let may = context.has(self.level());
        // A token without a project has none of its own.
        may && context.project_id == *project && !project.as_str().is_empty()
    }

    /// Cinder's 403 for this rule.
    #[must_use]
    pub fn refusal(self) -> Error {
        match self.0.starts_with("volume_extension:default_") {
            // cinder: `api/v3/default_types.py` has words of its own.
            true => Error {
                client: "You are not authorized to perform this operation.".to_owned(),
                ..Error::forbidden_by(self.0)
            },
            false => Error::forbidden_by(self.0),
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
            is_admin: highest(&roles) == Some(Admin),
            roles,
            ..Context::internal("test")
        }
    }

    #[test]
    fn the_table_is_sorted_so_that_looking_up_finds_every_rule() {
        assert!(RULES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(RULES.iter().all(|&(name, level)| Rule(name).level() == level));
    }

    #[test]
    fn a_reader_may_look_and_a_member_may_change_and_only_an_admin_may_administer() {
        let mine = ProjectId::from("mine");
        let allowed = |roles: &[&str]| {
            ["volume:get", "volume:create", "volume_extension:services:index"]
                .map(|rule| Rule(rule).allows(&someone(roles), &mine))
        };
        assert_eq!(allowed(&[]), [false, false, false]);
        assert_eq!(allowed(&["heat_stack_owner"]), [false, false, false]);
        assert_eq!(allowed(&["reader"]), [true, false, false]);
        assert_eq!(allowed(&["Member"]), [true, true, false]);
        assert_eq!(allowed(&["admin"]), [true, true, true]);
    }

    /// What Cinder itself answered to a member with 403 and to an administrator with success.
    #[test]
    fn what_cinder_refuses_a_member_is_for_administrators() {
        let mine = ProjectId::from("mine");
        for rule in [
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
            assert!(
                RULES.binary_search_by_key(&rule, |(name, _)| name).is_ok(),
                "{rule}"
            );
            assert!(
                !Rule(rule).allows(&someone(&["member", "reader"]), &mine),
                "{rule}"
            );
            assert!(Rule(rule).allows(&someone(&["admin"]), &mine), "{rule}");
        }
    }

    #[test]
    fn only_an_admin_reaches_into_another_project() {
        let theirs = ProjectId::from("theirs");
        let show = Rule("volume_extension:quotas:show");
        assert!(!show.allows(&someone(&["member", "reader"]), &theirs));
        assert!(show.allows(&someone(&["admin"]), &theirs));
    }

    #[test]
    fn a_rule_that_nobody_wrote_down_is_for_administrators() {
        let mine = ProjectId::from("mine");
        assert!(!Rule("volume:invented").allows(&someone(&["member"]), &mine));
        assert!(Rule("volume:invented").allows(&someone(&["admin"]), &mine));
    }

    #[test]
    fn a_refusal_is_in_cinders_words() {
        let error = Rule("volume_extension:type_create").refusal();
        assert_eq!(
            error.client,
            "Policy doesn't allow volume_extension:type_create to be performed."
        );
    }
}
