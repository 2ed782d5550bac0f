"""A copy that its owner does not want any more, ended while it is being made."""

import lvm
from stories import Story
from story import Wrong, expect, wait_for


class Cancelled(Story):
    """Of a volume that takes long enough to copy: thick ones do."""

    TITLE = "a copy is cancelled"

    def __init__(self, *args):
        super().__init__(*args)
        self.clone = self.operation = None

    def steps(self):
        return [
            self.a_volume_is_made,
            self.a_copy_of_it_says_how_far_it_is,
            self.it_is_ended_by_its_owner,
            self.nothing_of_it_is_left,
            self.it_cannot_be_ended_twice,
            self.the_next_copy_is_made,
            self.all_are_deleted,
            self.nothing_is_left,
        ]

    def a_volume_is_made(self):
        self.volume = self.make("to be copied", 1)

    def under_way(self):
        """The operation that makes the clone, once it has begun to copy."""
        for one in self.pumice.operations():
            if one["volume_id"] == self.clone and (one["progress"] or {}).get("bytes_done"):
                return one
        status = self.pumice.shown("volume", self.clone)["status"]
        expect(status == "creating", f"the copy is {status} already")
        return None

    def a_copy_of_it_says_how_far_it_is(self):
        self.clone = self.pumice.ask_for_volume("a copy", 1, volume_type=self.backend, source_volid=self.volume)
        self.operation = wait_for("progress", self.under_way, pause=0.01)
        progress = self.operation["progress"]
        expect(progress["bytes_done"] < progress["bytes_total"] == 1 << 30, progress)

    def it_is_ended_by_its_owner(self):
        status, _, answer = self.end_it()
        expect(status == 202, f"{status} {answer}")
        try:
            now = self.pumice.becomes(self.clone, "available")
        except Wrong as wrong:
            expect("error" in str(wrong), wrong)
        else:
            raise Wrong(f"it was made all the same: {now}")

    def end_it(self):
        return self.pumice.request("DELETE", f"/inspect/operations/{self.operation['id']}")

    def nothing_of_it_is_left(self):
        there = lvm.volumes(self.group)
        expect(set(there) == {f"volume-{self.volume}"}, there)
        expect(self.pumice.operations() == [], self.pumice.operations())

    def it_cannot_be_ended_twice(self):
        status, _, answer = self.end_it()
        expect(status in (404, 409), f"{status} {answer}")

    def the_next_copy_is_made(self):
        self.pumice.delete(self.clone)
        self.clone = self.make("another copy", 1, source_volid=self.volume)

    def all_are_deleted(self):
        self.pumice.delete(self.clone)
        self.pumice.delete(self.volume)
