"""Logical volumes as LVM itself tells them, and the bare commands that Pumice is compared with."""

import json

from story import run

DISKS = {f"vg{number}": f"/dev/ubd{letter}" for number, letter in enumerate("bcde", 1)}
POOL_SIZE = "11g"


def make_group(group, thin):
    """A volume group on a disk of its own; `thin`: with the pool that Cinder's driver would make."""
    run("vgcreate", "-q", group, DISKS[group])
    if thin:
        run("lvcreate", "-q", "-L", POOL_SIZE, "-T", f"{group}/{group}-pool")


def volumes(group):
    """The logical volumes of a group: name → (attributes, bytes, origin)."""
    shown = run(
        *("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", "lv_name,lv_attr,lv_size,origin", group)
    )
    rows = json.loads(shown.stdout)["report"][0]["lv"]
    return {row["lv_name"]: (row["lv_attr"], int(row["lv_size"]), row["origin"]) for row in rows}


def path_of(group, name):
    return f"/dev/{group}/{name}"


def activate(group, name):
    """Thin snapshots are not active by themselves."""
    run("lvchange", "-a", "y", "-K", f"{group}/{name}")
    run("udevadm", "settle", "-t", "30")
    return path_of(group, name)
