"""Sorts Tempest's results by how they ended, and compares those that passed with the list of a former run.

compare.py FOLDER LIST: reads FOLDER/results.csv, writes FOLDER/{passed,failed,skipped}.txt. Exits with 1 if a test of
LIST did not pass. UPDATE=1 writes LIST.
"""

import csv
import os
import pathlib
import re
import sys

KINDS = {"success": "passed", "failure": "failed", "error": "failed", "skip": "skipped"}


def name(test):
    """Without the ids and tags of a test."""
    return re.sub(r"\[.*\]$", "", test)


def main(folder, listed):
    found = {"passed": set(), "failed": set(), "skipped": set()}
    with open(folder / "results.csv", newline="") as results:
        for row in csv.DictReader(results):
            found[KINDS[row["status"]]].add(name(row["test"]))
    for kind, tests in found.items():
        (folder / f"{kind}.txt").write_text("".join(f"{test}\n" for test in sorted(tests)))
        print(kind, len(tests))
    if os.environ.get("UPDATE"):
        listed.write_text("".join(f"{test}\n" for test in sorted(found["passed"])))
        return 0
    missing = set(listed.read_text().split()) - found["passed"]
    for test in sorted(missing):
        print("did not pass:", test)
    return 1 if missing or not found["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
