"""`errata systems` and `errata bench`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import errata
from errata import systems as registry
from errata.cli.systems import _hyperparameters


def test_the_list_has_every_system_and_imports_none(run):
    done = run("systems", "--json")
    assert [card["slug"] for card in done.json] == [card.slug for card in errata.systems()]
    code = (
        "import sys\nfrom errata.cli import app\n"
        "try: app(['systems'])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_list_can_be_narrowed(run):
    assert {card["slug"] for card in run("systems", "--changes", "target", "--json").json} >= {"elr", "elr-plus"}
    assert "errata queue DIR" in run("systems", "reannotation-budget").out
    assert run("systems", "--task", "classification", "--json").json


def test_a_card_shows_the_hyper_parameters_with_defaults_and_meaning(run):
    shown = run("systems", "elr")
    assert shown.code == 0
    assert "lambda_ 3.0 weight of the regulariser" in " ".join(shown.out.split())
    assert "arxiv.org/abs/2007.00151" in shown.out
    found = run("systems", "elr", "--json").json
    assert found["hyperparameters"]["beta"] == 0.7
    assert "views" not in found["hyperparameters"]


@pytest.mark.parametrize("slug", [card.slug for card in errata.systems()])
def test_every_card_can_be_shown_and_says_what_each_hyper_parameter_does(run, slug):
    assert run("systems", slug).code == 0
    unsaid = [name for name, _, text in _hyperparameters(registry.card(slug)) if not text]
    assert not unsaid


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [(("elrr",), "elr"), (("--changes", "los"), "loss"), (("--task", "clasification"), "classification")],
)
def test_an_unknown_name_is_told_with_the_nearest(run, arguments, nearest):
    done = run("systems", *arguments)
    assert done.code == 2
    assert f"Did you mean '{nearest}'?" in done.paragraph


@pytest.fixture
def claims(here):
    folder = here / "benchmarks" / "claims"
    folder.mkdir(parents=True)
    (folder / "_claim.py").write_text("")
    (folder / "elr.py").write_text("import sys; print(sys.argv[1:])")
    (folder / "elr_plus.py").write_text("import sys; sys.exit(3)")
    return folder


def test_bench_runs_the_claim_found_from_here_or_above(claims, monkeypatch):
    for place in (claims.parents[1], claims.parents[1] / "src"):
        place.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "errata", "bench", "elr", "--seeds", "3", "--", "--device", "cpu"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        assert done.stdout == "['--seeds', '3', '--device', 'cpu']\n"


def test_bench_says_what_is_wrong(run, claims, here):
    failed = run("bench", "elr-plus")
    assert failed.code == 1
    assert "ended with exit code 3" in failed.paragraph
    unknown = run("bench", "elrr")
    assert unknown.code == 2
    assert "Did you mean 'elr'?" in unknown.paragraph
    claims.rename(here / "elsewhere")
    assert "clone it" in run("bench", "elr").paragraph
