"""Sends a Pumice what its OpenAPI document says may be sent, and what it says may not, and compares the answers with the document."""

import json
import os
import pathlib
import subprocess
import sys

import pumice as harness

HERE = pathlib.Path(__file__).resolve().parent
CHECKS = [
    "no_fault_of_the_service",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# Only the links of the document are followed, and not what schemathesis derives from names besides.
SETTINGS = """
[phases.stateful.inference]
algorithms = []
"""
# Nothing is stored or exported, and nothing is refused because others wait or much was made.
CONFIG = {
    "backend.file": {"driver": "fake", "target": "fake"},
    "log": {"filter": "warn,actix_http::h1=off", "format": "text"},
    "quota": {"volumes": -1, "snapshots": -1, "gigabytes": -1},
}


def make_some(pumice):
    """Some of each kind of resource, so that not every request is about what is not there: ids by name of a parameter."""

    def make(path, body):
        answer = pumice.admin("POST", path, json=body)
        assert answer.ok, answer.text
        (made,) = (value for key, value in answer.json().items() if key != "links")
        return made["id"]

    found = {"project_id": [pumice.project_id], "target_id": [pumice.project_id], "class": ["default"], "alias": ["os-hosts"], "key": ["k"]}
    for n in range(4):
        metadata = {"k": "v"}
        volume = make("/volumes", {"volume": {"size": 1, "metadata": metadata}})
        done = lambda: pumice.admin("GET", f"/volumes/{volume}").json()["volume"]["status"] == "available"
        harness.wait_for("a volume", done)
        of_type = {"name": f"type {n}", "extra_specs": metadata}
        for name, made in {
            "volume_id": volume,
            "snapshot_id": make("/snapshots", {"snapshot": {"volume_id": volume, "metadata": metadata}}),
            "type_id": make("/types", {"volume_type": of_type}),
            "id": make("/qos-specs", {"qos_specs": {"name": f"specs {n}", **metadata}}),
        }.items():
            found.setdefault(name, []).append(made)
        volume = make("/volumes", {"volume": {"size": 1}})
        harness.wait_for("a volume", done)
        found.setdefault("attachment_id", []).append(make("/attachments", {"attachment": {"volume_uuid": volume}}))
        volume = make("/volumes", {"volume": {"size": 1}})
        harness.wait_for("a volume", done)
        found.setdefault("transfer_id", []).append(make("/volume-transfers", {"transfer": {"volume_id": volume}}))
    found["id"] += ["rock@file"]
    found["name"] = ["rock@file"]
    return found


def run(pumice, folder, version, phases, examples, seed):
    """Sends requests to each operation that is served, and returns the report and the output."""
    known = make_some(pumice)
    token, _ = pumice.token()
    report = pathlib.Path(folder) / f"fuzz-{version}.json"
    (pathlib.Path(folder) / "schemathesis.toml").write_text(SETTINGS)
    command = [
        pathlib.Path(sys.executable).parent / "st",
        "run",
        f"{pumice.url}/openapi.json?microversion={version}",
        f"--url={pumice.url}",
        f"--header=X-Auth-Token:{token}",
        f"--checks={','.join(CHECKS)}",
        f"--phases={','.join(phases)}",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--exclude-by=/x-served == false",
        "--suppress-health-check=all",
        "--generation-database=none",
        "--warnings=off",
        "--no-shrink",
        "--no-color",
        # Before 3.11.5 Python's parser counts the depth of all threads together, and fails when two parse at once; hypothesis parses.
        "--workers=1",
        "--report=json",
        f"--report-json-path={report}",
    ]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SCHEMATHESIS_HOOKS": "api_fuzz_hooks",
        "FUZZ_KNOWN": json.dumps(known),
        "FUZZ_VERSION": version,
        "FUZZ_STATEFUL": "1" if phases == ["stateful"] else "",
    }
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=3600)
    text = done.stdout + done.stderr
    assert report.exists(), text
    return json.loads(report.read_text()), text
