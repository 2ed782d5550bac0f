"""Runs the commands `openstack` and `cinder` without starting Python for each: most of their time is the import of the client.

One process has imported the clients and forks for each command. The fork does what the installed script does, with the arguments, the
environment and the standard streams of the command, and ends. Nothing of one command is seen by the next.
"""

import atexit
import contextlib
import importlib
import importlib.metadata
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import cliff.command

SHELLS = {"openstack": "openstackclient.shell", "cinder": "cinderclient.shell"}
# Extensions that the clients look up by name when they run: commands, formats, and ways to log in.
EXTENSIONS = ("cliff.formatter.", "keystoneauth1.plugin", "openstack.")


class Server:
    """The process that forks, and who asks it: one command at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        atexit.register(self.end)

    def end(self):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **question):
        with self.lock:
            self.process.stdin.write(json.dumps(question) + "\n")
            return json.loads(self.process.stdout.readline())


server = None


def run(words, env, input="", timeout=120):
    """As `subprocess.run` with the output captured as text, which it is for another program than a client."""
    global server
    words = [str(word) for word in words]
    if words[0] not in SHELLS:
        return subprocess.run(words, env=env, input=input, capture_output=True, text=True, timeout=timeout)
    server = server or Server()
    with tempfile.TemporaryDirectory() as folder:
        streams = [os.path.join(folder, name) for name in ("in", "out", "err")]
        pathlib.Path(streams[0]).write_text(input)
        status = server.ask(words=words, env=dict(env), streams=streams, timeout=timeout)
        out, err = (pathlib.Path(path).read_text() for path in streams[1:])
    if status is None:
        raise subprocess.TimeoutExpired(words, timeout, out, err)
    return subprocess.CompletedProcess(words, status, out, err)


def play(words, env, streams):
    """In the fork: the command, whose exit status is that of the process."""
    os.setsid()
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT))):
        file = os.open(path, flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
    os.environ.clear()
    os.environ.update(env)
    sys.argv = words
    status = 1
    try:
        status = importlib.import_module(SHELLS[words[0]]).main()
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def serve():
    for module in SHELLS.values():
        importlib.import_module(module)
    for group in importlib.metadata.entry_points().groups:
        if group.startswith(EXTENSIONS):
            for extension in importlib.metadata.entry_points(group=group):
                # Some need libraries that are not installed: the clients go on without them, too.
                with contextlib.suppress(Exception):
                    extension.load()
    # `openstack` names the package of a command in its help, and reads the metadata of all packages for that.
    cliff.command._get_distributions_by_modules()
    # A module that logs while it is imported adds a handler.
    logging.root.handlers.clear()
    for line in sys.stdin:
        question = json.loads(line)
        pid = os.fork()
        if pid == 0:
            play(question["words"], question["env"], question["streams"])
        print(json.dumps(wait(pid, question["timeout"])), flush=True)


def wait(pid, seconds):
    """The exit status of a child, or `None` when its time is over: then it is killed."""
    ended = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    ended.start()
    _, status = os.waitpid(pid, 0)
    in_time = ended.is_alive()
    ended.cancel()
    ended.join()
    return os.waitstatus_to_exitcode(status) if in_time else None


if __name__ == "__main__":
    serve()
