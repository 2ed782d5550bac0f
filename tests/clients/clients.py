"""The same verbs through three clients, so that one scenario can be played with each."""

import json

import shells
from openstack.config import OpenStackConfig
from openstack.connection import Connection

CONNECTOR = {
    "initiator": "iqn.2010-10.org.openstack:tester",
    "ip": "127.0.0.1",
    "host": "tester",
    "platform": "x86_64",
    "os_type": "linux2",
    "multipath": False,
    "mountpoint": "/dev/vdb",
}


class Failed(Exception):
    """The client says no."""


class Sdk:
    """openstacksdk."""

    def __init__(self, pumice):
        clouds = OpenStackConfig(config_files=[str(pumice.clouds_yaml)], load_envvars=False)
        self.volume = Connection(config=clouds.get_one("pumice")).block_storage

    def create(self, name, size):
        return self.volume.create_volume(name=name, size=size).id

    def show(self, name):
        volume = self.volume.find_volume(name, ignore_missing=False)
        volume = self.volume.get_volume(volume.id)
        return {"id": volume.id, "status": volume.status, "size": volume.size, "metadata": volume.metadata}

    def names(self):
        return {volume.name for volume in self.volume.volumes()}

    def extend(self, name, size):
        self.volume.extend_volume(self.show(name)["id"], size)

    def set_metadata(self, name, **metadata):
        self.volume.set_volume_metadata(self.show(name)["id"], **metadata)

    def attach(self, name):
        attachment = self.volume.create_attachment(self.show(name)["id"], connector=CONNECTOR)
        self.volume.complete_attachment(attachment)
        return attachment.id, attachment.connection_info

    def detach(self, attachment):
        self.volume.delete_attachment(attachment, ignore_missing=False)

    def delete(self, name, cascade=False):
        self.volume.delete_volume(self.show(name)["id"], ignore_missing=False, cascade=cascade)

    def snapshot(self, volume, name):
        return self.volume.create_snapshot(volume_id=self.show(volume)["id"], name=name, force=True).id

    def show_snapshot(self, name):
        snapshot = self.volume.find_snapshot(name, ignore_missing=False)
        return {"id": snapshot.id, "status": snapshot.status, "size": snapshot.size, "volume_id": snapshot.volume_id}

    def snapshot_names(self):
        return {snapshot.name for snapshot in self.volume.snapshots()}

    def delete_snapshot(self, name):
        self.volume.delete_snapshot(self.show_snapshot(name)["id"], ignore_missing=False)

    def create_from_snapshot(self, name, snapshot, size):
        found = self.show_snapshot(snapshot)["id"]
        return self.volume.create_volume(name=name, snapshot_id=found, size=size).id

    def clone(self, name, source):
        found = self.show(source)
        return self.volume.create_volume(name=name, source_volume_id=found["id"], size=found["size"]).id

    def revert(self, volume, snapshot):
        self.volume.revert_volume_to_snapshot(self.show(volume)["id"], self.show_snapshot(snapshot)["id"])


class Cli:
    program = ""

    def __init__(self, pumice):
        self.env = pumice.client_env()
        self.sdk = Sdk(pumice)

    def run(self, *words):
        done = shells.run([self.program, *words], self.env)
        if done.returncode != 0:
            raise Failed(f"{self.program} {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


class OpenStack(Cli):
    """openstackclient."""

    program = "openstack"

    def json(self, *words):
        return json.loads(self.run(*words, "-f", "json"))

    def create(self, name, size):
        return self.json("volume", "create", "--size", str(size), name)["id"]

    def show(self, name):
        volume = self.json("volume", "show", name)
        return {
            "id": volume["id"],
            "status": volume["status"],
            "size": volume["size"],
            "metadata": volume["properties"],
        }

    def names(self):
        return {volume["Name"] for volume in self.json("volume", "list")}

    def extend(self, name, size):
        self.run("volume", "set", "--size", str(size), name)

    def set_metadata(self, name, **metadata):
        words = [word for key, value in metadata.items() for word in ("--property", f"{key}={value}")]
        self.run("volume", "set", *words, name)

    def attach(self, name):
        # `volume attachment create` asks a compute service for the server, which is not there.
        attachment, connection = self.sdk.attach(name)
        listed = self.json("volume", "attachment", "list")
        assert attachment in {row["ID"] for row in listed}, listed
        return attachment, connection

    def detach(self, attachment):
        self.run("volume", "attachment", "delete", attachment)

    def delete(self, name, cascade=False):
        self.run("volume", "delete", *(["--purge"] if cascade else []), name)

    def snapshot(self, volume, name):
        return self.json("volume", "snapshot", "create", "--force", "--volume", volume, name)["id"]

    def show_snapshot(self, name):
        snapshot = self.json("volume", "snapshot", "show", name)
        return {key: snapshot[key] for key in ("id", "status", "size", "volume_id")}

    def snapshot_names(self):
        return {snapshot["Name"] for snapshot in self.json("volume", "snapshot", "list")}

    def delete_snapshot(self, name):
        self.run("volume", "snapshot", "delete", name)

    def create_from_snapshot(self, name, snapshot, size):
        return self.json("volume", "create", "--snapshot", snapshot, "--size", str(size), name)["id"]

    def clone(self, name, source):
        return self.json("volume", "create", "--source", source, name)["id"]

    def revert(self, volume, snapshot):
        del volume
        self.run("volume", "revert", snapshot)


class Cinder(Cli):
    """cinderclient."""

    program = "cinder"

    @staticmethod
    def rows(text):
        """The tables that it prints, line by line."""
        rows = []
        for line in text.splitlines():
            if line.startswith("|"):
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        return rows

    def properties(self, *words):
        return {row[0]: row[1] for row in self.rows(self.run(*words)) if len(row) == 2}

    def create(self, name, size):
        return self.properties("create", "--name", name, str(size))["id"]

    def show(self, name):
        volume = self.properties("show", name)
        pairs = (pair.split(":") for pair in volume["metadata"].split(",") if ":" in pair)
        return {
            "id": volume["id"],
            "status": volume["status"],
            "size": int(volume["size"]),
            "metadata": {key.strip(" '{}"): value.strip(" '{}") for key, value in pairs},
        }

    def names(self):
        header, *rows = self.rows(self.run("list"))
        return {row[header.index("Name")] for row in rows}

    def extend(self, name, size):
        self.run("extend", name, str(size))

    def set_metadata(self, name, **metadata):
        self.run("metadata", name, "set", *(f"{key}={value}" for key, value in metadata.items()))

    def attach(self, name):
        words = ["--connect", "True", "--initiator", CONNECTOR["initiator"], "--ip", CONNECTOR["ip"]]
        words += ["--host", CONNECTOR["host"], "--mountpoint", CONNECTOR["mountpoint"]]
        made = self.properties("attachment-create", *words, name)
        self.run("attachment-complete", made["id"])
        lun = {"target_lun": int(made["target_lun"])} if "target_lun" in made else {}
        return made["id"], {"data": {**made, **lun}}

    def detach(self, attachment):
        self.run("attachment-delete", attachment)

    def delete(self, name, cascade=False):
        self.run("delete", *(["--cascade"] if cascade else []), name)

    def snapshot(self, volume, name):
        return self.properties("snapshot-create", "--name", name, volume)["id"]

    def show_snapshot(self, name):
        snapshot = self.properties("snapshot-show", name)
        return {
            "id": snapshot["id"],
            "status": snapshot["status"],
            "size": int(snapshot["size"]),
            "volume_id": snapshot["volume_id"],
        }

    def snapshot_names(self):
        header, *rows = self.rows(self.run("snapshot-list"))
        return {row[header.index("Name")] for row in rows}

    def delete_snapshot(self, name):
        self.run("snapshot-delete", name)

    def create_from_snapshot(self, name, snapshot, size):
        found = self.show_snapshot(snapshot)["id"]
        return self.properties("create", "--snapshot-id", found, "--name", name, str(size))["id"]

    def clone(self, name, source):
        found = self.show(source)
        return self.properties("create", "--source-volid", found["id"], "--name", name, str(found["size"]))["id"]

    def revert(self, volume, snapshot):
        del volume
        self.run("revert-to-snapshot", snapshot)


ALL = {"openstacksdk": Sdk, "openstack": OpenStack, "cinder": Cinder}
