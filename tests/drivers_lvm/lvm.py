#!/usr/bin/python3 -ISE
"""Stands in for LVM's programs, and for the `pumice` that copies: a group in a file, each volume's content a few words.

It is called by the name of the program it plays, and keeps everything beside itself: `state` (the volumes), `log` (what was
called), `fault` (the number of a command, and whether it fails before or after its work), `changes` (what was called that changes
something), `lose` (a file that goes when there are so many of those). Contents lie where devices would.
"""
import atexit, json, os, sys

here = os.path.dirname(os.path.abspath(sys.argv[0]))
program = os.path.basename(sys.argv[0])
args = sys.argv[1:]


def read(name, default):
    try:
        with open(f"{here}/{name}") as file:
            return file.read()
    except FileNotFoundError:
        return default


def write(name, text):
    with open(f"{here}/{name}.new", "w") as file:
        file.write(text)
    os.rename(f"{here}/{name}.new", f"{here}/{name}")


with open(f"{here}/log", "a") as file:
    file.write(" ".join([program, *args]) + "\n")
state = json.loads(read("state", "{}"))
lvs, devices = state["lvs"], state["devices"]


def die(text):
    print("  " + text, file=sys.stderr)
    sys.exit(5)


def content(name):
    return f"{devices}/{name}"


def option(*names):
    for name in names:
        if name in args:
            return args[args.index(name) + 1]


def size(text):
    return int(text.removesuffix("b"))


def name_of(path):
    group = devices.removeprefix("/dev/")
    name = path.removeprefix(f"{group}/")
    if name not in lvs:
        die(f'Failed to find logical volume "{path}"')
    return name


def cows(name):
    return [cow for cow, lv in lvs.items() if lv["kind"] == "s" and lv["origin"] == name]


def give_back(name, text):
    """Its space is the group's again. `leaks` has what the next user of the space could read."""
    if text:
        with open(f"{here}/leaks", "a") as file:
            file.write(f"{name}: {text}\n")


def put(name, **lv):
    if name in lvs:
        die(f'Logical Volume "{name}" already exists in volume group "vg"')
    lvs[name] = {"origin": "", "pool": "", "tags": [], "active": True, "open": False, "skip": False, "virtual": 0} | lv


def lvcreate():
    name, tags = option("-n"), [option("--addtag")] if "--addtag" in args else []
    if "-s" in args:
        origin = name_of(args[-1])
        of = lvs[origin]
        if of["kind"] == "V" and "-l" not in args:
            awake = "-kn" in args
            put(name, kind="V", size=of["size"], origin=origin, pool=of["pool"], active=awake, skip=not awake)
        elif "-l" in args:
            put(name, kind="s", size=of["size"] + 4096, virtual=of["size"], origin=origin)
        else:
            die("Please specify either size or extents with snapshots.")
        text = open(content(origin)).read()
    elif "-T" in args and "-V" not in args:
        name = f"{devices.removeprefix('/dev/')}-pool"
        put(name, kind="t", size=state["free"] // 2, attr="twi-aotz--" if "-Zy" in args else "twi-aot---")
        return
    else:
        wanted = size(option("-V") or option("-L"))
        if option("-L") and wanted > state["free"]:
            die(f'Volume group "vg" has insufficient free space (1 extents): {wanted} required.')
        thin = "-T" in args
        pool = f"{devices.removeprefix('/dev/')}-pool" if thin else ""
        put(name, kind="V" if thin else "-", size=wanted, pool=pool, tags=tags)
        text = ""
    open(content(name), "w").write(text)


def lvremove():
    name = name_of(args[-1])
    if lvs[name]["open"]:
        die(f"Logical volume vg/{name} in use.")
    for gone in [*cows(name), name]:
        if lvs[gone]["kind"] in "-s":
            give_back(gone, open(content(gone)).read())
        del lvs[gone]
        os.unlink(content(gone))
    for lv in lvs.values():
        if lv["origin"] == name:
            lv["origin"] = ""


def lvchange():
    lv = lvs[name_of(args[-1])]
    if "-Zy" in args:
        lv["attr"] = lv["attr"][:7] + "z" + lv["attr"][8:]
    if "-an" in args and any(lvs[one]["open"] for one in [name_of(args[-1]), *cows(name_of(args[-1]))]):
        die("Logical volume in use.")
    lv["active"] = lv["active"] if "-an" not in args and "-ay" not in args else "-ay" in args
    lv["skip"] = lv["skip"] and "-kn" not in args
    for what, tag in zip(args, args[1:]):
        if what == "--addtag" and tag not in lv["tags"]:
            lv["tags"].append(tag)
        if what == "--deltag" and tag in lv["tags"]:
            lv["tags"].remove(tag)


def lvrename():
    old, new = name_of(args[-2]), args[-1]
    if new in lvs:
        die(f'Logical Volume "{new}" already exists in volume group "vg"')
    lvs[new] = lvs.pop(old)
    os.rename(content(old), content(new))
    for lv in lvs.values():
        lv["origin"] = new if lv["origin"] == old else lv["origin"]


def resize(grow):
    name = name_of(args[-1])
    lv, wanted = lvs[name], size(option("-L"))
    if wanted == lv["size"]:
        die("New size (1 extents) matches existing size (1 extents).")
    if cows(name) and (not grow or lv["active"]):
        die("Snapshot origin volumes can be resized only while inactive: try lvchange -an.")
    if not grow and lv.pop("wiped_from", None) != wanted:
        give_back(name, "what was cut off")
    lv["size"] = wanted


def lvconvert():
    if "--splitsnapshot" in args:
        lv = lvs[name_of(args[-1])]
        if lv["kind"] != "s":
            die(f"{args[-1]} is not a snapshot.")
        lv |= {"kind": "-", "origin": "", "virtual": 0, "attr": None}
    else:
        origin, cow = name_of(args[-2]), name_of(args[-1])
        assert "-Zn" in args, "it would lose what it has saved"
        lvs[cow] |= {"kind": "s", "origin": origin, "virtual": lvs[origin]["size"]}


def report():
    wanted = option("-S")

    def is_wanted(name, lv):
        tags = [f'lv_tags={{"{tag}"}}' for tag in lv["tags"]]
        clauses = [f'lv_name="{name}"', f'origin="{lv["origin"]}"', *tags]
        return wanted is None or any(clause in wanted.split(" || ") for clause in clauses)

    missing = state.get("missing", 0)
    group = {
        "vg_size": str(state["free"] * 2), "vg_free": str(state["free"]), "vg_attr": "wz-pn-" if missing else "wz--n-",
        "vg_missing_pv_count": str(missing),
    }
    rows = []
    for name, lv in lvs.items():
        if is_wanted(name, lv):
            first = "o" if lv["kind"] == "-" and cows(name) else lv["kind"]
            attr = f"{first}wi{'-a'[0]}{'a' if lv['active'] else '-'}{'o' if lv['open'] else '-'}---{'k' if lv['skip'] else '-'}"
            rows.append({
                "lv_name": name, "lv_size": str(lv["size"]), "origin_size": str(lv["virtual"]), "origin": lv["origin"],
                "pool_lv": lv["pool"], "lv_attr": lv.get("attr") or attr, "lv_tags": ",".join(lv["tags"]), "data_percent": "1.00",
                "metadata_percent": "1.00", "chunk_size": "4096" if lv["kind"] == "s" else "0", **group,
            })
    # As LVM does: one row for each segment, and everything is in two.
    if "chunk_size" in option("-o"):
        rows = [row for row in rows for _ in range(2)]
    if program == "vgs":
        rows = [group]
    columns = option("-o").split(",")
    rows = [{column: row[column] for column in columns} for row in rows]
    print(json.dumps({"report": [{program[:2]: rows}]}))


def pumice():
    assert sys.stdin.readline().startswith("limit ")
    if args[0] == "wipe" and option("--offset"):
        # A volume's content here is at its beginning.
        lvs[os.path.basename(args[1])]["wiped_from"] = int(option("--offset"))
    elif args[0] == "wipe":
        open(args[1], "w").write("")
    else:
        open(args[2], "w").write(open(args[1]).read())


def break_off():
    """What a copy that is killed in its middle leaves."""
    if program == "pumice" and not option("--offset"):
        open(args[1] if args[0] == "wipe" else args[2], "w").write("half of it")


if program in ("lvs", "vgs"):
    report()
elif program != "udevadm":
    number = int(read("count", "0")) + 1
    write("count", str(number))
    with open(f"{here}/changes", "a") as file:
        file.write(" ".join([program, *args]) + "\n")
    made, lock = (read("lose", "0 none").split() + [""])[:2]
    if int(made) > 0 and read("changes", "").count("\n") == int(made):
        atexit.register(os.unlink, lock)
    at, when = (read("fault", "0 never").split() + [""])[:2]
    if number == int(at) and when == "before":
        break_off()
        die("a fault, before anything was done")
    {
        "lvextend": lambda: resize(True),
        "lvreduce": lambda: resize(False),
    }.get(program, globals().get(program))()
    write("state", json.dumps(state))
    if number == int(at) and when == "crash":
        os.kill(os.getpid(), 9)
    if number == int(at):
        die("a fault, after everything was done")
