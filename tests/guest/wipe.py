#!/usr/bin/env python3
"""What one tenant's volumes, snapshots and copies held is read by no volume that is made later: after every verb by which space
goes back, one that takes all that is free is read from end to end. Thick and thin volumes, also in a pool whose zeroing lvm.conf
turns off or somebody did; files.

Runs as root inside the guest (README.md). Everything a tenant writes carries a mark, every 64 bytes. Groups are small: all of what
is free is read again and again.
"""

import os
import pathlib
import shutil
import sys

import initiator
import lvm
from initiator import GIB, MIB, connector
from pumice import HOME, LOG, SHARE, Pumice, panics
from story import Teller, Wrong, expect, run, wait_for

GROUP = "vg1"
# Room for three volumes of 1 GiB, or two and a snapshot.
SIZE = 3
MARK = b"OTHER-TENANT"
LOCAL = pathlib.Path("/etc/lvm/lvmlocal.conf")
FOLDER = HOME / "volumes" / "b"

SERVICE = """
[quota]
volumes = 1000
snapshots = 1000
gigabytes = 100000
[service]
report_interval = "5s"
[operations]
resend_after = "3s"
retry_initial = "500ms"
retry_max = "2s"
[backend.b]
target = "lio"
target_portal = "127.0.0.1:3260"
backend_stats_polling_interval = "5s"
"""


def fill(device, start, mib):
    block = MARK.ljust(64, b".") * (MIB // 64)
    with open(device, "r+b", buffering=0) as file:
        file.seek(start * MIB)
        for _ in range(mib):
            file.write(block)
        os.fsync(file.fileno())


def zero(device, start, mib):
    with open(device, "r+b", buffering=0) as file:
        file.seek(start * MIB)
        for _ in range(mib):
            file.write(bytes(MIB))
        os.fsync(file.fileno())


def marks(device):
    initiator.forget_cache()
    found = 0
    with open(device, "rb", buffering=0) as file:
        while piece := file.read(4 * MIB):
            found += piece.count(MARK)
    return found


class Wiping:
    """One backend: each step leaves nothing but what is free, and that is read by the next tenant."""

    FREE = SIZE

    def __init__(self):
        self.pumice = None

    def section(self):
        return f'driver = "lvm"\nvolume_group = "{GROUP}"\nlvm_type = "{self.KIND}"\n'

    def prepare(self):
        # Not from its beginning: LVM would find its label on both devices.
        sectors = SIZE * GIB // 512 + 131072
        run("dmsetup", "create", "small", "--table", f"0 {sectors} linear /dev/ubdb 2048")
        run("vgcreate", "-q", GROUP, "/dev/mapper/small")

    def begin(self):
        shutil.rmtree(HOME, ignore_errors=True)
        self.prepare()
        self.pumice = Pumice(SERVICE + self.section())
        self.before_start()
        self.pumice.start()

    def before_start(self):
        """What is to be seen of the storage as it is found."""

    def end(self):
        expect(self.pumice.stop() == 0, "it did not stop well")
        expect(not panics(), panics())
        self.remove_storage()

    def tidy(self):
        self.pumice.kill()
        self.remove_storage(by_force=True)

    def remove_storage(self, by_force=False):
        run("vgremove", "-ff", "-y", GROUP, check=False)
        run("dmsetup", "remove", "--force" if by_force else "--retry", "small", check=False)

    def steps(self):
        return [self.begin, *[self.then_read(verb) for verb in self.verbs()], self.end]

    def verbs(self):
        """What gives space back, in every kind of storage."""
        return [
            self.a_volume_is_deleted,
            self.a_snapshot_is_deleted,
            self.a_volume_is_made_of_a_snapshot,
            self.a_volume_goes_back_to_a_smaller_snapshot,
            self.a_volume_grows,
            self.a_volume_is_forgotten_and_adopted,
        ]

    def then_read(self, verb):
        """The verb, and then the next tenant."""

        def step():
            verb()
            self.all_is_gone()
            self.the_next_tenant_reads_nothing()

        step.__name__ = verb.__name__
        return step

    def device(self, name):
        return f"/dev/{GROUP}/{name}"

    def volume(self, size=1, marked=True, **more):
        """A tenant's volume: all of it is marked."""
        volume = self.create("theirs", size, **more)
        if marked:
            fill(self.device(f"volume-{volume}"), 0, size * 1024)
        return volume

    def names(self):
        return [name for name in lvm.volumes(GROUP) if name != f"{GROUP}-pool"]

    def all_is_gone(self):
        for snapshot in self.pumice.snapshots():
            self.pumice.delete_snapshot(snapshot["id"])
        for volume in self.pumice.volumes():
            self.pumice.delete(volume["id"])
        expect(self.names() == [], self.names())
        self.no_device_is_left()

    def no_device_is_left(self):
        left = [line for line in run("dmsetup", "ls").stdout.splitlines() if "volume--" in line or "snapshot--" in line]
        expect(not left, left)

    def the_next_tenant_reads_nothing(self):
        self.restart_devices()
        volume = self.next_one()
        device = self.device(f"volume-{volume}")
        self.touch(device)
        found = marks(device)
        self.pumice.delete(volume)
        expect(found == 0, f"{found * 64} bytes of another tenant's were read")

    def restart_devices(self):
        run("vgchange", "-an", GROUP)
        run("vgchange", "-ay", GROUP)
        run("udevadm", "settle", "-t", "30")

    def next_one(self):
        """As large as all that is free, once the scheduler knows that it is."""

        self.wait_for_room(self.FREE)
        return self.pumice.create("the next", SIZE)

    def create(self, name, size, **more):
        self.wait_for_room(min(size, self.FREE))
        return self.pumice.create(name, size, **more)

    def grow(self, volume, size):
        self.wait_for_room(min(size - 1, self.FREE))
        self.pumice.extend(volume, size)

    def wait_for_room(self, gib):
        """Until the scheduler knows of it."""

        def is_free():
            return next(iter(self.pumice.pools().values()))["capabilities"]["free_capacity_gb"] >= gib

        wait_for("room", is_free, 60, pause=0.5)

    def touch(self, device):
        """A thick volume has all its space at once."""

    def lasting(self, snapshot):
        return f"_snapshot-{snapshot}"

    def changed(self):
        """A volume that is zeros now, and a snapshot that has what it was."""
        volume = self.volume()
        snapshot = self.pumice.snapshot(volume, "s")
        zero(self.device(f"volume-{volume}"), 0, 1024)
        return volume, snapshot

    def a_volume_is_deleted(self):
        self.pumice.delete(self.volume(2))

    def a_snapshot_is_deleted(self):
        _, snapshot = self.changed()
        self.pumice.delete_snapshot(snapshot)

    def a_volume_goes_back_to_a_smaller_snapshot(self):
        volume = self.volume(marked=False)
        snapshot = self.pumice.snapshot(volume, "s")
        self.grow(volume, 2)
        fill(self.device(f"volume-{volume}"), 0, 2048)
        self.pumice.revert(volume, snapshot)
        # Before anything else is deleted: the end of it is free now.
        other = self.create("beside", 1)
        device = self.device(f"volume-{other}")
        self.touch(device)
        found = marks(device)
        expect(found == 0, f"{found * 64} bytes of what was cut off were read")

    def a_volume_grows(self):
        self.pumice.delete(self.volume(2))
        volume = self.volume(marked=False)
        self.grow(volume, 3)
        device = self.device(f"volume-{volume}")
        self.touch(device)
        expect(marks(device) == 0, "it grew by what another one had")

    def a_volume_is_made_of_a_snapshot(self):
        volume, snapshot = self.changed()
        made = self.create("of a snapshot", 1, snapshot_id=snapshot)
        expect(marks(self.device(f"volume-{made}")) == GIB // 64, "it does not have its snapshot's data")
        self.pumice.delete(made)
        self.pumice.delete_snapshot(snapshot)
        self.pumice.delete(volume)

    def a_volume_is_forgotten_and_adopted(self):
        volume = self.volume()
        self.pumice.action(volume, "os-unmanage")
        self.pumice.is_gone(volume)
        host = next(iter(self.pumice.pools()))
        body = {"volume": {"host": host, "ref": {"source-name": f"volume-{volume}"}, "name": "adopted"}}
        adopted = self.pumice.ask("POST", "/manageable_volumes", body)["volume"]["id"]
        self.pumice.becomes(adopted, "available")
        expect(marks(self.device(f"volume-{adopted}")) == GIB // 64, "it does not have its data")


class Thick(Wiping):
    """Where snapshots and copies have space of their own in the group."""

    KIND, TITLE = "default", "thick"

    def verbs(self):
        return [
            *super().verbs(),
            self.a_snapshot_is_deleted_whose_volume_is_in_use,
            self.a_snapshot_that_ran_full_is_deleted,
            self.a_snapshot_without_a_device_is_deleted,
            self.a_delete_of_a_snapshot_is_killed_half_way,
            self.a_volume_is_cloned_while_it_changes,
            self.a_clone_is_cancelled,
            self.a_clone_finds_no_room,
        ]

    def a_snapshot_is_deleted_whose_volume_is_in_use(self):
        volume = self.volume()
        snapshot = self.pumice.snapshot(volume, "s")
        attachment, connection = self.pumice.attach(volume, connector())
        device = initiator.log_in(connection)
        # Half of it is saved before the delete begins, and the other half is written while it is at work.
        zero(device, 0, 512)
        self.pumice.ask("DELETE", f"/snapshots/{snapshot}")
        zero(device, 512, 512)
        self.pumice.is_gone(snapshot, "snapshot")
        initiator.log_out(connection)
        self.pumice.detach(volume, attachment)

    def a_snapshot_that_ran_full_is_deleted(self):
        volume = self.volume(marked=False)
        snapshot = self.pumice.snapshot(volume, "s")
        # One that is too small for all that changes, as other tools make them.
        name = self.lasting(snapshot)
        run("lvremove", "-f", f"{GROUP}/{name}")
        fill(self.device(f"volume-{volume}"), 0, 256)
        run("lvcreate", "-y", "-s", "-L", "64m", "-n", name, f"{GROUP}/volume-{volume}")
        zero(self.device(f"volume-{volume}"), 0, 256)
        attributes, _, _ = lvm.volumes(GROUP)[name]
        expect(attributes[4] == "I", f"it did not run full: {attributes}")
        self.pumice.delete_snapshot(snapshot)

    def a_snapshot_without_a_device_is_deleted(self):
        volume, snapshot = self.changed()
        run("lvchange", "-an", "-y", f"{GROUP}/volume-{volume}")
        self.pumice.delete_snapshot(snapshot)

    def a_delete_of_a_snapshot_is_killed_half_way(self):
        _, snapshot = self.changed()
        self.pumice.ask("DELETE", f"/snapshots/{snapshot}")
        name = self.lasting(snapshot)
        wait_for("the wipe", lambda: lvm.volumes(GROUP).get(name, ("s",))[0][0] == "-", 60, pause=0.01)
        self.pumice.kill()
        self.pumice.start()
        self.pumice.is_gone(snapshot, "snapshot")

    def a_volume_is_cloned_while_it_changes(self):
        volume = self.volume()
        self.wait_for_room(1)
        clone = self.pumice.ask_for_volume("a clone", 1, source_volid=volume)
        wait_for("its snapshot", lambda: f"clone-snap-{clone}" in lvm.volumes(GROUP), 60, pause=0.01)
        zero(self.device(f"volume-{volume}"), 0, 1024)
        self.pumice.becomes(clone, "available")
        zero(self.device(f"volume-{clone}"), 0, 1024)

    def under_way(self, volume):
        """The operation that makes it, once it has begun to copy."""
        for one in self.pumice.operations():
            if one["volume_id"] == volume and (one["progress"] or {}).get("bytes_done"):
                return one
        return None

    def a_clone_is_cancelled(self):
        volume = self.volume()
        self.wait_for_room(1)
        clone = self.pumice.ask_for_volume("a clone", 1, source_volid=volume)
        operation = wait_for("progress", lambda: self.under_way(clone), pause=0.01)
        zero(self.device(f"volume-{volume}"), 0, 512)
        self.pumice.request("DELETE", f"/inspect/operations/{operation['id']}")
        wait_for("its end", lambda: self.pumice.shown("volume", clone)["status"] in ("error", "available"))

    def a_clone_finds_no_room(self):
        volume = self.volume(2)
        clone = self.pumice.ask_for_volume("a clone", 2, source_volid=volume)
        try:
            self.pumice.becomes(clone, "available")
        except Wrong:
            return
        raise Wrong("there was room")

class Thin(Wiping):
    """In a pool that lvm.conf has made without zeroing. Discards are kept from the disk, which would give zeros back."""

    KIND, TITLE, FREE = "thin", "thin", SIZE - 0.5

    def prepare(self):
        self.keep = LOCAL.read_text()
        LOCAL.write_text(self.keep + '\nallocation { thin_pool_zero=0 thin_pool_discards="nopassdown" }\n')
        super().prepare()

    def remove_storage(self, by_force=False):
        super().remove_storage(by_force)
        LOCAL.write_text(self.keep)

    def verbs(self):
        return [*super().verbs(), self.somebody_turns_zeroing_off]

    def the_next_tenant_reads_nothing(self):
        super().the_next_tenant_reads_nothing()
        zeroes = run("lvs", "--noheadings", "-o", "zero", f"{GROUP}/{GROUP}-pool").stdout.strip()
        expect(zeroes == "zero", f"the pool's zeroing is {zeroes!r}")

    def touch(self, device):
        """Blocks are handed out when something is written: the rest of each is what matters."""
        size = int(run("blockdev", "--getsize64", device).stdout)
        with open(device, "r+b", buffering=0) as file:
            # Less than a pool of that size has.
            for place in range(0, min(size, 5 * GIB // 2), 64 << 10):
                file.seek(place)
                file.write(b"n" * 4096)
            os.fsync(file.fileno())

    def somebody_turns_zeroing_off(self):
        self.pumice.delete(self.volume(2))
        run("lvchange", "-y", "-Zn", f"{GROUP}/{GROUP}-pool")

        def is_on():
            return run("lvs", "--noheadings", "-o", "zero", f"{GROUP}/{GROUP}-pool").stdout.strip() == "zero"

        wait_for("zeroing", is_on, 30, pause=0.5)
        warning = "zeroing of the thin pool was off"
        wait_for("a word in the log", lambda: warning in LOG.read_text(errors="replace"), 30, pause=0.5)


class Adopted(Thin):
    """A pool that was there, with zeroing off."""

    TITLE = "thin, in a pool that was there without zeroing"

    def prepare(self):
        super().prepare()
        run("lvcreate", "-q", "-y", "-Zn", "-l", "95%FREE", "-T", f"{GROUP}/{GROUP}-pool")

    def before_start(self):
        report = run(SHARE / "pumice", "doctor", "--config", self.pumice.config, check=False).stdout
        expect("zeroing is off" in report and f"lvchange -Zy {GROUP}/{GROUP}-pool" in report, report)

    def verbs(self):
        return [self.a_volume_is_deleted]


class Files(Wiping):
    """Files in a file system that is as small."""

    TITLE = "files"

    def section(self):
        return 'driver = "file"\n'

    def prepare(self):
        run("mkfs.ext4", "-q", "-F", "/dev/ubdc", f"{SIZE + 1}G")
        FOLDER.mkdir(parents=True)
        run("mount", "/dev/ubdc", FOLDER)

    def remove_storage(self, by_force=False):
        if by_force:
            run("umount", "-l", FOLDER, check=False)
        else:
            run("umount", FOLDER)

    def device(self, name):
        return FOLDER / name

    def names(self):
        lasting = ("lost+found", ".pumice.lock")
        return [path.name for path in FOLDER.iterdir() if path.name not in lasting]

    def no_device_is_left(self):
        """Files have none."""

    def restart_devices(self):
        """Files have none."""

    def touch(self, device):
        """Space of a sparse file's own, as an initiator would have it taken; less than the file system has."""
        run("fallocate", "--length", str(min(os.path.getsize(device), 5 * GIB // 2)), device)


def main():
    teller = Teller(LOG)
    initiator.make_ready()
    wanted = sys.argv[1:]
    for kind in (Thick, Thin, Adopted, Files):
        if not wanted or kind.__name__.lower() in wanted:
            backend = kind()
            teller.act(kind.TITLE, backend.steps(), backend.tidy)
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
