"""The commands of `openstack` about volumes, snapshots, attachments, transfers, and what a backend has."""

from .reasons import COMPUTE
from .service import CONNECTOR, FILE, other_pool


def volumes(openstack, service):
    made = openstack.json("volume create --size 1 --description words --property a=b one")
    assert service.until("one")["id"] == made["id"]
    assert [row["Name"] for row in openstack.json("volume list --long")] == ["one"]
    shown = openstack.json("volume show one")
    assert (shown["description"], shown["properties"]) == ("words", {"a": "b"})
    openstack("volume set --name two --property c=d --image-property os=any --bootable --read-only one")
    openstack("volume set --size 2 two")
    volume = service.until("two")
    assert (volume["size"], volume["bootable"], volume["volume_image_metadata"]) == (2, "true", {"os": "any"})
    openstack("volume unset --property a --image-property os two")
    volume = service.volume("two")
    assert (volume["metadata"], volume.get("volume_image_metadata")) == ({"c": "d", "readonly": "True"}, None)
    openstack("volume set --state error two")
    assert service.volume("two")["status"] == "error"
    assert openstack.json("volume summary")["Total Count"] == 1
    openstack("volume delete --force two")
    service.gone("two")


def snapshots(openstack, service):
    service.make_volume("source")
    openstack("volume snapshot create --volume source --description words --property a=b early")
    assert service.snapshot_until("early")["metadata"] == {"a": "b"}
    assert [row["Name"] for row in openstack.json("volume snapshot list --volume source")] == ["early"]
    assert openstack.json("volume snapshot show early")["description"] == "words"
    openstack("volume snapshot set --name late --description others --property c=d early")
    openstack("volume snapshot unset --property a late")
    snapshot = service.snapshot("late")
    assert (snapshot["description"], snapshot["metadata"]) == ("others", {"c": "d"})
    openstack("volume snapshot set --state error late")
    assert service.snapshot("late")["status"] == "error"
    openstack("volume snapshot set --state available late")
    openstack("volume revert late")
    service.until("source")
    openstack("volume create --snapshot late from-snapshot")
    openstack("volume create --source source copy")
    assert service.until("from-snapshot")["snapshot_id"] == snapshot["id"]
    assert service.until("copy")["source_volid"] == service.volume("source")["id"]
    openstack("volume snapshot delete late")
    service.gone("late", kind="snapshots")
    service.delete("source", "from-snapshot", "copy")


def attachments(openstack, service):
    held = service.make_volume("held")
    openstack.refused(COMPUTE, "volume attachment create --server none held")
    attachment = service.attach("held")
    connector = f"--initiator {CONNECTOR['initiator']} --ip {CONNECTOR['ip']} --host h --mountpoint /dev/vdb"
    updated = openstack.json(f"volume attachment set {connector} {attachment}")
    assert updated["Properties"]["target_portal"], updated
    openstack(f"volume attachment complete {attachment}")
    service.until("held", "in-use")
    assert [row["ID"] for row in openstack.json("volume attachment list")] == [attachment]
    assert openstack.json(f"volume attachment show {attachment}")["Volume ID"] == held["id"]
    openstack(f"volume attachment delete {attachment}")
    service.until("held")
    service.delete("held")


def transfers(openstack, service):
    service.make_volume("given")
    made = openstack.json("volume transfer request create --name gift given")
    assert service.volume("given")["status"] == "awaiting-transfer"
    assert [row["Name"] for row in openstack.json("volume transfer request list")] == ["gift"]
    assert openstack.json("volume transfer request show gift")["id"] == made["id"]
    openstack(f"volume transfer request accept --auth-key {made['auth_key']} {made['id']}")
    service.until("given")
    other = openstack.json("volume transfer request create --name other given")["id"]
    openstack(f"volume transfer request delete {other}")
    service.until("given")
    service.delete("given")


def adoption(openstack, service):
    service.lay("found")
    listed = openstack("block storage volume manageable list --long rock@file")
    assert "found" in listed, listed
    # Without a word about it, the client sends a `bootable` of null, which Cinder refuses.
    openstack(f"volume create --non-bootable --host {FILE} --remote-source source-name=found adopted")
    service.until("adopted")
    snapshot = service.make_snapshot("held", "adopted")
    openstack("volume snapshot delete --remote held")
    service.gone("held", kind="snapshots")
    listed = openstack("block storage snapshot manageable list rock@file")
    assert snapshot["id"] in listed, listed
    openstack(f"volume snapshot create --volume adopted --remote-source source-name=_snapshot-{snapshot['id']} again")
    service.snapshot_until("again")
    service.make_volume("free")
    openstack("volume delete --remote free")
    service.gone("free")
    service.delete("adopted")


def moves(openstack, service):
    here, there = other_pool(service.make_volume("mover"))
    openstack(f"volume migrate --host {there} mover")
    service.moved("mover", there)
    openstack(f"volume type create --property volume_backend_name={here.rpartition('#')[2]} elsewhere")
    openstack("volume set --type elsewhere --migration-policy on-demand mover")
    service.moved("mover", here)
    assert service.volume("mover")["volume_type"] == "elsewhere"
    service.delete("mover")
    openstack("volume type delete elsewhere")


SCENARIOS = (volumes, snapshots, attachments, transfers, adoption, moves)
