"""Several nodes in the guest: a control node, and volume nodes that are hosts of their own to it. Each is a process."""

import os
import signal
import subprocess

from pumice import HOME, LOG, PASSWORD, SHARE, Pumice
from story import expect, run, wait_for

SECRET = "only-between-the-nodes"
CONTROL = "control"

COMMON = """
[node]
host = "{name}"
roles = ["{role}"]
data_dir = "{home}"
[log]
format = "text"
filter = "{log}"
[service]
report_interval = "500ms"
"""

OF_CONTROL = f"""
[auth]
users = [{{ name = "admin", password = "{PASSWORD}", project = "admin", roles = ["admin"] }}]
[transport]
listen = "127.0.0.1:8777"
"""

OF_VOLUME = """
[transport]
join = ["127.0.0.1:8777"]
"""


class Cluster(Pumice):
    """The REST API is the control node's; `hosts` are the sections of each volume node's backends, by its name."""

    def __init__(self, hosts, control="", log="info,pumice=debug"):
        super().__init__("".join(hosts.values()), log)
        self.env = {"PUMICE_TRANSPORT__SECRET": SECRET}
        self.processes = {}
        self.configs = {}
        for name, more in {CONTROL: OF_CONTROL + control, **{host: OF_VOLUME + text for host, text in hosts.items()}}.items():
            home = HOME / name
            home.mkdir(parents=True, mode=0o700, exist_ok=True)
            role = CONTROL if name == CONTROL else "volume"
            self.configs[name] = HOME / f"{name}.toml"
            self.configs[name].write_text(COMMON.format(name=name, role=role, home=home, log=log) + more)
        self.config = self.configs[CONTROL]

    @property
    def nodes(self):
        return list(self.configs)

    def spawn(self):
        for name in self.nodes:
            self.spawn_node(name)

    def spawn_node(self, name):
        words = [SHARE / "pumice", "serve", "--config", self.configs[name]]
        with LOG.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **self.env}
            )
        self.process = self.processes[CONTROL]

    def kill_node(self, name):
        """As a power cut of that node would."""
        self.processes[name].kill()
        self.processes[name].wait()

    def start_again(self, name):
        self.spawn_node(name)
        if name == CONTROL:
            self.becomes_ready(reports=False)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process in self.processes.values()]

    def fsck(self):
        """What the control node finds wrong between its records, in words, while it runs."""
        status, _, answer = self.request("GET", "/inspect/fsck")
        expect(status == 200, f"no fsck: {status} {answer}")
        return [one["what"] for one in answer["findings"]]

    def fsck_at_rest(self):
        """The same by the command, of a service that was ended: its exit code and its words."""
        said = run(SHARE / "pumice", "fsck", "--config", self.config, check=False, seconds=180, env={**os.environ, **self.env})
        return said.returncode, said.stdout + said.stderr

    def migrate(self, volume, pool):
        asked = {"host": pool, "force_host_copy": True, "lock_volume": False}
        return self.action(volume, "os-migrate_volume", asked)

    def storage_name(self, volume):
        """What the storage calls it: a volume that was moved keeps the name of its copy."""
        shown = self.shown("volume", volume)
        return f"volume-{shown['os-vol-mig-status-attr:name_id'] or volume}"

    def pool_of(self, host, backend):
        """The one pool of a backend, as requests name it."""
        prefix = f"{host}@{backend}#"
        return wait_for(f"the pool of {host}@{backend}", lambda: next((one for one in self.pools() if one.startswith(prefix)), None))
