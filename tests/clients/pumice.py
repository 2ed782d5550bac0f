"""Real `pumice serve` processes on free ports, in a folder of their own, and what can be seen of them from outside."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import requests
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/pumice"
BINARY = os.environ.get("PUMICE_BIN", str(BUILT))
CLOUD = "pumice"
SECRET = "what both halves of a test know"
PROJECT = re.compile(r"[0-9a-f-]{32,36}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, probe, seconds=30.0, pause=0.05):
    """Asks `probe` until it answers something true; fails by saying what was waited for, and what was seen last."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except (requests.RequestException, OSError) as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"waited {seconds:g} s for {what}; last seen: {last!r}")


def toml(table):
    """The little of TOML that the tests write: sections of plain values (JSON's texts, numbers and lists are TOML's)."""
    lines = []
    for section, values in table.items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            if isinstance(value, dict):
                value = "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }"
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                items = ("{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in item.items()) + " }" for item in value)
                value = "[" + ", ".join(items) + "]"
            else:
                value = json.dumps(value)
            lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"


class Process:
    """One `pumice serve`."""

    def __init__(self, folder, name, config, env=None):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.data_dir = pathlib.Path(config["node"]["data_dir"])
        self.config_file = self.folder / f"{name}.toml"
        self.config_file.write_text(toml(config))
        self.log_file = self.folder / f"{name}.log"
        self.env = {**os.environ, **(env or {})}
        self.process = None

    def start(self):
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.folder,
            )
        return self

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def kill(self):
        """As a power cut would: no chance to tidy up."""
        if self.running:
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=15.0):
        """SIGTERM; how long it took, and its exit code."""
        began = time.monotonic()
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.name} did not stop within {seconds:g} s of SIGTERM") from None
        return time.monotonic() - began, self.process.returncode


class Pumice:
    """A Pumice of one process, or of a control and a volume process."""

    scheme = "http"

    def __init__(self, folder, split=False, config=None, env=None):
        self.folder = pathlib.Path(folder)
        self.split = split
        self.port, self.peer_port, self.portal_port = free_port(), free_port(), free_port()
        self.volumes = self.folder / "volumes"
        overrides = config or {}
        parts = self._split_parts() if split else {"pumice": self._single_part()}
        for part in parts.values():
            for section, values in overrides.items():
                if section in part or section != "backend.file":
                    part.setdefault(section, {}).update(values)
        self.parts = {name: Process(self.folder, name, part, env) for name, part in parts.items()}

    def _common(self, name):
        return {
            "node": {"host": "rock", "data_dir": str(self.folder / name)},
            "log": {"filter": "debug,sled=warn", "format": "text"},
            "service": {"report_interval": "500ms", "down_time": "5s"},
            "operations": {"resend_after": "3s", "retry_initial": "500ms", "retry_max": "2s"},
        }

    def _control(self, part):
        part["web"] = {"listen": f"127.0.0.1:{self.port}"}
        part["transport"] = {"listen": f"127.0.0.1:{self.peer_port}"}
        return part

    def _volume(self, part):
        part["backend.file"] = {
            "path": str(self.volumes),
            "target_portal": f"127.0.0.1:{self.portal_port}",
        }
        return part

    def _single_part(self):
        return self._volume(self._control(self._common("pumice")))

    def _split_parts(self):
        control, volume = self._control(self._common("control")), self._volume(self._common("volume"))
        control["node"]["roles"] = ["control"]
        control["transport"]["secret"] = SECRET
        volume["node"]["roles"] = ["volume"]
        volume["transport"] = {
            "join": [f"127.0.0.1:{self.peer_port}"],
            "ping_interval": "500ms",
            "secret": SECRET,
        }
        return {"control": control, "volume": volume}

    # -- its life ------------------------------------------------------------------------------------------------

    @property
    def control(self):
        return self.parts.get("control") or self.parts["pumice"]

    def start(self):
        for part in self.parts.values():
            part.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.discard()
            raise
        return self

    def wait_until_ready(self):
        def healthy():
            dead = [part for part in self.parts.values() if not part.running]
            if dead:
                raise RuntimeError(f"{dead[0].name} ended:\n{dead[0].log()[-4000:]}")
            return requests.get(f"{self.url}/healthcheck", timeout=5).status_code == 200

        wait_for("/healthcheck", healthy)
        # A volume made before a backend has reported would find no valid one, as in Cinder.
        wait_for("a backend's report", lambda: self.admin("GET", "/scheduler-stats/get_pools").json()["pools"], pause=0.2)

    def discard(self):
        """Ends whatever is left, tgtd included. For the end of a test, whatever came before."""
        for part in self.parts.values():
            with contextlib.suppress(AssertionError):
                if part.process is not None:
                    part.stop()
        for pid in self.target_daemons():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def log(self):
        return "".join(f"--- {part.name}\n{part.log()[-6000:]}" for part in self.parts.values())

    def target_daemons(self):
        """Our tgtd: the ones that received our portal."""
        pids = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"tgtd") and any(f":{self.portal_port}".encode() in word for word in words):
                pids.append(int(folder.name))
        return pids

    # -- how clients reach it ------------------------------------------------------------------------------------

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def clouds_yaml(self):
        return self.control.data_dir / "clouds.yaml"

    def cloud(self):
        return yaml.safe_load(self.clouds_yaml.read_text())["clouds"][CLOUD]

    def client_env(self):
        """The environment for command line clients: openstackclient reads the first half, cinderclient the second."""
        cloud = self.cloud()
        auth = cloud["auth"]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml),
            "OS_CLOUD": CLOUD,
            "OS_REGION_NAME": cloud.get("region_name", "RegionOne"),
        }
        for key in ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name",
                    "user_domain_id", "project_domain_id"):
            if key in auth:
                env[f"OS_{key.upper()}"] = auth[key]
        return env

    def token(self):
        auth = self.cloud()["auth"]
        domain = {"name": auth.get("user_domain_name", "Default")}
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": auth["username"], "password": auth["password"], "domain": domain}
                    },
                },
                "scope": {"project": {"name": auth["project_name"], "domain": domain}},
            }
        }
        url = auth["auth_url"].rstrip("/")
        url += "" if url.endswith("/v3") else "/v3"
        answer = requests.post(f"{url}/auth/tokens", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"], answer.json()["token"]["project"]["id"]

    def admin(self, method, path, version="3.71", **kwargs):
        """One request as the administrator, to a path of the volume API."""
        if not getattr(self, "_token", None):
            self._token, self.project_id = self.token()
        headers = {"X-Auth-Token": self._token, **kwargs.pop("headers", {})}
        if version:
            headers["OpenStack-API-Version"] = f"volume {version}"
        url = f"{self.url}/v3/{self.project_id}{path}"
        answer = requests.request(method, url, headers=headers, timeout=90, **kwargs)
        if answer.status_code == 401:
            # Tokens need not outlive the process.
            self._token, self.project_id = self.token()
            headers["X-Auth-Token"] = self._token
            answer = requests.request(method, url, headers=headers, timeout=90, **kwargs)
        return answer

    def usage(self):
        """What the project uses: `{"volumes": (in_use, reserved), "gigabytes": …, "snapshots": …}`."""
        if not getattr(self, "_token", None):
            self._token, self.project_id = self.token()
        answer = self.admin("GET", f"/os-quota-sets/{self.project_id}", params={"usage": "True"})
        assert answer.status_code == 200, answer.text
        quota = answer.json()["quota_set"]
        return {key: (quota[key]["in_use"], quota[key]["reserved"]) for key in ("volumes", "gigabytes")}

    def all_volumes(self):
        answer = self.admin("GET", "/volumes/detail", params={"all_tenants": "1"})
        assert answer.status_code == 200, answer.text
        return answer.json()["volumes"]

    # -- what the storage says ------------------------------------------------------------------------------------

    def files(self):
        """The names of all files below the backend's folder."""
        if not self.volumes.exists():
            return set()
        return {str(path.relative_to(self.volumes)) for path in self.volumes.rglob("*") if path.is_file() and path.name != ".pumice.lock"}

    def volume_files(self):
        return {name for name in self.files() if "volume-" in name}

    def targets(self):
        """The iSCSI names that the target daemon has."""
        socket_ = self.parts["volume" if self.split else "pumice"].data_dir / "tgt/file/socket"
        shown = subprocess.run(
            ["tgtadm", "-C", "1", "--lld", "iscsi", "--mode", "target", "--op", "show"],
            env={"PATH": os.environ["PATH"], "TGT_IPC_SOCKET": str(socket_)},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert shown.returncode == 0, f"tgtadm: {shown.stderr}"
        return set(re.findall(r"^Target \d+: (\S+)", shown.stdout, re.M))

    def discovered_by(self, initiator):
        """The iSCSI names that the portal tells an initiator."""
        done = subprocess.run(
            ["iscsi-ls", "-i", initiator, f"iscsi://127.0.0.1:{self.portal_port}"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        return set(re.findall(r"Target:(\S+)", done.stdout))
