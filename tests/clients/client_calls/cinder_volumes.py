"""The commands of `cinder` about volumes, snapshots, attachments, transfers, and what a backend has."""

from .service import FILE, other_pool


def volumes(cinder, service):
    cinder("create --name one --description words --metadata a=b -- 1")
    assert service.until("one")["metadata"] == {"a": "b"}
    assert "one" in cinder("list --all-tenants --sort name")
    assert cinder.properties("show one")["description"] == "words"
    cinder("rename one two --description others")
    cinder("metadata two set c=d")
    shown = cinder.properties("metadata-show two")
    assert (shown["a"], shown["c"]) == ("b", "d"), shown
    cinder("metadata-update-all two e=f")
    cinder("readonly-mode-update two true")
    volume = service.volume("two")
    assert (volume["description"], volume["metadata"]) == ("others", {"e": "f", "readonly": "True"})
    cinder("image-metadata two set os=any")
    assert "any" in cinder("image-metadata-show two")
    cinder("set-bootable two true")
    assert service.volume("two")["bootable"] == "true"
    cinder("extend two 2")
    assert service.until("two")["size"] == 2
    cinder("reset-state --state error two")
    assert service.volume("two")["status"] == "error"
    assert "| 2 " in cinder("summary")
    cinder("force-delete two")
    service.gone("two")
    service.make_volume("three")
    cinder("delete three")
    service.gone("three")


def snapshots(cinder, service):
    source = service.make_volume("source")["id"]
    cinder("snapshot-create --name early --description words --metadata a=b source")
    assert service.snapshot_until("early")["metadata"] == {"a": "b"}
    assert "early" in cinder(f"snapshot-list --volume-id {source}")
    assert cinder.properties("snapshot-show early")["description"] == "words"
    cinder("snapshot-rename early late --description others")
    cinder("snapshot-metadata late set c=d")
    assert cinder.properties("snapshot-metadata-show late")["c"] == "d"
    cinder("snapshot-metadata-update-all late e=f")
    snapshot = service.snapshot("late")
    assert (snapshot["description"], snapshot["metadata"]) == ("others", {"e": "f"})
    cinder("snapshot-reset-state --state error late")
    assert service.snapshot("late")["status"] == "error"
    cinder("snapshot-reset-state --state available late")
    cinder("revert-to-snapshot late")
    service.until("source")
    cinder(f"create --snapshot-id {snapshot['id']} --name from-snapshot 1")
    assert service.until("from-snapshot")["snapshot_id"] == snapshot["id"]
    cinder("snapshot-delete late")
    service.gone("late", kind="snapshots")
    service.delete("source", "from-snapshot")


def attachments(cinder, service):
    volume = service.make_volume("held")
    server = "11111111-2222-4333-8444-555555555555"
    connector = "--initiator iqn.1994-05.com.redhat:x --ip 127.0.0.1 --host h --mountpoint /dev/vdb"
    made = cinder.properties(f"attachment-create held {server}")
    assert service.volume("held")["status"] == "reserved"
    updated = cinder(f"attachment-update {connector} {made['id']}")
    assert "iqn.2010-10.org.openstack:volume-" in updated, updated
    cinder(f"attachment-complete {made['id']}")
    service.until("held", "in-use")
    assert made["id"] in cinder("attachment-list")
    assert cinder.properties(f"attachment-show {made['id']}")["volume_id"] == volume["id"]
    cinder(f"attachment-delete {made['id']}")
    service.until("held")
    service.delete("held")


def transfers(cinder, service):
    service.make_volume("given")
    made = cinder.properties("transfer-create --name gift given")
    assert service.volume("given")["status"] == "awaiting-transfer"
    assert "gift" in cinder("transfer-list")
    assert cinder.properties("transfer-show gift")["id"] == made["id"]
    cinder(f"transfer-accept {made['id']} {made['auth_key']}")
    service.until("given")
    cinder("transfer-create --name other given")
    cinder("transfer-delete other")
    service.until("given")
    service.delete("given")


def adoption(cinder, service):
    service.lay("found")
    assert "found" in cinder("manageable-list rock@file")
    cinder(f"manage --name adopted {FILE} found")
    volume = service.until("adopted")
    snapshot = service.make_snapshot("held", "adopted")
    cinder("snapshot-unmanage held")
    service.gone("held", kind="snapshots")
    listed = cinder("snapshot-manageable-list rock@file")
    assert snapshot["id"] in listed, listed
    cinder(f"snapshot-manage --name again {volume['id']} _snapshot-{snapshot['id']}")
    service.snapshot_until("again")
    service.make_volume("free")
    cinder("unmanage free")
    service.gone("free")
    service.delete("adopted")


def moves(cinder, service):
    here, there = other_pool(service.make_volume("mover"))
    cinder(f"migrate mover {there}")
    service.moved("mover", there)
    cinder("type-create elsewhere")
    cinder(f"type-key elsewhere set volume_backend_name={here.rpartition('#')[2]}")
    cinder("retype --migration-policy on-demand mover elsewhere")
    service.moved("mover", here)
    assert service.volume("mover")["volume_type"] == "elsewhere"
    service.delete("mover")
    cinder("type-delete elsewhere")


SCENARIOS = (volumes, snapshots, attachments, transfers, adoption, moves)
