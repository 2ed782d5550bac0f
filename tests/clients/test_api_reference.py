"""docs/reference/api.md is true: each route it calls served is served, each that it says answers 501 does."""

import re

import pytest

from pumice import ROOT, wait_for

UNKNOWN = "11111111-1111-4111-8111-111111111111"
ROW = re.compile(r"^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| (?:`([^`]+)`)? ?\| 3\.(\d+) \| (served|501) \|", re.M)

# Bodies that pass the check of their shape, for what is refused only after it.
BODIES = {
    "os-retype": {"new_type": "__DEFAULT__"},
    "os-migrate_volume": {"host": "h@b#p"},
    "os-migrate_volume_completion": {"new_volume": UNKNOWN},
    "os-volume_upload_image": {"image_name": "i", "disk_format": "raw", "container_format": "bare"},
    "os-reimage": {"image_id": UNKNOWN},
    "os-unmanage": {},
    "freeze": {"host": "h"},
    "thaw": {"host": "h"},
    "failover": {"host": "h"},
    "failover_host": {"host": "h"},
}


def rows():
    page = (ROOT / "docs/reference/api.md").read_text()
    return [match.groups() for match in ROW.finditer(page)]


def call(shared, method, path, action, minor, volume):
    path = path.replace("{project_id}", shared.project_id).replace("{volume_id}", volume)
    path = re.sub(r"\{[a-z_]+\}", UNKNOWN, path)
    body = None
    if method in ("POST", "PUT"):
        body = {action: BODIES.get(action, {})} if action else BODIES.get(path.rsplit("/", 1)[-1], {})
    return shared.admin(method, path, version=f"3.{minor}", json=body)


@pytest.fixture(scope="module")
def volume(shared):
    made = shared.admin("POST", "/volumes", json={"volume": {"size": 1}})
    assert made.status_code == 202, made.text
    volume_id = made.json()["volume"]["id"]
    path = f"/volumes/{volume_id}"
    wait_for("a volume", lambda: shared.admin("GET", path).json()["volume"]["status"] == "available")
    return volume_id


def test_the_table_is_there():
    assert len(rows()) > 150


@pytest.mark.parametrize("method, path, action, minor, state", rows())
def test_a_route_is_what_the_reference_says(shared, volume, method, path, action, minor, state):
    if (method, path) == ("DELETE", "/volumes/{volume_id}") or action in ("os-force_delete", "os-unmanage"):
        path = path.replace("{volume_id}", "{other_id}")
    answer = call(shared, method, path, action, minor, volume)
    if state == "501":
        assert answer.status_code == 501, answer.text
    else:
        assert answer.status_code < 500, answer.text
        there = answer.status_code != 404 or "itemNotFound" in answer.text
        assert there, f"no such route: {answer.text}"
    # Actions that are not served yet are not distinguished by version.
    if int(minor) > 0 and not (action and state == "501"):
        before = call(shared, method, path, action, int(minor) - 1, volume)
        assert before.status_code in (400, 404), f"already there in 3.{int(minor) - 1}: {before.text}"
