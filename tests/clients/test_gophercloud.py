"""gophercloud, which Terraform and the Kubernetes drivers use: built from Debian's package, without any download of its own."""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).parent / "gophercloud"


def test_gophercloud_plays_a_volumes_life(shared, tmp_path):
    program = tmp_path / "gopher"
    go = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(tmp_path / "cache"),
    }
    built = subprocess.run(
        ["go", "build", "-o", program, "."], cwd=SOURCE, env=go, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    # This version of gophercloud knows one domain for user and project.
    env = {**shared.client_env(), "OS_DOMAIN_NAME": "Default"}
    played = subprocess.run([program], env=env, capture_output=True, text=True, timeout=120)
    assert (played.returncode, played.stdout) == (0, "gophercloud: ok\n"), played.stderr
