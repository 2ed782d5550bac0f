"""Pumice behind a real Keystone, over TLS, as OpenStack's clients use it."""

import datetime
import ipaddress
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import openstack
import pytest
import pumice as harness
import shells
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from openstack import exceptions

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "keystone"))
from keystone import PASSWORD, Keystone  # noqa: E402

CACHE_TIME = 2


def certificate(file):
    """A certificate of 127.0.0.1 that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keystone")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(made.public_bytes(form[0]) + key.private_bytes(*form))
    return file


@pytest.fixture(scope="module")
def keystone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keystone")
    keystone = Keystone(folder / "k", harness.free_port(), certificate(folder / "certificate.pem"))
    try:
        yield keystone.make().start()
    finally:
        keystone.stop()


class Behind(harness.Pumice):
    """A Pumice with the users of a Keystone."""

    def __init__(self, folder, keystone):
        self.keystone = keystone
        password = folder / "password"
        password.write_text(f"{PASSWORD}\n")
        settings = {
            "url": keystone.url.removesuffix("/v3"),
            "www_authenticate_uri": "https://keystone.example.org/v3",
            "password_file": str(password),
            "cafile": str(keystone.certificate),
            "timeout": "4s",
            "token_cache_time": f"{CACHE_TIME}s",
        }
        super().__init__(folder, config={"auth": {"strategy": "keystone"}, "auth.keystone": settings})

    def token(self):
        token = self.keystone.token()
        project = next(p for p in self.keystone.ask("GET", "/projects?name=admin", token)["projects"])
        return token, project["id"]

    def client_env(self, user="admin", project="admin", **more):
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "OS_AUTH_URL": self.keystone.url,
            "OS_CACERT": str(self.keystone.certificate),
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "RegionOne",
            "OS_IDENTITY_API_VERSION": "3",
            **more,
        }

    def register(self, *words, **env):
        return self.run("keystone", "register", "--config", str(self.control.config_file), *words, **env)

    def run(self, *words, user="admin", project="admin", **env):
        return subprocess.run([harness.BINARY, *words], env=self.client_env(user, project, **env), capture_output=True,
                              text=True, timeout=60)

    def connect(self, auth_type="password", **auth):
        return openstack.connect(
            load_envvars=False, load_yaml_config=False, region_name="RegionOne", cacert=str(self.keystone.certificate),
            auth_type=auth_type, auth={"auth_url": self.keystone.url, **auth},
        )

    def get(self, path, token, **headers):
        headers = {"OpenStack-API-Version": "volume 3.71", **({"X-Auth-Token": token} if token else {}), **headers}
        return requests.get(f"{self.url}/v3{path}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def behind(keystone, tmp_path_factory):
    pumice = Behind(tmp_path_factory.mktemp("pumice"), keystone)
    try:
        yield pumice.start()
    finally:
        pumice.discard()


@pytest.fixture(scope="module")
def registered(behind):
    """With the service in the catalog, and a user `eve` who is a member of the project `green`."""
    done = behind.register()
    assert done.returncode == 0, done.stderr
    admin = behind.connect(username="admin", password=PASSWORD, project_name="admin",
                           user_domain_name="Default", project_domain_name="Default")
    project = admin.identity.create_project(name="green", domain_id="default")
    user = admin.identity.create_user(name="eve", password=PASSWORD, domain_id="default")
    admin.identity.assign_project_role_to_user(project, user, admin.identity.find_role("member"))
    behind.admin_cloud, behind.green = admin, project
    return behind


def as_eve(pumice):
    return pumice.connect(username="eve", password=PASSWORD, project_name="green",
                          user_domain_name="Default", project_domain_name="Default")


def scoped(keystone, user="eve"):
    return keystone.token(user, scope={"project": {"name": "green", "domain": {"id": "default"}}})


def test_registering_changes_what_differs_and_nothing_else(behind):
    dry = behind.register("--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.count("would create: service") == 2 and dry.stdout.count("would create: endpoint") == 6, dry.stdout
    assert not [s for s in behind.keystone.ask("GET", "/services", behind.keystone.token())["services"] if s["name"] != "keystone"]
    done = behind.register()
    assert done.stdout.endswith("8 changed in region RegionOne.\n"), done.stdout + done.stderr
    again = behind.register()
    assert again.stdout.count("unchanged: ") == 6 and again.stdout.endswith("Region RegionOne has all of it.\n"), again.stdout

    second = behind.register("--region", "Second", "--without-project")
    assert "create: region Second" in second.stdout and second.stdout.count("create: endpoint") == 6, second.stdout + second.stderr
    other = behind.register("--internal-url", "http://10.0.0.1:8776/")
    assert other.stdout.count("update: ") == 4, other.stdout
    assert behind.register().stdout.count(f"{behind.url}/v3/$(project_id)s (was http://10.0.0.1:8776/v3/$(project_id)s)") == 4
    other = certificate(behind.folder / "other.pem")
    distrusted = behind.register(OS_CACERT=str(other))
    assert distrusted.returncode == 1 and "certificate" in distrusted.stderr, distrusted.stderr
    endpoints = behind.keystone.ask("GET", "/endpoints", behind.keystone.token())["endpoints"]
    assert len(endpoints) == 3 + 6 + 6


def test_the_openstack_client_makes_a_volume(registered):
    def run(*words, **env):
        return shells.run(["openstack", *words], registered.client_env("eve", "green", **env))

    done = run("volume", "create", "--size", "1", "-f", "json", "hers")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    eve = as_eve(registered)
    assert eve.block_storage.get_volume(made["id"]).project_id == eve.current_project_id
    eve.block_storage.wait_for_status(eve.block_storage.get_volume(made["id"]), "available")
    done = run("volume", "delete", "hers", OS_PASSWORD="wrong")
    assert done.returncode == 1 and "401" in done.stderr, done.stderr
    done = run("volume", "service", "list")
    assert done.returncode == 1 and "403" in done.stderr, done.stderr
    cinder = shells.run(["cinder", "delete", "hers"], registered.client_env("eve", "green"))
    assert cinder.returncode == 0, cinder.stderr
    assert registered.register(user="eve", project="green").returncode == 1, "she is no administrator"


def test_commands_of_pumice_log_in_there(registered):
    listed = registered.run("operations", "list")
    assert listed.returncode == 0, listed.stderr
    refused = registered.run("operations", "list", OS_PASSWORD="wrong")
    assert refused.returncode == 1 and "401" in refused.stderr, refused.stderr
    assert requests.get(f"{registered.url}/identity/v3", timeout=10).status_code == 404


def test_a_wrong_token_is_refused_and_a_revoked_one_soon(registered, keystone):
    for token in (None, "", "wrong", "x" * 5000):
        answer = registered.get("/volumes", token)
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone.example.org/v3"'
    token = scoped(keystone)
    assert registered.get("/volumes", token).status_code == 200
    request = requests.delete(f"{keystone.url}/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token},
                              verify=str(keystone.certificate), timeout=30)
    assert request.status_code == 204
    revoked = time.monotonic()
    harness.wait_for("the refusal", lambda: registered.get("/volumes", token).status_code == 401)
    assert time.monotonic() - revoked < CACHE_TIME + 3


def test_an_application_credential_may_do_what_its_access_rules_say(registered):
    eve = as_eve(registered)
    user = eve.current_user_id
    program = dict(auth_type="v3applicationcredential")
    made = eve.identity.create_application_credential(user, "all")
    whole = registered.connect(**program, application_credential_id=made.id, application_credential_secret=made.secret)
    volume = whole.block_storage.create_volume(name="of-a-program", size=1)
    whole.block_storage.wait_for_status(volume, "available")
    rule = {"service": "block-storage", "method": "GET", "path": "/v3/*/volumes/detail"}
    made = eve.identity.create_application_credential(user, "look", access_rules=[rule])
    look = registered.connect(**program, application_credential_id=made.id, application_credential_secret=made.secret)
    assert [one.name for one in look.block_storage.volumes()] == ["of-a-program"]
    with pytest.raises(exceptions.HttpException) as refused:
        look.block_storage.delete_volume(volume)
    assert refused.value.status_code == 401
    whole.block_storage.delete_volume(volume)
    whole.block_storage.wait_for_delete(volume)


def test_tokens_without_a_project_are_those_of_administrators(registered, keystone):
    admin = keystone.ask("GET", "/users?name=admin", keystone.token())["users"][0]["id"]
    system = keystone.token(scope={"system": {"all": True}})
    assert registered.get("/os-services", system).status_code == 200
    assert registered.get("/volumes/detail?all_tenants=1", system).status_code == 200
    body = {"volume": {"size": 1}}
    headers = {"X-Auth-Token": system, "OpenStack-API-Version": "volume 3.71"}
    answer = requests.post(f"{registered.url}/v3/volumes", headers=headers, json=body, timeout=30)
    assert answer.status_code == 403, answer.text
    role = next(role for role in keystone.ask("GET", "/roles?name=admin", keystone.token())["roles"])
    keystone.ask("PUT", f"/domains/default/users/{admin}/roles/{role['id']}", keystone.token())
    domain = keystone.token(scope={"domain": {"id": "default"}})
    assert registered.get("/os-services", domain).status_code == 200
    unscoped = keystone.token("eve", scope="unscoped")
    assert registered.get("/volumes", unscoped).status_code == 403


def test_a_default_type_is_for_a_project_that_keystone_knows(registered):
    unknown = "00000000000000000000000000000000"
    body = {"default_type": {"volume_type": "__DEFAULT__"}}
    answer = registered.admin("PUT", f"/default-types/{unknown}", json=body)
    assert (answer.status_code, answer.json()["itemNotFound"]["message"]) == (404, f"Project with id {unknown} not found.")
    assert registered.admin("PUT", f"/default-types/{registered.green.id}", json=body).status_code == 200
    assert registered.admin("DELETE", f"/default-types/{registered.green.id}").status_code == 204
    answer = registered.admin("PUT", f"/os-quota-sets/{unknown}", json={"quota_set": {"volumes": 1}})
    assert answer.status_code == 200, "Cinder does not look quota's projects up"


def test_a_keystone_that_stops_is_503_and_back_is_back(registered, keystone):
    token, other = scoped(keystone), scoped(keystone)
    assert registered.get("/volumes", token).status_code == 200
    keystone.signal(signal.SIGSTOP)
    # It accepts connections and does not answer.
    began = time.monotonic()
    answer = registered.get("/volumes", other)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
    assert time.monotonic() - began < 15
    keystone.stop()
    statuses = []
    harness.wait_for("the end of the cache", lambda: statuses.append(registered.get("/volumes", token).status_code) or statuses[-1] != 200)
    assert statuses[-1] == 503, statuses
    assert registered.get("/volumes", None).status_code == 401
    assert requests.get(f"{registered.url}/healthcheck", timeout=5).status_code == 200

    # Tokens that expire soon, from now on.
    configuration = keystone.configuration
    configuration.write_text(configuration.read_text().replace("[token]\n", "[token]\nexpiration = 4\n"))
    keystone.start()
    assert registered.get("/volumes", token).status_code == 200
    short = scoped(keystone)
    assert registered.get("/volumes", short).status_code == 200
    harness.wait_for("the end of the token", lambda: registered.get("/volumes", short).status_code == 401)
    service = {"X-Service-Token": keystone.token("cinder")}
    assert registered.get("/volumes", short, **service).status_code == 200
    assert registered.get("/volumes", short, **{"X-Service-Token": scoped(keystone)}).status_code == 401
    assert registered.get("/volumes", short).status_code == 401
