#!/usr/bin/env python3
"""The life of a volume whose user is a real Linux: the kernel's own iSCSI initiator, a file system, a real reboot of us.

Runs as root inside the guest (README.md). The steps are one story, in order, so the first one that fails ends it. The
last line says how many passed and failed.
"""

import contextlib
import os
import pathlib
import sys

import initiator
from initiator import (
    GIB,
    LOGIN_AUTH_FAILED,
    LOGIN_FAILED,
    MOUNT,
    STRANGER,
    checksum,
    connector,
    log_in,
    log_out,
    mount,
    offered,
    refused,
    sessions,
    size_of,
    umount,
    write,
)
from pumice import HOME, LOG, Pumice, daemons
from story import Teller, expect, run, wait_for
from targets import tgt_targets

VOLUMES = HOME / "volumes"
PORTAL = "127.0.0.1:3261"

BACKEND = f"""
[service]
report_interval = "500ms"
[backend.file]
path = "{VOLUMES}"
target_portal = "{PORTAL}"
"""


def targets():
    """The iSCSI names that tgtd has."""
    return tgt_targets("file")


class Story:
    """The steps share the volume, its attachment and its connection, the device, and checksums by file name."""

    def __init__(self):
        self.pumice = Pumice(BACKEND)
        self.volume = self.attachment = self.connection = self.old = self.device = None
        self.sums = {}

    def expect_files(self):
        for name, digest in self.sums.items():
            expect(checksum(name) == digest, f"the content of {name} has changed")

    def the_initiator_is_ready(self):
        initiator.make_ready()

    def pumice_starts(self):
        self.pumice.start()

    def a_volume_is_made(self):
        self.volume = self.pumice.create("kept", 1)

    def it_is_attached(self):
        self.attachment, self.connection = self.pumice.attach(self.volume, connector())
        expect(self.connection["target_iqn"] in targets(), "tgtd does not have it")

    def a_wrong_secret_is_refused(self):
        refused(self.connection, LOGIN_AUTH_FAILED, secret=(self.connection["auth_username"], "wrong-secret-16b"))

    def another_initiator_is_refused(self):
        expect(offered(PORTAL, "stranger") == [], offered(PORTAL, "stranger"))
        refused(self.connection, LOGIN_FAILED, interface="stranger")

    def the_kernel_logs_in(self):
        self.device = log_in(self.connection)
        expect(sessions() == ["LOGGED_IN"], sessions())
        expect(offered(PORTAL) == [self.connection["target_iqn"]], offered(PORTAL))
        expect(size_of(self.device) == GIB, size_of(self.device))

    def a_file_system_is_made(self):
        run("mkfs.ext4", "-q", self.device)
        mount(self.device)

    def a_file_is_written(self):
        self.sums["first"] = write("first", 32)
        umount()
        mount(self.device)
        self.expect_files()

    def it_is_detached(self):
        umount()
        log_out(self.connection)
        self.pumice.detach(self.volume, self.attachment)
        expect(targets() == [], targets())
        self.old = self.connection

    def attached_again_it_has_a_new_secret(self):
        self.attachment, self.connection = self.pumice.attach(self.volume, connector())
        for key in ("auth_username", "auth_password"):
            expect(self.connection[key] != self.old[key], f"{key} is the old one")

    def the_old_secret_is_refused(self):
        old = (self.old["auth_username"], self.old["auth_password"])
        refused(self.connection, LOGIN_AUTH_FAILED, secret=old)

    def the_file_is_there(self):
        self.device = log_in(self.connection)
        mount(self.device)
        self.expect_files()
        self.it_is_detached()

    def it_is_extended(self):
        self.pumice.extend(self.volume, 2)

    def the_kernel_sees_the_new_size(self):
        self.attachment, self.connection = self.pumice.attach(self.volume, connector())
        self.device = log_in(self.connection)
        expect(size_of(self.device) == 2 * GIB, size_of(self.device))

    def the_file_system_grows(self):
        mount(self.device)
        run("resize2fs", self.device)
        room = os.statvfs(MOUNT)
        expect(room.f_blocks * room.f_frsize > 1.8 * GIB, room)
        self.sums["second"] = write("second", 32)
        self.expect_files()

    def pumice_is_killed_and_started_while_a_write_waits(self):
        self.pumice.kill()
        wait_for("the kernel to notice", lambda: sessions() == ["FAILED"])
        # Its parent is not to wait for the disk itself.
        writer = os.fork()
        if writer == 0:
            with contextlib.suppress(BaseException):
                pathlib.Path("/run/sum").write_text(write("during", 8))
                os._exit(0)
            os._exit(1)
        self.pumice.start()
        wait_for("the session to recover", lambda: sessions() == ["LOGGED_IN"], seconds=60)
        _, status = os.waitpid(writer, 0)
        expect(status == 0, "the write that waited failed")
        self.sums["during"] = pathlib.Path("/run/sum").read_text()

    def the_secret_is_the_same(self):
        shown = self.pumice.ask("GET", f"/attachments/{self.attachment}")["attachment"]
        expect(shown["connection_info"] == self.connection, "the connection has changed")
        expect(shown["status"] == "attached", shown["status"])
        expect(self.connection["target_iqn"] in targets(), "tgtd does not have it")

    def the_files_are_intact(self):
        umount()
        expect(run("e2fsck", "-fn", self.device, check=False).returncode == 0, "the file system is not clean")
        mount(self.device)
        self.expect_files()

    def a_fresh_login_with_the_same_secret_works(self):
        umount()
        log_out(self.connection)
        self.device = log_in(self.connection)
        mount(self.device)
        self.expect_files()

    def it_is_detached_for_good(self):
        self.it_is_detached()

    def coming_back_unasked_is_refused(self):
        # Beside the volume of another: a tgtd that has no target at all closes every connection without an answer, which
        # iscsid takes for a passing fault and tries for minutes.
        beside = self.pumice.create("beside", 1)
        attachment, _ = self.pumice.attach(beside, connector(STRANGER))
        expect(offered(PORTAL) == [], offered(PORTAL))
        refused(self.connection, LOGIN_FAILED)
        self.pumice.detach(beside, attachment)
        self.pumice.delete(beside)

    def it_is_deleted(self):
        self.pumice.delete(self.volume)

    def nothing_is_left(self):
        expect(targets() == [], targets())
        expect(sessions() == [], sessions())
        wait_for("its file to be gone", lambda: not [path for path in VOLUMES.rglob("*volume-*") if path.is_file()])
        expect(not list(pathlib.Path("/sys/block").glob("sd*")), "the kernel has a disk")

    def pumice_stops(self):
        code = self.pumice.stop()
        expect(code == 0, f"it ended with {code}")
        expect(not daemons("tgtd"), "tgtd is left")


def main():
    story = Story()
    teller = Teller(LOG)
    teller.act(
        "a volume's life",
        [
            story.the_initiator_is_ready,
            story.pumice_starts,
            story.a_volume_is_made,
            story.it_is_attached,
            story.a_wrong_secret_is_refused,
            story.another_initiator_is_refused,
            story.the_kernel_logs_in,
            story.a_file_system_is_made,
            story.a_file_is_written,
            story.it_is_detached,
            story.attached_again_it_has_a_new_secret,
            story.the_old_secret_is_refused,
            story.the_file_is_there,
            story.it_is_extended,
            story.the_kernel_sees_the_new_size,
            story.the_file_system_grows,
            story.pumice_is_killed_and_started_while_a_write_waits,
            story.the_secret_is_the_same,
            story.the_files_are_intact,
            story.a_fresh_login_with_the_same_secret_works,
            story.it_is_detached_for_good,
            story.coming_back_unasked_is_refused,
            story.it_is_deleted,
            story.nothing_is_left,
            story.pumice_stops,
        ],
    )
    return teller.end()


if __name__ == "__main__":
    sys.exit(main())
