"""The methods of openstacksdk's block storage proxy for types, limits, services, and what is not served."""

from .reasons import BACKUPS, CLEANUP_BY_PUT, CONSISTENCY_GROUPS, GROUPS, IMAGES, MESSAGE_KEY, NO_BACKUP_METADATA, NO_CLUSTERS, NO_FAILOVER

NONE = "11111111-2222-4333-8444-555555555555"


def types(sdk, service):
    call = sdk.call
    kind = call.create_type(name="fast", is_public=False, extra_specs={"a": "b"})
    call.update_type(kind, name="quick", description="words")
    call.update_type_extra_specs(kind, c="d")
    call.delete_type_extra_specs(kind, ["a"])
    assert call.get_type(kind).extra_specs == {"c": "d"}
    assert call.find_type("quick").id == kind.id
    # As with Cinder, an administrator's list has the private types on request.
    assert "quick" in [one.name for one in call.types(is_public="None")]
    call.add_type_access(kind, service.project())
    assert [one["project_id"] for one in call.get_type_access(kind)] == [service.project()]
    call.remove_type_access(kind, service.project())
    call.create_type_encryption(kind, provider="luks", cipher="aes-xts-plain64", key_size=256, control_location="front-end")
    call.update_type_encryption(volume_type=kind, key_size=512)
    assert call.get_type_encryption(kind).key_size == 512
    call.delete_type_encryption(volume_type=kind)
    call.delete_type(kind)
    assert "quick" not in [one.name for one in call.types(is_public="None")]


def default_types(sdk, service):
    call = sdk.call
    kind = call.create_type(name="usual")
    call.set_default_type(service.project(), kind.name)
    assert call.show_default_type(service.project()).volume_type_id == kind.id
    assert [one.project_id for one in call.default_types()] == [service.project()]
    call.unset_default_type(service.project())
    assert call.default_types() == []
    call.delete_type(kind)


def qos(sdk, service):
    del service
    call = sdk.call
    made = call.create_qos_spec(name="slow", consumer="front-end", read_iops_sec="7")
    call.update_qos_spec(made, write_iops_sec="8")
    call.delete_qos_spec_metadata(made, ["read_iops_sec"])
    assert call.get_qos_spec(made.id).specs == {"write_iops_sec": "8"}
    assert call.find_qos_spec("slow").id == made.id
    kind = call.create_type(name="slow")
    call.associate_qos_spec(made, kind.id)
    assert [one.name for one in call.qos_spec_associations(made)] == ["slow"]
    call.disassociate_qos_spec(made, kind.id)
    call.associate_qos_spec(made, kind.id)
    call.disassociate_all_qos_spec(made)
    assert call.qos_spec_associations(made) == []
    assert [one.name for one in call.qos_specs()] == ["slow"]
    call.delete_qos_spec(made)
    assert call.qos_specs() == []
    call.delete_type(kind)


def quotas(sdk, service):
    call, project = sdk.call, service.project()
    call.update_quota_set(project, volumes=33)
    assert call.get_quota_set(project).volumes == 33
    call.revert_quota_set(project)
    assert call.get_quota_set(project).volumes == call.get_quota_set_defaults(project).volumes != 33
    call.update_quota_class_set("default", gigabytes=999)
    assert call.get_quota_class_set("default").gigabytes == 999
    assert call.get_limits().absolute.max_total_volume_gigabytes == 999


def services(sdk, service):
    call = sdk.call
    assert "rock@spare" in [one.host for one in call.services()]
    spare = call.find_service("cinder-volume", host="rock@spare")
    call.disable_service(spare, reason="broom")
    assert "broom" in str(service.get("/os-services"))
    call.enable_service(spare)
    assert "broom" not in str(service.get("/os-services"))
    call.freeze_service(spare)
    assert "frozen" in str(service.get("/os-services"))
    call.thaw_service(spare)
    sdk.refused(NO_FAILOVER).failover_service(spare)
    call.set_service_log_levels(level="DEBUG", binary="cinder-volume", prefix="pumice.drivers")
    assert "DEBUG" in str(call.get_service_log_levels(prefix="pumice.drivers"))
    call.set_service_log_levels(level="INFO")
    sdk.refused(CLEANUP_BY_PUT).cleanup_service_workers(host="rock@file", binary="cinder-volume", cluster_name=None)
    assert {"rock@file#file", "rock@spare#spare"} == {one.name for one in call.backend_pools()}
    assert call.get_capabilities("rock@file").storage_protocol
    assert [one.name for one in call.availability_zones()] == ["nova"]
    assert "os-hosts" in [one.alias for one in call.extensions()]
    assert "volume" in [one.resource for one in call.resource_filters()]
    assert call.clusters() == []
    sdk.all_refused(NO_CLUSTERS, (
        ("find_cluster", "none", {"ignore_missing": False}),
        ("get_cluster", "none"),
        ("enable_cluster", "none"),
        ("disable_cluster", "none"),
    ))


def messages(sdk, service):
    call = sdk.call
    kind = call.create_type(name="nowhere", extra_specs={"volume_backend_name": "nowhere"})
    call.create_volume(name="lost", size=1, volume_type="nowhere")
    service.until("lost", "error")
    (message,) = call.messages()
    assert message.resource_uuid == service.volume("lost")["id"]
    sdk.without_effect(MESSAGE_KEY, "get_message", message.id)
    call.delete_message(message.id)
    assert call.messages() == []
    service.delete("lost")
    call.delete_type(kind)


def what_is_not_served(sdk, service):
    volume = service.make_volume("plain")["id"]
    sdk.all_refused(BACKUPS, (
        ("create_backup", {"volume_id": volume}),
        ("backups",),
        ("get_backup", NONE),
        ("find_backup", NONE),
        ("update_backup", NONE, {"name": "other"}),
        ("delete_backup", NONE),
        ("restore_backup", NONE, {"name": "again"}),
        ("reset_backup", NONE, "error"),
        ("reset_backup_status", NONE, "error"),
        ("export_backup", NONE),
        ("export_record", NONE),
        ("import_backup", "service", "url"),
    ))
    sdk.all_refused(NO_BACKUP_METADATA, (
        ("fetch_backup_metadata", NONE),
        ("get_backup_metadata", NONE),
        ("set_backup_metadata", NONE, {"a": "b"}),
        ("delete_backup_metadata", NONE, ["a"]),
    ))
    sdk.all_refused(GROUPS, (
        ("create_group", {"name": "none", "group_type": NONE, "volume_types": [NONE]}),
        ("create_group_from_source", {"group_snapshot_id": NONE, "source_group_id": None}),
        ("groups",),
        ("get_group", NONE),
        ("find_group", NONE),
        ("update_group", NONE, {"name": "other"}),
        ("delete_group", NONE),
        ("reset_group_state", NONE, "error"),
        ("reset_group_status", NONE, "error"),
        ("enable_group_replication", NONE),
        ("disable_group_replication", NONE),
        ("failover_group_replication", NONE),
        ("create_group_snapshot", {"name": "none", "group_id": NONE}),
        ("group_snapshots",),
        ("get_group_snapshot", NONE),
        ("find_group_snapshot", NONE),
        ("delete_group_snapshot", NONE),
        ("reset_group_snapshot_state", NONE, "error"),
        ("reset_group_snapshot_status", NONE, "error"),
        ("create_group_type", {"name": "none"}),
        ("group_types",),
        ("get_group_type", NONE),
        ("find_group_type", NONE),
        ("update_group_type", NONE, {"name": "other"}),
        ("delete_group_type", NONE),
        ("create_group_type_group_specs", NONE, {"group_specs": {"a": "b"}}),
        ("fetch_group_type_group_specs", NONE),
        ("get_group_type_group_specs_property", NONE, "a"),
        ("update_group_type_group_specs_property", NONE, "a", "b"),
        ("delete_group_type_group_specs_property", NONE, "a"),
    ))
    sdk.all_refused(CONSISTENCY_GROUPS, (
        ("create_consistency_group", {"name": "none", "volume_types": "__DEFAULT__"}),
        ("create_consistency_group_from_source", {"consistency_group": NONE}),
        ("consistency_groups",),
        ("get_consistency_group", NONE),
        ("find_consistency_group", NONE),
        ("update_consistency_group", NONE, {"name": "other"}),
        ("delete_consistency_group", NONE),
        ("create_consistency_group_snapshot", {"consistencygroup_id": NONE}),
        ("consistency_group_snapshots",),
        ("get_consistency_group_snapshot", NONE),
        ("find_consistency_group_snapshot", NONE),
        ("delete_consistency_group_snapshot", NONE),
    ))
    sdk.all_refused(IMAGES, (
        ("upload_volume_to_image", volume, "picture"),
        ("create_image", "picture", volume, False, "bare", "raw", False, 1),
    ))
    service.delete("plain")


def completion(sdk, service):
    """What a compute service calls when it has copied an attached volume."""
    first, second = service.make_volume("first")["id"], service.make_volume("second")["id"]
    sdk.call.complete_volume_migration(first, second)
    service.delete("first", "second")


SCENARIOS = (types, default_types, qos, quotas, services, messages, what_is_not_served, completion)
