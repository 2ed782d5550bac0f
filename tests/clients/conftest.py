"""Fixtures: a Pumice for a module or for a test, always ended, its log shown when a test fails."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import cluster  # noqa: E402
import pumice as harness  # noqa: E402

# `make clients-cluster`: what is shared is three control nodes on etcd, behind a balancer.
IS_CLUSTER = os.environ.get("CONTROL_NODES") == "3"
SHAPES = ["three control nodes"] if IS_CLUSTER else ["one process", "control and volume"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, harness.Pumice):
                report.sections.append(("pumice log", value.log()))
    return report


def make_shared(folder, split=False):
    return cluster.Cluster(folder) if IS_CLUSTER else harness.Pumice(folder, split=split)


@pytest.fixture(scope="module", params=SHAPES)
def either(request, tmp_path_factory):
    """A running Pumice: of one process, and of two; or of three control nodes and a volume node."""
    pumice = make_shared(tmp_path_factory.mktemp("pumice"), split=request.param == "control and volume")
    try:
        yield pumice.start()
    finally:
        pumice.discard()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A running Pumice of one process (or of three control nodes), for tests that leave nothing behind."""
    pumice = make_shared(tmp_path_factory.mktemp("pumice"))
    try:
        yield pumice.start()
    finally:
        pumice.discard()


@pytest.fixture
def make_pumice(tmp_path):
    """Makes Pumices that are not started yet; all are ended with the test."""
    made = []

    def make(**kwargs):
        folder = tmp_path / f"p{len(made)}"
        folder.mkdir()
        made.append(harness.Pumice(folder, **kwargs))
        return made[-1]

    yield make
    for pumice in made:
        pumice.discard()
