"""The methods of openstacksdk's block storage proxy about volumes, snapshots, attachments, transfers, and what a backend has."""

from .reasons import NOT_EXTENDED_BY_COMPUTE
from .service import CONNECTOR, FILE, other_pool


def volumes(sdk, service):
    call = sdk.call
    volume = call.create_volume(name="one", size=1, metadata={"a": "b"})
    call.wait_for_status(volume, interval=0.1)
    assert [one.name for one in call.volumes()] == ["one"]
    assert call.find_volume("one").id == volume.id
    call.update_volume(volume, name="two", description="words")
    call.set_volume_metadata(volume, c="d")
    assert call.get_volume_metadata(volume).metadata == {"a": "b", "c": "d"}
    call.delete_volume_metadata(volume, ["a"])
    assert call.fetch_volume_metadata(volume).metadata == {"c": "d"}
    call.set_volume_image_metadata(volume, os="any")
    assert service.volume("two")["volume_image_metadata"] == {"os": "any"}
    call.delete_volume_image_metadata(volume, ["os"])
    call.set_volume_bootable_status(volume, True)
    call.set_volume_readonly(volume, True)
    shown = call.get_volume(volume)
    assert (shown.description, shown.is_bootable, shown.metadata["readonly"]) == ("words", True, "True")
    call.extend_volume(volume, 2)
    assert service.until("two")["size"] == 2
    call.reset_volume_status(volume, status="extending")
    sdk.refused(NOT_EXTENDED_BY_COMPUTE).complete_volume_extend(volume)
    call.reset_volume_status(volume, status="available")
    assert call.summary(all_projects=True).total_count == 1
    call.delete_volume(volume)
    call.wait_for_delete(volume, interval=0.1)
    assert service.volume("two") is None


def snapshots(sdk, service):
    call = sdk.call
    source = service.make_volume("source")["id"]
    snapshot = call.create_snapshot(volume_id=source, name="early", metadata={"a": "b"})
    service.snapshot_until("early")
    assert [one.name for one in call.snapshots(volume_id=source)] == ["early"]
    assert call.find_snapshot("early").id == snapshot.id
    call.update_snapshot(snapshot, name="late", description="words")
    assert call.get_snapshot(snapshot).description == "words"
    call.set_snapshot_metadata(snapshot, c="d")
    assert call.get_snapshot_metadata(snapshot).metadata == {"a": "b", "c": "d"}
    call.delete_snapshot_metadata(snapshot, ["a"])
    assert call.fetch_snapshot_metadata(snapshot).metadata == {"c": "d"}
    call.reset_snapshot(snapshot, "error")
    assert service.snapshot("late")["status"] == "error"
    call.reset_snapshot_status(snapshot, "creating")
    call.set_snapshot_status(snapshot, "available", "100%")
    assert service.snapshot("late")["status"] == "available"
    call.revert_volume_to_snapshot(source, snapshot.id)
    service.until("source")
    call.delete_snapshot(snapshot)
    service.gone("late", kind="snapshots")
    service.delete("source")


def attachments(sdk, service):
    call = sdk.call
    volume = service.make_volume("held")["id"]
    attachment = call.create_attachment(volume, instance="11111111-2222-4333-8444-555555555555", connector={})
    assert service.volume("held")["status"] == "reserved"
    updated = call.update_attachment(attachment, connector={**CONNECTOR, "mountpoint": "/dev/vdb"})
    assert updated.connection_info["target_portal"], updated
    call.complete_attachment(attachment)
    service.until("held", "in-use")
    assert [one.id for one in call.attachments()] == [attachment.id]
    assert call.get_attachment(attachment.id).volume_id == volume
    call.delete_attachment(attachment.id)
    service.until("held")
    service.delete("held")


def connections(sdk, service):
    """The way of connecting before attachments were resources."""
    call = sdk.call
    volume = service.make_volume("old")["id"]
    call.reserve_volume(volume)
    assert service.volume("old")["status"] == "attaching"
    call.unreserve_volume(volume)
    call.reserve_volume(volume)
    assert call.init_volume_attachment(volume, CONNECTOR)["driver_volume_type"] == "iscsi"
    call.attach_volume(volume, "/dev/vdb", host_name="h")
    assert service.volume("old")["status"] == "in-use"
    call.begin_volume_detaching(volume)
    assert service.volume("old")["status"] == "detaching"
    call.abort_volume_detaching(volume)
    call.begin_volume_detaching(volume)
    call.terminate_volume_attachment(volume, CONNECTOR)
    call.detach_volume(volume, service.volume("old")["attachments"][0]["attachment_id"])
    service.until("old")
    service.delete("old")


def transfers(sdk, service):
    call = sdk.call
    volume = service.make_volume("given")["id"]
    made = call.create_transfer(volume_id=volume, name="gift")
    assert service.volume("given")["status"] == "awaiting-transfer"
    assert [one.name for one in call.transfers()] == ["gift"]
    assert call.find_transfer("gift").id == call.get_transfer(made.id).id
    call.accept_transfer(made.id, made.auth_key)
    service.until("given")
    other = call.create_transfer(volume_id=volume, name="other")
    call.delete_transfer(other.id)
    service.until("given")
    service.delete("given")


def adoption(sdk, service):
    call = sdk.call
    service.lay("found")
    assert "found" in str(call.manageable_volumes(host="rock@file"))
    volume = call.manage_volume(host=FILE, ref={"source-name": "found"}, name="adopted", bootable=False)
    service.until("adopted")
    snapshot = service.make_snapshot("held", "adopted")["id"]
    call.unmanage_snapshot(snapshot)
    service.gone("held", kind="snapshots")
    assert snapshot in str(call.manageable_snapshots(host="rock@file"))
    call.manage_snapshot(volume_id=volume.id, ref={"source-name": f"_snapshot-{snapshot}"}, name="again")
    service.snapshot_until("again")
    call.unmanage_volume(service.make_volume("free")["id"])
    service.gone("free")
    service.delete("adopted")


def moves(sdk, service):
    call = sdk.call
    mover = service.make_volume("mover")
    here, there = other_pool(mover)
    call.migrate_volume(mover["id"], host=there)
    service.moved("mover", there)
    kind = call.create_type(name="elsewhere", extra_specs={"volume_backend_name": here.rpartition("#")[2]})
    call.retype_volume(mover["id"], kind.name, "on-demand")
    service.moved("mover", here)
    assert service.volume("mover")["volume_type"] == "elsewhere"
    service.delete("mover")
    call.delete_type(kind)


SCENARIOS = (volumes, snapshots, attachments, connections, transfers, adoption, moves)
