"""The Pumice that the calls are made to, and what its API says: a client's word for its own effect would not be enough."""

import contextlib

import requests

import pumice as harness
from pumice import free_port, wait_for

FILE, SPARE = "rock@file#file", "rock@spare#spare"
CONNECTOR = {"initiator": "iqn.1994-05.com.redhat:caller", "ip": "127.0.0.1", "host": "h"}


def other_pool(volume):
    """Where the volume is, and where it is not."""
    here = volume["os-vol-host-attr:host"]
    return here, SPARE if here == FILE else FILE


@contextlib.contextmanager
def running(folder):
    """A Pumice with two backends, so that volumes can be moved."""
    spare = {"path": str(folder / "spare"), "target_portal": f"127.0.0.1:{free_port()}"}
    pumice = harness.Pumice(folder, config={"backend.spare": spare})
    try:
        yield Service(pumice.start())
    finally:
        pumice.discard()


class Service:
    def __init__(self, pumice):
        self.pumice = pumice

    def get(self, path, **kwargs):
        answer = self.pumice.admin("GET", path, **kwargs)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def project(self):
        self.get("/limits")
        return self.pumice.project_id

    def named(self, kind, name):
        """The one volume, snapshot, … of this name, or None."""
        listed = self.get(f"/{kind}/detail", params={"all_tenants": "1"})[kind]
        # The hidden copy of a volume that moves has its name.
        found = [one for one in listed if one["name"] == name and not (one.get("migration_status") or "").startswith("target:")]
        assert len(found) < 2, found
        return found[0] if found else None

    def volume(self, name):
        return self.named("volumes", name)

    def snapshot(self, name):
        return self.named("snapshots", name)

    def until(self, name, status="available", kind="volumes"):
        """Waits until the volume has the status; the volume."""

        def reached():
            found = self.named(kind, name)
            return found if found and found["status"] == status else None

        return wait_for(f"{kind} {name} to be {status}", reached, seconds=10.0)

    def snapshot_until(self, name, status="available"):
        return self.until(name, status, kind="snapshots")

    def gone(self, name, kind="volumes"):
        wait_for(f"{kind} {name} to be gone", lambda: self.named(kind, name) is None, seconds=10.0)

    def moved(self, name, host):
        """Waits until the volume is at the host, and its migration is over."""

        def there():
            volume = self.volume(name)
            at = (volume["os-vol-host-attr:host"], volume["os-vol-mig-status-attr:migstat"], volume["status"])
            return at[0] == host and at[1] in (None, "success") and at[2] == "available"

        wait_for(f"volume {name} to be at {host}", there, seconds=20.0)

    def make_volume(self, name, **attributes):
        answer = self.pumice.admin("POST", "/volumes", json={"volume": {"name": name, "size": 1, **attributes}})
        assert answer.status_code == 202, answer.text
        return self.until(name)

    def make_snapshot(self, name, volume):
        body = {"snapshot": {"name": name, "volume_id": self.volume(volume)["id"]}}
        answer = self.pumice.admin("POST", "/snapshots", json=body)
        assert answer.status_code == 202, answer.text
        return self.snapshot_until(name)

    def attach(self, volume):
        """Reserves it for a server, without a connector; the attachment's id."""
        body = {"volume_uuid": self.volume(volume)["id"], "instance_uuid": "11111111-2222-4333-8444-555555555555"}
        answer = self.pumice.admin("POST", "/attachments", json={"attachment": body})
        assert answer.status_code == 200, answer.text
        return answer.json()["attachment"]["id"]

    def token_is_refused(self, token):
        url = f"{self.pumice.url}/v3/{self.project()}/limits"
        return requests.get(url, headers={"X-Auth-Token": token}, timeout=10).status_code == 401

    def reset(self, name, **states):
        path = f"/volumes/{self.volume(name)['id']}/action"
        answer = self.pumice.admin("POST", path, json={"os-reset_status": states or {"status": "available"}})
        assert answer.status_code == 202, answer.text

    def delete(self, *names):
        for name in names:
            found = self.volume(name)
            answer = self.pumice.admin("DELETE", f"/volumes/{found['id']}", params={"cascade": "true"})
            assert answer.status_code == 202, answer.text
        for name in names:
            self.gone(name)

    def lay(self, name, size=1 << 30):
        """Something on the storage that no record knows of."""
        with (self.pumice.volumes / name).open("wb") as file:
            file.truncate(size)
