"""A client that changes volumes, and what each change must be notified of."""

import http.client
import json
import threading
import time

PROJECT = "11111111222233334444555555555555"


class Client:
    def __init__(self, port):
        self.port = port
        self.connection = None

    def ask(self, method, path, body=None):
        """The answer of a request that must succeed; repeated while the service is away or overloaded."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                data = json.dumps(body) if body is not None else None
                headers = {"X-Auth-Token": f"admin:{PROJECT}", "Content-Type": "application/json"}
                self.connection.request(method, f"/v3/{PROJECT}{path}", data, headers)
                answer = self.connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self.connection = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                continue
            if answer.status < 300:
                return json.loads(text) if text else None
            if answer.status == 404 and method != "POST":
                return None
            if answer.status not in (503, 429) or time.monotonic() > deadline:
                raise AssertionError(f"{method} {path}: {answer.status} {text[:300]!r}")
            time.sleep(0.2)

    def wait_until(self, volume, status, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.ask("GET", f"/volumes/{volume}")
            now = found["volume"]["status"] if found else None
            if now == status:
                return
            time.sleep(0.005)
        raise AssertionError(f"volume {volume} is {now}, not {status}")


class Life(threading.Thread):
    """Volumes, one after the other: each is created, renamed again and again, extended and deleted."""

    def __init__(self, port, volumes, renames, count):
        super().__init__()
        self.client, self.volumes, self.renames, self.count = Client(port), volumes, renames, count
        self.expected = {}
        self.failure = None

    def run(self):
        try:
            for number in range(self.volumes):
                self.volume(number)
        except BaseException as failure:
            self.failure = failure

    def volume(self, number):
        ask = self.client.ask
        made = ask("POST", "/volumes", {"volume": {"size": 1, "name": f"v{number}"}})
        volume = made["volume"]["id"]
        events = self.expected.setdefault(volume, [])
        events += [("volume.create.start", "creating"), ("volume.create.end", "available")]
        self.count()
        self.client.wait_until(volume, "available")
        for rename in range(self.renames):
            ask("PUT", f"/volumes/{volume}", {"volume": {"name": f"n{rename}"}})
            before = f"n{rename - 1}" if rename else f"v{number}"
            events += [("volume.update.start", before), ("volume.update.end", f"n{rename}")]
            self.count()
        ask("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
        events += [("volume.resize.start", 1), ("volume.resize.end", 2)]
        self.count()
        self.client.wait_until(volume, "available")
        ask("DELETE", f"/volumes/{volume}")
        events += [("volume.delete.start", "deleting"), ("volume.delete.end", "deleted")]
        self.count()
        self.client.wait_until(volume, None)


def told(event_type, payload):
    """What a notification says of its volume, in the form of `Life.expected`."""
    if event_type.startswith("volume.update."):
        return payload["display_name"]
    return payload["size"] if event_type.startswith("volume.resize.") else payload["status"]
