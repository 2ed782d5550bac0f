"""`pumice serve` in the guest, and its REST API as a client sees it."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import threading
import urllib.error
import urllib.request

from story import Wrong, expect, wait_for

SHARE = pathlib.Path(__file__).resolve().parent
HOME = pathlib.Path("/var/lib/pumice")
LOG = SHARE / "pumice.log"
URL = "http://127.0.0.1:8776"
HOST = "guest"
PASSWORD = "only-in-the-guest"

COMMON = f"""
[node]
host = "{HOST}"
data_dir = "{HOME}"
[auth]
users = [{{ name = "admin", password = "{PASSWORD}", project = "admin", roles = ["admin"] }}]
[log]
format = "text"
"""
ALL = "debug,sled=warn"

# What a volume or a snapshot stays in by itself (cinder: objects/fields.py).
RESTING = {"available", "in-use", "reserved", "error", "error_deleting", "error_extending", "error_restoring"}


class Refused(Wrong):
    """An answer of 400 or more."""

    def __init__(self, what, status, answer):
        super().__init__(f"{what}: {status} {answer}")
        self.status, self.answer = status, answer


def panics():
    """What its log tells of panics: nothing a client, a peer or a disk does may cause one."""
    with LOG.open(errors="replace") as file:
        return [line.strip()[:300] for line in file if "panicked" in line]


def daemons(name):
    """The processes of that name."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


class Pumice:
    """One process, of one configuration; several threads may ask it."""

    def __init__(self, backends, log=ALL, keep=False, hear=None):
        """`keep`: a connection for each thread, as a client's session has; not for what is killed while it is asked.
        `hear`: receives each line of its log, in a thread that costs nothing while there is none."""
        HOME.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.config = HOME / "pumice.toml"
        self.config.write_text(f'{COMMON}filter = "{log}"\n{backends}')
        self.kept = threading.local() if keep else None
        self.hear = hear
        self.backends = backends.count("[backend.")
        # More for its environment.
        self.env = {}
        self.process = None
        self.token = self.project = None

    # -- its life ------------------------------------------------------------------------------------------------

    def start(self):
        self.spawn()
        self.becomes_ready()

    def spawn(self):
        words = [SHARE / "pumice", "serve", "--config", self.config]
        with LOG.open("ab") as log:
            out = log if self.hear is None else subprocess.PIPE
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **self.env}
            )
        if self.hear is not None:
            threading.Thread(target=self.pass_on, args=(self.process.stdout,), daemon=True).start()

    def pass_on(self, lines):
        with LOG.open("ab", buffering=0) as log:
            for line in lines:
                log.write(line)
                self.hear(line.decode(errors="replace"))

    def becomes_ready(self, reports=True):
        """`reports`: every backend has reported what it has; a volume made before would find no valid one, as in Cinder."""

        def healthy():
            expect(self.process.poll() is None, f"pumice ended with {self.process.returncode}")
            with urllib.request.urlopen(f"{URL}/healthcheck", timeout=5) as answer:
                return answer.status == 200

        wait_for("/healthcheck", healthy)
        self.log_in()
        if reports:
            wait_for("every backend's report", lambda: len(self.pools()) >= self.backends, seconds=90)

    def kill(self):
        """As a power cut would. tgtd goes with it."""
        self.process.kill()
        self.process.wait()
        wait_for("tgtd to be gone", lambda: not daemons("tgtd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    # -- requests ------------------------------------------------------------------------------------------------

    def log_in(self):
        domain = {"name": "Default"}
        user = {"name": "admin", "password": PASSWORD, "domain": domain}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        status, headers, answer = self.request("POST", "/identity/v3/auth/tokens", body)
        expect(status == 201, f"no token: {status} {answer}")
        self.project = answer["token"]["project"]["id"]
        self.token = headers["X-Subject-Token"]

    def request(self, method, path, body=None, timeout=90):
        headers = {"Content-Type": "application/json", "OpenStack-API-Version": "volume 3.71"}
        if self.token and not path.startswith("/identity"):
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        if self.kept is not None:
            return self.request_kept(method, path, data, headers)
        request = urllib.request.Request(f"{URL}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
                return answer.status, answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode(errors="replace")

    def request_kept(self, method, path, data, headers):
        if not hasattr(self.kept, "connection"):
            self.kept.connection = http.client.HTTPConnection(URL.removeprefix("http://"), timeout=90)
        self.kept.connection.request(method, path, data, headers)
        answer = self.kept.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            return answer.status, answer.headers, text.decode(errors="replace")
        return answer.status, answer.headers, json.loads(text) if text else None

    def ask(self, method, path, body=None, timeout=90):
        """One request to the volume API that must succeed; its answer."""
        status, _, answer = self.request(method, f"/v3/{self.project}{path}", body, timeout)
        if status >= 300:
            raise Refused(f"{method} {path}", status, answer)
        return answer

    def action(self, volume, name, body=None):
        return self.ask("POST", f"/volumes/{volume}/action", {name: body})

    def shown(self, kind, which):
        """A volume or a snapshot as it is now; None once it is gone."""
        try:
            return self.ask("GET", f"/{kind}s/{which}")[kind]
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def becomes(self, which, status, kind="volume", seconds=120, pause=0.1):
        """Waits for a status; one that tells of an error ends the waiting, unless it is the one."""

        def seen():
            now = self.shown(kind, which)
            expect(now is not None, f"the {kind} is gone")
            if now["status"] == status:
                return now
            # Asked only then: the owner's messages say more than the record.
            if now["status"].startswith("error"):
                raise Wrong(f"the {kind} is {now['status']}: {self.messages(which)}")
            return None

        return wait_for(f"the {kind} to be {status}", seen, seconds, pause)

    def is_gone(self, which, kind="volume", seconds=120):
        def gone():
            now = self.shown(kind, which)
            expect(now is None or not now["status"].startswith("error"), now)
            return now is None

        wait_for(f"the {kind} to be gone", gone, seconds)

    # -- verbs ---------------------------------------------------------------------------------------------------

    def ask_for_volume(self, name, size, **more):
        return self.ask("POST", "/volumes", {"volume": {"name": name, "size": size, **more}})["volume"]["id"]

    def create(self, name, size, **more):
        """`more`: volume_type, snapshot_id, source_volid."""
        volume = self.ask_for_volume(name, size, **more)
        self.becomes(volume, "available")
        return volume

    def extend(self, volume, size):
        before = self.shown("volume", volume)["status"]
        self.action(volume, "os-extend", {"new_size": size})
        expect(self.becomes(volume, before)["size"] == size, "the record has another size")

    def delete(self, volume):
        self.ask("DELETE", f"/volumes/{volume}")
        self.is_gone(volume)

    def snapshot(self, volume, name):
        asked = {"snapshot": {"volume_id": volume, "name": name}}
        made = self.ask("POST", "/snapshots", asked)["snapshot"]["id"]
        self.becomes(made, "available", "snapshot")
        return made

    def delete_snapshot(self, snapshot):
        self.ask("DELETE", f"/snapshots/{snapshot}")
        self.is_gone(snapshot, "snapshot")

    def revert(self, volume, snapshot):
        self.action(volume, "revert", {"snapshot_id": snapshot})
        return self.becomes(volume, "available")

    def attach(self, volume, connector, instance=None):
        """An attachment's id, and what it takes to connect."""
        asked = {"volume_uuid": volume, "connector": connector}
        if instance is not None:
            asked["instance_uuid"] = instance
        made = self.ask("POST", "/attachments", {"attachment": asked})["attachment"]
        self.ask("POST", f"/attachments/{made['id']}/action", {"os-complete": None})
        self.becomes(volume, "in-use")
        return made["id"], made["connection_info"]

    def detach(self, volume, attachment, status="available"):
        self.ask("DELETE", f"/attachments/{attachment}")
        self.becomes(volume, status)

    def make_type(self, name, **extra_specs):
        asked = {"volume_type": {"name": name, "extra_specs": extra_specs}}
        return self.ask("POST", "/types", asked)["volume_type"]["id"]

    # -- what there is -------------------------------------------------------------------------------------------

    def pools(self):
        return {pool["name"]: pool for pool in self.ask("GET", "/scheduler-stats/get_pools?detail=true")["pools"]}

    def volumes(self):
        return self.ask("GET", "/volumes/detail?all_tenants=1")["volumes"]

    def snapshots(self):
        return self.ask("GET", "/snapshots/detail?all_tenants=1")["snapshots"]

    def attachments(self):
        return self.ask("GET", "/attachments/detail?all_tenants=1")["attachments"]

    def operations(self):
        status, _, answer = self.request("GET", "/inspect/operations")
        expect(status == 200, answer)
        return answer["operations"]

    def messages(self, resource=None):
        """The messages for users, of one resource or of all."""
        messages = self.ask("GET", "/messages")["messages"]
        return [one["user_message"] for one in messages if resource in (None, one["resource_uuid"])]

    def usage(self):
        """What the project uses, and what is held for requests under way."""
        quota = self.ask("GET", f"/os-quota-sets/{self.project}?usage=True")["quota_set"]
        return {key: (quota[key]["in_use"], quota[key]["reserved"]) for key in ("volumes", "snapshots", "gigabytes")}

    def moving(self, both):
        """Those of these that are on their way. What is connected and was not completed waits for its client, as in Cinder."""
        connected = {one["volume_id"] for one in self.attachments() if one["status"] == "attaching" and one["connection_info"]}
        return [
            one
            for one in both
            if one["status"] not in RESTING and not (one["status"] == "attaching" and one["id"] in connected)
        ]

    def rests(self, seconds=120):
        """Waits until nothing is on its way anywhere and no operation is open."""

        def probe():
            both = self.volumes() + self.snapshots()
            moving = [(one["id"], one["name"], one["status"]) for one in self.moving(both)]
            operations = self.operations()
            if moving or operations:
                raise OSError(f"{len(moving)} on their way: {moving[:4]}; operations: {operations[:3]}")
            return True

        wait_for("everything to come to rest", probe, seconds, pause=0.5)
