"""What came of the calls of one client."""

import re
import traceback
from dataclasses import dataclass

WORKS = "works"


@dataclass(frozen=True)
class Reason:
    """Why a call does not work, on purpose: the words of the table, and what the client has to say then (a regular expression)."""

    text: str
    says: str


class Calls:
    """The outcome of each call: that it works, or the text of a reason. Anything else is a fault."""

    def __init__(self, names):
        self.names = frozenset(names)
        self.outcomes = {}
        self.faults = []
        self.last = None

    def called(self, name):
        assert name in self.names, f"{name} is not a call of this client"
        self.last = name

    def worked(self, name, note=None):
        """A call that works once, works: it may be refused on purpose with other arguments. `note`: what it takes."""
        outcome = f"{WORKS} {note}" if note else WORKS
        if self.outcomes.get(name) != WORKS:
            self.outcomes[name] = outcome

    def without_effect(self, name, reason):
        """A call that succeeds, but has nothing to act on."""
        self.outcomes.setdefault(name, reason.text)

    def failed(self, name, said, reason=None):
        """A call that failed, saying `said`. Without a reason that fits it, this is a fault."""
        if reason is None or not re.search(reason.says, said):
            self.fault(f"{name}: expected {reason.text if reason else WORKS!r}, said: {said.strip()[-600:]}")
        else:
            self.outcomes.setdefault(name, reason.text)

    def fault(self, text):
        self.faults.append(text)

    def play(self, scenarios, *arguments):
        """Plays each scenario. What a scenario finds wrong is a fault of the call before, and ends this scenario only."""
        for scenario in scenarios:
            try:
                scenario(*arguments)
            except Exception:
                where = f"{scenario.__module__.rpartition('.')[2]}.{scenario.__name__}"
                self.fault(f"{where}, after {self.last}: {traceback.format_exc(limit=-3)}")
        for name in sorted(self.names - self.outcomes.keys()):
            self.fault(f"{name}: no scenario calls it, or it never came to an end")
        return self
