"""Three control nodes on an etcd of three members, a volume node, and before them a balancer that gives each connection to the next one:
what one control node has answered, the next request asks of another.

As a program, `cluster.py FOLDER PORT BACKENDS` runs them until SIGTERM, with the backends of a TOML file and the balancer on that port.
"""

import contextlib
import itertools
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pumice as harness

CONTROL_NODES = 3


class Balancer:
    """Gives each connection to the next of some addresses that takes it."""

    def __init__(self, port, backends):
        self.turns = itertools.cycle(range(len(backends)))
        self.backends = backends
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        first = next(self.turns)
        for offset in range(len(self.backends)):
            with contextlib.suppress(OSError):
                server = socket.create_connection(self.backends[(first + offset) % len(self.backends)], timeout=5)
                break
        else:
            client.close()
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        # The other direction may go on: one side may close its half first.
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


class Etcd:
    """Members of one etcd on the loopback."""

    def __init__(self, folder, count=3):
        self.folder = pathlib.Path(folder)
        self.ports = [(harness.free_port(), harness.free_port()) for _ in range(count)]
        self.members = []

    @property
    def endpoints(self):
        return [f"http://127.0.0.1:{client}" for client, _ in self.ports]

    def start(self):
        everyone = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(self.ports))
        for number, (client, peer) in enumerate(self.ports):
            client, peer = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            words = ["etcd", "--name", f"m{number}", "--data-dir", str(self.folder / f"m{number}"), "--logger", "zap",
                     "--log-outputs", "stderr", "--log-level", "warn", "--listen-client-urls", client,
                     "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                     "--initial-cluster", everyone, "--initial-cluster-state", "new"]
            with (self.folder / f"m{number}.log").open("ab") as log:
                member = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.members.append(member)

    def stop(self):
        for member in self.members:
            member.kill()
            member.wait()


class Cluster(harness.Pumice):
    """A Pumice of three control nodes and a volume node, for its clients as one of one process."""

    def __init__(self, folder, config=None, port=None, backends=None):
        self.folder = pathlib.Path(folder)
        self.split = True
        self.port, self.portal_port = port or harness.free_port(), harness.free_port()
        self.ports = [(harness.free_port(), harness.free_port()) for _ in range(CONTROL_NODES)]
        self.volumes = self.folder / "volumes"
        self.etcd = Etcd(self.folder)
        self.balancer = None
        names = [f"control-{n + 1}" for n in range(CONTROL_NODES)]
        parts = {name: self._control_node(name, *ports) for name, ports in zip(names, self.ports)}
        parts["volume"] = self._volume_node(backends)
        for part in parts.values():
            for section, values in (config or {}).items():
                if section in part or section != "backend.file":
                    part.setdefault(section, {}).update(values)
        self._certify(names, [key.removeprefix("backend.") for key in parts["volume"] if key.startswith("backend.")])
        self.parts = {name: harness.Process(self.folder, name, part) for name, part in parts.items()}

    def _node(self, name, role, join):
        part = self._common(name)
        part["node"].update(host=name, roles=[role])
        tls = self.folder / f"tls-{name}"
        part["transport"] = {
            "join": [f"127.0.0.1:{port}" for port in join],
            "certificate": str(tls / "node.pem"),
            "key": str(tls / "node.key"),
            "ca": str(tls / "ca.pem"),
        }
        return part

    def _control_node(self, name, port, peer_port):
        part = self._node(name, "control", [peer for _, peer in self.ports])
        part["transport"]["listen"] = f"127.0.0.1:{peer_port}"
        part["web"] = {"listen": f"127.0.0.1:{port}", "public_endpoint": f"http://127.0.0.1:{self.port}"}
        part["store"] = {"engine": "etcd", "etcd_endpoints": self.etcd.endpoints}
        return part

    def _volume_node(self, backends):
        part = self._node("volume", "volume", [peer for _, peer in self.ports])
        # What tests call the host.
        part["node"]["host"] = "rock"
        part.update(backends or self._volume({}))
        return part

    def _certify(self, names, backends):
        def authority(*words):
            command = [harness.BINARY, "ca", "--dir", str(self.folder / "ca"), *words]
            subprocess.run(command, check=True, capture_output=True)

        authority("init", "--cluster", "test")
        for name in names:
            authority("issue", "--host", name, "--role", "control", "--out", str(self.folder / f"tls-{name}"))
        named = [word for backend in backends for word in ("--backend", backend)]
        authority("issue", "--host", "rock", "--role", "volume", *named, "--out", str(self.folder / "tls-volume"))

    @property
    def control(self):
        return self.parts["control-1"]

    @property
    def clouds_yaml(self):
        """That of the control node which made the first user, with the address of the balancer."""
        ours = self.folder / "clouds.yaml"
        if not ours.exists():
            written = (self.parts[f"control-{n + 1}"].data_dir / "clouds.yaml" for n in range(CONTROL_NODES))
            written = next(path for path in written if path.exists())
            text = written.read_text()
            for port, _ in self.ports:
                text = text.replace(f"127.0.0.1:{port}/", f"127.0.0.1:{self.port}/")
            ours.touch(mode=0o600)
            ours.write_text(text)
        return ours

    def start(self):
        self.etcd.start()
        self.balancer = Balancer(self.port, [("127.0.0.1", port) for port, _ in self.ports])
        return super().start()

    def wait_until_ready(self):
        for port, _ in self.ports:
            url = f"http://127.0.0.1:{port}/healthcheck"
            harness.wait_for(url, lambda url=url: harness.requests.get(url, timeout=5).status_code == 200, seconds=60)
        super().wait_until_ready()
        # Each of them places volumes.
        for port, _ in self.ports:
            def pools(port=port):
                url = f"http://127.0.0.1:{port}/v3/{self.project_id}/scheduler-stats/get_pools"
                return harness.requests.get(url, headers={"X-Auth-Token": self._token}, timeout=10).json()["pools"]

            harness.wait_for("a backend's report", pools, pause=0.2)

    def discard(self):
        super().discard()
        if self.balancer:
            self.balancer.close()
        self.etcd.stop()


def main(folder, port, backends):
    import tomllib

    tables = tomllib.loads(pathlib.Path(backends).read_text())["backend"]
    shutil.rmtree(folder, ignore_errors=True)
    pathlib.Path(folder).mkdir(parents=True)
    cluster = Cluster(folder, port=int(port), backends={f"backend.{name}": table for name, table in tables.items()})
    # A signal ends the wait below; the processes are ended with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cluster.start()
        print(cluster.clouds_yaml, flush=True)
        signal.pause()
    finally:
        cluster.discard()


if __name__ == "__main__":
    main(*sys.argv[1:])
