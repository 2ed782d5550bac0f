"""What every program of this folder does: run commands, expect, wait, and tell a story step by step."""

import subprocess
import time


class Wrong(Exception):
    """Something is not as it should be."""


def expect(truth, what):
    if not truth:
        raise Wrong(what)


def wait_for(what, probe, seconds=60.0, pause=0.05):
    """Asks `probe` until it answers something true."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(pause)
    raise Wrong(f"waited {seconds:g} s for {what}; last seen: {last!r}")


def run(*words, check=True, seconds=120, **kwargs):
    """A command, its output kept; `check`: it must succeed."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, **kwargs)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(words)} took longer than {seconds} s") from None
    if check and done.returncode != 0:
        raise Wrong(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


class Teller:
    """Counts the steps of a program, and prints each with the time it took."""

    def __init__(self, log=None):
        self.passed = self.failed = 0
        self.log = log
        # Where the log ended when the act began: what a failure shows is of its own.
        self.read = 0

    def act(self, title, steps, tidy=None):
        """One story: its steps in order. The first that fails ends it, and then `tidy` makes room for the next."""
        print(f"--- {title}", flush=True)
        self.read = self._size()
        began = time.monotonic()
        going = True
        for step in steps:
            name = step.__name__.replace("_", " ").strip()
            if not going:
                print(f"  not run           {name}", flush=True)
            elif not self.step(name, step):
                going = False
        if not going:
            self._show_log()
            if tidy is not None:
                self.step("tidy up after it", tidy)
        print(f"    {title}: {time.monotonic() - began:.1f} s", flush=True)
        return going

    def step(self, name, function):
        began = time.monotonic()
        # Whatever it is, the guest must end in order.
        try:
            function()
            why = None
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        print(f"  {'FAILED' if why else 'ok':6} {time.monotonic() - began:7.2f} s  {name}", flush=True)
        if why:
            print(f"    {why}", flush=True)
            self.failed += 1
        else:
            self.passed += 1
        return why is None

    def end(self):
        """The last line; the program's exit code."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0

    def _size(self):
        return self.log.stat().st_size if self.log is not None and self.log.exists() else 0

    def _show_log(self):
        if self.log is None or not self.log.exists():
            return
        with self.log.open(errors="replace") as file:
            file.seek(self.read)
            # Waiters poll without a pause.
            lines = [line for line in file.read().splitlines() if " method=GET " not in line]
        print("--- the end of pumice's log")
        print("\n".join(line[:400] for line in lines[-30:]))
