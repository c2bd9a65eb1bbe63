"""The command's own part: what it tells, and decisions as a file."""

from __future__ import annotations

import contextlib
import io
import json

import pandas as pd
import pytest

from errata.cli import app
from errata.review import Decisions


def run(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(["review", *map(str, arguments)], prog_name="errata")
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), " ".join(err.getvalue().split())


def test_decisions_come_out_as_a_file(folder, tmp_path):
    with Decisions(folder) as record:
        record.add(3, "relabel", "owl", reviewer="ann")
        record.add(4, "skip", reviewer="ann")
    code, out, _ = run(folder, "--export", tmp_path / "d.csv", "--json")
    assert code == 0
    assert json.loads(out) == {"out": str(tmp_path / "d.csv"), "rows": 1}
    assert pd.read_csv(tmp_path / "d.csv")["row"].tolist() == [3]
    code, _, err = run(folder, "--export", tmp_path / "d.csv")
    assert code == 1
    assert "nothing is overwritten" in err
    assert run(folder, "--export", tmp_path / "d.csv", "--force")[0] == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--export", "d.csv"], 1, "no decisions in"),
        (["--host", "0.0.0.0"], 2, "--token auto"),
        (["--port", "99999"], 2, "from 0"),
        (["--overlap", "0"], 2, "overlap"),
    ],
)
def test_what_cannot_be_is_told_in_one_paragraph(folder, options, code, said):
    pytest.importorskip("uvicorn")
    found, _, err = run(folder, *options)
    assert found == code, err
    assert said in err
    assert "Traceback" not in err


def test_a_folder_without_a_ledger_is_told(tmp_path):
    pytest.importorskip("uvicorn")
    code, _, err = run(tmp_path / "nowhere", "--port", "0")
    assert code == 1
    assert "errata audit SOURCE" in err
