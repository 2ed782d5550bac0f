"""What an owner sees of a backend that cannot: the volume in `error`, a message that says why, and a service that lives on."""

from pumice import wait_for


def create(pumice, name, size=1):
    made = pumice.admin("POST", "/volumes", json={"volume": {"size": size, "name": name}})
    assert made.status_code == 202, made.text
    return made.json()["volume"]["id"]


def comes_to(pumice, volume, status):
    path = f"/volumes/{volume}"
    return wait_for(
        f"the volume to be {status}", lambda: pumice.admin("GET", path).json()["volume"]["status"] == status
    )


def messages_of(pumice, volume):
    found = pumice.admin("GET", "/messages").json()["messages"]
    return [message for message in found if message["resource_uuid"] == volume]


def test_a_missing_volume_folder_is_an_error_with_a_reason_and_heals(make_pumice):
    pumice = make_pumice().start()
    comes_to(pumice, create(pumice, "before"), "available")
    aside = pumice.volumes.with_name("aside")
    pumice.volumes.rename(aside)
    failed = create(pumice, "failed")
    comes_to(pumice, failed, "error")
    messages = messages_of(pumice, failed)
    assert messages, "the owner got no message"
    assert messages[0]["message_level"] == "ERROR" and messages[0]["event_id"].startswith("VOLUME_VOLUME_"), messages
    assert str(pumice.folder) not in messages[0]["user_message"], "a path is not the owner's business"
    assert pumice.usage()["volumes"] == (2, 0), "it counts until it is deleted"

    aside.rename(pumice.volumes)
    wait_for("the backend's return", lambda: pumice.admin("GET", "/scheduler-stats/get_pools").json()["pools"])
    comes_to(pumice, create(pumice, "after"), "available")
    assert pumice.admin("DELETE", f"/volumes/{failed}").status_code == 202
    wait_for("the failed one to go", lambda: pumice.admin("GET", f"/volumes/{failed}").status_code == 404)
    assert pumice.usage()["volumes"] == (2, 0)


def test_a_volume_larger_than_the_backend_is_an_error_with_a_reason(make_pumice):
    pumice = make_pumice(config={"quota": {"gigabytes": -1}}).start()
    volume = create(pumice, "huge", size=2_000_000_000)
    comes_to(pumice, volume, "error")
    (message,) = messages_of(pumice, volume)
    assert "Could not find any available weighted backend" in message["user_message"], message
    assert pumice.volume_files() == set()
    comes_to(pumice, create(pumice, "small"), "available")
