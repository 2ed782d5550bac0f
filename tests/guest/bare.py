"""The same work with nothing between: bare LVM commands, configfs and tgtadm, in as few steps as it takes."""

import contextlib
import os
import uuid

from story import run
from targets import LIO

FABRIC = LIO / "iscsi"


def lvcreate_words(group, thin, name):
    """One GiB, as Cinder's driver asks for it."""
    if thin:
        return ["lvcreate", "-T", "-V", "1g", "-n", name, f"{group}/{group}-pool"]
    return ["lvcreate", "-y", "-L", "1g", "-n", name, group]


class Lio:
    """A target for one device, one initiator and one secret, by configfs alone (kernel: target/target_core_configfs.c)."""

    def __init__(self, iqn, portal):
        self.iqn, self.portal = iqn, portal
        self.store = LIO / "core/iblock_9000" / iqn.rpartition(":")[2]
        self.tpg = FABRIC / iqn / "tpgt_1"

    def export(self, device, initiator, user, password):
        put = self._put
        self.store.mkdir(parents=True)
        put(self.store / "control", f"udev_path={device},readonly=0")
        put(self.store / "udev_path", device)
        # Without a serial the disk has no WWN, and os-brick waits for one.
        put(self.store / "wwn/vpd_unit_serial", str(uuid.uuid4()))
        put(self.store / "enable", "1")
        self.tpg.mkdir(parents=True)
        lun = self.tpg / "lun/lun_0"
        lun.mkdir()
        os.symlink(self.store, lun / "store")
        put(self.tpg / "attrib/authentication", "1")
        (self.tpg / "np" / self.portal).mkdir()
        acl = self.tpg / "acls" / initiator
        acl.mkdir()
        put(acl / "auth/userid", user)
        put(acl / "auth/password", password)
        mapped = acl / "lun_0"
        mapped.mkdir()
        os.symlink(lun, mapped / "lun")
        put(self.tpg / "enable", "1")

    def remove(self):
        acls = self.tpg / "acls"
        self._put(self.tpg / "enable", "0")
        for acl in list(acls.iterdir()):
            (acl / "lun_0/lun").unlink()
            (acl / "lun_0").rmdir()
            acl.rmdir()
        (self.tpg / "np" / self.portal).rmdir()
        (self.tpg / "lun/lun_0/store").unlink()
        (self.tpg / "lun/lun_0").rmdir()
        self.tpg.rmdir()
        self.tpg.parent.rmdir()
        self.store.rmdir()
        with contextlib.suppress(OSError):
            self.store.parent.rmdir()

    @staticmethod
    def _put(path, text):
        # One write, without the line end that Python's text files would not add, either.
        with open(path, "wb", buffering=0) as file:
            file.write(text.encode())


class Tgt:
    """A tgtd of our own, and a target in it by one tgtadm for each thing that it needs."""

    def __init__(self, portal):
        self.portal, self.process, self.last = portal, None, 0
        self.env = {**os.environ, "TGT_IPC_SOCKET": "/run/bare-tgt"}

    def start(self):
        run("tgtd", "-C", "7", "--iscsi", f"portal={self.portal}", env=self.env)

    def admin(self, *words, **kwargs):
        return run("tgtadm", "-C", "7", "--lld", "iscsi", *words, env=self.env, **kwargs)

    def export(self, iqn, device, initiator, user, password):
        self.last += 1
        tid = ("--tid", self.last)
        target, account = ("--mode", "target"), ("--mode", "account")
        self.admin(*target, "--op", "new", *tid, "-T", iqn)
        self.admin("--mode", "logicalunit", "--op", "new", *tid, "--lun", 1, "-b", device)
        self.admin(*account, "--op", "new", "--user", user, "--password", password)
        self.admin(*account, "--op", "bind", *tid, "--user", user)
        self.admin(*target, "--op", "bind", *tid, "-Q", initiator)
        return self.last

    def remove(self, tid, user):
        self.admin("--mode", "target", "--op", "delete", "--force", "--tid", tid)
        self.admin("--mode", "account", "--op", "delete", "--user", user)

    def stop(self):
        self.admin("--mode", "system", "--op", "delete", check=False)
