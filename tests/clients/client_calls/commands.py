"""`cinder` and `openstack`: each line is a command, and its outcome is recorded under the command's name."""

import contextlib
import json
import shlex

import shells
from clients import Cinder as Tables


class Commands:
    program = ""

    def __init__(self, calls, pumice):
        self.calls = calls
        self.env = pumice.client_env()

    def __call__(self, line, note=None):
        """Runs a command that is to succeed; what it prints. `note`: what it takes for that, for the table."""
        name, done = self._run(line)
        # A refused migration is a success of `cinder`, but for what it prints.
        if done.returncode == 0 and " failed: " not in done.stdout:
            self.calls.worked(name, note)
        else:
            self.calls.failed(name, done.stdout + done.stderr)
        return done.stdout

    def refused(self, reason, line):
        """Runs a command that is to fail, for a reason."""
        name, done = self._run(line)
        if done.returncode == 0:
            self.calls.fault(f"{name}: expected {reason.text!r}, printed: {done.stdout}")
        else:
            self.calls.failed(name, done.stdout + done.stderr, reason)

    def all_refused(self, reason, lines):
        for line in lines.strip().splitlines():
            self.refused(reason, line.strip())

    def without_effect(self, reason, line):
        """Runs a command that succeeds, but has nothing to act on."""
        name, done = self._run(line)
        if done.returncode == 0:
            self.calls.without_effect(name, reason)
        else:
            self.calls.failed(name, done.stdout + done.stderr)

    def _run(self, line):
        words = shlex.split(line)
        name = self.name(words)
        self.calls.called(name)
        return name, shells.run([self.program, *words], self.env)

    def name(self, words):
        """The longest beginning of the line that is a command."""
        names = (" ".join(words[:length]) for length in range(len(words), 0, -1))
        return next(name for name in names if name in self.calls.names)


class Cinder(Commands):
    program = "cinder"

    def table(self, line):
        """The table that a command prints, as a list of dictionaries."""
        header, *rows = Tables.rows(self(line)) or [[]]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def properties(self, line):
        return {row[0]: row[1] for row in Tables.rows(self(line)) if len(row) == 2}


class OpenStack(Commands):
    program = "openstack"

    def json(self, line):
        printed = self(f"{line} -f json")
        return json.loads(printed) if printed else {}

    @contextlib.contextmanager
    def as_user(self, name, password, project):
        """Runs commands as another user."""
        before = self.env
        auth = {"OS_USERNAME": name, "OS_PASSWORD": password, "OS_PROJECT_NAME": project, "OS_USER_DOMAIN_NAME": "Default",
                "OS_PROJECT_DOMAIN_NAME": "Default"}
        kept = {key: value for key, value in before.items() if key not in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE")}
        self.env = {**kept, **auth}
        try:
            yield
        finally:
            self.env = before
