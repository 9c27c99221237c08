"""Every boundary fuzzed; FUZZ_CASES=10000 for the long version, `-s` to see the outcomes."""

import os

from fuzz_inputs import BOUNDARIES, fuzz


def test_no_input_gives_a_traceback():
    cases = int(os.environ.get("FUZZ_CASES", "600"))
    outcomes = fuzz(cases)
    for (boundary, outcome), count in sorted(outcomes.items()):
        print(f"{boundary:<16}{outcome:<12}{count:>6}")
    assert sum(outcomes.values()) == cases
    assert {boundary for boundary, _ in outcomes} == {b.__name__ for b in BOUNDARIES}
