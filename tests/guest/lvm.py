"""Logical volumes as LVM itself tells them, and the bare commands that Pumice is compared with."""

import json

from story import run

DISKS = {f"vg{number}": f"/dev/ubd{letter}" for number, letter in enumerate("bcde", 1)}
POOL_SIZE = "11g"


def make_group(group, thin, pool_size=POOL_SIZE):
    """A volume group on a disk of its own; `thin`: with the pool that Cinder's driver would make."""
    run("vgcreate", "-q", group, DISKS[group])
    if thin:
        run("lvcreate", "-q", "-L", pool_size, "-T", f"{group}/{group}-pool")


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


class Table:
    """A device-mapper device that can be made to fail whatever is read or written, and be made whole again."""

    def __init__(self, name):
        self.name = name
        self.whole = None

    def make(self, disk):
        # Not from its beginning: LVM would find its label on both devices.
        sectors = int(run("blockdev", "--getsz", disk).stdout) - 2048
        run("dmsetup", "create", self.name, "--table", f"0 {sectors} linear {disk} 2048")

    def fails(self):
        self.whole = run("dmsetup", "table", self.name).stdout.strip()
        sectors = sum(int(line.split()[1]) for line in self.whole.splitlines())
        self._becomes(f"0 {sectors} error")

    def is_whole(self):
        if self.whole is not None:
            self._becomes(self.whole)
            self.whole = None

    def _becomes(self, table):
        run("dmsetup", "suspend", "--noflush", self.name)
        run("dmsetup", "load", self.name, "--table", table)
        run("dmsetup", "resume", self.name)


def table_of(group, name):
    """The device of a logical volume: dashes in names are doubled there."""
    return Table(f"{group.replace('-', '--')}-{name.replace('-', '--')}")
