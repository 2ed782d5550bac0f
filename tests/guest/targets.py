"""What the iSCSI targets of this machine have, as their own tools tell it: tgtd's by tgtadm, LIO's by configfs."""

import os
import pathlib
import re

from pumice import HOME
from story import run

LIO = pathlib.Path("/sys/kernel/config/target")


def tgtadm(backend, *words, **kwargs):
    """The tool, for the tgtd that Pumice runs for a backend."""
    env = {**os.environ, "TGT_IPC_SOCKET": str(HOME / f"tgt/{backend}/socket")}
    return run("tgtadm", "-C", "1", "--lld", "iscsi", *words, env=env, **kwargs)


def tgt_targets(backend):
    """The iSCSI names that a backend's tgtd has."""
    shown = tgtadm(backend, "--mode", "target", "--op", "show")
    return re.findall(r"^Target \d+: (\S+)", shown.stdout, re.M)


def lio_targets():
    """The iSCSI names that the kernel's target has."""
    return sorted(path.name for path in (LIO / "iscsi").glob("iqn.*"))


def lio_backstores():
    """What it exports, or could: names of backstores, exported or not."""
    return sorted(path.parent.name for path in (LIO / "core").glob("*/*/enable"))


def lio_initiators(iqn):
    """The initiators on a target's list."""
    return sorted(path.name for path in (LIO / "iscsi" / iqn).glob("tpgt_*/acls/*"))
