"""The backends that the programs try: each way of LVM with each target, on a disk and a volume group of its own."""

import time

import lvm
from pumice import HOST
from story import expect
from targets import lio_backstores, lio_targets, tgt_targets

# Name → volume group, thin, target, portal; the thick ones by IPv6.
BACKENDS = {
    "thin-lio": ("vg1", True, "lio", "127.0.0.1:3260"),
    "thin-tgt": ("vg2", True, "tgt", "127.0.0.1:3261"),
    "thick-lio": ("vg3", False, "lio", "[::1]:3260"),
    "thick-tgt": ("vg4", False, "tgt", "[::1]:3262"),
}

QUOTA = """
[quota]
volumes = 1000
snapshots = 1000
gigabytes = 100000
"""


def make_groups(names):
    for name in names:
        group, thin, _, _ = BACKENDS[name]
        lvm.make_group(group, thin)


def configuration(names, more=""):
    """Sections for these backends, and `more` in each."""
    text = QUOTA
    for name in names:
        group, thin, target, portal = BACKENDS[name]
        text += f"""
[backend.{name}]
driver = "lvm"
volume_group = "{group}"
lvm_type = "{'thin' if thin else 'default'}"
# Zeros over the first MiBs only: a guest's disks are slow.
volume_clear_size = 16
target = "{target}"
target_portal = "{portal}"
{more}
"""
    return text


def group_of(name):
    return BACKENDS[name][0]


def make_types(pumice, names):
    """A type for each backend, of its name, and one for volumes that several may have."""
    for name in names:
        pumice.make_type(name, volume_backend_name=name)
        pumice.make_type(f"{name}-shared", volume_backend_name=name, multiattach="<is> True")


def backend_of(volume):
    """By the host that the record names: guest@backend#pool."""
    host = volume["os-vol-host-attr:host"] or ""
    return host.partition("@")[2].partition("#")[0]


def host_of(pumice, name):
    """The host of a backend's one pool, as requests name it."""
    return next(pool for pool in pumice.pools() if pool.startswith(f"{HOST}@{name}#"))


def targets_of(name):
    """The iSCSI names that a backend's target has; LIO's are of all backends."""
    return tgt_targets(name) if BACKENDS[name][2] == "tgt" else lio_targets()


def assert_all_is_in_order(pumice, names, beside=frozenset(), seconds=30):
    """Once everything rests: storage, targets and quota are what the records say, no more and no less. `beside`: logical
    volumes that are not ours. Looks again until it is so: what is taken away may go after its record."""
    deadline = time.monotonic() + seconds
    while found := _disorder(pumice, names, beside):
        expect(time.monotonic() < deadline, "; ".join(found))
        time.sleep(1)


def _disorder(pumice, names, beside):
    """What is not as the records say, in words."""
    volumes, snapshots = pumice.volumes(), pumice.snapshots()
    found = []
    for one in pumice.moving(volumes + snapshots):
        found.append(f"{one['id']} is {one['status']}")
    homes = {volume["id"]: backend_of(volume) for volume in volumes}
    wanted = {name: {} for name in names}
    for volume in volumes:
        if homes[volume["id"]] in wanted:
            wanted[homes[volume["id"]]][f"volume-{volume['id']}"] = volume
    for snapshot in snapshots:
        if homes.get(snapshot["volume_id"]) in wanted:
            wanted[homes[snapshot["volume_id"]]][f"_snapshot-{snapshot['id']}"] = snapshot
    exported = {f"volume-{one['volume_id']}" for one in pumice.attachments()}
    for name in names:
        group = group_of(name)
        there = lvm.volumes(group)
        for lv in there:
            if lv not in wanted[name] and lv not in beside and lv != f"{group}-pool":
                found.append(f"{group}/{lv} has no record")
        for lv, one in wanted[name].items():
            if lv not in there:
                if not one["status"].startswith("error"):
                    found.append(f"{group}/{lv} is not there, and its record says {one['status']}")
            elif "volume_id" not in one and not one["status"].startswith("error"):
                if there[lv][1] != one["size"] << 30:
                    found.append(f"{group}/{lv} has {there[lv][1]} bytes, and its record {one['size']} GiB")
        targets = {target.rpartition(":")[2] for target in targets_of(name)}
        for lv in targets - exported:
            found.append(f"{lv} is exported without an attachment")
    for lv in set(lio_backstores()) - exported:
        found.append(f"{lv} is a backstore without an attachment")
    size = sum(one["size"] for one in volumes + snapshots)
    count = {"volumes": (len(volumes), 0), "snapshots": (len(snapshots), 0), "gigabytes": (size, 0)}
    usage = pumice.usage()
    if usage != count:
        found.append(f"quota says {usage}, and there are {count}")
    return found
