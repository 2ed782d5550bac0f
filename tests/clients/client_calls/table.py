"""Plays the scenarios of each client, each against a Pumice of its own."""

from . import cinder_operation, cinder_volumes, gopher, installed, openstack_identity, openstack_operation, openstack_volumes
from . import sdk_identity, sdk_operation, sdk_volumes, service
from .commands import Cinder, OpenStack
from .proxies import BlockStorage, Identity
from .record import Calls

# Which calls each client has.
NAMES = {
    "cinder": installed.cinder,
    "openstack volume": installed.openstack_volume,
    "openstack identity": installed.openstack_identity,
    "openstacksdk block storage": installed.sdk_block_storage,
    "openstacksdk identity": installed.sdk_identity,
    "gophercloud": installed.gophercloud,
}


def played(client, driver, *scenarios):
    """How a client is played: a function of a folder for its Pumice."""

    def play(folder):
        calls = Calls(NAMES[client]())
        with service.running(folder) as running:
            return calls.play(scenarios, driver(calls, running.pumice), running)

    return play


PLAYS = {
    "cinder": played("cinder", Cinder, *cinder_volumes.SCENARIOS, *cinder_operation.SCENARIOS),
    "openstack volume": played(
        "openstack volume", OpenStack, *openstack_volumes.SCENARIOS, *openstack_operation.SCENARIOS
    ),
    "openstack identity": played("openstack identity", OpenStack, *openstack_identity.SCENARIOS),
    "openstacksdk block storage": played(
        "openstacksdk block storage", BlockStorage, *sdk_volumes.SCENARIOS, *sdk_operation.SCENARIOS
    ),
    "openstacksdk identity": played("openstacksdk identity", Identity, *sdk_identity.SCENARIOS),
    "gophercloud": played("gophercloud", lambda calls, pumice: calls, *gopher.SCENARIOS),
}
