"""HTTPS: the real clients, `pumice` itself, and a certificate that is replaced while the service runs."""

import json
import socket
import ssl
import subprocess

import pytest
import trustme

import pumice as harness
import shells
from pumice import wait_for


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def renew(authority, folder):
    made = authority.issue_cert("127.0.0.1")
    (folder / "key.pem").write_bytes(made.private_key_pem.bytes())
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))


def serial(port, ca):
    context = ssl.create_default_context(cafile=str(ca))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
            return stream.getpeercert()["serialNumber"]


def test_clients_speak_https_and_a_certificate_is_renewed(authority, tmp_path, make_pumice, monkeypatch):
    renew(authority, tmp_path)
    ca = tmp_path / "ca.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
    files = {"tls_certificate": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    pumice = make_pumice(config={"web": files})
    pumice.scheme = "https"
    pumice.start()
    assert pumice.cloud()["auth"]["auth_url"].startswith(f"https://127.0.0.1:{pumice.port}")
    env = {**pumice.client_env(), "OS_CACERT": str(ca)}

    def run(*command, expected=0):
        done = shells.run(command, env)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    made = json.loads(run("openstack", "volume", "create", "--size", "1", "-f", "json", "over-tls"))
    assert made["name"] == "over-tls"
    assert "over-tls" in run("cinder", "list")
    endpoints = json.loads(run("openstack", "catalog", "list", "-f", "json"))
    assert all(f"https://127.0.0.1:{pumice.port}" in str(row["Endpoints"]) for row in endpoints), endpoints
    assert run(harness.BINARY, "quota", "check") == "all agrees\n"
    env.pop("OS_CACERT")
    run(harness.BINARY, "quota", "check", expected=1)

    first = serial(pumice.port, ca)
    renew(authority, tmp_path)
    renewed = wait_for("the new certificate", lambda: serial(pumice.port, ca) != first)
    assert renewed
    (tmp_path / "key.pem").write_text("broken")
    wait_for("the fault in the log", lambda: "the certificate of HTTPS is faulty" in pumice.log())
    second = serial(pumice.port, ca)
    renew(authority, tmp_path)
    wait_for("the next certificate", lambda: serial(pumice.port, ca) != second)


def test_a_faulty_certificate_is_reported_before_anything_starts(authority, tmp_path):
    renew(authority, tmp_path)
    (tmp_path / "key.pem").write_text("broken")
    config = tmp_path / "pumice.toml"

    def check(lines):
        config.write_text("[web]\n" + lines)
        done = subprocess.run([harness.BINARY, "check-config", str(config)], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    status, said = check(f'tls_certificate = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"\n')
    assert status == 2 and "key.pem: no private key" in said, said
    status, said = check(f'tls_certificate = "{tmp_path}/cert.pem"\n')
    assert status == 2 and "HTTPS needs a certificate and its key" in said, said
