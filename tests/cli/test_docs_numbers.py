"""The check that no measured number stands in the documents without a result behind it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tools():
    """The two scripts as modules."""
    sys.path.insert(0, str(TOOLS))
    try:
        yield {name: importlib.import_module(name) for name in ("check_docs_numbers", "render_results")}
    finally:
        sys.path.remove(str(TOOLS))


RECORD = {
    "name": "speed",
    "command": "python benchmarks/speed.py",
    "commit": "0123456789abcdef",
    "machine": {"cpu": "a processor", "cores": 2, "accelerator": None, "load_average": [0.1]},
    "result": {
        "seconds": 0.6871,
        "share": 0.4567,
        "by.dots": [{"gain": 12.04}],
        "tables": [
            {"title": "Speed", "columns": ["what", "s"], "rows": [["ours", 0.6871], ["theirs", None]], "note": "N"}
        ],
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "speed.json").write_text(json.dumps(RECORD))
    (tmp_path / "docs").mkdir()
    return tmp_path


@pytest.fixture
def check(project, tools, capsys):
    """Writes a document and gives the complaints; the exit code says whether there are any."""

    def call(text: str, name: str = "README.md") -> list[str]:
        (project / name).write_text(text, encoding="utf-8")
        code = tools["check_docs_numbers"].main(project)
        lines = capsys.readouterr().out.splitlines()
        assert code == bool(lines)
        return lines[:-1]  # the last one counts them

    return call


@pytest.mark.parametrize(
    "line",
    [
        "It takes 0.69 s. <!-- from: results/speed.json#result.seconds -->",
        "0.7 s, 46 % <!-- from: results/speed.json#result.seconds --> <!-- from: results/speed.json#result.share -->",
        "A gain of 12 points. <!-- from: results/speed.json#result.by.dots.0.gain -->",
        "The paper reports 93.4 % <!-- paper: 2007.00151 -->",
        "Hold out 10 %. <!-- not a measurement -->",
        "Type `--validation 0.1` for 10 rows of 1,000,000 x 100 with Python 3.11 and torch 2.13.0.",
        "Precision and recall of version 2.1.0 and ResNet-18 on CIFAR-10 [see](https://a.b/0.65).",
        "See section 3, step 2; 2020; 16 GPUs; page 4.",
        "```\naccuracy 0.93 in 3 s\n```",
    ],
)
def test_a_line_that_may_stand(check, line: str) -> None:
    assert check(line + "\n") == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("It takes 0.69 s.", "0.69 comes from no result file"),
        ("Twice: 2 x faster", "2 comes from no result file"),
        ("10 times faster", "10 comes from no result file"),
        ("uses 1.4 GB", "1.4 comes from no result file"),
        ("| elr | 93.4 % |", "93.4% comes from no result file"),
        ("3-4 s", "4 comes from no result file"),
        ("an accuracy of 0.934", "0.934 comes from no result file"),
        ("It takes 0.68 s. <!-- from: results/speed.json#result.seconds -->", "0.68 is not what its source holds"),
        ("0.69 s or 3 s <!-- from: results/speed.json#result.seconds -->", "3 is not what its source holds"),
        ("0.69 s <!-- from: results/none.json#a -->", "there is no benchmarks/results/none.json"),
        ("0.69 s <!-- from: results/speed.json#result.minutes -->", "holds no number at 'result.minutes'"),
        ("0.69 s <!-- from: speed.json -->", "the source is not written as"),
        ("Fast. <!-- from: results/speed.json#result.seconds -->", "shows no measurement"),
        ("<!-- results: speed -->\n", "a block of results is not closed"),
        ("<!-- results: none -->\n<!-- /results -->", "there is no result file"),
        ("<!-- results: speed -->\n| ours | 0.1 |\n<!-- /results -->", "stale: run python tools/render_results.py"),
    ],
)
def test_a_line_that_may_not_stand_is_told_with_its_place(check, line: str, complaint: str) -> None:
    found = check(f"# Title\n\n{line}\n", "docs/evidence.md")
    assert complaint in "\n".join(found)
    assert all(told.startswith("docs/evidence.md:3: ") for told in found)


def test_rendered_tables_pass_and_say_how_they_were_measured(project: Path, check, tools, capsys) -> None:
    page = project / "docs" / "evidence.md"
    page.write_text("# Evidence\n\n<!-- results: speed -->\n<!-- /results -->\n\nThe end.\n")
    render_results = tools["render_results"]
    assert render_results.main(project) == 0
    assert capsys.readouterr().out == "docs/evidence.md: rendered\n"
    text = page.read_text()
    assert "| what | s |\n| --- | ---: |\n| ours | 0.6871 |\n| theirs | - |" in text
    assert "Measured by `python benchmarks/speed.py` at commit `0123456789ab` on a processor, 2 cores." in text
    assert text.endswith("<!-- /results -->\n\nThe end.\n")
    assert check(text, "docs/evidence.md") == []
    assert render_results.main(project) == 0
    assert page.read_text() == text


@pytest.mark.parametrize("lacking", ["command", "commit", "machine"])
def test_a_result_without_its_origin_is_not_shown(project: Path, check, lacking: str) -> None:
    (project / "benchmarks" / "results" / "speed.json").write_text(json.dumps({**RECORD, lacking: None}))
    found = check("<!-- results: speed -->\n<!-- /results -->\n")
    assert f"does not say its {lacking}" in found[0]
