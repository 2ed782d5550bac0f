"""What Cinder refuses is refused in Cinder's words, and nothing that a client sends breaks the service."""

import pytest
import requests

UNKNOWN = "11111111-1111-4111-8111-111111111111"
GENERIC_400 = "The server could not comply with the request since it is either malformed or otherwise incorrect."


def field(name, value, why):
    return f"Invalid input for field/attribute {name}. Value: {value}. {why}"


# Bodies of POST /volumes, and what a Cinder 29 answers to each (recorded from one).
REFUSED_CREATES = [
    ({}, 400, "'volume' is a required property"),
    ({"volume": None}, 400, field("volume", "None", "None is not of type 'object'")),
    ({"volume": {"size": -1}}, 400, field("size", -1, "-1 is less than the minimum of 1")),
    ({"volume": {"size": 0}}, 400, field("size", 0, "0 is less than the minimum of 1")),
    ({"volume": {"size": 1.5}}, 400, field("size", 1.5, "1.5 is not of type 'integer', 'string', 'null'")),
    ({"volume": {"size": "abc"}}, 400, field("size", "abc", "'abc' does not match '^[0-9]+$'")),
    ({"volume": {"size": True}}, 400, field("size", True, "True is not of type 'integer', 'string', 'null'")),
    ({"volume": {"size": 1, "name": "a" * 256}}, 400, None),
    ({"volume": {"size": 1, "description": "a" * 256}}, 400, None),
    ({"volume": {"size": 1, "metadata": []}}, 400, field("metadata", "[]", "[] is not of type 'object', 'null'")),
    ({"volume": {"size": 1, "metadata": {"b%d": "v"}}}, 400,
     field("metadata", "{'b%d': 'v'}", "'b%d' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'")),
    ({"volume": {"size": 1, "metadata": {"k" * 256: "v"}}}, 400, None),
    ({"volume": {"size": 1}, "x": 1}, 400, "Additional properties are not allowed ('x' was unexpected)"),
    ({"volume": {"size": 1, "multiattach": "maybe"}}, 400,
     field("multiattach", "maybe", "'maybe' is not valid under any of the given schemas")),
    ({"volume": {"size": 1, "availability_zone": ""}}, 400,
     field("availability_zone", "", "'' should be non-empty")),
    ({"volume": {"size": 1, "availability_zone": "nowhere"}}, 400, None),
    ({"volume": {"size": 1, "volume_type": "nope"}}, 404, "Volume type with name nope could not be found."),
    ({"volume": {"size": 1, "volume_type": UNKNOWN}}, 404, f"Volume type {UNKNOWN} could not be found."),
    ({"volume": {"size": 1, "snapshot_id": "nope"}}, 400,
     field("snapshot_id", "nope", "'nope' is not valid under any of the given schemas")),
    ({"volume": {"size": 1, "snapshot_id": UNKNOWN}}, 404, f"Snapshot {UNKNOWN} could not be found."),
    ({"volume": {"size": 1, "source_volid": UNKNOWN}}, 404, f"Volume {UNKNOWN} could not be found."),
    ({"volume": {"size": 5000}}, 413, None),
    ({"volume": {"size": 2147483648}}, 400, None),
]

# Queries of GET /volumes/detail.
REFUSED_QUERIES = [
    ("limit=x", 400, "limit param must be an integer"),
    ("limit=-1", 400, None),
    ("offset=-1", 400, None),
    (f"marker={UNKNOWN}", 404, f"Volume {UNKNOWN} could not be found."),
    ("sort=bogus:asc", 400, "Invalid input received: Invalid sort key"),
    ("sort=name:x", 400, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."),
    ("sort=name&sort_key=size", 400,
     "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter."),
]

# Versions, and what comes of them.
VERSIONS = [
    ("3.72", 406, "Version 3.72 is not supported by the API. Minimum is 3.0 and maximum is 3.71."),
    ("2.0", 406, "Version 2.0 is not supported by the API. Minimum is 3.0 and maximum is 3.71."),
    ("x", 400, "API Version String x is of invalid format. Must be of format MajorNum.MinorNum."),
    ("latest", 200, None),
    ("3.0", 200, None),
]

# Bodies that are no JSON, or far from any that was meant.
GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"volume": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"volume": {"size": 1e400}}',
    b'{"volume": {"size": 99999999999999999999999}}',
    b'{"volume": {"size": 1, "name": "\\ud800"}}',
]


def refusal(answer):
    """Its error object, whose form is the same for all."""
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    (error,) = answer.json().values()
    assert error["code"] == answer.status_code
    return error


@pytest.mark.parametrize("body, status, message", REFUSED_CREATES)
def test_a_create_that_cinder_refuses_is_refused_in_its_words(shared, body, status, message):
    answer = shared.admin("POST", "/volumes", json=body)
    assert answer.status_code == status, answer.text
    error = refusal(answer)
    if message is not None:
        assert error["message"] == message
    if status == 413:
        assert answer.headers["Retry-After"] == "0"


@pytest.mark.parametrize("query, status, message", REFUSED_QUERIES)
def test_a_list_that_cinder_refuses_is_refused_in_its_words(shared, query, status, message):
    answer = shared.admin("GET", f"/volumes/detail?{query}")
    assert answer.status_code == status, answer.text
    error = refusal(answer)
    if message is not None:
        assert error["message"] == message


@pytest.mark.parametrize("version, status, message", VERSIONS)
def test_a_version_is_negotiated_as_cinder_does(shared, version, status, message):
    answer = shared.admin("GET", "/volumes", version=version)
    assert answer.status_code == status, answer.text
    if message is not None:
        assert refusal(answer)["message"] == message
    else:
        assert "OpenStack-API-Version" in answer.headers["Vary"]


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused_and_hurts_nobody(shared, body):
    answer = shared.admin("POST", "/volumes", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, (answer.status_code, answer.text[:300])
    assert shared.admin("GET", "/volumes").status_code == 200


def test_a_body_that_is_too_large_is_refused(shared):
    body = b'{"volume": {"size": 1, "name": "' + b"a" * 200_000 + b'"}}'
    answer = shared.admin("POST", "/volumes", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413), answer.text
    assert shared.admin("GET", "/volumes").status_code == 200


def test_another_content_type_is_refused(shared):
    answer = shared.admin("POST", "/volumes", data=b"<volume/>", headers={"Content-Type": "application/xml"})
    assert answer.status_code == 415, answer.text


@pytest.mark.parametrize("action, status, message", [
    ({"os-extend": {"new_size": 1}}, 400,
     "Invalid input received: New size for extend must be greater than current size. (current: 1, extended: 1)."),
    ({"os-extend": {"new_size": 0}}, 400, field("new_size", 0, "0 is less than the minimum of 1")),
    ({"os-extend": {}}, 400, field("os-extend", "{}", "'new_size' is a required property")),
    ({"os-extend": {"new_size": 5001}}, 413, None),
    ({"os-nonsense": {}}, 400, None),
])
def test_an_action_that_cinder_refuses_is_refused_and_changes_nothing(shared, volume, action, status, message):
    before = shared.usage()
    answer = shared.admin("POST", f"/volumes/{volume}/action", json=action)
    assert answer.status_code == status, answer.text
    if message is not None:
        assert refusal(answer)["message"] == message
    assert shared.admin("GET", f"/volumes/{volume}").json()["volume"]["status"] == "available"
    assert shared.usage() == before


def test_a_volume_in_use_is_not_deleted(shared, volume):
    made = shared.admin("POST", "/attachments", json={"attachment": {"volume_uuid": volume}})
    assert made.status_code == 200, made.text
    answer = shared.admin("DELETE", f"/volumes/{volume}")
    assert answer.status_code == 400, answer.text
    assert refusal(answer)["message"].startswith("Invalid volume: Volume status must be available or error")
    done = shared.admin("DELETE", f"/attachments/{made.json()['attachment']['id']}")
    assert done.status_code == 200, done.text


def test_nobody_comes_in_without_a_token(shared):
    for headers in ({}, {"X-Auth-Token": "nonsense"}):
        answer = requests.get(f"{shared.url}/v3/volumes", headers=headers, timeout=10)
        assert answer.status_code == 401, answer.text
    for path in ("/", "/v3/", "/healthcheck"):
        assert requests.get(f"{shared.url}{path}", timeout=10).status_code in (200, 300), path


def test_another_project_in_the_path_is_refused(shared):
    token, _ = shared.token()
    url = f"{shared.url}/v3/{'f' * 32}/volumes"
    answer = requests.get(url, headers={"X-Auth-Token": token}, timeout=10)
    assert answer.status_code == 400, answer.text
    assert refusal(answer)["message"] == "Malformed request url"


@pytest.fixture(scope="module")
def volume(shared):
    from pumice import wait_for

    made = shared.admin("POST", "/volumes", json={"volume": {"size": 1, "name": "bad-input"}})
    assert made.status_code == 202, made.text
    volume_id = made.json()["volume"]["id"]
    path = f"/volumes/{volume_id}"
    wait_for("a volume", lambda: shared.admin("GET", path).json()["volume"]["status"] == "available")
    return volume_id
