"""Sends a Pumice what its OpenAPI document says may be sent, and what it says may not, and compares the answers with the document.

As a program (`make api-fuzz`): `python api_fuzz.py [examples]`, against a Pumice of its own whose backend is made of nothing.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pumice as harness

HERE = pathlib.Path(__file__).resolve().parent
CHECKS = [
    "no_fault_of_the_service",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# Nothing is stored or exported, and nothing is refused because others wait or much was made.
CONFIG = {
    "backend.file": {"driver": "fake", "target": "fake"},
    "log": {"filter": "warn", "format": "text"},
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


def run(pumice, folder, examples, phases, version="3.71", seed=1, extra=()):
    """The report, and the output if something was found."""
    known = make_some(pumice)
    token, _ = pumice.token()
    report = pathlib.Path(folder) / f"fuzz-{version}.json"
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
        "--workers=2",
        "--report=json",
        f"--report-json-path={report}",
        *extra,
    ]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(HERE),
        "SCHEMATHESIS_HOOKS": "api_fuzz_hooks",
        "FUZZ_KNOWN": json.dumps(known),
        "FUZZ_VERSION": version,
    }
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=3600)
    return done.returncode, report, done.stdout + done.stderr


def main():
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    version = sys.argv[3] if len(sys.argv) > 3 else "3.71"
    phases = (sys.argv[2] if len(sys.argv) > 2 else "examples,coverage,fuzzing,stateful").split(",")
    with tempfile.TemporaryDirectory() as folder:
        pumice = harness.Pumice(folder, config=CONFIG)
        try:
            pumice.start()
            code, report, text = run(pumice, folder, examples, phases, version)
            print(text)
            if report.exists():
                print(json.dumps(json.loads(report.read_text()))[:3000])
            faults = [line for line in pumice.log().splitlines() if "ERROR" in line or "panic" in line]
            print("\n".join(faults[:20]))
        finally:
            pumice.discard()
    sys.exit(code)


if __name__ == "__main__":
    main()
