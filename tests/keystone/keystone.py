"""A real Keystone on loopback, for tests: SQLite, Fernet tokens, gunicorn.

keystone.py up FOLDER PORT   installs it (once; KEYSTONE_VENV, by default target/keystone-venv), makes its data in FOLDER and starts it
keystone.py down FOLDER      stops it; up starts it again with the same data

There are the administrator `admin`, and the user `cinder` of the project `service`, who may validate tokens. The password of both is PASSWORD.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PASSWORD = "of-a-test"
REGION = "RegionOne"

CONFIGURATION = """[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.db?timeout=60
sqlite_synchronous = false
[identity]
password_hash_rounds = 4
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
# One process, so what is kept in memory is right.
[cache]
enabled = true
backend = oslo_cache.dict
[token]
allow_expired_window = 172800
"""


def environment():
    """The environment without settings of the caller for OpenStack or Python."""
    dropped = ("OS_", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def virtual_environment():
    """The folder of the installed programs; they are installed if they are not the pinned ones."""
    venv = pathlib.Path(os.environ.get("KEYSTONE_VENV", ROOT / "target/keystone-venv"))
    wanted = hashlib.sha256((HERE / "requirements.txt").read_bytes()).hexdigest()
    stamp = venv / ".made-for"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return venv / "bin"


class Keystone:
    """A Keystone in a folder of its own."""

    def __init__(self, folder, port, certificate=None):
        """`certificate`: a file with a certificate and its key; then it is served over HTTPS."""
        self.folder = pathlib.Path(folder).resolve()
        self.port = port
        self.certificate = certificate
        self.configuration = self.folder / "keystone.conf"
        self.pid_file = self.folder / "pid"
        self.log_file = self.folder / "log"

    @property
    def url(self):
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.port}/v3"

    def make(self):
        """Makes configuration, keys, database and the first users, unless they are there."""
        if (self.folder / "made").exists():
            return self
        template = virtual_environment().parent / "template"
        if self.folder != template and not (template / "made").exists():
            Keystone(template, self.port).make().stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder))
        if self.folder == template:
            self.make_database()
            self.start().make_service_user()
        else:
            shutil.copytree(template, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.conf*", "log", "pid"))
            with contextlib.closing(sqlite3.connect(self.folder / "keystone.db")) as database, database:
                database.execute("UPDATE endpoint SET url = ?", [self.url])
        (self.folder / "made").touch()
        return self

    def make_database(self):
        for keys in ("fernet-keys", "credential-keys"):
            (self.folder / keys).mkdir(mode=0o700, exist_ok=True)
        owner = ["--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid())]
        urls = [word for kind in ("public", "internal", "admin") for word in (f"--bootstrap-{kind}-url", self.url)]
        for words in (
            ["db_sync"],
            ["fernet_setup", *owner],
            ["credential_setup", *owner],
            ["bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls],
        ):
            done = subprocess.run(
                [virtual_environment() / "keystone-manage", "--config-file", self.configuration, *words],
                env=environment(), capture_output=True, text=True,
            )
            assert done.returncode == 0, f"keystone-manage {words[0]}:\n{done.stdout}{done.stderr}"

    def make_service_user(self):
        admin = self.token()
        project = self.ask("POST", "/projects", admin, {"project": {"name": "service", "domain_id": "default"}})["project"]
        user = self.ask("POST", "/users", admin, {"user": {"name": "cinder", "password": PASSWORD, "domain_id": "default"}})["user"]
        for role in self.ask("GET", "/roles", admin)["roles"]:
            if role["name"] in ("service", "admin"):
                self.ask("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{role['id']}", admin)

    def start(self):
        """Starts it, and waits until it answers."""
        if self.running():
            return self
        # One request at a time: SQLite fails requests that change the same data.
        settings = {"wsgi_app": "keystone.wsgi.api:application", "bind": f"127.0.0.1:{self.port}", "timeout": 120, "graceful_timeout": 2}
        if self.certificate:
            settings |= {"certfile": str(self.certificate), "keyfile": str(self.certificate)}
        # Not as arguments: Keystone would take them for its own.
        gunicorn = self.folder / "gunicorn.conf.py"
        gunicorn.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [virtual_environment() / "gunicorn"],
                env={
                    **environment(),
                    "HOME": str(self.folder),
                    "GUNICORN_CMD_ARGS": f"--config {gunicorn}",
                    "OS_KEYSTONE_CONFIG_DIR": str(self.folder),
                },
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self.pid_file.write_text(str(process.pid))
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.ask("GET", "", None) and self
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Keystone does not answer ({error}):\n{self.log_file.read_text()[-4000:]}") from None
            time.sleep(0.2)

    def running(self):
        if not self.pid_file.exists():
            return False
        try:
            words = pathlib.Path(f"/proc/{self.pid_file.read_text()}/cmdline").read_bytes()
        except OSError:
            return False
        return b"gunicorn" in words

    def signal(self, number):
        """Sends a signal to all of its processes."""
        if self.running():
            os.killpg(int(self.pid_file.read_text()), number)

    def stop(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while self.running() and time.monotonic() < deadline:
            # A child of this process has to be waited for.
            try:
                os.waitpid(int(self.pid_file.read_text()), os.WNOHANG)
            except ChildProcessError:
                pass
            time.sleep(0.05)
        self.signal(signal.SIGKILL)
        return self

    def ask(self, method, path, token=None, body=None, with_headers=False):
        """The body of an answer, which must be a success."""
        headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
        request = urllib.request.Request(
            self.url + path, method=method, headers=headers, data=None if body is None else json.dumps(body).encode()
        )
        context = None
        if self.certificate:
            import ssl

            context = ssl.create_default_context(cafile=str(self.certificate))
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                text = answer.read()
                found = json.loads(text) if text else {}
                return (found, answer.headers) if with_headers else found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None

    def token(self, user="admin", password=PASSWORD, scope=None):
        """A token; for the project `admin`, or that of the service, unless there is another scope."""
        domain = {"id": "default"}
        scope = scope or {"project": {"name": "service" if user == "cinder" else "admin", "domain": domain}}
        identity = {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": domain}}}
        answer = self.ask("POST", "/auth/tokens", body={"auth": {"identity": identity, "scope": scope}}, with_headers=True)
        return answer[1]["X-Subject-Token"]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up", folder, port]:
            print(Keystone(folder, int(port)).make().start().url)
        case ["down", folder]:
            Keystone(folder, 0).stop()
        case _:
            sys.exit(__doc__)
