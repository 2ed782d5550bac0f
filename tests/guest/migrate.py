#!/usr/bin/env python3
"""Volumes are moved between two hosts, and the data is what it was: LVM thick to LVM thin, LVM to files, files to LVM.

Runs as root inside the guest (README.md): migrate.py [--rounds N] [--seed N] [--kills-only]. First each way once, undisturbed: what the kernel's
initiator wrote on one host it reads on the other. Then again and again, while the control node and both volume nodes are killed
(`kill -9`) at random moments: the volume is moved or where it was, its content the same, and nothing is left over on either host.
"""

import argparse
import collections
import hashlib
import os
import pathlib
import random
import sys
import time

import lvm
from cluster import Cluster
from initiator import GIB, MIB, connector, log_in, log_out, make_ready
from pumice import LOG, panics
from story import Teller, expect, run

FILES = pathlib.Path("/srv/files")
GROUPS = {"thick": "vg1", "thin": "vg2"}
DISK_OF_FILES = "/dev/ubdd"

# Slow enough that a copy is in the middle of it when something is killed.
LIMIT = "96MiB"

HOSTS = {
    "one": f"""
[backend.thick]
driver = "lvm"
volume_group = "vg1"
lvm_type = "default"
volume_clear_size = 16
volume_copy_bps_limit = "{LIMIT}"
target = "lio"
target_portal = "127.0.0.1:3260"
""",
    "two": f"""
[backend.thin]
driver = "lvm"
volume_group = "vg2"
lvm_type = "thin"
volume_copy_bps_limit = "{LIMIT}"
target = "lio"
target_portal = "127.0.0.1:3261"

[backend.files]
path = "{FILES}"
volume_copy_bps_limit = "{LIMIT}"
target = "tgt"
target_portal = "127.0.0.1:3262"
""",
}
HOME_OF = {"thick": "one", "thin": "two", "files": "two"}
SIZE = 1
# How long one migration may take, with all that is killed meanwhile.
MOVED = 600


def write_pattern(device, seed):
    """Random bytes at random places, at the beginning and at the very end; zeros between them. Returns the checksum of all."""
    chance = random.Random(seed)
    with open(device, "r+b", buffering=0) as file:
        size = os.lseek(file.fileno(), 0, os.SEEK_END)
        expect(size == SIZE * GIB, f"{device} has {size} bytes")
        places = [0, size - MIB] + [chance.randrange(0, size - 16 * MIB) for _ in range(24)]
        for place in places:
            length = MIB if place in (0, size - MIB) else chance.randrange(1, 12 * MIB)
            whole = chance.randbytes(length // 512 * 512 or 512)
            os.pwrite(file.fileno(), whole, place // 512 * 512)
        os.fsync(file.fileno())
    return checksum(device)


def checksum(path):
    """Of all that a device or a file holds, read past the page cache of earlier reads."""
    run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(4 * MIB):
            digest.update(block)
    return digest.hexdigest()


class Story:
    def __init__(self, rounds, seed, kills_only):
        self.rounds, self.seed, self.kills_only = rounds, seed, kills_only
        self.random = random.Random(seed)
        self.cluster = Cluster(HOSTS)
        self.killed = collections.Counter()
        self.ended = collections.Counter()
        self.volume = None
        self.last_killed = []

    # -- what is where -------------------------------------------------------------------------------------------

    def pool(self, backend):
        return self.cluster.pool_of(HOME_OF[backend], backend)

    def backend_of(self, volume):
        return self.cluster.shown("volume", volume)["os-vol-host-attr:host"].partition("@")[2].partition("#")[0]

    def awake(self):
        """The storage of the volume, wherever it is now."""
        name, backend = self.cluster.storage_name(self.volume), self.backend_of(self.volume)
        if backend == "files":
            return FILES / name
        path = pathlib.Path(lvm.path_of(GROUPS[backend], name))
        return path if path.exists() else lvm.activate(GROUPS[backend], name)

    def nothing_is_left_over(self):
        """Every storage has what the records say, and nothing else."""
        wanted = collections.defaultdict(set)
        for volume in self.cluster.volumes():
            wanted[self.backend_of(volume["id"])].add(self.cluster.storage_name(volume["id"]))
        deadline = time.monotonic() + 60
        while True:
            there = {name: set(lvm.volumes(group)) - {f"{group}-pool"} for name, group in GROUPS.items()}
            there["files"] = {path.name for path in FILES.iterdir()} - {".pumice.lock", "lost+found"}
            wrong = {name: there[name] ^ wanted[name] for name in there if there[name] != wanted[name]}
            if not wrong:
                break
            expect(time.monotonic() < deadline, f"left over, or missing: {wrong}")
            time.sleep(1)
        found = self.cluster.fsck()
        expect(not found, f"fsck finds {found}")
        expect(not panics(), panics())

    # -- one migration -------------------------------------------------------------------------------------------

    def has_ended(self):
        """How the migration ended, or None while it has not, or the control node is dead."""
        try:
            now = self.cluster.shown("volume", self.volume)
        except OSError:
            return None
        status = now["os-vol-mig-status-attr:migstat"]
        return status if status in ("success", "error") and now["status"] == "available" else None

    def moves(self, to, disturb=None):
        """Asks for it, and waits for its end; `disturb` is called in between, as often as it likes."""
        before = self.backend_of(self.volume)
        self.cluster.migrate(self.volume, self.pool(to))
        began = time.monotonic()
        while (status := self.has_ended()) is None:
            expect(time.monotonic() - began < MOVED, f"it did not end: {self.cluster.operations()}")
            if disturb is not None:
                disturb()
            time.sleep(0.05)
        took = time.monotonic() - began
        self.cluster.rests()
        self.ended[status] += 1
        expect(self.backend_of(self.volume) == (to if status == "success" else before), f"{status}, and it is elsewhere")
        return status, took

    # -- the steps -----------------------------------------------------------------------------------------------

    def everything_is_made_ready(self):
        lvm.make_group("vg1", False)
        lvm.make_group("vg2", True)
        run("mkfs.ext4", "-q", DISK_OF_FILES)
        FILES.mkdir(parents=True)
        run("mount", DISK_OF_FILES, FILES)
        FILES.chmod(0o700)
        make_ready()
        self.cluster.start()

    def a_volume_is_made_on_host_one(self):
        # Of no type: a type that names a backend would keep it there.
        self.volume = self.cluster.create("moved", SIZE)
        self.cluster.rests()
        if self.backend_of(self.volume) != "thick":
            self.moves_well("thick")

    def what_an_initiator_wrote_is_there_after_each_move(self):
        for number, to in enumerate(["thin", "thick", "files", "thick"]):
            way = f"{self.backend_of(self.volume)} to {to}"
            written = self.attached(lambda device, number=number: write_pattern(device, f"{self.seed}-{number}"))
            took = self.moves_well(to)
            expect(self.attached(checksum) == written, f"{way}: the data is not what it was")
            self.nothing_is_left_over()
            print(f"    {way}: {took:.1f} s for {SIZE} GiB, at most {LIMIT} a second", flush=True)

    def everything_is_killed_at_random_moments_while_it_moves(self):
        for number in range(self.rounds):
            start = self.backend_of(self.volume)
            to = self.random.choice(["thin", "files"]) if start == "thick" else "thick"
            written = write_pattern(self.awake(), f"{self.seed}-round-{number}")
            status, took = self.moves(to, self.killer())
            expect(checksum(self.awake()) == written, f"round {number}, {start} to {to}: the data is not what it was ({status})")
            self.nothing_is_left_over()
            print(f"    round {number}: {start} to {to}: {status} after {took:.1f} s, killed {self.last_killed}", flush=True)
        print(f"    killed: {dict(self.killed)}; ended: {dict(self.ended)}", flush=True)
        expect(self.ended["success"] > 0, "no migration succeeded")

    def nothing_is_left_once_it_is_deleted(self):
        self.cluster.delete(self.volume)
        self.nothing_is_left_over()

    def attached(self, use):
        """What `use` returns of the volume as a disk of the kernel's initiator."""
        attachment, connection = self.cluster.attach(self.volume, connector())
        device = log_in(connection)
        found = use(device)
        log_out(connection)
        self.cluster.detach(self.volume, attachment)
        return found

    def moves_well(self, to):
        status, took = self.moves(to)
        expect(status == "success", f"to {to}: {status}, {self.cluster.messages(self.volume)}")
        return took

    def killer(self):
        """Kills one to three nodes, each at a moment of its own; each is started again at once, or a moment later."""
        self.last_killed = []
        plan = []
        moment = time.monotonic()
        for _ in range(self.random.randint(1, 3)):
            moment += self.random.uniform(0, 8)
            plan.append((moment, self.random.choice(self.cluster.nodes), self.random.choice([0, 0, 1, 3])))

        def kill():
            while plan and time.monotonic() >= plan[0][0]:
                _, name, pause = plan.pop(0)
                self.cluster.kill_node(name)
                self.killed[name] += 1
                self.last_killed.append(name)
                time.sleep(pause)
                self.cluster.start_again(name)

        return kill

    def the_nodes_end_in_order(self):
        codes = self.cluster.stop()
        expect(codes == [0] * len(codes), f"they ended with {codes}")
        code, said = self.cluster.fsck_at_rest()
        expect(code == 0, f"fsck ended with {code}: {said}")

    def steps(self):
        steps = [self.everything_is_made_ready, self.a_volume_is_made_on_host_one]
        if not self.kills_only:
            steps.append(self.what_an_initiator_wrote_is_there_after_each_move)
        if self.rounds > 0:
            steps.append(self.everything_is_killed_at_random_moments_while_it_moves)
        return [*steps, self.nothing_is_left_once_it_is_deleted, self.the_nodes_end_in_order]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--kills-only", action="store_true", help="leave out the moves that nothing disturbs")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    teller = Teller(LOG)
    teller.act("a volume moves between two hosts", Story(chosen.rounds, chosen.seed, chosen.kills_only).steps())
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
