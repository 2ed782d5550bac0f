"""A volume changes hands between two tenants, as three clients play it; between two of its steps the service is killed."""

import pytest
import yaml

import clients
import pumice as harness
from pumice import wait_for

USERS = {"admin": "admin", "alice": "giver", "bob": "taker"}
PASSWORD = "secret"


class Tenant:
    """What clients need to know of a user."""

    def __init__(self, folder, url, user):
        self.folder = folder
        self.clouds_yaml = folder / f"{user}.yaml"
        domain = {"user_domain_name": "Default", "project_domain_name": "Default"}
        auth = {"auth_url": f"{url}/identity/v3", "username": user, "password": PASSWORD, "project_name": USERS[user]}
        cloud = {"auth": {**auth, **domain}, "region_name": "RegionOne", "identity_api_version": "3"}
        self.clouds_yaml.parent.mkdir(exist_ok=True)
        self.clouds_yaml.write_text(yaml.safe_dump({"clouds": {harness.CLOUD: cloud}}))

    cloud = harness.Pumice.cloud
    client_env = harness.Pumice.client_env


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    role = {user: "admin" if user == "admin" else "member" for user in USERS}
    users = [{"name": u, "password": PASSWORD, "project": p, "roles": [role[u]]} for u, p in USERS.items()]
    pumice = harness.Pumice(tmp_path_factory.mktemp("pumice"), config={"auth": {"users": users}})
    admin = Tenant(pumice.control.data_dir, pumice.url, "admin")
    admin.clouds_yaml.rename(pumice.clouds_yaml)
    try:
        pumice.start()
        yield pumice, *(Tenant(pumice.folder / "who", pumice.url, user) for user in ("alice", "bob"))
    finally:
        pumice.discard()


class BySdk(clients.Sdk):
    def offer(self, volume):
        made = self.volume.create_transfer(volume_id=self.show(volume)["id"], name="tr")
        return made.id, made.auth_key

    def offers(self):
        return [transfer.id for transfer in self.volume.transfers()]

    def accept(self, transfer, key):
        self.volume.accept_transfer(transfer, key)

    def withdraw(self, transfer):
        self.volume.delete_transfer(transfer, ignore_missing=False)


class ByOpenStack(clients.OpenStack):
    TRANSFER = ("volume", "transfer", "request")

    def offer(self, volume):
        made = self.json(*self.TRANSFER, "create", "--name", "tr", volume)
        return made["id"], made["auth_key"]

    def offers(self):
        return [row["ID"] for row in self.json(*self.TRANSFER, "list")]

    def accept(self, transfer, key):
        self.run(*self.TRANSFER, "accept", "--auth-key", key, transfer)

    def withdraw(self, transfer):
        self.run(*self.TRANSFER, "delete", transfer)


class ByCinder(clients.Cinder):
    def offer(self, volume):
        made = self.properties("transfer-create", "--name", "tr", volume)
        return made["id"], made["auth_key"]

    def offers(self):
        header, *rows = self.rows(self.run("transfer-list"))
        return [row[header.index("ID")] for row in rows]

    def accept(self, transfer, key):
        self.run("transfer-accept", transfer, key)

    def withdraw(self, transfer):
        self.run("transfer-delete", transfer)


@pytest.mark.parametrize("client", [BySdk, ByOpenStack, ByCinder])
def test_a_volume_is_given_away(tenants, client):
    pumice, *both = tenants
    alice, bob = (client(who) for who in both)
    name = f"gift-{client.__name__.lower()}"
    volume = alice.create(name, 1)
    path = f"/volumes/{volume}"
    status = lambda: pumice.admin("GET", path).json()["volume"]["status"]  # noqa: E731
    wait_for("the volume", lambda: status() == "available")
    alice.snapshot(name, f"kept-{name}")
    wait_for("the snapshot", lambda: alice.show_snapshot(f"kept-{name}")["status"] == "available")

    transfer, key = alice.offer(name)
    assert alice.offers() == [transfer] and bob.offers() == []
    assert status() == "awaiting-transfer"
    alice.withdraw(transfer)
    assert alice.offers() == [] and status() == "available"

    transfer, key = alice.offer(name)
    pumice.control.kill()
    pumice.start()
    with pytest.raises(Exception, match="invalid auth key"):
        bob.accept(transfer, "0" * 16)
    assert name in alice.names() and name not in bob.names()
    bob.accept(transfer, key)
    assert name not in alice.names() and name in bob.names()
    assert f"kept-{name}" in bob.snapshot_names()
    assert bob.show(name)["status"] == "available"
    assert alice.offers() == bob.offers() == []
    assert key not in pumice.log()
    bob.delete(name, cascade=True)
    wait_for("the volume to be gone", lambda: pumice.admin("GET", path).status_code == 404)
