"""The kernel's own iSCSI initiator, what it makes of a volume, and files on it."""

import hashlib
import os
import pathlib
import re

from story import expect, run, wait_for

MOUNT = pathlib.Path("/mnt/volume")
NAMES = pathlib.Path("/etc/iscsi/initiatorname.iscsi")
# With capital letters, which say nothing in iSCSI names, and which LIO compares in another spelling than it received.
STRANGER = "iqn.2010-10.org.openstack:Stranger-HOST"
GIB = 1 << 30
MIB = 1 << 20

# iscsiadm's exit codes (open-iscsi: include/iscsi_err.h). To who is not on its list, tgtd says that there is no such
# target; one that is, and has the wrong secret, gets an error that says so.
LOGIN_FAILED = 19
LOGIN_AUTH_FAILED = 24
NO_OBJECTS_FOUND = 21


def make_ready():
    """iscsid, as systemd would start it, a name for this machine, and an interface whose name is another's."""
    if not re.search(r"^InitiatorName=\S", NAMES.read_text() if NAMES.exists() else "", re.M):
        NAMES.write_text(f"InitiatorName={run('iscsi-iname').stdout.strip()}\n")
    run("iscsid")
    wait_for("iscsid", lambda: iscsiadm("-m", "session", check=False).returncode == NO_OBJECTS_FOUND)
    iscsiadm("-m", "iface", "-I", "stranger", "-o", "new")
    for key, value in {"transport_name": "tcp", "initiatorname": STRANGER}.items():
        iscsiadm("-m", "iface", "-I", "stranger", "-o", "update", "-n", f"iface.{key}", "-v", value)


def own_name():
    return re.search(r"^InitiatorName=(\S+)", NAMES.read_text(), re.M)[1]


def connector(initiator=None, host="guest"):
    """What an initiator tells of itself; this machine's or another."""
    return {
        "initiator": initiator or own_name(),
        "ip": "127.0.0.1",
        "host": host,
        "platform": "x86_64",
        "os_type": "linux",
        "multipath": False,
    }


def iscsiadm(*words, **kwargs):
    return run("iscsiadm", *words, **kwargs)


def node_of(connection, interface="default"):
    return ["-m", "node", "-T", connection["target_iqn"], "-p", connection["target_portal"], "-I", interface]


def record(connection, secret=None, interface="default"):
    """Tells iscsid about a target and its CHAP; the words that name it."""
    node = node_of(connection, interface)
    iscsiadm(*node, "-o", "new")
    name, password = secret or (connection["auth_username"], connection["auth_password"])
    for key, value in {"authmethod": "CHAP", "username": name, "password": password}.items():
        iscsiadm(*node, "-o", "update", "-n", f"node.session.auth.{key}", "-v", value)
    return node


def log_in(connection, interface="default"):
    """The volume as a block device of this kernel."""
    before = disks()
    iscsiadm(*record(connection, interface=interface), "--login")

    def appeared():
        # Two sessions to one target share the name by its path, so what is new is what counts.
        new = disks() - before
        return new.pop() if len(new) == 1 else None

    name = wait_for("the device", appeared)
    run("udevadm", "settle", "-t", "30")
    # udev tells an IPv6 address without its brackets.
    portal = re.sub(r"[][]", "", connection["target_portal"])
    path = f"/dev/disk/by-path/ip-{portal}-iscsi-{connection['target_iqn']}-lun-{connection['target_lun']}"
    expect(os.path.exists(path), f"there is no {path}")
    return f"/dev/{name}"


def log_out(connection, interface="default"):
    count = len(sessions(connection))
    node = node_of(connection, interface)
    iscsiadm(*node, "--logout")
    # The record may be gone: with one interface's, iscsiadm deletes those of others, too.
    iscsiadm(*node, "-o", "delete", check=False)
    wait_for("the kernel to forget the session", lambda: len(sessions(connection)) == count - 1)


def refused(connection, *codes, **kwargs):
    """The log-in is refused, with one of iscsiadm's exit codes for why."""
    before = sessions()
    node = record(connection, **kwargs)
    done = iscsiadm(*node, "--login", check=False)
    iscsiadm(*node, "-o", "delete")
    expect(sessions() == before, f"let in: {done.stdout}")
    expect(done.returncode in codes, f"iscsiadm ended with {done.returncode}, not {codes}: {done.stdout}{done.stderr}")


def offered(portal, interface="default"):
    """The iSCSI names that the portal tells this machine, or the other name that it has on that interface."""
    words = ["-m", "discovery", "-t", "sendtargets", "-p", portal, "-I", interface, "-o", "nonpersistent"]
    done = iscsiadm(*words, check=False)
    expect(done.returncode in (0, NO_OBJECTS_FOUND), f"discovery ended with {done.returncode}: {done.stderr}")
    return [line.split()[1] for line in done.stdout.splitlines()]


def rescan(connection):
    """As os-brick's extend_volume does."""
    iscsiadm(*node_of(connection), "-R")
    run("udevadm", "settle", "-t", "30")


def sessions(connection=None):
    """The states of the kernel's sessions, all or those of one target."""
    states = []
    for session in pathlib.Path("/sys/class/iscsi_session").glob("*"):
        try:
            if connection is None or (session / "targetname").read_text().strip() == connection["target_iqn"]:
                states.append((session / "state").read_text().strip())
        except OSError:
            # It went while we looked.
            continue
    return states


def disks():
    """The kernel's SCSI disks, by name."""
    return {path.name for path in pathlib.Path("/sys/block").glob("sd*")}


def size_of(device):
    """In bytes, as the kernel sees it."""
    name = os.path.basename(os.path.realpath(device))
    return int(pathlib.Path(f"/sys/block/{name}/size").read_text()) * 512


# -- files on the volume -------------------------------------------------------------------------------------------


def mount(device):
    run("mount", device, MOUNT)


def umount():
    """What is read after this comes from the volume, and not from memory."""
    run("umount", MOUNT)
    forget_cache()


def forget_cache():
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def write(name, megabytes):
    """A file of random bytes, on the disk when this returns; its checksum."""
    digest = hashlib.sha256()
    with open(MOUNT / name, "wb") as file:
        for _ in range(megabytes):
            piece = os.urandom(MIB)
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def checksum(path):
    """Of a file on the volume, by its name, or of anything by its path."""
    with open(MOUNT / path, "rb", buffering=MIB) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mark(device, seed, megabytes=8):
    """Writes bytes that only the seed tells over a device's beginning, past every cache; `marked` finds them."""
    with open(device, "r+b", buffering=0) as file:
        file.write(pattern(seed, megabytes))
        os.fsync(file.fileno())


def marked(device, seed, megabytes=8):
    forget_cache()
    with open(device, "rb") as file:
        return file.read(megabytes * MIB) == pattern(seed, megabytes)


def pattern(seed, megabytes):
    return hashlib.shake_256(seed.encode()).digest(megabytes * MIB)
