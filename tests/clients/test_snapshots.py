"""What snapshots are for, as three clients play it: kept data, copies of it, and the way back."""

import pytest

import clients
import iscsi
from pumice import wait_for

GIB = 1 << 30


@pytest.fixture(params=clients.ALL)
def client(request, either):
    return clients.ALL[request.param](either)


def becomes(show, name, status):
    def seen():
        found = show(name)
        assert not found["status"].startswith("error"), found
        return found if found["status"] == status else None

    return wait_for(f"{name} to be {status}", seen)


def gone(pumice, path):
    wait_for(f"{path} to be gone", lambda: pumice.admin("GET", path).status_code == 404)


def usage(pumice):
    pumice.usage()
    answer = pumice.admin("GET", f"/os-quota-sets/{pumice.project_id}", params={"usage": "True"})
    quota = answer.json()["quota_set"]
    return {key: (quota[key]["in_use"], quota[key]["reserved"]) for key in ("volumes", "gigabytes", "snapshots")}


def io(client, name, *commands):
    """Attaches, reads and writes, detaches."""
    attachment, connection = client.attach(name)
    becomes(client.show, name, "in-use")
    try:
        iscsi.qemu_io(connection, *commands)
        return iscsi.size(connection)
    finally:
        client.detach(attachment)
        becomes(client.show, name, "available")


def test_a_snapshot_keeps_what_was_and_gives_it_back(either, client):
    before = usage(either)
    word = type(client).__name__.lower()
    name, kept, restored, cloned = (f"{kind}-{word}" for kind in ("origin", "kept", "restored", "cloned"))
    volume_id = client.create(name, 1)
    becomes(client.show, name, "available")
    io(client, name, "write -P 0x11 0 1M", "write -P 0x11 1023M 1M")

    snapshot_id = client.snapshot(name, kept)
    snapshot = becomes(client.show_snapshot, kept, "available")
    assert (snapshot["id"], snapshot["size"], snapshot["volume_id"]) == (snapshot_id, 1, volume_id)
    assert kept in client.snapshot_names()
    io(client, name, "write -P 0x22 0 1M")
    with_snapshot = usage(either)
    assert with_snapshot["snapshots"] == (before["snapshots"][0] + 1, 0)
    assert with_snapshot["gigabytes"] == (before["gigabytes"][0] + 2, 0)

    client.create_from_snapshot(restored, kept, 2)
    becomes(client.show, restored, "available")
    assert io(client, restored, "read -P 0x11 0 1M", "read -P 0x11 1023M 1M", "read -P 0 1G 1M") == 2 * GIB
    client.clone(cloned, name)
    becomes(client.show, cloned, "available")
    io(client, cloned, "read -P 0x22 0 1M", "read -P 0x11 1023M 1M")

    client.extend(name, 2)
    becomes(client.show, name, "available")
    client.revert(name, kept)
    back = becomes(client.show, name, "available")
    assert back["size"] == 1
    becomes(client.show_snapshot, kept, "available")
    assert io(client, name, "read -P 0x11 0 1M", "read -P 0x11 1023M 1M") == GIB
    io(client, cloned, "read -P 0x22 0 1M")

    with pytest.raises(Exception, match="have snapshots"):
        client.delete(name)
    client.delete_snapshot(kept)
    gone(either, f"/snapshots/{snapshot_id}")
    for each in (restored, cloned, name):
        client.delete(each)
    gone(either, f"/volumes/{volume_id}")
    wait_for("usage to be as before", lambda: usage(either) == before)
    assert not [file for file in either.files() if snapshot_id in file or volume_id in file]


def test_a_volume_takes_its_snapshots_with_it(either, client):
    before = usage(either)
    name = f"cascade-{type(client).__name__.lower()}"
    volume_id = client.create(name, 1)
    becomes(client.show, name, "available")
    snapshots = [client.snapshot(name, f"{name}-{index}") for index in range(2)]
    for index in range(2):
        becomes(client.show_snapshot, f"{name}-{index}", "available")
    client.delete(name, cascade=True)
    gone(either, f"/volumes/{volume_id}")
    for snapshot in snapshots:
        gone(either, f"/snapshots/{snapshot}")
    assert usage(either) == before
    assert not [file for file in either.files() if volume_id in file]


def test_what_lies_on_a_backend_is_adopted_and_forgotten(either):
    cinder = clients.Cinder(either)
    before = usage(either)
    either.volumes.mkdir(exist_ok=True)
    found = either.volumes / "found"
    found.write_bytes(b"\x33" * (1 << 20))
    header, *rows = cinder.rows(cinder.run("manageable-list", "rock@file"))
    assert ["{'source-name': 'found'}", "1", "True"] in [row[:3] for row in rows], (header, rows)

    made = cinder.properties("manage", "--name", "adopted", "rock@file#file", "found")
    volume = becomes(cinder.show, "adopted", "available")
    assert (volume["id"], volume["size"]) == (made["id"], 1)
    assert usage(either)["gigabytes"] == (before["gigabytes"][0] + 1, 0)
    io(cinder, "adopted", "read -P 0x33 0 1M")
    _, *rows = cinder.rows(cinder.run("manageable-list", "rock@file"))
    listed = {row[0]: row[3] for row in rows}
    assert listed[f"{{'source-name': 'volume-{made['id']}'}}"] == "already managed", rows

    cinder.run("unmanage", "adopted")
    gone(either, f"/volumes/{made['id']}")
    assert usage(either) == before
    assert f"volume-{made['id']}" in either.files()
    cinder.run("manage", "--name", "again", "rock@file", f"volume-{made['id']}")
    again = becomes(cinder.show, "again", "available")
    io(cinder, "again", "read -P 0x33 0 1M")
    cinder.delete("again")
    gone(either, f"/volumes/{again['id']}")

    failed = cinder.properties("manage", "--name", "nothing", "rock@file#file", "nothing")
    wait_for("the error", lambda: cinder.show("nothing")["status"] == "error")
    cinder.delete("nothing")
    gone(either, f"/volumes/{failed['id']}")
    assert usage(either) == before


def test_snapshots_under_way_survive_a_kill(make_pumice):
    pumice = make_pumice().start()
    volume = pumice.admin("POST", "/volumes", json={"volume": {"size": 1, "name": "v"}}).json()["volume"]["id"]

    def available(path, name):
        return lambda: pumice.admin("GET", path).json()[name]["status"] == "available"

    wait_for("the volume", available(f"/volumes/{volume}", "volume"))
    for _ in range(5):
        made = []
        for _ in range(3):
            answer = pumice.admin("POST", "/snapshots", json={"snapshot": {"volume_id": volume}})
            assert answer.status_code == 202, answer.text
            made.append(answer.json()["snapshot"]["id"])
        for part in pumice.parts.values():
            part.kill()
        pumice.start()
        for snapshot in made:
            wait_for("the snapshot", available(f"/snapshots/{snapshot}", "snapshot"))
        for snapshot in made:
            assert pumice.admin("DELETE", f"/snapshots/{snapshot}").status_code == 202
        for part in pumice.parts.values():
            part.kill()
        pumice.start()
        for snapshot in made:
            gone(pumice, f"/snapshots/{snapshot}")
    assert [file for file in pumice.files() if "_snapshot-" in file] == []
    assert usage(pumice)["snapshots"] == (0, 0)
