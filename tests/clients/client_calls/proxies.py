"""The proxies of openstacksdk: each of their methods is a call."""

import types

from openstack.config import OpenStackConfig
from openstack.connection import Connection


def connect(pumice):
    clouds = OpenStackConfig(config_files=[str(pumice.clouds_yaml)], load_envvars=False)
    return Connection(config=clouds.get_one("pumice"))


class Recorded:
    """A proxy whose calls are recorded. What fails raises, as without this; what is listed is a list."""

    def __init__(self, calls, proxy, reason=None):
        self._calls = calls
        self._proxy = proxy
        self._reason = reason

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            self._calls.called(name)
            try:
                answer = getattr(self._proxy, name)(*arguments, **keywords)
                if isinstance(answer, types.GeneratorType):
                    answer = list(answer)
            except Exception as error:
                if self._reason is None:
                    raise
                self._calls.failed(name, f"{type(error).__name__}: {error}", self._reason)
                return None
            if self._reason is None:
                self._calls.worked(name)
            else:
                self._calls.fault(f"{name}: expected {self._reason.text!r}, returned {answer!r}")
            return answer

        return call


class Sdk:
    """One service's proxy. `sdk.call` is to work, `sdk.refused(reason)` gives a proxy whose calls are to fail."""

    service = ""

    def __init__(self, calls, pumice):
        self.calls = calls
        self.connection = connect(pumice)
        self.pumice = pumice
        self.proxy = getattr(self.connection, self.service)
        self.call = Recorded(calls, self.proxy)

    def refused(self, reason):
        return Recorded(self.calls, self.proxy, reason=reason)

    def without_effect(self, reason, name, *arguments, **keywords):
        """A call that succeeds, but has nothing to act on."""
        self.calls.called(name)
        answer = getattr(self.proxy, name)(*arguments, **keywords)
        list(answer) if isinstance(answer, types.GeneratorType) else answer
        self.calls.without_effect(name, reason)

    def all_refused(self, reason, calls):
        """Each call of a list of (name, arguments, keywords). A resource is a dictionary, too, but an argument."""
        for name, *arguments in calls:
            keywords = arguments.pop() if arguments and type(arguments[-1]) is dict else {}
            getattr(self.refused(reason), name)(*arguments, **keywords)


class BlockStorage(Sdk):
    service = "block_storage"


class Identity(Sdk):
    service = "identity"
