"""A copy that takes long: how far it is, and its end before it is done, typed as an operator or an owner types it."""

import json
import subprocess

import pytest

from pumice import BINARY, wait_for

# A copy of all of it would take minutes at this rate.
DATA, RATE = 64 << 20, "256KiB"


@pytest.fixture(params=[False, True], ids=["one process", "control and volume"])
def slow(request, make_pumice):
    """A service that copies slowly, and a volume with data in it."""
    pumice = make_pumice(split=request.param, config={"backend.file": {"volume_copy_bps_limit": RATE}}).start()
    made = pumice.admin("POST", "/volumes", json={"volume": {"size": 1, "name": "source"}})
    source = made.json()["volume"]["id"]
    comes_to(pumice, source, "available")
    (file,) = (pumice.volumes / name for name in pumice.volume_files())
    with file.open("r+b") as data:
        data.write(b"pumice!\n" * (DATA // 8))
    return pumice, source


def comes_to(pumice, volume, status):
    wait_for(status, lambda: pumice.admin("GET", f"/volumes/{volume}").json()["volume"]["status"] == status)


def operations(pumice, *words, fails=False):
    done = subprocess.run(
        [BINARY, "operations", *words], env=pumice.client_env(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def copying(pumice, source):
    """A clone that is being made: its id, and its operation."""
    clone = {"size": 1, "source_volid": source, "name": "clone"}
    volume = pumice.admin("POST", "/volumes", json={"volume": clone}).json()["volume"]["id"]

    def with_rate():
        found = json.loads(operations(pumice, "list", "--volume", volume, "--json"))["operations"]
        return found[0] if found and (found[0]["progress"] or {}).get("bytes_per_second") else None

    return volume, wait_for("progress with a rate", with_rate)


def test_a_copy_says_how_far_it_is_and_is_ended_by_its_owner(slow):
    pumice, source = slow
    before = pumice.volume_files()
    volume, operation = copying(pumice, source)
    progress = operation["progress"]
    assert 0 <= progress["percent"] < 100 and 0 < progress["bytes_done"] < progress["bytes_total"], progress
    assert progress["bytes_per_second"] < 16 << 20, progress
    assert operation["id"] in operations(pumice, "list") and "MiB/s" in operations(pumice, "list")
    assert "create_volume" in operations(pumice, "show", operation["id"])

    assert "has ended" in operations(pumice, "cancel", "--wait", operation["id"])
    comes_to(pumice, volume, "error")
    messages = pumice.admin("GET", "/messages").json()["messages"]
    (message,) = [message for message in messages if message["resource_uuid"] == volume]
    assert message["user_message"], message
    wait_for("the copy to be taken away", lambda: pumice.volume_files() == before)
    assert "has ended" in operations(pumice, "cancel", operation["id"], fails=True)
    assert pumice.usage()["volumes"] == (2, 0)
    assert pumice.admin("DELETE", f"/volumes/{volume}").status_code == 202
    wait_for("it to go", lambda: pumice.admin("GET", f"/volumes/{volume}").status_code == 404)
    assert pumice.usage() == {"volumes": (1, 0), "gigabytes": (1, 0)}
    assert operations(pumice, "list") == "Nothing is under way.\n"


def test_a_cancellation_is_kept_by_a_service_that_is_killed_at_once(slow):
    pumice, source = slow
    before = pumice.volume_files()
    volume, operation = copying(pumice, source)
    operations(pumice, "cancel", operation["id"])
    for part in pumice.parts.values():
        part.kill()
    for part in pumice.parts.values():
        part.start()
    pumice.wait_until_ready()
    comes_to(pumice, volume, "error")
    wait_for("the copy to be taken away", lambda: pumice.volume_files() == before)
    assert operations(pumice, "list") == "Nothing is under way.\n"


def test_what_is_not_there_is_told_in_words(slow):
    pumice, _ = slow
    nobody = "01234567-89ab-cdef-0123-456789abcdef"
    assert f"Operation {nobody} could not be found." in operations(pumice, "cancel", nobody, fails=True)
    assert "no cloud elsewhere" in subprocess.run(
        [BINARY, "operations", "list"],
        env={**pumice.client_env(), "OS_CLOUD": "elsewhere"},
        capture_output=True,
        text=True,
        timeout=60,
    ).stderr
