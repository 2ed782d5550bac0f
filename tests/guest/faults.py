#!/usr/bin/env python3
"""Storage that fails: commands that hang, lie or fail when the work is done; groups and pools that are full; broken disks.

Runs as root inside the guest (README.md): faults.py [--short] [--only WORDS]. Whatever happens to a volume must end in a state that says
so, with a message for its owner, while other volumes go on; nothing may be left over, and no data may be lost.
"""

import argparse
import contextlib
import pathlib
import sys
import time

import lvm
from backends import BACKENDS, assert_all_is_in_order, configuration, group_of, host_of, make_types
from initiator import connector, log_in, log_out, make_ready, mark, marked
from pumice import LOG, RESTING, Pumice, Refused, panics
from story import Teller, expect, run, wait_for

# Where `pumice` looks first (src/drivers/command.rs).
FIRST = pathlib.Path("/usr/local/sbin")
FAULTS = pathlib.Path("/run/faults")
COMMANDS = ["lvchange", "lvconvert", "lvcreate", "lvextend", "lvreduce", "lvremove", "lvrename", "lvs", "pvs", "vgs"]

# Stands before each command: does what the file of its name says to calls that mention the file's first word.
STAND_IN = f"""#!/bin/bash
name=${{0##*/}}
if [[ -e {FAULTS}/$name ]] && read -r word fault <"{FAULTS}/$name" && [[ " $* " == *"$word"* ]]; then
    echo "$(date +%T) $fault: $name $*" >>{FAULTS}/log
    case $fault in
        hangs) exec sleep 1000 ;;
        "tells garbage") head -c 3000 /dev/urandom; exit 0 ;;
        "tells nothing") exit 0 ;;
        fails) echo "  Something is wrong." >&2; exit 5 ;;
        "fails when it is done") "/usr/sbin/$name" "$@" >/dev/null 2>&1; echo "  Something is wrong." >&2; exit 5 ;;
        "hangs when it is done") "/usr/sbin/$name" "$@" >/dev/null 2>&1; exec sleep 1000 ;;
        crashes) kill -SEGV $$ ;;
    esac
fi
exec "/usr/sbin/$name" "$@"
"""

# Beside the usual ones: a pool that is soon full, and a group whose disk can be broken.
BACKENDS.update(
    {
        "small": ("vg4", True, "lio", "127.0.0.1:3260"),
        "shaky": ("vg2", False, "lio", "127.0.0.1:3260"),
    }
)
NAMES = ["thin-lio", "thick-lio", "small", "shaky"]
# Long for a command that works, even on a machine that has much else to do.
TIMEOUT = 20
# A verb may take several commands, each to its limit, and be tried anew.
LONG = 200


class Story:
    def __init__(self):
        self.pumice = Pumice(
            # Changes by others must be noticed soon.
            configuration(NAMES, f'command_timeout = "{TIMEOUT}s"\nbackend_stats_polling_interval = "5s"')
            + '[service]\nreport_interval = "5s"\n[operations]\nresend_after = "3s"\nretry_initial = "500ms"\nretry_max = "2s"\n'
        )
        self.disk = lvm.Table("shaky-disk")
        self.kept = {}
        self.beside = set()

    # -- words ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def fault(self, command, fault, word):
        """Calls of the command that mention this word go wrong, for a while."""
        (FAULTS / command).write_text(f"{word} {fault}\n")
        try:
            yield
        finally:
            (FAULTS / command).unlink()

    def rests(self, which, kind="volume"):
        """The record once it is at rest; None if it is gone by then."""

        def probe():
            now = self.pumice.shown(kind, which)
            return [now] if now is None or now["status"] in RESTING else None

        return wait_for(f"the {kind} to come to rest", probe, LONG, pause=0.3)[0]

    def asked(self, name, backend, **more):
        return self.pumice.ask_for_volume(name, more.pop("size", 1), volume_type=backend, **more)

    def others_go_on(self, backend="thick-lio"):
        """The whole life of a volume elsewhere, in a time that has nothing to do with the fault."""
        began = time.monotonic()
        volume = self.pumice.create("meanwhile", 1, volume_type=backend)
        attachment, _ = self.pumice.attach(volume, connector())
        self.pumice.detach(volume, attachment)
        self.pumice.delete(volume)
        print(f"    meanwhile, elsewhere, a volume lived for {time.monotonic() - began:.1f} s", flush=True)

    def owner_is_told(self, which):
        """In words that name no path, no group and no command."""
        texts = wait_for(f"a message about {which}", lambda: self.pumice.messages(which), 10)
        for text in texts:
            expect(not any(word in text for word in ("/", "vg1", "vg2", "vg3", "vg4", "lvcreate")), text)
        return texts[0]

    def free(self, backend):
        """GiB, as the scheduler knows it."""
        return self.pumice.pools()[host_of(self.pumice, backend)]["capabilities"]["free_capacity_gb"]

    def says(self, now, which):
        if now is None:
            return "gone"
        message = f", “{self.owner_is_told(which)}”" if now["status"].startswith("error") else ""
        return f"{now['status']}{message}"

    def delete_whatever_it_is(self, volume):
        now = self.rests(volume)
        if now is None:
            return
        if now["status"] in ("available", "error"):
            self.pumice.ask("DELETE", f"/volumes/{volume}")
        else:
            self.pumice.action(volume, "os-force_delete", {})
        wait_for("the volume to be gone", lambda: self.pumice.shown("volume", volume) is None, LONG, pause=0.3)

    def all_is_in_order(self):
        assert_all_is_in_order(self.pumice, NAMES, self.beside, seconds=60)
        for backend, volume in self.kept.items():
            path = lvm.activate(group_of(backend), f"volume-{volume}")
            expect(marked(path, backend), f"the volume kept on {backend} has changed")

    def it_runs_and_has_not_panicked(self):
        expect(self.pumice.process.poll() is None, f"it ended with {self.pumice.process.returncode}")
        expect(not panics(), panics())

    # -- the beginning -------------------------------------------------------------------------------------------

    def stand_ins_are_put_before_the_commands(self):
        FAULTS.mkdir()
        FIRST.mkdir(parents=True, exist_ok=True)
        for command in COMMANDS:
            (FIRST / command).write_text(STAND_IN)
            (FIRST / command).chmod(0o755)

    def it_begins(self):
        make_ready()
        # A full pool waits this long for more room.
        run("modprobe", "dm_thin_pool")
        pathlib.Path("/sys/module/dm_thin_pool/parameters/no_space_timeout").write_text("5\n")
        self.disk.make(lvm.DISKS["vg2"])
        lvm.DISKS["vg2"] = f"/dev/mapper/{self.disk.name}"
        for name in NAMES:
            group, thin, _, _ = BACKENDS[name]
            lvm.make_group(group, thin, "1g" if name == "small" else lvm.POOL_SIZE)
        self.pumice.start()
        make_types(self.pumice, NAMES)

    def a_volume_with_data_is_kept_on_each(self):
        for name in NAMES:
            self.kept[name] = self.pumice.create(f"kept {name}", 1, volume_type=name)
            mark(lvm.activate(group_of(name), f"volume-{self.kept[name]}"), name)

    # -- commands ------------------------------------------------------------------------------------------------

    def create_while(self, command, fault, backend="thin-lio"):
        def step():
            with self.fault(command, fault, group_of(backend)):
                volume = self.asked(f"{command} {fault}", backend)
                if "hangs" in fault:
                    self.others_go_on()
                now = self.rests(volume)
                print(f"    the volume is {self.says(now, volume)}", flush=True)
                expect(now["status"] in ("available", "error"), now["status"])
            # Whichever it is: with a command that works again it can be used, or deleted.
            if now["status"] == "available":
                attachment, _ = self.pumice.attach(volume, connector())
                self.pumice.detach(volume, attachment)
            self.delete_whatever_it_is(volume)
            self.all_is_in_order()

        step.__name__ = f"create_while_{command}_{fault}_({backend})"
        return step

    def copy_while(self, command, fault, backend):
        def step():
            with self.fault(command, fault, group_of(backend)):
                volume = self.asked(f"{command} {fault}", backend, source_volid=self.kept[backend])
                now = self.rests(volume)
                print(f"    the volume is {self.says(now, volume)}", flush=True)
            if now["status"] == "available":
                path = lvm.activate(group_of(backend), f"volume-{volume}")
                expect(marked(path, backend), "the copy has something else in it")
            self.delete_whatever_it_is(volume)
            self.all_is_in_order()

        step.__name__ = f"copy_while_{command}_{fault}_({backend})"
        return step

    def extend_while(self, command, fault, backend="thin-lio"):
        def step():
            volume = self.pumice.create(f"{command} {fault}", 1, volume_type=backend)
            with self.fault(command, fault, group_of(backend)):
                self.pumice.action(volume, "os-extend", {"new_size": 2})
                now = self.rests(volume)
                print(f"    the volume is {self.says(now, volume)}, {now['size']} GiB", flush=True)
                expect(now["status"] in ("available", "error_extending"), now["status"])
                expect(now["size"] == (2 if now["status"] == "available" else 1), now["size"])
            self.delete_whatever_it_is(volume)
            self.all_is_in_order()

        step.__name__ = f"extend_while_{command}_{fault}_({backend})"
        return step

    def snapshot_while(self, command, fault, backend="thin-lio"):
        def step():
            with self.fault(command, fault, group_of(backend)):
                asked = {"volume_id": self.kept[backend], "name": f"{command} {fault}"}
                snapshot = self.pumice.ask("POST", "/snapshots", {"snapshot": asked})["snapshot"]["id"]
                now = self.rests(snapshot, "snapshot")
                print(f"    the snapshot is {self.says(now, snapshot)}", flush=True)
                expect(now["status"] in ("available", "error"), now["status"])
                expect(self.pumice.shown("volume", self.kept[backend])["status"] == "available", "the volume is not")
            self.pumice.delete_snapshot(snapshot)
            self.all_is_in_order()

        step.__name__ = f"snapshot_while_{command}_{fault}_({backend})"
        return step

    def delete_while(self, command, fault, backend="thin-lio"):
        def step():
            volume = self.pumice.create(f"{command} {fault}", 1, volume_type=backend)
            with self.fault(command, fault, group_of(backend)):
                self.pumice.ask("DELETE", f"/volumes/{volume}")
                now = self.rests(volume)
                print(f"    the volume is {self.says(now, volume)}", flush=True)
                there = f"volume-{volume}" in lvm.volumes(group_of(backend))
                expect(now is not None or not there, "its record is gone and its storage is there")
            self.delete_whatever_it_is(volume)
            self.all_is_in_order()

        step.__name__ = f"delete_while_{command}_{fault}_({backend})"
        return step

    # -- full ----------------------------------------------------------------------------------------------------

    def a_group_is_full(self):
        self.beside = {"filler"}
        run("/usr/sbin/lvcreate", "-y", "-W", "n", "-l", "100%FREE", "-n", "filler", "vg3")
        # Once before the scheduler gets the report, as far as we are quick enough, and once after.
        volumes = [self.asked("no room", "thick-lio")]
        wait_for("the scheduler to get a report", lambda: self.free("thick-lio") < 1, pause=0.5)
        volumes.append(self.asked("no room either", "thick-lio"))
        for volume in volumes:
            now = self.rests(volume)
            print(f"    the volume is {self.says(now, volume)}", flush=True)
            expect(now["status"] == "error", now["status"])
        self.others_go_on("thin-lio")
        for volume in volumes:
            self.delete_whatever_it_is(volume)
        self.all_is_in_order()

    def in_it_a_volume_is_neither_grown_nor_snapshotted(self):
        volume = self.kept["thick-lio"]
        with contextlib.suppress(Refused):
            self.pumice.action(volume, "os-extend", {"new_size": 2})
            now = self.rests(volume)
            print(f"    the volume is {self.says(now, volume)}", flush=True)
            if now["status"] == "error_extending":
                self.pumice.action(volume, "os-reset_status", {"status": "available"})
        expect(self.pumice.shown("volume", volume)["size"] == 1, "its size has changed")
        with contextlib.suppress(Refused):
            asked = {"volume_id": volume, "name": "no room"}
            snapshot = self.pumice.ask("POST", "/snapshots", {"snapshot": asked})["snapshot"]["id"]
            now = self.rests(snapshot, "snapshot")
            print(f"    the snapshot is {self.says(now, snapshot)}", flush=True)
            expect(now["status"] == "error", now["status"])
            self.pumice.delete_snapshot(snapshot)
        self.all_is_in_order()

    def with_room_again_it_works(self):
        run("/usr/sbin/lvremove", "-f", "vg3/filler")
        self.beside = set()
        wait_for("the scheduler to get a report", lambda: self.free("thick-lio") > 1, pause=0.5)
        self.others_go_on("thick-lio")
        self.all_is_in_order()

    def a_pool_runs_full_while_it_is_written(self):
        volume = self.pumice.create("too much", 2, volume_type="small")
        attachment, connection = self.pumice.attach(volume, connector())
        device = log_in(connection)
        written = run("dd", "if=/dev/zero", f"of={device}", "bs=1M", "count=1500", "oflag=direct", check=False, seconds=200)
        expect(written.returncode != 0, "1500 MiB fitted in 1 GiB")
        now = self.asked("no room", "small")
        print(f"    another volume is {self.says(self.rests(now), now)}", flush=True)
        self.others_go_on("thin-lio")
        expect(marked(lvm.path_of("vg4", f"volume-{self.kept['small']}"), "small"), "other data in the pool has changed")
        log_out(connection)
        self.pumice.detach(volume, attachment)
        self.delete_whatever_it_is(now)
        self.delete_whatever_it_is(volume)
        self.all_is_in_order()

    def with_room_in_the_pool_again_it_works(self):
        def there_is_room():
            return float(run("lvs", "--noheadings", "-o", "data_percent", "vg4/vg4-pool").stdout) < 50

        wait_for("room in the pool", there_is_room, 30, pause=1)
        wait_for("the scheduler to get a report", lambda: self.free("small") > 0.5, pause=0.5)
        self.others_go_on("small")
        volume = self.pumice.create("again", 1, volume_type="small")
        mark(lvm.activate("vg4", f"volume-{volume}"), "again")
        expect(marked(lvm.path_of("vg4", f"volume-{volume}"), "again"), "it reads something else")
        self.pumice.delete(volume)

    # -- broken --------------------------------------------------------------------------------------------------

    def a_volume_cannot_be_read(self):
        volume = self.pumice.create("broken", 1, volume_type="thick-lio")
        mark(lvm.path_of("vg3", f"volume-{volume}"), "broken")
        snapshot = self.pumice.snapshot(volume, "of what breaks")
        # What both the volume and its snapshot are read from. Taking another snapshot would put the table right again.
        table = lvm.Table(f"{lvm.table_of('vg3', f'volume-{volume}').name}-real")
        table.fails()
        try:
            copy = self.asked("copy of what is broken", "thick-lio", snapshot_id=snapshot)
            now = self.rests(copy)
            print(f"    its copy is {self.says(now, copy)}", flush=True)
            expect(now["status"] == "error", now["status"])
            expect(self.pumice.shown("volume", volume)["status"] == "available", "the source is not available")
            self.others_go_on("thick-lio")
            self.delete_whatever_it_is(copy)
        finally:
            table.is_whole()
        expect(marked(lvm.path_of("vg3", f"volume-{volume}"), "broken"), "its data has changed")
        copy = self.pumice.create("copy of what is whole again", 1, volume_type="thick-lio", snapshot_id=snapshot)
        expect(marked(lvm.activate("vg3", f"volume-{copy}"), "broken"), "the copy has something else in it")
        self.pumice.delete(copy)
        self.pumice.delete_snapshot(snapshot)
        self.pumice.delete(volume)
        self.all_is_in_order()

    def a_volume_that_cannot_be_written_is_deleted(self):
        volume = self.pumice.create("broken", 1, volume_type="thick-lio")
        table = lvm.table_of("vg3", f"volume-{volume}")
        table.fails()
        self.pumice.ask("DELETE", f"/volumes/{volume}")
        now = self.rests(volume)
        print(f"    the volume is {self.says(now, volume)}", flush=True)
        if now is not None:
            table.is_whole()
            self.delete_whatever_it_is(volume)
        self.all_is_in_order()

    def a_whole_disk_is_broken(self):
        doomed = self.pumice.create("doomed", 1, volume_type="shaky")
        self.disk.fails()
        try:
            # None of it may be taken for gone: LVM no longer finds the group at all.
            self.pumice.ask("DELETE", f"/volumes/{doomed}")
            made = self.asked("on a broken disk", "shaky")
            self.others_go_on("thick-lio")
            now = self.rests(made)
            print(f"    a new volume is {self.says(now, made)}", flush=True)
            expect(now["status"] == "error", now["status"])
            now = self.rests(doomed)
            print(f"    one that was deleted is {self.says(now, doomed)}", flush=True)
            expect(now is not None, "it is gone, though nothing could be deleted")
            states = {name: pool["capabilities"].get("backend_state") for name, pool in self.pumice.pools().items()}
            print(f"    pools: {states}", flush=True)
        finally:
            self.disk.is_whole()
        run("vgs", "vg2")
        self.delete_whatever_it_is(made)
        self.delete_whatever_it_is(doomed)

    def the_disk_is_whole_again(self):
        run("/usr/sbin/vgchange", "-a", "y", "vg2")
        expect(marked(lvm.path_of("vg2", f"volume-{self.kept['shaky']}"), "shaky"), "the data there has changed")
        wait_for("the backend to be up", lambda: self._works("shaky"), LONG, pause=2)
        self.all_is_in_order()

    def _works(self, backend):
        volume = self.asked("after", backend)
        now = self.rests(volume)
        self.delete_whatever_it_is(volume)
        return now["status"] == "available"

    # -- the end -------------------------------------------------------------------------------------------------

    def all_that_was_kept_is_deleted(self):
        for volume in self.kept.values():
            self.pumice.delete(volume)
        self.kept = {}
        self.all_is_in_order()

    def it_stops(self):
        code = self.pumice.stop()
        expect(code == 0, f"it ended with {code}")
        expect(not panics(), panics())


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--short", action="store_true")
    words.add_argument("--only", default="", help="stories with this in their names")
    words = words.parse_args()
    short = words.short
    story = Story()
    teller = Teller(LOG)
    commands = [
        story.create_while("lvcreate", "hangs"),
        story.create_while("lvcreate", "fails when it is done"),
        story.create_while("lvs", "tells garbage"),
        story.delete_while("lvremove", "fails"),
        story.extend_while("lvextend", "fails when it is done"),
        story.snapshot_while("lvcreate", "fails"),
    ]
    if not short:
        commands += [
            story.create_while("lvcreate", "fails"),
            story.create_while("lvcreate", "hangs when it is done"),
            story.create_while("lvcreate", "tells garbage"),
            story.create_while("lvcreate", "tells nothing"),
            story.create_while("lvcreate", "crashes"),
            story.create_while("lvs", "hangs"),
            story.create_while("lvs", "tells nothing"),
            story.create_while("vgs", "hangs"),
            story.create_while("vgs", "tells garbage"),
            story.create_while("lvcreate", "fails when it is done", "thick-lio"),
            story.copy_while("lvcreate", "fails when it is done", "thick-lio"),
            story.copy_while("lvcreate", "fails when it is done", "thin-lio"),
            story.copy_while("lvremove", "fails", "thick-lio"),
            story.extend_while("lvextend", "fails"),
            story.extend_while("lvextend", "hangs"),
            story.extend_while("lvs", "tells nothing"),
            story.snapshot_while("lvcreate", "hangs"),
            story.snapshot_while("lvcreate", "fails when it is done"),
            story.snapshot_while("lvcreate", "fails when it is done", "thick-lio"),
            story.delete_while("lvremove", "hangs"),
            story.delete_while("lvremove", "fails when it is done"),
            story.delete_while("lvremove", "tells nothing"),
            story.delete_while("lvs", "tells nothing"),
            story.delete_while("lvs", "tells garbage"),
        ]
    full = [story.a_group_is_full, story.in_it_a_volume_is_neither_grown_nor_snapshotted, story.with_room_again_it_works]
    pool = [story.a_pool_runs_full_while_it_is_written, story.with_room_in_the_pool_again_it_works]
    broken = [story.a_volume_cannot_be_read, story.a_volume_that_cannot_be_written_is_deleted]
    disk = [story.a_whole_disk_is_broken, story.the_disk_is_whole_again]
    beginning = [story.stand_ins_are_put_before_the_commands, story.it_begins, story.a_volume_with_data_is_kept_on_each]
    if teller.act("it begins", beginning):
        for step in commands:
            if words.only not in step.__name__.replace("_", " "):
                continue
            # Each is a story of its own.
            if not teller.act(step.__name__.replace("_", " "), [step, story.it_runs_and_has_not_panicked]):
                for left in FAULTS.glob("[lpv]*"):
                    if left.name != "log":
                        left.unlink()
        stories = {"a group is full": full}
        if not short:
            stories |= {"a pool is full": pool, "a volume is broken": broken}
        stories["a disk is broken"] = disk
        for name, steps in stories.items():
            if words.only in name:
                teller.act(name, [*steps, story.it_runs_and_has_not_panicked])
        teller.act("it ends", [story.all_that_was_kept_is_deleted, story.it_stops])
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
