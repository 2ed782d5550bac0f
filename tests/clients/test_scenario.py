"""The life of a volume, from log-in to delete, as three clients play it."""

import re

import pytest

import clients
import iscsi
from pumice import wait_for

GIB = 1 << 30


@pytest.fixture(params=clients.ALL)
def client(request, either):
    return clients.ALL[request.param](either)


def becomes(client, name, status):
    def seen():
        volume = client.show(name)
        assert not volume["status"].startswith("error"), volume
        return volume if volume["status"] == status else None

    return wait_for(f"{name} to be {status}", seen)


def test_a_volume_lives_from_create_to_delete(either, client):
    before = either.usage()
    name = f"life-{type(client).__name__.lower()}"

    volume_id = client.create(name, 1)
    volume = becomes(client, name, "available")
    assert (volume["id"], volume["size"]) == (volume_id, 1)
    assert name in client.names()
    assert any(volume_id in file for file in either.files())

    client.extend(name, 2)
    volume = becomes(client, name, "available")
    assert volume["size"] == 2
    client.set_metadata(name, colour="grey")
    assert client.show(name)["metadata"] == {"colour": "grey"}
    in_use = {key: (value[0] + more, 0) for (key, value), more in zip(before.items(), (1, 2))}
    assert either.usage() == in_use

    attachment, connection = client.attach(name)
    becomes(client, name, "in-use")
    data = iscsi.data(connection)
    assert data["target_portal"] == f"127.0.0.1:{either.portal_port}"
    assert data["target_iqn"] in either.targets()
    assert data["target_iqn"] in either.discovered_by(clients.CONNECTOR["initiator"])
    assert data["target_iqn"] not in either.discovered_by("iqn.2010-10.org.openstack:stranger")
    assert iscsi.size(connection) == 2 * GIB
    iscsi.qemu_io(connection, "write -P 0xa7 0 1M", f"write -P 0x5c {2 * GIB - 65536} 64k")
    # In a session of its own, so that it does not come from the first one's cache.
    iscsi.qemu_io(connection, "read -P 0xa7 0 1M", "read -P 0 1M 1M", f"read -P 0x5c {2 * GIB - 65536} 64k")
    with pytest.raises(iscsi.LoginRefused):
        iscsi.qemu_io(connection, "read 0 4k", password="not-the-password")
    with pytest.raises(iscsi.LoginRefused, match=re.compile("verification failed", re.I)):
        iscsi.qemu_io(connection, "read -P 0xa8 0 1M")

    client.detach(attachment)
    becomes(client, name, "available")
    wait_for("the target to be gone", lambda: data["target_iqn"] not in either.targets())
    with pytest.raises(iscsi.LoginRefused):
        iscsi.qemu_io(connection, "read 0 4k")

    client.delete(name)
    wait_for("the volume to be gone", lambda: either.admin("GET", f"/volumes/{volume_id}").status_code == 404)
    assert name not in client.names()
    assert not [file for file in either.files() if volume_id in file]
    assert not [target for target in either.targets() if volume_id in target]
    assert either.usage() == before


def test_what_was_written_is_there_after_detach_attach_and_extend(either, client):
    name = f"data-{type(client).__name__.lower()}"
    volume_id = client.create(name, 1)
    becomes(client, name, "available")
    first, connection = client.attach(name)
    iscsi.qemu_io(connection, "write -P 0x3e 512M 1M")
    client.detach(first)
    becomes(client, name, "available")
    client.extend(name, 2)
    becomes(client, name, "available")
    second, connection = client.attach(name)
    iscsi.qemu_io(connection, "read -P 0x3e 512M 1M", "read -P 0 1G 1M")
    client.detach(second)
    becomes(client, name, "available")
    client.delete(name)
    wait_for("the volume to be gone", lambda: either.admin("GET", f"/volumes/{volume_id}").status_code == 404)
