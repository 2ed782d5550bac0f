"""What an operator types: types, quotas, services, pools, states. And the old way of connecting, as terraform goes it."""

import json

import pytest

import clients
import iscsi
import shells
from pumice import wait_for


@pytest.fixture(scope="module")
def cli(shared):
    """Runs one command of a client; its output."""

    def run(*words, fails=False):
        done = shells.run(words, shared.client_env())
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    return run


def available(pumice, volume):
    path = f"/volumes/{volume}"
    wait_for("a volume", lambda: pumice.admin("GET", path).json()["volume"]["status"] == "available")


# Commands that only look; whatever they print, they must understand the answer.
LOOKS = """
openstack catalog list
openstack token issue
openstack project list
openstack user list
openstack volume type list --long
openstack volume service list
openstack volume backend pool list --long
openstack availability zone list --volume
openstack volume summary
openstack quota show --volume
openstack limits show --absolute
openstack volume attachment list
openstack volume message list
openstack --os-volume-api-version 3.71 volume message list
openstack volume qos list
openstack --os-volume-api-version 3.71 block storage log level list
openstack volume backend capability show rock@file
cinder version-list
cinder api-version
cinder list --all-tenants
cinder type-list
cinder type-default
cinder extra-specs-list
cinder service-list
cinder get-pools --detail
cinder availability-zone-list
cinder absolute-limits
cinder rate-limits
cinder attachment-list
cinder message-list
cinder qos-list
cinder get-capabilities rock@file
cinder --os-volume-api-version 3.71 service-get-log
cinder --os-volume-api-version 3.71 work-cleanup
cinder --os-volume-api-version 3.71 default-type-list
cinder --os-volume-api-version 3.71 cluster-list
cinder list-filters
cinder list-extensions
"""


@pytest.mark.parametrize("command", [line for line in LOOKS.splitlines() if line])
def test_a_client_understands_what_it_is_told(cli, command):
    cli(*command.split())


def test_a_type_steers_a_volume_to_its_backend(shared, cli):
    cli("openstack", "volume", "type", "create", "--property", "volume_backend_name=file", "here")
    cli("openstack", "volume", "type", "create", "--property", "volume_backend_name=nowhere", "there")
    shown = json.loads(cli("openstack", "volume", "type", "show", "here", "-f", "json"))
    assert shown["properties"] == {"volume_backend_name": "file"}

    good = json.loads(cli("openstack", "volume", "create", "--size", "1", "--type", "here", "good", "-f", "json"))
    available(shared, good["id"])
    bad = json.loads(cli("openstack", "volume", "create", "--size", "1", "--type", "there", "bad", "-f", "json"))
    path = f"/volumes/{bad['id']}"
    wait_for("an error", lambda: shared.admin("GET", path).json()["volume"]["status"] == "error")
    messages = shared.admin("GET", "/messages").json()["messages"]
    assert any(message["resource_uuid"] == bad["id"] for message in messages), messages

    refused = cli("openstack", "volume", "type", "delete", "here", fails=True)
    assert "in use" in refused or "400" in refused, refused
    cli("openstack", "volume", "delete", "good", "bad")
    wait_for("both to be gone", lambda: not shared.all_volumes())
    cli("openstack", "volume", "type", "delete", "here", "there")


def test_a_quota_is_set_shown_and_kept(shared, cli):
    cli("openstack", "quota", "set", "--volumes", "1", "admin")
    try:
        shown = json.loads(cli("openstack", "quota", "show", "--volume", "-f", "json"))
        limits = {row["Resource"]: row["Limit"] for row in shown}
        assert limits["volumes"] == 1
        first = json.loads(cli("openstack", "volume", "create", "--size", "1", "first", "-f", "json"))
        refused = cli("openstack", "volume", "create", "--size", "1", "second", fails=True)
        assert "Maximum number of volumes allowed (1) exceeded for quota 'volumes'" in refused
        assert shared.usage()["volumes"] == (1, 0)
        available(shared, first["id"])
        cli("cinder", "delete", "first")
        wait_for("it to be gone", lambda: not shared.all_volumes())
    finally:
        shared.admin("DELETE", f"/os-quota-sets/{shared.project_id}")


def test_a_service_is_taken_out_and_put_back(shared, cli):
    cli("openstack", "volume", "service", "set", "--disable", "--disable-reason", "broom", "rock@file", "cinder-volume")
    try:
        rows = json.loads(cli("openstack", "volume", "service", "list", "--long", "-f", "json"))
        (row,) = [row for row in rows if row["Binary"] == "cinder-volume"]
        assert (row["Status"], row["Disabled Reason"]) == ("disabled", "broom")
    finally:
        cli("openstack", "volume", "service", "set", "--enable", "rock@file", "cinder-volume")
    made = json.loads(cli("openstack", "volume", "create", "--size", "1", "again", "-f", "json"))
    available(shared, made["id"])
    cli("openstack", "volume", "delete", "again")
    wait_for("it to be gone", lambda: not shared.all_volumes())


def test_qos_specs_limit_a_type(shared, cli):
    limits = ("--consumer", "front-end", "--property", "total_iops_sec_per_gb=100", "--property", "note=x")
    made = json.loads(cli("openstack", "volume", "qos", "create", *limits, "fast", "-f", "json"))
    cli("openstack", "volume", "type", "create", "quick")
    for command in (
        "openstack volume qos set --property read_iops_sec=7 fast",
        "openstack volume qos unset --property note fast",
        "openstack volume qos associate fast quick",
        "openstack volume type set --public quick",
        f"cinder qos-get-association {made['id']}",
        f"cinder qos-show {made['id']}",
    ):
        cli(*command.split())
    shown = json.loads(cli("openstack", "volume", "qos", "show", "fast", "-f", "json"))
    assert shown["properties"] == {"total_iops_sec_per_gb": "100", "read_iops_sec": "7"}
    assert shown["associations"] == ["quick"]

    volume = json.loads(cli("openstack", "volume", "create", "--size", "2", "--type", "quick", "v", "-f", "json"))["id"]
    available(shared, volume)
    connector = {"initiator": "iqn.1994-05.com.redhat:x", "host": "h", "ip": "127.0.0.1"}
    attach = {"attachment": {"volume_uuid": volume, "connector": connector}}
    attached = shared.admin("POST", "/attachments", json=attach).json()["attachment"]
    assert attached["connection_info"]["qos_specs"] == {"total_iops_sec": 200, "read_iops_sec": "7"}
    shared.admin("DELETE", f"/attachments/{attached['id']}")
    available(shared, volume)
    cli("openstack", "volume", "delete", "v")
    wait_for("it to be gone", lambda: not shared.all_volumes())

    refused = cli("openstack", "volume", "qos", "delete", "fast", fails=True)
    assert "Qos specs still in use." in refused, refused
    cli("openstack", "volume", "qos", "disassociate", "--all", "fast")
    cli("openstack", "volume", "qos", "delete", "fast")
    cli("openstack", "volume", "type", "delete", "quick")


def test_a_project_gets_a_default_type_and_a_backend_is_frozen(shared, cli):
    cli("openstack", "volume", "type", "create", "usual")
    versioned = ("cinder", "--os-volume-api-version", "3.71")
    cli(*versioned, "default-type-set", "usual", shared.project_id)
    listed = cli(*versioned, "default-type-list", "--project-id", shared.project_id)
    assert shared.project_id in listed
    assert "usual" in cli("cinder", "type-default")
    cli(*versioned, "default-type-unset", shared.project_id)
    cli("openstack", "volume", "type", "delete", "usual")

    cli("cinder", "freeze-host", "rock@file")
    try:
        rows = json.loads(cli("openstack", "volume", "service", "list", "--long", "-f", "json"))
        assert rows, "the services are listed as before"
    finally:
        cli("cinder", "thaw-host", "rock@file")
    refused = cli("cinder", "failover-host", "rock@file", fails=True)
    assert "No service could be changed" in refused, refused
    cli(*versioned, "service-set-log", "--binary", "cinder-volume", "--prefix", "pumice.drivers", "debug")
    assert "DEBUG" in cli(*versioned, "service-get-log", "--prefix", "pumice.drivers")
    cli(*versioned, "service-set-log", "info")


def test_cinderclient_changes_a_volume(shared, cli):
    cli("cinder", "create", "--name", "mine", "--metadata", "a=b", "--", "1")
    (volume,) = shared.all_volumes()
    available(shared, volume["id"])
    for command in (
        "cinder rename mine yours --description words",
        "cinder metadata yours set c=d",
        "cinder metadata yours unset a",
        "cinder set-bootable yours true",
        "cinder readonly-mode-update yours true",
        "cinder image-metadata yours set os=any",
        "cinder reset-state --state error yours",
    ):
        cli(*command.split())
    (volume,) = shared.all_volumes()
    assert (volume["name"], volume["description"], volume["metadata"]["c"]) == ("yours", "words", "d")
    assert "a" not in volume["metadata"]
    assert (volume["status"], volume["bootable"]) == ("error", "true")
    cli("cinder", "force-delete", "yours")
    wait_for("it to be gone", lambda: not shared.all_volumes())
    assert shared.usage() == {"volumes": (0, 0), "gigabytes": (0, 0)}


def test_the_old_way_of_connecting(shared):
    made = shared.admin("POST", "/volumes", json={"volume": {"size": 1}})
    volume = made.json()["volume"]["id"]
    available(shared, volume)

    def act(action, body, status=202):
        answer = shared.admin("POST", f"/volumes/{volume}/action", json={action: body}, version="3.0")
        assert answer.status_code == status, answer.text
        return answer

    act("os-reserve", {})
    connector = {"connector": clients.CONNECTOR}
    connection = act("os-initialize_connection", connector, 200).json()["connection_info"]
    assert connection["driver_volume_type"] == "iscsi"
    iscsi.qemu_io(connection, "write -P 0x42 0 1M", "read -P 0x42 0 1M")
    act("os-attach", {"mountpoint": "/dev/vdb", "host_name": "tester", "mode": "rw"})
    shown = shared.admin("GET", f"/volumes/{volume}").json()["volume"]
    assert shown["status"] == "in-use"
    (attachment,) = shown["attachments"]
    act("os-begin_detaching", {})
    act("os-terminate_connection", connector)
    with pytest.raises(iscsi.LoginRefused):
        iscsi.qemu_io(connection, "read 0 4k")
    act("os-detach", {"attachment_id": attachment["attachment_id"]})
    available(shared, volume)
    wait_for("the target to be gone", lambda: shared.targets() == set())
    assert shared.admin("DELETE", f"/volumes/{volume}").status_code == 202
    wait_for("it to be gone", lambda: not shared.all_volumes())
