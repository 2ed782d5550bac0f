#!/usr/bin/env python3
"""The crash matrix on real storage: Pumice is killed before and after every step of every verb and every command that LVM receives,
started again, and compared with the answers to its client, what LVM and the target have, the data, and `pumice fsck`.

Runs as root inside the guest (README.md), with a debug build, which has the points to die at. Arguments: the backends ("thin-lio",
…). Which points there are is what one run without a kill reaches. Commits have no storage: `make test` kills at those.
"""

import http.client
import pathlib
import sys
import time

import lvm
from backends import BACKENDS, assert_all_is_in_order, configuration, group_of, host_of, make_groups, make_types
from initiator import connector, make_ready, mark, marked
from pumice import LOG, SHARE, Pumice, panics
from story import Teller, Wrong, expect, run, wait_for

POINTS = pathlib.Path("/run/pumice-points")
MANAGED = "adopted"
QUICK = '[operations]\nresend_after = "3s"\nretry_initial = "500ms"\nretry_max = "2s"\n'


class Died(Wrong):
    """It was killed: the client no longer waits for an answer."""


class Mortal(Pumice):
    """One that may be dead when it is asked."""

    def request(self, *args, **kwargs):
        try:
            return super().request(*args, **kwargs)
        except (OSError, http.client.HTTPException) as error:
            # The connection may break before the process is gone.
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise Died(f"it has died: {error}") from error
                time.sleep(0.02)
            raise


class Matrix:
    """One backend's verbs, in acts. Each makes what it needs: its points are those that no earlier one comes to."""

    def __init__(self, backend):
        self.backend, self.group = backend, group_of(backend)
        self.pumice = Mortal(configuration([backend]) + QUICK)
        self.base = self.snapshot_of_base = self.host = None
        # The answers to the client's requests: id → kind, whether it is there.
        self.answered = {}
        self.copies, self.beside = set(), set()
        self.points, self.killed, self.missed = [], 0, []

    # -- verbs ---------------------------------------------------------------------------------------------------

    def volume(self, **source):
        made = self.pumice.ask_for_volume("matrix", 1, volume_type=self.backend, **source)
        self.answered[made] = ("volume", True)
        if source:
            self.copies.add(made)
        self.pumice.becomes(made, "available")
        return made

    def snapshot(self, volume):
        asked = {"snapshot": {"volume_id": volume, "name": "matrix"}}
        made = self.pumice.ask("POST", "/snapshots", asked)["snapshot"]["id"]
        self.answered[made] = ("snapshot", True)
        self.pumice.becomes(made, "available", "snapshot")
        return made

    def goes(self, kind, which, verb):
        """Sends what ends it; until that is answered, its state is unknown."""
        del self.answered[which]
        verb()
        self.answered[which] = (kind, False)
        self.pumice.is_gone(which, kind)

    def delete(self, which, kind="volume", how=""):
        self.goes(kind, which, lambda: self.pumice.ask("DELETE", f"/{kind}s/{which}{how}"))

    # -- acts ----------------------------------------------------------------------------------------------------

    def it_starts(self):
        pass

    def a_volume_lives(self):
        self.delete(self.volume())

    def a_volume_grows(self):
        self.pumice.extend(self.volume(), 2)

    def a_snapshot_lives(self):
        self.delete(self.snapshot(self.volume()), "snapshot")

    def a_snapshot_becomes_a_volume(self):
        self.volume(snapshot_id=self.snapshot_of_base)

    def a_volume_is_cloned(self):
        self.volume(source_volid=self.base)

    def a_volume_goes_back(self):
        volume = self.volume()
        self.pumice.revert(volume, self.snapshot(volume))

    def a_volume_is_connected(self):
        volume = self.volume()
        attachment, _ = self.pumice.attach(volume, connector())
        self.pumice.extend(volume, 2)
        self.pumice.detach(volume, attachment)

    def a_volume_goes_with_its_snapshots(self):
        volume = self.volume()
        # It may have gone alone, before the volume's delete was answered.
        del self.answered[self.snapshot(volume)]
        self.delete(volume, how="?cascade=true")

    def a_volume_is_let_go_and_taken_in(self):
        volume = self.volume()
        snapshot = self.snapshot(volume)
        lv = f"_snapshot-{snapshot}"
        self.beside.add(lv)
        self.goes("snapshot", snapshot, lambda: self.act("snapshot", snapshot, "os-unmanage"))
        asked = {"snapshot": {"volume_id": volume, "ref": {"source-name": lv}, "name": MANAGED}}
        taken = self.pumice.ask("POST", "/manageable_snapshots", asked)["snapshot"]["id"]
        self.answered[taken] = ("snapshot", True)
        self.pumice.becomes(taken, "available", "snapshot")
        self.delete(taken, "snapshot")
        lv = f"volume-{volume}"
        self.beside.add(lv)
        self.goes("volume", volume, lambda: self.act("volume", volume, "os-unmanage"))
        asked = {"volume": {"host": self.host, "ref": {"source-name": lv}, "name": MANAGED, "volume_type": self.backend}}
        taken = self.pumice.ask("POST", "/manageable_volumes", asked)["volume"]["id"]
        self.answered[taken] = ("volume", True)
        self.pumice.becomes(taken, "available")
        self.delete(taken)

    def act(self, kind, which, name):
        self.pumice.ask("POST", f"/{kind}s/{which}/action", {name: None})

    def acts(self):
        return [
            self.it_starts,
            self.a_volume_lives,
            self.a_volume_grows,
            self.a_snapshot_lives,
            self.a_snapshot_becomes_a_volume,
            self.a_volume_is_cloned,
            self.a_volume_goes_back,
            self.a_volume_is_connected,
            self.a_volume_goes_with_its_snapshots,
            self.a_volume_is_let_go_and_taken_in,
        ]

    # -- what is looked at ---------------------------------------------------------------------------------------

    def all_is_as_its_client_was_told(self):
        self.pumice.rests()
        there = {one["id"]: one for one in self.pumice.volumes() + self.pumice.snapshots()}
        for which, (kind, is_there) in self.answered.items():
            expect((which in there) == is_there, f"{kind} {which}: by its client's answer it is there: {is_there}")
        assert_all_is_in_order(self.pumice, [self.backend], self.beside)
        for which in self.copies & set(there):
            if there[which]["status"] == "available":
                path = lvm.activate(self.group, f"volume-{which}")
                expect(marked(path, "base"), f"the copy {which} has something else in it")

    def all_is_deleted(self):
        for attachment in self.pumice.attachments():
            self.pumice.ask("DELETE", f"/attachments/{attachment['id']}")
        self.pumice.rests()
        both = self.pumice.volumes() + self.pumice.snapshots()
        ours = {f"{prefix}-{one['id']}" for one in both for prefix in ("volume", "_snapshot")}
        # Snapshots first: of a thick volume none may be left.
        for lv in sorted(self.beside & set(lvm.volumes(self.group)) - ours):
            run("lvremove", "-f", f"{self.group}/{lv}")
        for volume in self.pumice.volumes():
            if volume["id"] != self.base:
                self.pumice.ask("DELETE", f"/volumes/{volume['id']}?cascade=true")
        wait_for("all to be gone", lambda: len(self.pumice.volumes()) == 1, pause=0.2)
        self.pumice.rests()
        self.answered, self.copies, self.beside = {}, set(), set()

    def the_data_is_intact(self):
        expect(marked(lvm.path_of(self.group, f"volume-{self.base}"), "base"), "the volume beside it has changed")

    def fsck_finds_nothing(self):
        said = run(SHARE / "pumice", "fsck", "--config", self.pumice.config, check=False, seconds=120)
        expect(said.returncode == 0, f"{said.stdout}{said.stderr}")

    # -- the story -----------------------------------------------------------------------------------------------

    def it_begins(self):
        make_groups([self.backend])
        self.pumice.start()
        make_types(self.pumice, [self.backend])
        self.host = host_of(self.pumice, self.backend)
        self.base = self.pumice.create("base", 1, volume_type=self.backend)
        mark(lvm.activate(self.group, f"volume-{self.base}"), "base")
        self.snapshot_of_base = self.pumice.snapshot(self.base, "base")
        expect(self.pumice.stop() == 0, "it does not stop")

    def the_points_are_found(self):
        POINTS.unlink(missing_ok=True)
        self.pumice.env = {"PUMICE_FAILPOINTS": str(POINTS)}
        self.pumice.start()
        known = set()
        for act in self.acts():
            act()
            self.pumice.rests()
            reached = [point for point in POINTS.read_text().splitlines() if not point.startswith("commit ")]
            self.points += [(act, point) for point in reached if point not in known]
            known |= set(reached)
        self.all_is_as_its_client_was_told()
        self.all_is_deleted()
        self.pumice.kill()
        print(f"    {len(self.points)} points", flush=True)

    def dies(self, act, point):
        """Whether it was killed there, and was not asked in vain."""
        self.pumice.env = {"PUMICE_FAILPOINT": point}
        try:
            self.pumice.start()
            act()
            # Some come after the answer.
            self.pumice.rests()
        except Wrong:
            if self.pumice.process.poll() is None:
                raise
        return self.pumice.process.poll() is not None

    def at(self, act, point):
        def step():
            self.fsck_finds_nothing()
            if self.dies(act, point):
                self.killed += 1
            else:
                self.missed.append(point)
            if self.pumice.process.poll() is None:
                self.pumice.kill()
            self.pumice.env = {}
            self.pumice.start()
            self.all_is_as_its_client_was_told()
            self.the_data_is_intact()
            self.all_is_deleted()
            self.pumice.kill()

        step.__name__ = f"{act.__name__}: {point}"
        return step

    def most_points_were_met(self):
        """Some depend on which task is faster."""
        print(f"    killed at {self.killed} of {len(self.points)} points; not at {self.missed}", flush=True)
        expect(self.killed * 100 >= len(self.points) * 95, "at too few")
        self.fsck_finds_nothing()
        expect(not panics(), panics())

    def tidy(self):
        """After a point whose story went wrong: whatever it left, so that the next begins with nothing."""
        if self.pumice.process.poll() is None:
            self.pumice.kill()
        self.pumice.env = {}
        self.pumice.start()
        self.all_is_deleted()
        self.pumice.kill()


def main():
    teller = Teller(LOG)
    teller.step("the initiator is ready", make_ready)
    for backend in sys.argv[1:] or BACKENDS:
        matrix = Matrix(backend)
        if teller.act(f"{backend}: before", [matrix.it_begins, matrix.the_points_are_found]):
            for act, point in matrix.points:
                teller.act(f"{backend}: {point}", [matrix.at(act, point)], matrix.tidy)
            teller.act(f"{backend}: after", [matrix.most_points_were_met])
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
