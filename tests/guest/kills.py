#!/usr/bin/env python3
"""kill -9 under load, at random moments, of everything that can be killed; then nothing may be lost, stuck or left over.

Runs as root inside the guest (README.md): kills.py [--seconds N] [--seed N] [BACKEND…]. Clients create, snapshot, copy,
extend, attach and delete as fast as they are answered, and remember what they were promised. Meanwhile the service, its
tgtd's and the commands that it runs (lvcreate, lvs, `pumice copy`, …) are killed, the service also while it starts. The
seed, which is printed, decides which process is killed and when; not what the machine is doing then.
"""

import argparse
import collections
import contextlib
import http.client
import os
import pathlib
import random
import signal
import sys
import threading
import time

import lvm
from backends import BACKENDS, assert_all_is_in_order, backend_of, configuration, group_of, make_groups, make_types
from initiator import connector, make_ready, mark, marked
from pumice import LOG, RESTING, Pumice, Refused, daemons, panics
from story import Teller, expect, run, wait_for

CLIENTS = 4
# Each client keeps to this many volumes, for a thick group holds no more.
KEPT = 3
# How long everything may take to come to rest without further disturbance.
REST = 180


class Promised:
    """What a client knows of one volume or snapshot that exists by the answers it received."""

    def __init__(self, kind, which, backend, size=None):
        self.kind, self.which, self.backend = kind, which, backend
        # What an answer has settled, and what may have happened besides where none came.
        self.sizes = {size}
        self.deleted = self.perhaps_deleted = False
        self.snapshots = []


class Client(threading.Thread):
    """One user of the service, who goes on whatever happens."""

    def __init__(self, pumice, number, seed, backends, marks):
        super().__init__(daemon=True)
        self.pumice, self.number, self.backends, self.marks = pumice, number, backends, marks
        self.random = random.Random(f"{seed}-{number}")
        self.ended = threading.Event()
        self.promised, self.mine = [], []
        self.count = collections.Counter()
        self.failure = None

    def run(self):
        verbs = [self.create] * 3 + [self.snapshot] * 2 + [self.from_snapshot, self.clone, self.from_mark]
        verbs += [self.extend, self.attach, self.delete, self.delete_snapshot]
        while not self.ended.is_set():
            try:
                self.delete() if len(self.mine) > KEPT else self.random.choice(verbs)()
            except (OSError, http.client.HTTPException):
                # It is dead: that is the point.
                self.ended.wait(0.2)
            except Refused as refused:
                # Too early, too late, too many: an answer, and nothing has changed.
                if refused.status not in (400, 401, 404, 409, 413, 500, 503):
                    self.failure = refused
                    return
                self.count[refused.status] += 1
                self.ended.wait(0.1)
            except Exception as error:
                self.failure = error
                return

    def ask(self, method, path, body=None):
        return self.pumice.ask(method, path, body, timeout=30)

    def make(self, backend, **more):
        asked = {"size": 1, "name": f"load-{self.number}", "volume_type": backend, **more}
        volume = self.ask("POST", "/volumes", {"volume": asked})["volume"]["id"]
        promised = Promised("volume", volume, backend, 1)
        self.promised.append(promised)
        self.mine.append(promised)
        self.count["volumes"] += 1
        self.perhaps_wait(promised)

    def perhaps_wait(self, promised):
        """Now and then a client waits until its thing has come to rest; otherwise it asks for more at once."""
        if self.random.random() < 0.3:
            return
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline and not self.ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, Refused):
                shown = self.pumice.shown(promised.kind, promised.which)
                if shown is None or shown["status"] in RESTING:
                    return
            self.ended.wait(0.2)

    def any_of_mine(self):
        if not self.mine:
            self.make(self.random.choice(self.backends))
        return self.random.choice(self.mine)

    # -- verbs ---------------------------------------------------------------------------------------------------

    def create(self):
        self.make(self.random.choice(self.backends))

    def snapshot(self):
        volume = self.any_of_mine()
        asked = {"volume_id": volume.which, "name": f"load-{self.number}"}
        made = self.ask("POST", "/snapshots", {"snapshot": asked})["snapshot"]["id"]
        promised = Promised("snapshot", made, volume.backend)
        self.promised.append(promised)
        volume.snapshots.append(promised)
        self.count["snapshots"] += 1
        self.perhaps_wait(promised)

    def from_snapshot(self):
        volume = self.any_of_mine()
        if volume.snapshots:
            self.make(volume.backend, snapshot_id=self.random.choice(volume.snapshots).which, size=1)
            self.count["from snapshot"] += 1

    def clone(self):
        volume = self.any_of_mine()
        self.make(volume.backend, source_volid=volume.which, size=max(volume.sizes))
        self.mine[-1].sizes = {max(volume.sizes)}
        self.count["clones"] += 1

    def from_mark(self):
        backend = self.random.choice(self.backends)
        volume, snapshot = self.marks[backend]
        source = {"snapshot_id": snapshot} if self.random.random() < 0.5 else {"source_volid": volume}
        self.make(backend, **source)

    def extend(self):
        volume = self.any_of_mine()
        size = max(volume.sizes) + 1
        before, volume.sizes = volume.sizes, volume.sizes | {size}
        try:
            self.ask("POST", f"/volumes/{volume.which}/action", {"os-extend": {"new_size": size}})
        except Refused as refused:
            if refused.status < 500:
                volume.sizes = before
            raise
        volume.sizes = {size}
        self.count["extended"] += 1
        self.perhaps_wait(volume)

    def attach(self):
        volume = self.any_of_mine()
        asked = {"volume_uuid": volume.which, "connector": connector()}
        made = self.ask("POST", "/attachments", {"attachment": asked})["attachment"]["id"]
        self.count["attached"] += 1
        self.ended.wait(self.random.random())
        self.ask("DELETE", f"/attachments/{made}")
        self.count["detached"] += 1

    def delete(self):
        if self.mine:
            volume = self.random.choice(self.mine)
            for snapshot in list(volume.snapshots):
                self.take_away(snapshot, volume.snapshots)
            self.take_away(volume, self.mine)

    def delete_snapshot(self):
        volume = self.any_of_mine()
        if volume.snapshots:
            self.take_away(self.random.choice(volume.snapshots), volume.snapshots)

    def take_away(self, promised, from_):
        # It may happen and die before it answers.
        before, promised.perhaps_deleted = promised.perhaps_deleted, True
        try:
            self.ask("DELETE", f"/{promised.kind}s/{promised.which}")
            promised.deleted = True
            self.count["deleted"] += 1
        except Refused as refused:
            if refused.status == 404:
                # An earlier try that was not answered.
                expect(before, f"{promised.kind} {promised.which} was promised and is lost")
            elif refused.status < 500:
                promised.perhaps_deleted = before
                raise
            else:
                raise
        from_.remove(promised)
        self.perhaps_wait(promised)


# -- the killers ---------------------------------------------------------------------------------------------------


def children(parent):
    """The commands that a process runs, tgtd aside: process id → what it is."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The name, in brackets, may have anything in it.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) != parent or fields[0] == "Z":
                continue
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            name = os.path.basename(words[0])
            if name == "tgtd":
                continue
            found[int(folder.name)] = f"pumice {words[1]}" if name == "pumice" and len(words) > 1 else name
    return found


class Killer:
    """Decides by the seed, and counts."""

    def __init__(self, pumice, seed):
        self.pumice, self.random = pumice, random.Random(f"{seed}-killer")
        self.killed = collections.Counter()

    def go_on_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.2, 2.5))
            who = self.random.choices([self.service, self.command, self.target], [4, 5, 1])[0]
            who()

    def service(self):
        self.pumice.process.kill()
        self.pumice.process.wait()
        self.killed["pumice"] += 1
        while self.random.random() < 0.25:
            self.pumice.spawn()
            time.sleep(self.random.uniform(0.05, 1.5))
            self.pumice.process.kill()
            self.pumice.process.wait()
            self.killed["pumice while it started"] += 1
        self.pumice.spawn()
        # Clients are served, and the next may die, before every backend has reported what it has.
        self.pumice.becomes_ready(reports=False)

    def command(self):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            running = children(self.pumice.process.pid)
            if running:
                pid, name = self.random.choice(sorted(running.items()))
                time.sleep(self.random.uniform(0, 0.3))
                if children(self.pumice.process.pid).get(pid) == name:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed[name] += 1
                        return
            time.sleep(0.01)

    def target(self):
        running = daemons("tgtd")
        if running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(sorted(running)), signal.SIGKILL)
                self.killed["tgtd"] += 1


# -- the story -----------------------------------------------------------------------------------------------------


class Story:
    def __init__(self, words):
        self.backends = words.backends or list(BACKENDS)
        self.seconds, self.seed = words.seconds, words.seed
        self.pumice = Pumice(
            configuration(self.backends)
            + '[operations]\nresend_after = "3s"\nretry_initial = "500ms"\nretry_max = "2s"\n'
        )
        self.killer = Killer(self.pumice, self.seed)
        self.marks, self.clients, self.after = {}, [], {}

    def it_begins(self):
        make_ready()
        make_groups(self.backends)
        self.pumice.start()
        make_types(self.pumice, self.backends)

    def volumes_with_data_and_their_snapshots_are_made(self):
        for backend in self.backends:
            volume = self.pumice.create(f"marked {backend}", 1, volume_type=backend)
            mark(lvm.activate(group_of(backend), f"volume-{volume}"), f"old {backend}")
            snapshot = self.pumice.snapshot(volume, f"marked {backend}")
            mark(lvm.path_of(group_of(backend), f"volume-{volume}"), f"new {backend}")
            self.marks[backend] = (volume, snapshot)

    def everything_is_killed_again_and_again_under_load(self):
        self.clients = [
            Client(self.pumice, number, self.seed, self.backends, self.marks) for number in range(CLIENTS)
        ]
        for client in self.clients:
            client.start()
        try:
            self.killer.go_on_for(self.seconds)
        finally:
            for client in self.clients:
                client.ended.set()
            for client in self.clients:
                client.join(100)
        done = sum((client.count for client in self.clients), collections.Counter())
        print(f"    asked for and answered: {dict(done)}", flush=True)
        print(f"    killed: {dict(self.killer.killed)}", flush=True)
        failures = [client.failure for client in self.clients if client.failure]
        expect(not failures, failures)

    def it_runs(self):
        expect(self.pumice.process.poll() is None, f"it ended with {self.pumice.process.returncode}")
        self.pumice.becomes_ready()

    def everything_comes_to_rest(self):
        self.pumice.rests(REST)
        both = [("volume", one) for one in self.pumice.volumes()] + [("snapshot", one) for one in self.pumice.snapshots()]
        print(f"    at rest: {dict(collections.Counter((kind, one['status']) for kind, one in both))}", flush=True)
        self.after = {one["id"]: one for _, one in both}

    def nothing_promised_is_lost(self):
        lost = []
        for promised in (promised for client in self.clients for promised in client.promised):
            there = self.after.get(promised.which)
            fine = there is not None and not there["status"].startswith("error")
            what = f"{promised.kind} {promised.which} on {promised.backend}"
            if promised.deleted and fine:
                lost.append(f"{what} was deleted and is {there['status']}")
            if not promised.perhaps_deleted and there is None:
                lost.append(f"{what} is not there")
            if promised.kind == "volume" and fine and there["size"] not in promised.sizes:
                lost.append(f"{what} has {there['size']} GiB, not {promised.sizes}")
        expect(not lost, "; ".join(lost))

    def no_device_is_left_suspended(self):
        shown = run("dmsetup", "info", "-c", "--noheadings", "--separator", " ", "-o", "suspended,name").stdout
        stuck = [line for line in shown.splitlines() if line.lower().startswith("suspended")]
        expect(not stuck, stuck)

    def storage_targets_and_quota_are_what_the_records_say(self):
        assert_all_is_in_order(self.pumice, self.backends, seconds=60)

    def the_data_is_intact(self):
        for backend in self.backends:
            volume, snapshot = self.marks[backend]
            group, thin, _, _ = BACKENDS[backend]
            expect(marked(lvm.activate(group, f"volume-{volume}"), f"new {backend}"), f"{backend}: the volume has changed")
            # A thick one is active with its origin.
            old = lvm.path_of(group, f"_snapshot-{snapshot}")
            if thin:
                lvm.activate(group, f"_snapshot-{snapshot}")
            expect(marked(old, f"old {backend}"), f"{backend}: the snapshot has changed")
            if thin:
                run("lvchange", "-a", "n", "-K", f"{group}/_snapshot-{snapshot}")

    def copies_made_meanwhile_have_the_data(self):
        count = 0
        for one in self.after.values():
            backend = backend_of(one) if "size" in one and "os-vol-host-attr:host" in one else None
            if backend not in self.marks or one["status"] != "available":
                continue
            volume, snapshot = self.marks[backend]
            if one["source_volid"] == volume or one["snapshot_id"] == snapshot:
                path = lvm.activate(group_of(backend), f"volume-{one['id']}")
                seed = "new" if one["source_volid"] == volume else "old"
                expect(marked(path, f"{seed} {backend}"), f"{one['id']} on {backend} has something else in it")
                count += 1
        print(f"    copies: {count}", flush=True)

    def each_backend_still_does_everything(self):
        for backend in self.backends:
            volume = self.pumice.create(f"after {backend}", 1, snapshot_id=self.marks[backend][1], volume_type=backend)
            path = lvm.activate(group_of(backend), f"volume-{volume}")
            expect(marked(path, f"old {backend}"), f"{backend}: the snapshot as a volume has something else in it")
            attachment, _ = self.pumice.attach(volume, connector())
            self.pumice.detach(volume, attachment)
            self.pumice.extend(volume, 2)
            self.pumice.delete(volume)

    def everything_can_be_deleted(self):
        for attachment in self.pumice.attachments():
            self.pumice.ask("DELETE", f"/attachments/{attachment['id']}")
        for snapshot in self.pumice.snapshots():
            self._delete("snapshot", snapshot)
        wait_for("snapshots to be gone", lambda: not self.pumice.snapshots(), REST, pause=0.5)
        for volume in self.pumice.volumes():
            self._delete("volume", volume)
        wait_for("volumes to be gone", lambda: not self.pumice.volumes(), REST, pause=0.5)

    def _delete(self, kind, one):
        if one["status"] in ("available", "error"):
            self.pumice.ask("DELETE", f"/{kind}s/{one['id']}")
        else:
            self.pumice.ask("POST", f"/{kind}s/{one['id']}/action", {"os-force_delete": {}})

    def nothing_is_left(self):
        assert_all_is_in_order(self.pumice, self.backends)
        for backend in self.backends:
            there = set(lvm.volumes(group_of(backend))) - {f"{group_of(backend)}-pool"}
            expect(not there, there)

    def it_stops_without_having_panicked(self):
        code = self.pumice.stop()
        expect(code == 0, f"it ended with {code}")
        expect(not panics(), panics())


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--seconds", type=float, default=75)
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    words.add_argument("backends", nargs="*")
    story = Story(words.parse_args())
    teller = Teller(LOG)
    print(f"seed {story.seed}", flush=True)
    if teller.act(
        "before",
        [story.it_begins, story.volumes_with_data_and_their_snapshots_are_made],
    ):
        # Each of these is a question of its own: one answered with no does not keep the others from being asked.
        print("--- kills", flush=True)
        for step in (
            story.everything_is_killed_again_and_again_under_load,
            story.it_runs,
            story.everything_comes_to_rest,
            story.nothing_promised_is_lost,
            story.no_device_is_left_suspended,
            story.storage_targets_and_quota_are_what_the_records_say,
            story.the_data_is_intact,
            story.copies_made_meanwhile_have_the_data,
            story.each_backend_still_does_everything,
            story.everything_can_be_deleted,
            story.nothing_is_left,
            story.it_stops_without_having_panicked,
        ):
            teller.step(step.__name__.replace("_", " "), step)
    survived = sum(story.killer.killed.values())
    print(f"seed {story.seed}: {survived} kills, {'survived' if not teller.failed else 'not survived'}", flush=True)
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
