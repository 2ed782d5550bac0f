"""The service as one who runs it sees it: start, stop, what is missing, what is wrong."""

import os
import pathlib
import stat
import subprocess

import requests

import clients
import pumice as harness
import shells
from pumice import wait_for


def create(pumice, name, size=1):
    made = pumice.admin("POST", "/volumes", json={"volume": {"size": size, "name": name}})
    assert made.status_code == 202, made.text
    return made.json()["volume"]["id"]


def available(pumice, volume):
    path = f"/volumes/{volume}"
    return wait_for(
        "the volume to be available",
        lambda: pumice.admin("GET", path).json()["volume"]["status"] == "available",
    )


def test_sigterm_stops_it_within_ten_seconds_and_leaves_no_tgtd(make_pumice):
    for split in (False, True):
        pumice = make_pumice(split=split).start()
        available(pumice, create(pumice, "v"))
        for part in reversed(pumice.parts.values()):
            seconds, code = part.stop()
            assert seconds < 10, part.log()[-2000:]
            assert code == 0, part.log()[-2000:]
        assert pumice.target_daemons() == []


def test_a_stop_and_a_start_keep_everything(make_pumice):
    pumice = make_pumice().start()
    volume = create(pumice, "kept")
    available(pumice, volume)
    before = pumice.admin("GET", f"/volumes/{volume}").json()
    pumice.control.stop()
    pumice.start()
    assert pumice.admin("GET", f"/volumes/{volume}").json() == before
    assert pumice.usage()["volumes"] == (1, 0)


def test_without_tgt_all_but_attaching_works(make_pumice):
    missing = {"tgtd": "/nonexistent/tgtd", "tgtadm": "/nonexistent/tgtadm"}
    pumice = make_pumice(config={"backend.file": missing}).start()
    volume = create(pumice, "unattachable")
    available(pumice, volume)
    pumice.admin("POST", f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}})
    wait_for("2 GiB", lambda: pumice.admin("GET", f"/volumes/{volume}").json()["volume"]["size"] == 2)
    available(pumice, volume)

    body = {"attachment": {"volume_uuid": volume, "connector": clients.CONNECTOR}}
    answer = pumice.admin("POST", "/attachments", json=body)
    assert answer.status_code >= 400, answer.text
    assert "tgt" in pumice.control.log(), "the log must say what is missing"
    for row in pumice.admin("GET", "/attachments").json()["attachments"]:
        assert pumice.admin("DELETE", f"/attachments/{row['id']}").status_code == 200
    available(pumice, volume)
    assert pumice.admin("DELETE", f"/volumes/{volume}").status_code == 202
    wait_for("the volume to be gone", lambda: not pumice.all_volumes())
    assert pumice.files() == set()


def test_without_authentication_cinders_plugin_gets_in(make_pumice):
    pumice = make_pumice(config={"auth": {"strategy": "noauth"}})
    pumice.admin = lambda method, path, **kwargs: requests.request(
        method, f"{pumice.url}/v3/cafe{path}", headers={"X-Auth-Token": "admin:cafe"}, timeout=30, **kwargs
    )
    pumice.start()
    env = {"PATH": os.environ["PATH"], "HOME": str(pumice.folder), "OS_VOLUME_API_VERSION": "3.71"}
    login = ["--os-auth-type", "noauth", "--os-user-id", "admin", "--os-project-id", "cafe"]
    login += ["--os-endpoint", f"{pumice.url}/v3"]

    def cinder(*words):
        done = shells.run(["cinder", *login, *words], env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "open" in cinder("create", "--name", "open", "1")
    wait_for("the volume", lambda: "available" in cinder("show", "open"))
    cinder("delete", "open")
    wait_for("the volume to be gone", lambda: "open" not in cinder("list"))


def test_a_bad_configuration_is_told_at_once_and_nothing_is_opened(tmp_path):
    config = tmp_path / "bad.toml"
    data = tmp_path / "data"
    config.write_text(
        f'[node]\ndata_dir = "{data}"\nroles = []\n[web]\nlisen = "127.0.0.1:1"\nworkers = "many"\n'
        '[transport]\nlisten = "0.0.0.0:8777"\n'
    )
    done = subprocess.run(
        [harness.BINARY, "serve", "--config", str(config)], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    for problem in ("3: node.roles", "5: web.lisen", "did you mean 'listen'", "6: web.workers", "8: transport.listen"):
        assert problem in done.stderr, done.stderr
    assert not data.exists()


def test_a_port_that_is_taken_is_told(make_pumice):
    first = make_pumice().start()
    second = make_pumice()
    second.control.config_file.write_text(
        second.control.config_file.read_text().replace(f":{second.port}", f":{first.port}")
    )
    second.control.start()
    assert second.control.process.wait(20) == 1
    assert str(first.port) in second.control.log()


def test_two_of_them_cannot_have_one_data_directory(make_pumice):
    first = make_pumice().start()
    second = make_pumice()
    text = second.control.config_file.read_text()
    mine, theirs = second.folder / "pumice", first.folder / "pumice"
    second.control.config_file.write_text(text.replace(f'"{mine}"', f'"{theirs}"'))
    second.control.start()
    assert second.control.process.wait(20) == 1
    assert str(theirs) in second.control.log()
    assert first.all_volumes() == []


def test_credentials_are_for_their_owner_only_and_in_no_log(shared):
    assert stat.S_IMODE(shared.clouds_yaml.stat().st_mode) == 0o600
    password = shared.cloud()["auth"]["password"]
    assert password not in shared.control.log()
    token, _ = shared.token()
    assert token not in shared.control.log()


def test_an_administrator_can_look_inside(shared):
    token, _ = shared.token()
    headers = {"X-Auth-Token": token}
    actors = requests.get(f"{shared.url}/inspect/actors", headers=headers, timeout=10)
    assert actors.status_code == 200, actors.text
    # The answer is about the process that gives it: in a cluster volumes are on a node of their own.
    of_the_process = {"api", "quota", "scheduler", "registry"} | (set() if shared.split else {"volume"})
    assert of_the_process <= {actor["address"].split("@")[0] for actor in actors.json()["actors"]}
    assert requests.get(f"{shared.url}/inspect/operations", headers=headers, timeout=10).status_code == 200
    assert requests.get(f"{shared.url}/inspect/actors", timeout=10).status_code == 401


def test_a_running_service_says_whether_all_agrees(shared):
    for more, answer in ([], "all agrees\n"), (["--json"], "[]\n"):
        done = subprocess.run(
            [harness.BINARY, "fsck", "--running", *more], env=shared.client_env(), capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (0, answer), done.stderr


def test_the_usage_of_a_running_service_is_checked_and_repaired(shared):
    def quota(*args):
        return subprocess.run([harness.BINARY, "quota", *args], env=shared.client_env(), capture_output=True, text=True, timeout=60)

    for command in "check", "repair":
        for more, answer in ([], "all agrees\n"), (["--project", "none"], "all agrees\n"), (["--json"], "[]\n"):
            done = quota(command, *more)
            assert (done.returncode, done.stdout) == (0, answer), done.stderr
    done = quota("check", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr


def test_a_volume_node_that_dies_and_comes_back_goes_on(make_pumice):
    pumice = make_pumice(split=True).start()
    pumice.parts["volume"].kill()
    # The backend counts as alive for a while: the command waits for it.
    volume = create(pumice, "waits")
    pumice.parts["volume"].start()
    available(pumice, volume)


def test_services_are_listed_and_a_dead_one_is_down(make_pumice):
    pumice = make_pumice(split=True).start()

    def states():
        services = pumice.admin("GET", "/os-services").json()["services"]
        return {(row["binary"], row["host"]): row["state"] for row in services}

    assert states()["cinder-volume", "rock@file"] == "up"
    assert any(binary == "cinder-scheduler" for binary, _ in states())
    pumice.parts["volume"].kill()
    wait_for("the service to be down", lambda: states()["cinder-volume", "rock@file"] == "down")
