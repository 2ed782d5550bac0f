"""gophercloud, which Terraform's provider and the drivers of Kubernetes use: from Debian's package, without a download of its own."""

import json
import os
import pathlib
import subprocess

from pumice import ROOT

from .reasons import BACKUPS, IMAGES, NO_QUOTA_LIST
from .record import WORKS

SOURCE = pathlib.Path(__file__).parents[1] / "gophercloud"
CACHE = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "go-cache"


def build(folder):
    program = folder / "gopher"
    go = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(CACHE),
    }
    built = subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, env=go, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return program


def reason_of(name):
    """Why a function is to fail; None if it is to work."""
    if name.startswith("backups."):
        return BACKUPS
    return IMAGES if name == "volumeactions.UploadImage" else None


def run(calls, service):
    """All calls of the program in `../gophercloud`, with what each said."""
    program = build(service.pumice.folder)
    # This version of gophercloud knows one domain for user and project.
    env = {**service.pumice.client_env(), "OS_DOMAIN_NAME": "Default"}
    done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=120)
    for line in done.stdout.splitlines():
        said = json.loads(line)
        name, error, reason = said["call"], said["error"], reason_of(said["call"])
        calls.called(name)
        if error:
            calls.failed(name, error, reason)
        elif reason is None:
            calls.worked(name)
        else:
            calls.fault(f"{name}: expected {reason.text!r}, and it is {WORKS!r}")
    for name in ("backups.ExtractBackups", "backups.ExtractBackupsInto"):
        calls.without_effect(name, BACKUPS)
    calls.without_effect("quotasets.ExtractQuotaSets", NO_QUOTA_LIST)
    assert done.returncode == 0, done.stderr


SCENARIOS = (run,)
