#!/usr/bin/env python3
"""How long Pumice takes to make and to attach a volume, beside the bare commands that do the same, in the same guest.

Runs as root inside the guest (README.md): bench.py [--rounds N] [--many N] [--strict] [BACKEND…]. The two are measured in
turns, so that whatever else the machine does, it does to both; figures are medians, in milliseconds. Pumice is asked as
a client asks: a volume is made when the API says `available`.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import statistics
import sys
import threading
import time

import bare
import lvm
from backends import BACKENDS, configuration, make_groups, make_types
from initiator import connector, make_ready, own_name
from pumice import LOG, Pumice
from story import expect, run, wait_for

USER, PASSWORD = "bench", "bench-secret-16b"
BARE_IQN = "iqn.2010-10.org.openstack:bare"
# A log as an operator keeps it, and the commands that are counted.
LOGGED = "info,pumice::drivers::command=debug"
# What Pumice may add to the bare commands.
ADDS_SHARE, ADDS_MS = 0.10, 50
# Attachments for each volume that is made: they take milliseconds, and their median needs more of them.
ATTACHMENTS = 5
# How much longer many at once may take than as many bare commands.
MANY = 1.2


class Report:
    def __init__(self):
        self.met = self.missed = 0

    def line(self, what, ours, theirs, limit):
        """Milliseconds; `limit`: what ours may be."""
        met = ours <= limit
        self.met += met
        self.missed += not met
        print(
            f"  {what:<46} {ours:9.0f} ms   bare {theirs:9.0f} ms   ratio {ours / theirs:5.2f}   "
            f"at most {limit:.0f}: {'met' if met else 'MISSED'}",
            flush=True,
        )

    def adds(self, what, ours, theirs):
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        self.line(what, ours, theirs, theirs + max(theirs * ADDS_SHARE, ADDS_MS))


def is_idle():
    """Whether the CPU had nothing to do for a fifth of a second."""

    def clock():
        user, nice, system, idle, iowait, *rest = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        return idle, user + nice + system + iowait + sum(rest)

    idle, busy = clock()
    time.sleep(0.2)
    idle_then, busy_then = clock()
    return (idle_then - idle) >= 10 * (busy_then - busy)


def took(function, *args):
    """From rest: whatever device was closed before this, udev looks into it, later, and a guest has one CPU only."""
    wait_for("the guest to be at rest", is_idle, 120)
    began = time.monotonic()
    result = function(*args)
    return (time.monotonic() - began) * 1000, result


class Made:
    """The volumes whose making the log tells the end of."""

    def __init__(self):
        self.volumes, self.news = set(), threading.Condition()

    def hear(self, line):
        if 'event_type="volume.create.end"' in line:
            with self.news:
                self.volumes.add(re.search(r"volume_id=(\S+)", line)[1])
                self.news.notify_all()

    def wait_for(self, volume, seconds=120):
        with self.news:
            expect(self.news.wait_for(lambda: volume in self.volumes, seconds), "a volume was not made")


class Bench:
    def __init__(self, backend, pumice, made, report):
        self.backend, self.pumice, self.made, self.report = backend, pumice, made, report
        self.group, self.thin, self.target, self.portal = BACKENDS[backend]

    def bare_create(self, name):
        run(*bare.lvcreate_words(self.group, self.thin, name))

    def create(self, name):
        """Until the API says `available`. It is asked when the log tells of the end of the making: a client that asks all
        the time takes from a guest of one CPU what `lvcreate` needs."""
        volume = self.pumice.ask_for_volume(name, 1, volume_type=self.backend)
        self.made.wait_for(volume)
        self.pumice.becomes(volume, "available", pause=0.01)
        return volume

    def remove_bare(self, names):
        if names:
            run("lvremove", "-q", "-f", *(f"{self.group}/{name}" for name in names), seconds=600)

    def delete(self, volumes):
        for volume in volumes:
            self.pumice.ask("DELETE", f"/volumes/{volume}")
        wait_for("the volumes to be gone", lambda: not self.pumice.volumes(), 900, pause=0.5)

    # -- one at a time -------------------------------------------------------------------------------------------

    def one_at_a_time(self, rounds):
        ours, theirs, names, volumes = [], [], [], []
        since = LOG.stat().st_size
        for number in range(rounds):
            theirs.append(took(self.bare_create, f"bare-{number}")[0])
            names.append(f"bare-{number}")
            spent, volume = took(self.create, f"ours-{number}")
            ours.append(spent)
            volumes.append(volume)
        print(f"    each: {[round(ms) for ms in ours]}, bare {[round(ms) for ms in theirs]}", flush=True)
        self.report.adds(f"{self.backend}: create until available", ours, theirs)
        print(f"    commands of ours, all rounds: {commands(since)}", flush=True)
        self.attaching(rounds, names[0], volumes[0])
        self.remove_bare(names)
        self.delete(volumes)

    def attaching(self, rounds, name, volume):
        path = lvm.path_of(self.group, name)
        ours, theirs, gone, bare_gone = [], [], [], []
        tgt = None
        if self.target == "tgt":
            tgt = bare.Tgt("127.0.0.1:3290")
            tgt.start()
        since = LOG.stat().st_size
        for _ in range(rounds * ATTACHMENTS):
            if tgt is not None:
                spent, tid = took(tgt.export, BARE_IQN, path, own_name(), USER, PASSWORD)
                theirs.append(spent)
                bare_gone.append(took(tgt.remove, tid, USER)[0])
            else:
                lio = bare.Lio(BARE_IQN, self.portal)
                theirs.append(took(lio.export, path, own_name(), USER, PASSWORD)[0])
                bare_gone.append(took(lio.remove)[0])
            asked = {"attachment": {"volume_uuid": volume, "connector": connector()}}
            spent, made = took(self.pumice.ask, "POST", "/attachments", asked)
            ours.append(spent)
            path_ = f"/attachments/{made['attachment']['id']}"
            gone.append(took(self.pumice.ask, "DELETE", path_)[0])
            self.pumice.becomes(volume, "available")
        if tgt is not None:
            tgt.stop()
        self.report.adds(f"{self.backend}: attach (POST /attachments)", ours, theirs)
        self.report.adds(f"{self.backend}: detach (DELETE /attachments/…)", gone, bare_gone)
        print(f"    commands of ours, all rounds: {commands(since)}", flush=True)

    def has_room_for(self, many):
        """Until the backend has reported its group without what was just removed; the scheduler believes its last report."""

        def reported():
            pools = self.pumice.pools().values()
            return all(self.thin or pool["capabilities"]["free_capacity_gb"] > many for pool in pools)

        wait_for("a report of the room that was made", reported, 180, pause=1)

    # -- many at once --------------------------------------------------------------------------------------------

    def many_at_once(self, many):
        """Ours beside the same commands: one after the other, and side by side, as many as Pumice lets run at once. Each way
        is the first, the second and the third of a round once, for the machine's speed is not the same for long; both bare
        ways count."""
        names = [f"many-{number}" for number in range(many)]
        width = os.cpu_count() + 1

        def one_after_the_other():
            for name in names:
                self.bare_create(name)

        def side_by_side():
            with concurrent.futures.ThreadPoolExecutor(width) as pool:
                list(pool.map(self.bare_create, names))

        def all_at_once():
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                asked = pool.map(lambda name: self.pumice.ask_for_volume(name, 1, volume_type=self.backend), names)
                volumes = list(asked)
            for volume in volumes:
                self.made.wait_for(volume, 900)

            def all_available():
                states = collections.Counter(volume["status"] for volume in self.pumice.volumes())
                if states["error"]:
                    raise RuntimeError(f"{states}")
                return states["available"] == many

            wait_for("all to be available", all_available, 900, pause=0.1)
            return volumes

        def bare_way(function):
            spent = took(function)[0]
            self.remove_bare(names)
            return spent

        def our_way():
            self.has_room_for(many)
            since = LOG.stat().st_size
            spent, volumes = took(all_at_once)
            print(f"    commands of ours: {commands(since)}", flush=True)
            self.delete(volumes)
            return spent

        ours = f"{many} of ours at once"
        ways = {
            ours: our_way,
            "one after the other": lambda: bare_way(one_after_the_other),
            f"{width} at a time": lambda: bare_way(side_by_side),
        }
        # The disks are files that take their room when they are first written to: that time does not count.
        print(f"    {many} bare, not counted: {bare_way(one_after_the_other):.0f} ms", flush=True)
        times, order = collections.defaultdict(list), list(ways)
        for number in range(len(ways)):
            for what in order[number:] + order[:number]:
                times[what].append(ways[what]())
                print(f"    round {number + 1}, {what}: {times[what][-1]:.0f} ms", flush=True)
        means = {what: statistics.mean(spent) for what, spent in times.items()}
        for what in order[1:]:
            line = f"{self.backend}: {many} at once, beside {what}"
            self.report.line(line, means[ours], means[what], means[what] * MANY)


def commands(since):
    """Which commands Pumice has run since its log had that length."""
    with LOG.open(errors="replace") as file:
        file.seek(since)
        names = re.findall(r"command ended command=(?:\S*/)?(\S+)", file.read())
    return dict(collections.Counter(names))


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--rounds", type=int, default=9)
    words.add_argument("--many", type=int, default=50)
    words.add_argument("--strict", action="store_true", help="a target missed is a failure")
    words.add_argument("backends", nargs="*")
    words = words.parse_args()
    names = words.backends or ["thin-lio", "thin-tgt", "thick-lio"]
    report = Report()
    make_ready()
    make_groups(names)
    for name in names:
        # One after the other: the others' periodic reports are no part of what is measured.
        made = Made()
        pumice = Pumice(configuration([name]), log=LOGGED, keep=True, hear=made.hear)
        pumice.start()
        make_types(pumice, [name])
        bench = Bench(name, pumice, made, report)
        print("--- one at a time, in turns with the bare commands; medians", flush=True)
        bench.one_at_a_time(words.rounds)
        if words.many and name == names[-1]:
            print("--- many at once", flush=True)
            bench.many_at_once(words.many)
        pumice.stop()
    print(f"{report.met} passed, {report.missed} failed", flush=True)
    return 1 if words.strict and report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
