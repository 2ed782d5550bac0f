"""Fixtures: a Pumice for a module or for a test, always ended, its log shown when a test fails."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pumice as harness  # noqa: E402


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, harness.Pumice):
                report.sections.append(("pumice log", value.log()))
    return report


@pytest.fixture(scope="module", params=["one process", "control and volume"])
def either(request, tmp_path_factory):
    """A running Pumice: of one process, and of two."""
    split = request.param == "control and volume"
    pumice = harness.Pumice(tmp_path_factory.mktemp("pumice"), split=split)
    try:
        yield pumice.start()
    finally:
        pumice.discard()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A running Pumice of one process, for tests that leave nothing behind."""
    pumice = harness.Pumice(tmp_path_factory.mktemp("pumice"))
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
