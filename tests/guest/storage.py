#!/usr/bin/env python3
"""What real storage does for a volume: each way of LVM (thin, thick) behind each target (LIO, tgt), with a real initiator.

Runs as root inside the guest (README.md). Arguments: the backends to try, all of them if none is named ("thin-lio",
"thick-tgt", …). A story that fails does not prevent the others.
"""

import json
import sys
import uuid

import initiator
import lvm
from backends import BACKENDS, configuration, host_of, make_groups, make_types, targets_of
from cancelled import Cancelled
from initiator import (
    GIB,
    LOGIN_AUTH_FAILED,
    LOGIN_FAILED,
    MOUNT,
    STRANGER,
    connector,
    log_in,
    log_out,
    mark,
    marked,
    mount,
    offered,
    refused,
    rescan,
    sessions,
    size_of,
    umount,
    write,
)
from pumice import LOG, SHARE, Pumice, Refused, panics
from stories import BACKENDS_TRIED, Story
from story import Teller, expect, run, wait_for


class Life(Story):
    """A volume with a user from end to end: written, snapshotted, copied, grown and taken back while it is in use."""

    TITLE = "the life of a volume"

    def __init__(self, *args):
        super().__init__(*args)
        self.files, self.old, self.snapshot, self.restored, self.clone = {}, {}, None, None, None

    def steps(self):
        return [
            self.a_volume_is_made,
            self.it_is_attached,
            self.a_wrong_secret_is_refused,
            self.another_initiator_is_refused,
            self.the_kernel_logs_in,
            self.a_file_system_is_made_and_a_file_written,
            self.a_snapshot_is_taken_while_attached,
            self.more_is_written,
            self.the_snapshot_as_a_larger_volume_has_the_old_data,
            self.a_clone_has_the_new_data,
            self.the_clone_is_the_same_byte_by_byte,
            self.it_is_extended_while_attached,
            self.the_file_system_grows,
            self.it_is_detached,
            self.detached_and_attached_it_has_all_of_it,
            self.with_a_snapshot_it_is_not_deleted,
            self.reverted_it_has_the_old_data,
            self.its_snapshot_is_as_good_as_before,
            self.everything_is_deleted,
            self.nothing_is_left,
        ]

    def a_volume_is_made(self):
        self.volume = self.make("kept")

    def it_is_attached(self):
        self.attachment, self.connection = self.pumice.attach(self.volume, connector())
        expect(self.connection["target_iqn"] in targets_of(self.backend), "the target does not have it")
        expect(self.connection["target_lun"] == (0 if self.target == "lio" else 1), self.connection)

    def a_wrong_secret_is_refused(self):
        refused(self.connection, LOGIN_AUTH_FAILED, secret=(self.connection["auth_username"], "wrong-secret-16b"))

    def another_initiator_is_refused(self):
        # LIO says that it may not, tgtd that there is no such thing.
        refused(self.connection, LOGIN_AUTH_FAILED if self.target == "lio" else LOGIN_FAILED, interface="stranger")
        expect(offered(self.portal, "stranger") == [], offered(self.portal, "stranger"))

    def the_kernel_logs_in(self):
        self.device = log_in(self.connection)
        expect(sessions() == ["LOGGED_IN"], sessions())
        expect(size_of(self.device) == GIB, size_of(self.device))

    def a_file_system_is_made_and_a_file_written(self):
        run("mkfs.ext4", "-q", self.device)
        mount(self.device)
        self.old["old"] = self.files["old"] = write("old", 16)

    def a_snapshot_is_taken_while_attached(self):
        # As a guest agent would: what is on the disk is whole at that moment.
        run("fsfreeze", "--freeze", MOUNT)
        try:
            self.snapshot = self.pumice.snapshot(self.volume, "before")
        finally:
            run("fsfreeze", "--unfreeze", MOUNT)
        _, _, origin = self.lv(f"_snapshot-{self.snapshot}")
        expect(origin == f"volume-{self.volume}", f"its origin is {origin!r}")
        expect(self.pumice.shown("volume", self.volume)["status"] == "in-use", "the volume is not in use any more")

    def more_is_written(self):
        self.files["new"] = write("new", 16)
        # The old file's blocks have other content now.
        self.files["old"] = write("old", 16)
        umount()
        mount(self.device)
        self.expect_files(self.files)

    def the_snapshot_as_a_larger_volume_has_the_old_data(self):
        # The same file system twice: the kernel mounts one at a time.
        umount()
        self.restored = self.make("restored", 2, snapshot_id=self.snapshot)
        self.expect_files_on(self.restored, self.old, 2)

    def a_clone_has_the_new_data(self):
        self.clone = self.make("clone", 1, source_volid=self.volume)
        expect(self.pumice.shown("volume", self.volume)["status"] == "in-use", "the source is not in use any more")

    def the_clone_is_the_same_byte_by_byte(self):
        initiator.forget_cache()
        both = [lvm.activate(self.group, f"volume-{volume}") for volume in (self.volume, self.clone)]
        done = run("cmp", *both, check=False, seconds=300)
        expect(done.returncode == 0, done.stdout + done.stderr)
        self.expect_files_on(self.clone, self.files, 1)

    def it_is_extended_while_attached(self):
        mount(self.device)
        if not self.thin:
            return self._a_thick_one_with_a_snapshot_is_not()
        self.pumice.extend(self.volume, 2)
        _, bytes_, _ = self.lv(f"volume-{self.volume}")
        expect(bytes_ == 2 * GIB, f"it has {bytes_} bytes")
        rescan(self.connection)
        # tgtd keeps the size that it saw when the target was made; it grows with the next attachment, as in Cinder.
        grown = 2 if self.target == "lio" else 1
        expect(size_of(self.device) == grown * GIB, f"the disk has {size_of(self.device)} bytes")

    def _a_thick_one_with_a_snapshot_is_not(self):
        """LVM resizes the origin of a thick snapshot only while it is inactive: refused, with a word to the owner."""
        self.pumice.action(self.volume, "os-extend", {"new_size": 2})
        now = self.pumice.becomes(self.volume, "in-use")
        expect(now["size"] == 1, f"its record says {now['size']} GiB")
        expect(wait_for("a message", lambda: self.pumice.messages(self.volume), 10), "no message says why")
        expect(size_of(self.device) == GIB, f"the disk has {size_of(self.device)} bytes")

    def the_file_system_grows(self):
        if self.thin and self.target == "lio":
            run("resize2fs", self.device)
            self.files["grown"] = write("grown", 8)
        self.expect_files(self.files)

    def it_is_detached(self):
        umount()
        log_out(self.connection)
        self.pumice.detach(self.volume, self.attachment)
        expect(targets_of(self.backend) == [], targets_of(self.backend))

    def detached_and_attached_it_has_all_of_it(self):
        if not self.thin:
            self.pumice.extend(self.volume, 2)
        self.expect_files_on(self.volume, self.files, 2)

    def with_a_snapshot_it_is_not_deleted(self):
        try:
            self.pumice.ask("DELETE", f"/volumes/{self.volume}")
        except Refused as refusal:
            expect(refusal.status == 400, refusal)
        else:
            expect(False, "it was accepted")

    def reverted_it_has_the_old_data(self):
        reverted = self.pumice.revert(self.volume, self.snapshot)
        expect(reverted["size"] == 1, f"its record says {reverted['size']} GiB")
        expect(self.pumice.shown("snapshot", self.snapshot)["status"] == "available", "the snapshot is not available")
        self.expect_files_on(self.volume, self.old, 1)

    def its_snapshot_is_as_good_as_before(self):
        again = self.make("again", 1, snapshot_id=self.snapshot)
        self.expect_files_on(again, self.old, 1)
        self.pumice.delete(again)

    def everything_is_deleted(self):
        self.pumice.delete_snapshot(self.snapshot)
        for volume in (self.volume, self.restored, self.clone):
            self.pumice.delete(volume)


class Several(Story):
    """A volume that two initiators have at the same time, one leaving before the other."""

    TITLE = "several initiators"

    def __init__(self, *args):
        super().__init__(*args)
        self.ours = self.theirs = self.our_disk = self.their_disk = None

    def steps(self):
        return [
            self.a_volume_that_several_may_have_is_made,
            self.two_initiators_attach_it,
            self.what_one_writes_the_other_reads,
            self.one_leaves_and_cannot_come_back,
            self.the_other_goes_on,
            self.the_last_one_leaves,
            self.it_is_deleted,
            self.nothing_is_left,
        ]

    def a_volume_that_several_may_have_is_made(self):
        self.volume = self.pumice.create(f"{self.backend} shared", 1, volume_type=f"{self.backend}-shared")
        expect(self.pumice.shown("volume", self.volume)["multiattach"], "it is not for several")

    def two_initiators_attach_it(self):
        self.ours = self.pumice.attach(self.volume, connector(), str(uuid.uuid4()))
        self.theirs = self.pumice.attach(self.volume, connector(STRANGER, "elsewhere"), str(uuid.uuid4()))
        self.our_disk = log_in(self.ours[1])
        self.their_disk = log_in(self.theirs[1], "stranger")

    def what_one_writes_the_other_reads(self):
        mark(self.our_disk, "ours")
        expect(marked(self.their_disk, "ours"), "the other reads something else")
        mark(self.their_disk, "theirs")
        expect(marked(self.our_disk, "theirs"), "we read something else")

    def one_leaves_and_cannot_come_back(self):
        log_out(self.theirs[1], "stranger")
        self.pumice.detach(self.volume, self.theirs[0], "in-use")
        refused(self.theirs[1], LOGIN_AUTH_FAILED, LOGIN_FAILED, interface="stranger")

    def the_other_goes_on(self):
        expect(sessions() == ["LOGGED_IN"], sessions())
        mark(self.our_disk, "still")
        expect(marked(self.our_disk, "still"), "we read something else")

    def the_last_one_leaves(self):
        log_out(self.ours[1])
        self.pumice.detach(self.volume, self.ours[0])
        expect(targets_of(self.backend) == [], targets_of(self.backend))

    def it_is_deleted(self):
        self.pumice.delete(self.volume)


class Brick(Story):
    """The same by os-brick, which takes what the API says as it is."""

    TITLE = "os-brick"

    def __init__(self, *args):
        super().__init__(*args)
        self.brick = self.info = None

    def steps(self):
        return [
            self.os_brick_tells_what_this_machine_is,
            self.it_connects_a_volume,
            self.it_sees_the_volume_grow,
            self.it_disconnects,
            self.what_it_wrote_is_there,
            self.the_old_way_connects_as_well,
            self.it_is_deleted,
            self.nothing_is_left,
        ]

    def os_brick_tells_what_this_machine_is(self):
        # Late: it takes seconds to load, and is of no use to the other stories.
        import brick

        self.brick = brick
        properties = brick.connector_properties()
        expect(properties["initiator"] == initiator.own_name(), properties)
        self.volume = self.make("brick")
        self.attachment, self.connection = self.pumice.attach(self.volume, properties)

    def it_connects_a_volume(self):
        self.info = self.brick.connector_for(self.connection).connect_volume(self.connection)
        self.device = self.info["path"]
        expect(size_of(self.device) == GIB, size_of(self.device))
        # os-brick waits for a disk that has none.
        expect(self.info["scsi_wwn"], f"the disk has no WWN: {self.info}")
        mark(self.device, self.volume)

    def it_sees_the_volume_grow(self):
        if self.target == "lio":
            self.pumice.extend(self.volume, 2)
            size = self.brick.connector_for(self.connection).extend_volume(self.connection)
            expect(size == 2 * GIB, f"it says {size}")

    def it_disconnects(self):
        self.brick.connector_for(self.connection).disconnect_volume(self.connection, self.info)
        expect(sessions() == [] and initiator.disks() == set(), f"left: {sessions()} {initiator.disks()}")
        self.pumice.detach(self.volume, self.attachment)

    def what_it_wrote_is_there(self):
        with self.attached(self.volume) as device:
            expect(marked(device, self.volume), "it reads something else")

    def the_old_way_connects_as_well(self):
        """os-reserve, os-initialize_connection and os-attach: Nova's, before attachments were resources."""
        asked = {"connector": self.brick.connector_properties()}
        self.pumice.action(self.volume, "os-reserve")
        connection = self.pumice.action(self.volume, "os-initialize_connection", asked)["connection_info"]
        link = self.brick.connector_for(connection)
        info = link.connect_volume(connection["data"])
        self.pumice.action(self.volume, "os-attach", {"host_name": "guest", "mountpoint": "/dev/vdb"})
        self.pumice.becomes(self.volume, "in-use")
        expect(marked(info["path"], self.volume), "it reads something else")
        self.pumice.action(self.volume, "os-begin_detaching")
        link.disconnect_volume(connection["data"], info)
        self.pumice.action(self.volume, "os-terminate_connection", asked)
        self.pumice.action(self.volume, "os-detach", {})
        self.pumice.becomes(self.volume, "available")

    def it_is_deleted(self):
        self.pumice.delete(self.volume)


class Adopted(Story):
    """A logical volume that was there before us, with somebody's data, taken in and let go again."""

    TITLE = "what was there before"

    def __init__(self, *args):
        super().__init__(*args)
        self.host = self.snapshot = None
        self.beside = {"legacy", "legacy-snap"}

    def steps(self):
        return [
            self.somebody_has_a_volume_with_data,
            self.it_is_listed,
            self.it_is_taken_in,
            self.it_is_listed_as_ours,
            self.its_data_is_there,
            self.its_snapshot_is_taken_in,
            self.the_snapshot_is_let_go,
            self.it_is_let_go,
            self.its_data_is_still_there,
            self.nothing_is_left,
        ]

    def somebody_has_a_volume_with_data(self):
        # Not a whole number of GiB, which is what records count in.
        if self.thin:
            run("lvcreate", "-T", "-V", "1500m", "-n", "legacy", f"{self.group}/{self.group}-pool")
        else:
            run("lvcreate", "-y", "-L", "1500m", "-n", "legacy", self.group)
        mark(lvm.path_of(self.group, "legacy"), "legacy")
        self.host = host_of(self.pumice, self.backend)

    def listed(self, kind="volume"):
        """What could be taken in: by its name, the entry."""
        path = f"/manageable_{kind}s/detail?host={self.host.replace('#', '%23')}"
        entries = self.pumice.ask("GET", path)[f"manageable-{kind}s"]
        return {entry["reference"]["source-name"]: entry for entry in entries}

    def it_is_listed(self):
        entry = wait_for("it to be listed", lambda: self.listed().get("legacy"))
        expect(entry["safe_to_manage"] is True and entry["size"] == 2, entry)
        expect(entry["cinder_id"] is None, entry)

    def it_is_taken_in(self):
        asked = {
            "host": self.host,
            "ref": {"source-name": "legacy"},
            "name": "taken in",
            "volume_type": self.backend,
        }
        self.volume = self.pumice.ask("POST", "/manageable_volumes", {"volume": asked})["volume"]["id"]
        managed = self.pumice.becomes(self.volume, "available")
        expect(managed["size"] == 2, f"its record says {managed['size']} GiB")
        there = lvm.volumes(self.group)
        expect("legacy" not in there and f"volume-{self.volume}" in there, sorted(there))
        expect(self.pumice.usage()["gigabytes"] == (2, 0), self.pumice.usage())

    def it_is_listed_as_ours(self):
        entry = self.listed()[f"volume-{self.volume}"]
        expect(entry["safe_to_manage"] is False and entry["cinder_id"] == self.volume, entry)
        expect(entry["reason_not_safe"] == "already managed", entry)

    def its_data_is_there(self):
        with self.attached(self.volume) as device:
            expect(marked(device, "legacy"), "it reads something else")

    def its_snapshot_is_taken_in(self):
        words = [] if self.thin else ["-L", "1500m"]
        run("lvcreate", "-y", "-s", *words, "-n", "legacy-snap", f"{self.group}/volume-{self.volume}")
        entry = wait_for("it to be listed", lambda: self.listed("snapshot").get("legacy-snap"))
        expect(entry["source_reference"] == {"source-name": f"volume-{self.volume}"}, entry)
        asked = {"volume_id": self.volume, "ref": {"source-name": "legacy-snap"}, "name": "taken in, too"}
        self.snapshot = self.pumice.ask("POST", "/manageable_snapshots", {"snapshot": asked})["snapshot"]["id"]
        self.pumice.becomes(self.snapshot, "available", "snapshot")
        expect(self.lv(f"_snapshot-{self.snapshot}")[2] == f"volume-{self.volume}", "it has another origin")

    def the_snapshot_is_let_go(self):
        self.pumice.ask("POST", f"/snapshots/{self.snapshot}/action", {"os-unmanage": None})
        self.pumice.is_gone(self.snapshot, "snapshot")
        self.lv(f"_snapshot-{self.snapshot}")
        run("lvremove", "-f", f"{self.group}/_snapshot-{self.snapshot}")

    def it_is_let_go(self):
        self.pumice.action(self.volume, "os-unmanage")
        self.pumice.is_gone(self.volume)
        entry = wait_for("it to be listed", lambda: self.listed().get(f"volume-{self.volume}"))
        expect(entry["safe_to_manage"] is True, entry)

    def its_data_is_still_there(self):
        path = lvm.activate(self.group, f"volume-{self.volume}")
        expect(marked(path, "legacy"), "it reads something else")
        run("lvremove", "-f", f"{self.group}/volume-{self.volume}")


# The life of a volume is another on each. The others depend on either what LVM does or what the target does, so that two
# backends show them.
STORIES = {
    "thin-lio": (Life, Several, Adopted),
    "thin-tgt": (Life, Brick),
    "thick-lio": (Life, Cancelled, Brick),
    "thick-tgt": (Life, Several, Adopted),
}


def diagnosis(pumice):
    """What `pumice doctor` calls a fault."""
    said = run(SHARE / "pumice", "doctor", "--config", pumice.config, "--json", check=False, seconds=120)
    expect(said.returncode in (0, 1), f"the doctor ended with {said.returncode}: {said.stderr}")
    faults = [check for check in json.loads(said.stdout) if check["outcome"] == "fault"]
    expect((said.returncode == 1) == bool(faults), f"{said.returncode} with {faults}")
    return faults


def main():
    BACKENDS_TRIED.extend(sys.argv[1:] or BACKENDS)
    teller = Teller(LOG)
    pumice = Pumice(configuration(BACKENDS_TRIED))

    def the_initiator_is_ready():
        initiator.make_ready()

    def volume_groups_are_made():
        make_groups(BACKENDS_TRIED)

    def the_doctor_finds_nothing_that_keeps_it_from_serving():
        faults = diagnosis(pumice)
        expect(not faults, f"{faults}")

    def the_doctor_misses_a_volume_group_and_says_how_to_make_it():
        group = BACKENDS[BACKENDS_TRIED[0]][0]
        run("vgrename", group, f"{group}-away")
        try:
            faults = diagnosis(pumice)
            expect(any("vgcreate" in (fault["mend"] or "") for fault in faults), f"{faults}")
        finally:
            run("vgrename", f"{group}-away", group)

    def pumice_starts():
        pumice.start()
        make_types(pumice, BACKENDS_TRIED)

    def the_doctor_tells_ours_from_others_while_it_serves():
        faults = diagnosis(pumice)
        expect(not faults, f"{faults}")

    def pumice_stops():
        code = pumice.stop()
        expect(code == 0, f"it ended with {code}")
        expect(not panics(), panics())

    beginning = [
        the_initiator_is_ready,
        volume_groups_are_made,
        the_doctor_misses_a_volume_group_and_says_how_to_make_it,
        the_doctor_finds_nothing_that_keeps_it_from_serving,
        pumice_starts,
        the_doctor_tells_ours_from_others_while_it_serves,
    ]
    if teller.act("it begins", beginning):
        for backend in BACKENDS_TRIED:
            for kind in STORIES[backend]:
                story = kind(pumice, backend)
                teller.act(f"{backend}: {kind.TITLE}", story.steps(), story.tidy)
        teller.act("it ends", [pumice_stops])
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
