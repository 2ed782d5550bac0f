"""Whatever a client sends, the answer is one that the OpenAPI document describes, and never a fault of the service.

The short form sends a few hundred requests. `make api-fuzz` sets FUZZ_EXAMPLES, how many requests are drawn for each operation, and
sends those of the other phases, too: 10,000 at least. FUZZ_SEED draws others.
"""

import os

import api_fuzz
import pytest

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

# A version, the phases, how many examples of each operation, and how many requests there are at least.
SHORT = [("3.71", ["fuzzing"], 2, 250)]
LONG = [
    ("3.71", ["coverage", "fuzzing"], EXAMPLES, 10_000),
    ("3.0", ["fuzzing"], EXAMPLES, 1_000),
    ("3.40", ["fuzzing"], EXAMPLES, 1_000),
]


@pytest.mark.parametrize("version, phases, examples, least", LONG if EXAMPLES else SHORT)
def test_answers_are_those_that_the_document_describes(make_pumice, tmp_path, version, phases, examples, least):
    report = run(make_pumice, tmp_path, version, phases, examples, SEED)
    assert report["operations"]["tested"] == report["operations"]["selected"] > 100
    assert report["test_cases"]["generated"] >= least


@pytest.mark.skipif(not EXAMPLES, reason="of the long form")
@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_what_is_made_can_be_shown_changed_and_deleted(make_pumice, tmp_path, seed):
    """The links of the document are followed from what makes something. A sequence ends where what was made is gone."""
    report = run(make_pumice, tmp_path, "3.71", ["stateful"], EXAMPLES, seed)
    assert report["operations"]["tested"] > 10


def run(make_pumice, tmp_path, version, phases, examples, seed):
    """The report of a run without failures."""
    pumice = make_pumice(config=api_fuzz.CONFIG).start()
    report, text = api_fuzz.run(pumice, tmp_path, version, phases, examples, seed)
    assert report["failures"] == [] and report["errors"] == [], text
    assert report["complete"], text
    faults = [line for line in pumice.control.log().splitlines() if " ERROR " in line or "panicked" in line]
    assert faults == []
    print(f"{version} {phases}: {report['test_cases']['generated']} requests in {report['running_time']:.0f} s")
    return report
