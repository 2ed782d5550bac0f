"""A RabbitMQ and a Pumice of the test's own, on free ports of the loopback, each in a session of its own."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/pumice"
BINARY = os.environ.get("PUMICE_BIN", str(BUILT))
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, probe, seconds=60.0, pause=0.1):
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"waited {seconds:g} s for {what}; last seen: {last!r}")


class Process:
    """A program in a session of its own, so that all its children can be ended with it."""

    def __init__(self, name, command, log, env=None):
        self.name = name
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
            )

    @property
    def running(self):
        return self.process.poll() is None

    def end(self, how=signal.SIGKILL):
        if self.running:
            os.killpg(self.process.pid, how)
        self.process.wait(30)


class Broker:
    """A RabbitMQ with an epmd of its own; it keeps its data when it is killed. It listens for TLS, too."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port, self.distribution, self.epmd_port, self.tls_port = (free_port() for _ in range(4))
        self.certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        extensions = ["subjectAltName=IP:127.0.0.1", "basicConstraints=critical,CA:FALSE"]
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2",
                   "-subj", "/CN=localhost", "-keyout", key, "-out", self.certificate]
        subprocess.run(command + [word for one in extensions for word in ("-addext", one)], check=True, capture_output=True)
        config = self.folder / "rabbitmq.conf"
        # Only logins of this test; no memory alarm on small machines.
        config.write_text(f"""
vm_memory_high_watermark.relative = 0.8
disk_free_limit.absolute = 50MB
listeners.ssl.1 = 127.0.0.1:{self.tls_port}
ssl_options.certfile = {self.certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
""")
        (self.folder / "rabbitmq-env.conf").touch()
        (self.folder / "enabled_plugins").write_text("[].\n")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"notifications{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "rabbitmq-env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.epmd = Process("epmd", ["epmd"], self.folder / "epmd.log", self.env)
        wait_for("epmd", lambda: socket.create_connection(("127.0.0.1", self.epmd_port), 1))
        self.server = None

    @property
    def url(self):
        return f"rabbit://guest:guest@127.0.0.1:{self.port}/"

    def sink(self, tls):
        """The configuration of a sink that publishes to it."""
        if not tls:
            return {"sinks": ["amqp"], "amqp_url": self.url}
        return {"sinks": ["amqp"], "amqp_url": f"amqps://guest:guest@127.0.0.1:{self.tls_port}/", "cafile": str(self.certificate)}

    def start(self):
        self.server = Process("rabbitmq", [SERVER], self.folder / "rabbitmq.log", self.env)
        wait_for("RabbitMQ", self.answers, 120)
        return self

    def answers(self):
        if not self.server.running:
            raise AssertionError(f"RabbitMQ ended: {self.folder / 'rabbitmq.log'}")
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(2)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"

    def kill(self):
        self.server.end(signal.SIGKILL)

    def stand_still(self, seconds):
        """It keeps its connections and answers nothing."""
        os.killpg(self.server.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.killpg(self.server.process.pid, signal.SIGCONT)

    def end(self):
        if self.server:
            self.kill()
        self.epmd.end()


class Pumice:
    """A `pumice serve` without login, whose volumes are sparse files."""

    def __init__(self, folder, **notifications):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        keys = "\n".join(f"{key} = {toml(value)}" for key, value in notifications.items())
        self.config = self.folder / "pumice.toml"
        self.config.write_text(f"""
[node]
host = "rock"
data_dir = "{self.folder}/data"
[web]
listen = "127.0.0.1:{self.port}"
[transport]
listen = "127.0.0.1:{free_port()}"
[auth]
strategy = "noauth"
[log]
filter = "info"
[quota]
volumes = -1
gigabytes = -1
snapshots = -1
per_volume_gigabytes = -1
[service]
report_interval = "1s"
[notifications]
{keys}
[backend.file]
driver = "file"
target = "none"
""")
        self.process = None

    def start(self):
        command = [BINARY, "serve", "--config", str(self.config)]
        self.process = Process("pumice", command, self.folder / "pumice.log")
        wait_for("Pumice", self.answers)
        return self

    def answers(self):
        if not self.process.running:
            raise AssertionError((self.folder / "pumice.log").read_text())
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"GET /healthcheck HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)

    def kill(self):
        self.process.end(signal.SIGKILL)

    def end(self):
        if self.process:
            self.process.end(signal.SIGTERM)


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program) and not os.path.exists(program)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)} (Debian: rabbitmq-server)")
