"""`kill -9` in the middle of work: after a restart nothing is stuck, lost or left over."""

import threading

import pytest
import requests

from pumice import wait_for

RESTING = {"available", "error", "in-use", "error_deleting", "error_extending", "reserved"}
LARGE_QUOTA = {"quota": {"volumes": 1000, "gigabytes": 100000}}


class Load(threading.Thread):
    """A client that creates and deletes as fast as it is answered, and remembers what it was promised."""

    def __init__(self, pumice, number):
        super().__init__(daemon=True)
        self.pumice, self.number = pumice, number
        self.created, self.deleted, self.perhaps_deleted = set(), set(), set()
        self.ended = threading.Event()

    def run(self):
        count = 0
        while not self.ended.is_set():
            try:
                name = f"crash-{self.number}-{count}"
                made = self.pumice.admin("POST", "/volumes", json={"volume": {"size": 1, "name": name}})
                if made.status_code == 202:
                    self.created.add(made.json()["volume"]["id"])
                if count % 3 == 2 and self.created - self.perhaps_deleted:
                    victim = sorted(self.created - self.perhaps_deleted)[0]
                    # It may happen and die before it answers.
                    self.perhaps_deleted.add(victim)
                    if self.pumice.admin("DELETE", f"/volumes/{victim}").status_code == 202:
                        self.deleted.add(victim)
            except requests.RequestException:
                # It is dead: that is the point.
                self.ended.wait(0.05)
            count += 1

    def stop(self):
        self.ended.set()
        self.join(100)
        assert not self.is_alive()


def settled(pumice):
    """All volumes, once none is on its way anywhere and no operation is open."""

    def probe():
        volumes = pumice.all_volumes()
        moving = [(volume["id"], volume["status"]) for volume in volumes if volume["status"] not in RESTING]
        operations = requests.get(
            f"{pumice.url}/inspect/operations", headers={"X-Auth-Token": pumice._token}, timeout=10
        ).json()["operations"]
        if moving or operations:
            raise requests.RequestException(f"{len(moving)} moving: {moving[:3]}; operations: {operations[:2]}")
        return [volumes]

    return wait_for("everything to come to rest", probe, seconds=60, pause=0.2)[0]


def assert_all_is_in_order(pumice, created=frozenset(), deleted=frozenset(), perhaps_deleted=frozenset()):
    volumes = settled(pumice)
    there = {volume["id"] for volume in volumes}
    # Nothing that was acknowledged is lost.
    assert created - perhaps_deleted <= there, created - perhaps_deleted - there
    assert not deleted & there, deleted & there
    assert {volume["status"] for volume in volumes} <= {"available"}, volumes
    # Quota is what exists.
    size = sum(volume["size"] for volume in volumes)
    assert pumice.usage() == {"volumes": (len(volumes), 0), "gigabytes": (size, 0)}
    # No file without a record, no record without its file, nothing half made, no target.
    wait_for("files to equal records", lambda: len(pumice.files()) == len(there), seconds=20)
    assert all(any(volume in file for file in pumice.files()) for volume in there)
    assert pumice.targets() == set()


@pytest.mark.parametrize("split", [False, True], ids=["one process", "control and volume"])
def test_kills_during_creates_and_deletes_leave_nothing_stuck_lost_or_over(make_pumice, split):
    pumice = make_pumice(split=split, config=LARGE_QUOTA).start()
    pumice.usage()  # logs in once, for all threads
    names = list(pumice.parts)
    loads = [Load(pumice, number) for number in range(3)]
    for load in loads:
        load.start()
    try:
        for round_ in range(4):
            before = sum(len(load.created) for load in loads)
            wait_for("some creates", lambda: sum(len(load.created) for load in loads) >= before + 10)
            victim = pumice.parts[names[round_ % len(names)]]
            victim.kill()
            victim.start()
            pumice.wait_until_ready()
    finally:
        for load in loads:
            load.stop()
    created = set().union(*(load.created for load in loads))
    deleted = set().union(*(load.deleted for load in loads))
    assert len(created) >= 40 and deleted
    perhaps_deleted = set().union(*(load.perhaps_deleted for load in loads))
    assert_all_is_in_order(pumice, created, deleted, perhaps_deleted)


def test_an_attachment_survives_a_kill(make_pumice):
    import clients
    import iscsi

    pumice = make_pumice().start()
    client = clients.Sdk(pumice)
    client.create("kept", 1)
    wait_for("the volume", lambda: client.show("kept")["status"] == "available")
    attachment, connection = client.attach("kept")
    iscsi.qemu_io(connection, "write -P 0x11 0 1M")

    pumice.control.kill()
    pumice.control.start()
    pumice.wait_until_ready()

    def readable():
        try:
            return iscsi.qemu_io(connection, "read -P 0x11 0 1M")
        except iscsi.LoginRefused as error:
            raise OSError(error) from None

    wait_for("the export to be there again", readable)
    client = clients.Sdk(pumice)
    assert client.show("kept")["status"] == "in-use"
    client.detach(attachment)
    client.delete("kept")
    wait_for("the volume to be gone", lambda: not pumice.all_volumes())
    assert_all_is_in_order(pumice)


def test_what_a_dead_tgtd_exported_is_exported_again(make_pumice):
    import os
    import signal

    import clients
    import iscsi

    pumice = make_pumice().start()
    client = clients.Sdk(pumice)
    client.create("kept", 1)
    wait_for("the volume", lambda: client.show("kept")["status"] == "available")
    attachment, connection = client.attach("kept")
    iscsi.qemu_io(connection, "write -P 0x22 0 1M")
    (daemon,) = pumice.target_daemons()
    os.kill(daemon, signal.SIGKILL)

    def readable():
        try:
            return iscsi.qemu_io(connection, "read -P 0x22 0 1M")
        except iscsi.LoginRefused as error:
            raise OSError(error) from None

    wait_for("the export to be there again", readable)
    client.detach(attachment)
