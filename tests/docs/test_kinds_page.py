import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kinds.md"


def test_every_example_of_the_page_runs_as_shown():
    found = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert found.attempted > 25
    assert found.failed == 0


def test_a_page_that_is_wrong_would_be_told(capsys):
    parsed = doctest.DocTestParser().get_doctest(PAGE.read_text().replace("[11]", "[12]"), {}, "page", None, 0)
    with pytest.raises(doctest.DocTestFailure):
        doctest.DebugRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(parsed)
