"""os-brick: the code that connects volumes where Nova runs, given what Pumice's API says, as root and in this process."""

import logging
import sys
import warnings

sys.path.append("/opt/brick")
warnings.filterwarnings("ignore")
# It complains of NVMe, which this kernel has not.
logging.getLogger().addHandler(logging.NullHandler())

# The path above comes first.
import os_brick  # noqa: E402
from os_brick import privileged  # noqa: E402
from os_brick.initiator import connector as connectors  # noqa: E402
from oslo_concurrency import lockutils  # noqa: E402
from oslo_config import cfg  # noqa: E402

cfg.CONF([], project="guest", default_config_files=[])
lockutils.set_defaults("/run/brick")
os_brick.setup(cfg.CONF)
# We are root: no daemon is needed to become it.
privileged.default.set_client_mode(False)


def connector_properties():
    """What os-brick tells of this machine, for the API."""
    return connectors.get_connector_properties("", "127.0.0.1", multipath=False, enforce_multipath=False, host="guest")


def connector_for(connection):
    return connectors.InitiatorConnector.factory(connection["driver_volume_type"], "", use_multipath=False)
