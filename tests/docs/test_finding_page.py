import doctest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "finding.md"


def test_every_example_of_the_ways_to_find_runs_as_shown():
    found = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert found.attempted >= 20
    assert found.failed == 0
