"""Which calls the installed clients have."""

import importlib.metadata
import pathlib
import re

import cinderclient.v3.shell
import openstack.block_storage.v3._proxy
import openstack.identity.v3._proxy
import openstack.proxy

GOPHERCLOUD = pathlib.Path("/usr/share/gocode/src/github.com/gophercloud/gophercloud/openstack")

# Of the commands that several services share, those that ask the volume service.
COMMON = ("availability zone list", "extension list", "extension show", "limits show", "project cleanup", "quota delete", "quota list",
          "quota set", "quota show", "versions show")


def cinder():
    return {name[3:].replace("_", "-") for name in vars(cinderclient.v3.shell) if name.startswith("do_")}


def entry_points(group):
    return {entry.name.replace("_", " ") for entry in importlib.metadata.entry_points(group=group)}


def openstack_volume():
    return entry_points("openstack.volume.v3") | entry_points("openstack.common").intersection(COMMON)


def openstack_identity():
    return entry_points("openstack.identity.v3")


def proxy_methods(proxy):
    """What a service's proxy has of its own: requests by hand (`get`, `post`) and discovery are of every proxy."""
    common = dir(openstack.proxy.Proxy)
    return {name for name in dir(proxy) if not name.startswith("_") and name not in common and callable(getattr(proxy, name))}


def sdk_block_storage():
    return proxy_methods(openstack.block_storage.v3._proxy.Proxy)


def sdk_identity():
    return proxy_methods(openstack.identity.v3._proxy.Proxy)


def gophercloud():
    """The exported functions of the packages for API v3, of the extensions that are used with them, and of the discovery of versions."""
    folder = GOPHERCLOUD / "blockstorage"
    calls = set()
    for file in [*folder.glob("v3/*/*.go"), *folder.glob("extensions/*/*.go"), *folder.glob("apiversions/*.go")]:
        for name in re.findall(r"^func ([A-Z]\w*)\(", file.read_text(), re.M):
            calls.add(f"{file.parent.name}.{name}")
    return calls
