"""What all stories of a backend share: its volumes as logical volumes, as disks, and that nothing of them is left."""

import contextlib

import initiator
import lvm
from backends import BACKENDS, assert_all_is_in_order, group_of, targets_of
from initiator import GIB, MOUNT, checksum, connector, log_in, log_out, mount, sessions, size_of, umount
from story import expect, run, wait_for

BACKENDS_TRIED = []


class Story:
    """Steps leave what they made to the next."""

    def __init__(self, pumice, backend):
        self.pumice, self.backend = pumice, backend
        self.group, self.thin, self.target, self.portal = BACKENDS[backend]
        self.volume = self.attachment = self.connection = self.device = None
        self.beside = set()

    def lv(self, name):
        """A logical volume's attributes, bytes and origin."""
        there = lvm.volumes(self.group)
        expect(name in there, f"{self.group} has no {name}, but {sorted(there)}")
        return there[name]

    def make(self, name, size=1, **more):
        volume = self.pumice.create(f"{self.backend} {name}", size, volume_type=self.backend, **more)
        attributes, bytes_, _ = self.lv(f"volume-{volume}")
        expect(attributes[0] == ("V" if self.thin else "-"), f"it is not {self.backend}: {attributes}")
        expect(bytes_ == size * GIB, f"it has {bytes_} bytes")
        return volume

    @contextlib.contextmanager
    def attached(self, volume, **kwargs):
        """The volume as a disk, for a while."""
        attachment, connection = self.pumice.attach(volume, connector(), **kwargs)
        device = log_in(connection)
        try:
            yield device
        finally:
            log_out(connection)
        self.pumice.detach(volume, attachment)

    def expect_files(self, files):
        """Exactly these, by name and checksum."""
        names = {path.name for path in MOUNT.iterdir()} - {"lost+found"}
        expect(names == set(files), f"files are {names}, not {set(files)}")
        for name, digest in files.items():
            expect(checksum(name) == digest, f"the content of {name} has changed")

    def expect_files_on(self, volume, files, size):
        with self.attached(volume) as device:
            expect(size_of(device) == size * GIB, f"the disk has {size_of(device)} bytes")
            expect(run("e2fsck", "-fp", device, check=False).returncode in (0, 1), "the file system is broken")
            mount(device)
            try:
                self.expect_files(files)
            finally:
                umount()

    def nothing_is_left(self):
        expect(sessions() == [], sessions())
        expect(initiator.disks() == set(), initiator.disks())
        expect(targets_of(self.backend) == [], targets_of(self.backend))
        expect(self.pumice.volumes() == [], [volume["name"] for volume in self.pumice.volumes()])
        assert_all_is_in_order(self.pumice, BACKENDS_TRIED, self.beside)

    def tidy(self):
        """Whatever a story that failed left, so that the next begins with nothing."""
        run("umount", MOUNT, check=False)
        run("iscsiadm", "-m", "node", "-u", check=False)
        run("iscsiadm", "-m", "node", "-o", "delete", check=False)
        for attachment in self.pumice.attachments():
            self.pumice.ask("DELETE", f"/attachments/{attachment['id']}")
        with contextlib.suppress(Exception):
            self.pumice.rests(60)
        for volume in self.pumice.volumes():
            path = f"/v3/{self.pumice.project}/volumes/{volume['id']}?cascade=True&force=True"
            self.pumice.request("DELETE", path)
        wait_for("the volumes to be gone", lambda: not self.pumice.volumes(), 60, pause=0.5)
        for name in BACKENDS_TRIED:
            for lv in set(lvm.volumes(group_of(name))) - {f"{group_of(name)}-pool"}:
                run("lvremove", "-f", f"{group_of(name)}/{lv}", check=False)
