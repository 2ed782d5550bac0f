"""Reading and writing a volume as an initiator does: over iSCSI with CHAP, by QEMU's own initiator."""

import os
import subprocess


class LoginRefused(Exception):
    """The target did not let us in, or the data could not be read."""


def data(connection):
    """The facts of a connection: on their own in an attachment, below `data` in what the old way answers."""
    return connection.get("data", connection)


def image(connection, password=None):
    """QEMU's way of naming what a connection (`connection_info`) leads to."""
    facts = data(connection)
    assert facts["auth_method"] == "CHAP", facts
    parts = {
        "driver": "raw",
        "file.driver": "iscsi",
        "file.transport": "tcp",
        "file.portal": facts["target_portal"],
        "file.target": facts["target_iqn"],
        "file.lun": facts["target_lun"],
        "file.user": facts["auth_username"],
        "file.password-secret": "chap",
        "file.initiator-name": "iqn.2010-10.org.openstack:tester",
    }
    secret = f"secret,id=chap,data={password or facts['auth_password']}"
    return ["--object", secret, "--image-opts", ",".join(f"{key}={value}" for key, value in parts.items())]


def qemu_io(connection, *commands, password=None):
    words = ["qemu-io", *image(connection, password)]
    for command in commands:
        words += ["-c", command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=dict(os.environ, LC_ALL="C"))
    output = done.stdout + done.stderr
    if done.returncode != 0 or "failed" in output or "error" in output.lower():
        raise LoginRefused(output)
    return output


def size(connection):
    """The size that the target tells, in bytes."""
    output = qemu_io(connection, "length")
    return _bytes(output.strip().splitlines()[-1])


def _bytes(text):
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "bytes": 1}
    number, unit = text.split()
    return int(float(number) * units[unit])
