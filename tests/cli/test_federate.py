"""`errata federate`: from tables to a global model and the clients' ledgers; what is refused, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import errata

FAST = ("--set", "tau=3", "--seed", "1", "--device", "cpu")


@pytest.fixture
def sites(here: Path) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    frame = pd.DataFrame(rng.normal(size=(120, 3)) + 3.0 * np.eye(3)[y], columns=list("abc"))
    frame["kind"] = np.array(["x", "y", "z"], dtype=object)[y]
    frame["site"] = np.array(["Köln", "Oslo"])[np.arange(120) % 2]
    frame.to_csv(here / "bench.csv", index=False)
    frame.loc[rng.random(120) < 0.5, "kind"] = None
    frame.to_csv(here / "all.csv", index=False)
    return here


def test_a_column_of_clients_from_table_to_predictions(run, sites):
    done = run(
        "federate", "all.csv", "--label", "kind", "--client-column", "site", "--rounds", "2", *FAST,
        "--test", "bench.csv", "--out", "run", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["metrics"]["clients"] == 2
    assert [r["round"] for r in done.json["history"]] == [1, 2]
    assert set(done.json["clients"]) == {"Köln", "Oslo"}
    assert "60 rows" in done.err
    for folder in done.json["clients"].values():
        assert errata.Ledger.load(folder).kind.rows == "clients' samples"
        assert (Path(folder) / "report.html").exists()
    done = run("predict", "run", "bench.csv", "--out", "p.csv", "--json")
    assert done.code == 0, done.err
    assert done.json["rows"] == 120


def test_simulated_clients_and_the_summary_for_people(run, sites):
    done = run("federate", "all.csv", "--label", "kind", "--clients", "3", "--labelled", "0.5", "--rounds", "1", *FAST)
    assert done.code == 0, done.err
    assert "3 simulated clients" in done.err
    assert "all-fedlabel" in done.out
    assert json.loads((sites / "all-fedlabel" / "run.json").read_text(encoding="utf-8"))["simulated"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("all.csv", "--label", "kind"), 1, "not a folder of clients"),
        (("nothing.csv", "--label", "kind"), 1, "There is no file"),
        (("all.csv", "--label", "knd", "--clients", "2"), 2, "Did you mean 'kind'"),
        (("all.csv", "--label", "kind", "--client-column", "city"), 2, "'city'"),
        (("all.csv", "--label", "kind", "--clients", "2", "--client-column", "site"), 2, "not both"),
        (("all.csv", "--label", "kind", "--clients", "2", "--system", "elr"), 2, "no federated system"),
        (("all.csv", "--label", "kind", "--clients", "2", "--set", "bta=1"), 2, "Did you mean 'beta'"),
        (("all.csv", "--label", "kind", "--clients", "2", "--resume"), 2, "--out"),
        (("all.csv", "--label", "kind", "--clients", "2", "--engine", "flour"), 2, "Did you mean 'flower'"),
        (("all.csv", "--label", "kind", "--clients", "90"), 1, "too few"),
        (("serve", "bench.csv", "--label", "kind", "--host", "0.0.0.0"), 2, "TLS"),
        (("join", "all.csv", "--label", "kind", "--server", "192.0.2.1:80"), 2, "TLS"),
        (("join", "all.csv", "--label", "kind", "--server", "here"), 2, "HOST:PORT"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_paragraph(run, sites, arguments, code, says):
    done = run("federate", *arguments)
    assert done.code == code
    assert says in done.paragraph


def test_an_earlier_result_is_not_overwritten(run, sites):
    once = ("federate", "all.csv", "--label", "kind", "--clients", "2", "--rounds", "1", *FAST, "--out", "run")
    assert run(*once).code == 0
    done = run(*once)
    assert done.code == 1
    assert "already holds an earlier result" in done.paragraph
    assert run(*once, "--resume").code == 0


@pytest.mark.parametrize("name", ["run", "serve", "join"])
def test_every_part_explains_itself_with_an_example(run, name):
    told = run("federate", name, "--help")
    assert told.code == 0
    assert "errata federate " in told.out.split("Example", 1)[1]
    for option in ("--json", "--quiet", "--verbose", "--traceback"):
        assert option in told.out


def test_help_names_the_parts(run):
    told = run("federate", "--help")
    assert told.code == 0
    for word in ("run", "serve", "join", "--clients"):
        assert word in told.out


def test_an_app_for_flowers_own_servers(run, sites):
    pytest.importorskip("flwr")
    given = ("federate", "serve", "bench.csv", "--label", "kind", "--rounds", "3", *FAST, "--out", "server")
    done = run(*given, "--app", "app", "--json")
    assert done.code == 0, done.err
    assert {p.name for p in (sites / "app").iterdir()} == {"pyproject.toml", "errata_federation.py"}
    assert "flwr run app SUPERLINK" in run(*given, "--app", "app2").out.replace("app2", "app")
    assert "nothing is overwritten" in run(*given, "--app", "app").paragraph
    (sites / "secret").write_text("0123456789abcdef")
    assert "are Flower's" in run(*given, "--app", "app3", "--token", "secret").paragraph
    assert not (sites / "server").exists()
