#!/usr/bin/env python3
"""The life of a volume whose user is a real Linux: the kernel's own iSCSI initiator, a file system, a real reboot of us.

Runs as root inside the guest (README.md), with nothing but Python's standard library. The steps are one story, in
order, so the first one that fails ends it. The last line says how many passed and failed.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

SHARE = pathlib.Path(__file__).resolve().parent
HOME = pathlib.Path("/var/lib/pumice")
VOLUMES = HOME / "volumes"
SOCKET = HOME / "tgt/file/socket"
MOUNT = pathlib.Path("/mnt/volume")
LOG = SHARE / "pumice.log"
NAMES = pathlib.Path("/etc/iscsi/initiatorname.iscsi")
STRANGER = "iqn.2010-10.org.openstack:stranger"
PORTAL = "127.0.0.1:3261"
URL = "http://127.0.0.1:8776"
PASSWORD = "only-in-the-guest"
GIB = 1 << 30
MIB = 1 << 20

CONFIG = f"""
[node]
host = "guest"
data_dir = "{HOME}"
[auth]
users = [{{ name = "admin", password = "{PASSWORD}", project = "admin", roles = ["admin"] }}]
[log]
filter = "debug,sled=warn"
format = "text"
[service]
report_interval = "500ms"
[backend.file]
path = "{VOLUMES}"
target_portal = "{PORTAL}"
"""


class Wrong(Exception):
    """Something is not as it should be."""


def expect(truth, what):
    if not truth:
        raise Wrong(what)


def wait_for(what, probe, seconds=30.0):
    """Asks `probe` until it answers something true."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(0.02)
    raise Wrong(f"waited {seconds:g} s for {what}; last seen: {last!r}")


def run(*words, check=True, seconds=60, **kwargs):
    """A command, its output kept; `check`: it must succeed."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, **kwargs)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(words)} took longer than {seconds} s") from None
    if check and done.returncode != 0:
        raise Wrong(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


# -- Pumice --------------------------------------------------------------------------------------------------------


class Pumice:
    """`pumice serve`, and its REST API."""

    def __init__(self):
        HOME.mkdir(parents=True, mode=0o700)
        self.config = HOME / "pumice.toml"
        self.config.write_text(CONFIG)
        self.process = None
        self.token = self.project = None

    def start(self):
        with LOG.open("ab") as log:
            self.process = subprocess.Popen(
                [SHARE / "pumice", "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def healthy():
            expect(self.process.poll() is None, f"pumice ended with {self.process.returncode}")
            with urllib.request.urlopen(f"{URL}/healthcheck", timeout=5) as answer:
                return answer.status == 200

        wait_for("/healthcheck", healthy)
        self.log_in()
        # A volume made before a backend has reported would find no valid one, as in Cinder.
        wait_for("a backend's report", lambda: self.ask("GET", "/scheduler-stats/get_pools")["pools"])

    def kill(self):
        """As a power cut would. tgtd goes with it."""
        self.process.kill()
        self.process.wait()
        wait_for("tgtd to be gone", lambda: not daemons("tgtd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def log_in(self):
        domain = {"name": "Default"}
        user = {"name": "admin", "password": PASSWORD, "domain": domain}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        _, headers, answer = self.request("POST", "/identity/v3/auth/tokens", body)
        self.token = headers["X-Subject-Token"]
        self.project = answer["token"]["project"]["id"]

    def request(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "OpenStack-API-Version": "volume 3.71"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{URL}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read()
                return answer.status, answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode(errors="replace")

    def ask(self, method, path, body=None):
        """One request to the volume API that must succeed; its answer."""
        status, _, answer = self.request(method, f"/v3/{self.project}{path}", body)
        expect(status < 300, f"{method} {path}: {status} {answer}")
        return answer

    def create(self, name, size):
        volume = self.ask("POST", "/volumes", {"volume": {"name": name, "size": size}})["volume"]["id"]
        self.becomes(volume, "available")
        return volume

    def becomes(self, volume, status):
        def seen():
            now = self.ask("GET", f"/volumes/{volume}")["volume"]
            expect(not now["status"].startswith("error"), now)
            return now if now["status"] == status else None

        return wait_for(f"the volume to be {status}", seen)

    def extend(self, volume, size):
        self.ask("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": size}})
        expect(self.becomes(volume, "available")["size"] == size, "the record has another size")

    def attach(self, volume, initiator=None):
        """An attachment's id, and what it takes to connect; for this machine's initiator or another."""
        connector = {
            "initiator": initiator or own_name(),
            "ip": "127.0.0.1",
            "host": "guest",
            "platform": "x86_64",
            "os_type": "linux",
            "multipath": False,
        }
        asked = {"attachment": {"volume_uuid": volume, "connector": connector}}
        made = self.ask("POST", "/attachments", asked)["attachment"]
        self.ask("POST", f"/attachments/{made['id']}/action", {"os-complete": None})
        self.becomes(volume, "in-use")
        return made["id"], made["connection_info"]

    def detach(self, volume, attachment):
        self.ask("DELETE", f"/attachments/{attachment}")
        self.becomes(volume, "available")

    def delete(self, volume):
        self.ask("DELETE", f"/volumes/{volume}")
        wait_for("the volume to be gone", lambda: self.request("GET", f"/v3/{self.project}/volumes/{volume}")[0] == 404)


def daemons(name):
    """The processes of that name."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


def targets():
    """The iSCSI names that tgtd has."""
    shown = run(
        *("tgtadm", "-C", "1", "--lld", "iscsi", "--mode", "target", "--op", "show"),
        env={**os.environ, "TGT_IPC_SOCKET": str(SOCKET)},
    )
    return re.findall(r"^Target \d+: (\S+)", shown.stdout, re.M)


# -- the kernel's initiator ----------------------------------------------------------------------------------------


def own_name():
    return re.search(r"^InitiatorName=(\S+)", NAMES.read_text(), re.M)[1]


def iscsiadm(*words, **kwargs):
    return run("iscsiadm", *words, **kwargs)


def record(connection, secret=None, interface="default"):
    """Tells iscsid about a target and its CHAP; the words that name it."""
    node = ["-m", "node", "-T", connection["target_iqn"], "-p", connection["target_portal"], "-I", interface]
    iscsiadm(*node, "-o", "new")
    name, password = secret or (connection["auth_username"], connection["auth_password"])
    for key, value in {"authmethod": "CHAP", "username": name, "password": password}.items():
        iscsiadm(*node, "-o", "update", "-n", f"node.session.auth.{key}", "-v", value)
    return node


def log_in(connection):
    """The volume as a block device of this kernel."""
    iscsiadm(*record(connection), "--login")
    path = "/dev/disk/by-path/ip-{target_portal}-iscsi-{target_iqn}-lun-{target_lun}".format_map(connection)
    wait_for("the device", lambda: os.path.exists(path))
    run("udevadm", "settle", "-t", "30")
    return os.path.realpath(path)


def log_out(connection):
    node = ["-m", "node", "-T", connection["target_iqn"], "-p", connection["target_portal"]]
    iscsiadm(*node, "--logout")
    iscsiadm(*node, "-o", "delete")
    wait_for("the kernel to forget the session", lambda: not sessions())


def refused(connection, code, **kwargs):
    """The log-in is refused, with iscsiadm's exit code for why."""
    node = record(connection, **kwargs)
    done = iscsiadm(*node, "--login", check=False)
    iscsiadm(*node, "-o", "delete")
    expect(not sessions(), f"let in: {done.stdout}")
    expect(done.returncode == code, f"iscsiadm ended with {done.returncode} for {code}: {done.stdout}{done.stderr}")


def offered(interface="default"):
    """The iSCSI names that the portal tells this machine, or the other name that it has on that interface."""
    words = ["-m", "discovery", "-t", "sendtargets", "-p", PORTAL, "-I", interface, "-o", "nonpersistent"]
    done = iscsiadm(*words, check=False)
    expect(done.returncode in (0, NO_OBJECTS_FOUND), f"discovery ended with {done.returncode}: {done.stderr}")
    return [line.split()[1] for line in done.stdout.splitlines()]


def sessions():
    """The states of the kernel's sessions."""
    states = pathlib.Path("/sys/class/iscsi_session").glob("*/state")
    return [state.read_text().strip() for state in states]


def size_of(device):
    """In bytes, as the kernel sees it."""
    return int(pathlib.Path(f"/sys/block/{os.path.basename(device)}/size").read_text()) * 512


# -- files on the volume -------------------------------------------------------------------------------------------


def mount(device):
    run("mount", device, MOUNT)


def umount():
    """What is read after this comes from the volume, and not from memory."""
    run("umount", MOUNT)
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


def checksum(name):
    with open(MOUNT / name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- the story -----------------------------------------------------------------------------------------------------

# iscsiadm's exit codes (open-iscsi: include/iscsi_err.h). To who is not on its list, tgtd says that there is no such
# target; who is, and has the wrong secret, is told so.
LOGIN_FAILED = 19
LOGIN_AUTH_FAILED = 24
NO_OBJECTS_FOUND = 21


class Story:
    """The steps share the volume, its attachment and its connection, the device, and checksums by file name."""

    def __init__(self):
        self.pumice = Pumice()
        self.volume = self.attachment = self.connection = self.old = self.device = None
        self.sums = {}

    def expect_files(self):
        for name, digest in self.sums.items():
            expect(checksum(name) == digest, f"the content of {name} has changed")

    def the_initiator_is_ready(self):
        if not re.search(r"^InitiatorName=\S", NAMES.read_text() if NAMES.exists() else "", re.M):
            NAMES.write_text(f"InitiatorName={run('iscsi-iname').stdout.strip()}\n")
        # Its own daemon, as systemd would start it.
        run("iscsid")
        wait_for("iscsid", lambda: iscsiadm("-m", "session", check=False).returncode == NO_OBJECTS_FOUND)
        iscsiadm("-m", "iface", "-I", "stranger", "-o", "new")
        for key, value in {"transport_name": "tcp", "initiatorname": STRANGER}.items():
            iscsiadm("-m", "iface", "-I", "stranger", "-o", "update", "-n", f"iface.{key}", "-v", value)

    def pumice_starts(self):
        self.pumice.start()

    def a_volume_is_made(self):
        self.volume = self.pumice.create("kept", 1)

    def it_is_attached(self):
        self.attachment, self.connection = self.pumice.attach(self.volume)
        expect(self.connection["target_iqn"] in targets(), "tgtd does not have it")

    def a_wrong_secret_is_refused(self):
        refused(self.connection, LOGIN_AUTH_FAILED, secret=(self.connection["auth_username"], "wrong-secret-16b"))

    def another_initiator_is_refused(self):
        expect(offered("stranger") == [], offered("stranger"))
        refused(self.connection, LOGIN_FAILED, interface="stranger")

    def the_kernel_logs_in(self):
        self.device = log_in(self.connection)
        expect(sessions() == ["LOGGED_IN"], sessions())
        expect(offered() == [self.connection["target_iqn"]], offered())
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
        self.attachment, self.connection = self.pumice.attach(self.volume)
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
        self.attachment, self.connection = self.pumice.attach(self.volume)
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
        # Beside the volume of another: a tgtd that has no target at all hangs up on everybody without a word, which
        # iscsid takes for a passing fault and tries for minutes.
        beside = self.pumice.create("beside", 1)
        attachment, _ = self.pumice.attach(beside, STRANGER)
        expect(offered() == [], offered())
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


STEPS = [
    Story.the_initiator_is_ready,
    Story.pumice_starts,
    Story.a_volume_is_made,
    Story.it_is_attached,
    Story.a_wrong_secret_is_refused,
    Story.another_initiator_is_refused,
    Story.the_kernel_logs_in,
    Story.a_file_system_is_made,
    Story.a_file_is_written,
    Story.it_is_detached,
    Story.attached_again_it_has_a_new_secret,
    Story.the_old_secret_is_refused,
    Story.the_file_is_there,
    Story.it_is_extended,
    Story.the_kernel_sees_the_new_size,
    Story.the_file_system_grows,
    Story.pumice_is_killed_and_started_while_a_write_waits,
    Story.the_secret_is_the_same,
    Story.the_files_are_intact,
    Story.a_fresh_login_with_the_same_secret_works,
    Story.it_is_detached_for_good,
    Story.coming_back_unasked_is_refused,
    Story.it_is_deleted,
    Story.nothing_is_left,
    Story.pumice_stops,
]


def main():
    story = Story()
    passed = failed = 0
    for step in STEPS:
        name = step.__name__.replace("_", " ")
        if failed:
            print(f"  not run           {name}", flush=True)
            continue
        began = time.monotonic()
        try:
            step(story)
            word, why = "ok", None
            passed += 1
        # Whatever it is, the guest must end in order.
        except Exception as error:
            word, why = "FAILED", f"{type(error).__name__}: {error}"
            failed += 1
        print(f"  {word:6} {time.monotonic() - began:7.2f} s  {name}", flush=True)
        if why:
            print(f"    {why}", flush=True)
    if failed:
        print("--- the end of pumice's log")
        print("".join(LOG.read_text(errors="replace").splitlines(True)[-30:] if LOG.exists() else []))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
