"""An audit in shards gives the answer of one machine; on Ray too, and when a worker dies in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit import sharded, sharded_passes
from errata.audit.checked import random_order
from errata.audit.sharded import audit_shards
from errata.audit.shards import cut, find_files
from errata.audit.vouching import sample_places
from errata.errors import DataError, UnknownNameError

N, K = 6_000, 4


def made(seed=0, decimals=None, missing=0):
    rng = np.random.default_rng(seed)
    true = rng.choice(K, size=N, p=[0.4, 0.3, 0.2, 0.1])
    logits = rng.normal(size=(N, K))
    logits[np.arange(N), true] += 2.5
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probs = (probs if decimals is None else (probs.round(decimals) + 1e-9)).astype(np.float32)
    probs /= probs.sum(1, keepdims=True)
    given = errata.noise.symmetric(true, 0.2, K, seed=seed).astype(float)
    given[rng.choice(N, size=missing, replace=False)] = np.nan
    return given, probs


def written(folder, given, probs, *, files=3, group=700, wide=False):
    folder.mkdir(exist_ok=True)
    names = np.array(["ant", "bee", "cat", "dog"], dtype=object)
    told = np.where(np.isnan(given), None, names[np.nan_to_num(given).astype(int)])
    for number, rows in enumerate(np.array_split(np.arange(len(given)), files)):
        table = pd.DataFrame({"kind": told[rows]})
        if wide:
            table[[f"p_{k}" for k in range(K)]] = probs[rows]
        else:
            table["pred_probs"] = list(probs[rows])
        table.to_parquet(folder / f"part-{number}.parquet", row_group_size=group)
    return str(folder)


def same(sharded, whole):
    assert list(sharded.classes) == list(whole.classes)
    assert np.array_equal(sharded.given, whole.given)
    assert np.array_equal(sharded.issue, whole.issue)
    assert np.array_equal(sharded.proposed, whole.proposed)
    assert sharded.trust == pytest.approx(whole.trust, abs=1e-5, nan_ok=True)
    assert sharded.noise.joint == pytest.approx(whole.noise.joint, abs=1e-9)
    same_promises(sharded.vouched, whole.vouched)


def same_promises(one, other, within=1e-5):
    """What is vouched for is the same, but for rounding."""
    assert one.n.tolist() == other.n.tolist()
    for name in ("precision", "low", "high", "recall"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=within)
    for name in ("errors", "errors_low", "errors_high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=within)
    assert one.notes == other.notes


@pytest.mark.parametrize(
    ("decimals", "missing", "wide"),
    [(None, 0, False), (2, 0, True), (1, 50, False)],
    ids=["plain", "ties", "more"],
)
def test_shards_give_the_answer_of_one_machine(tmp_path, decimals, missing, wide):
    given, probs = made(decimals=decimals, missing=missing)
    folder = written(tmp_path / "data", given, probs, wide=wide)
    columns = {"pred_probs": "p_*"} if wide else {}
    found = audit_shards(folder, label="kind", shard_rows=900, progress=False, **columns)
    names = np.array(["ant", "bee", "cat", "dog"], dtype=object)
    labels = np.where(np.isnan(given), None, names[np.nan_to_num(given).astype(int)])
    same(found, errata.audit(labels=labels, pred_probs=probs))


def test_a_quota_that_reaches_below_the_clear_margins(tmp_path):
    """Coarse probabilities: the joint asks for more rows than any class beats the given one in."""
    rng = np.random.default_rng(1)
    probs = rng.choice([[0.5, 0.5, 0, 0], [0.4, 0.4, 0.2, 0], [0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.3, 0.1]], size=N)
    given = rng.integers(K, size=N).astype(float)
    found = audit_shards(written(tmp_path / "d", given, probs), label="kind", shard_rows=1000, progress=False)
    names = np.array(["ant", "bee", "cat", "dog"], dtype=object)
    same(found, errata.audit(labels=names[given.astype(int)], pred_probs=probs))


def test_what_is_written_holds_every_row(tmp_path):
    given, probs = made()
    ledger = audit_shards(
        written(tmp_path / "data", given, probs), label="kind", out=tmp_path / "out", shard_rows=900, progress=False
    )
    parts = pd.concat(pd.read_parquet(f) for f in sorted((tmp_path / "out" / "ledger").glob("part-*.parquet")))
    assert parts["row"].tolist() == list(range(N))
    assert parts["issue"].sum() == ledger.issue.sum()
    assert json.loads((tmp_path / "out" / "shards.json").read_text())["rows"] == N
    loaded = errata.Ledger.load(tmp_path / "out")
    assert len(loaded) == N
    same_promises(loaded.vouched, ledger.vouched)
    assert (tmp_path / "out" / "report.html").exists()


def test_more_rows_than_are_kept_are_vouched_for_by_a_sample(tmp_path, monkeypatch):
    """The limits are lowered; else this would take twenty million rows."""
    given, probs = made(seed=3, missing=40)
    folder = written(tmp_path / "data", given, probs)
    whole = audit_shards(folder, label="kind", shard_rows=900, progress=False)
    monkeypatch.setattr(sharded, "WHOLE", 1000)
    monkeypatch.setattr(sharded, "THIN", 1500)
    for module in (sharded, sharded_passes):
        monkeypatch.setattr(module, "WORST", 800)
    cut_off = audit_shards(folder, label="kind", shard_rows=900, out=tmp_path / "out", progress=False)
    assert cut_off.meta["rows_in_all"] == N
    assert cut_off.index[cut_off.order].tolist() == whole.index[whole.order][:800].tolist()
    assert cut_off.vouched.n[-1] == N - 40
    assert cut_off.vouched.errors == pytest.approx(whole.vouched.errors)
    for n in (50, 400, 800, 1200, 2500, 5960):
        told, right = cut_off.vouched.at(n), whole.vouched.at(n)
        assert told == pytest.approx(right, rel=0.03, abs=0.01)
    with pytest.raises(DataError, match="800 most suspicious of 6,000"):
        random_order(errata.Ledger.load(tmp_path / "out"))


def test_no_sample_of_rows_outgrows_its_bounds():
    """A thousand million rows of a thousand classes: what comes back of all shards together fits into memory."""
    assert len(sample_places(10**9, 1000)) * 1000 * 8 <= 32e6
    assert len(sample_places(10**9, 2)) * 2 * 8 <= 32e6
    assert sample_places(10**9, 1000)[[0, -1]].tolist() == [0, 10**9 - 1]


def test_from_features_models_are_learned_out_of_fold(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=3000)
    x = rng.normal(size=(3000, 5)) + 3 * np.eye(3, 5)[true]
    given = errata.noise.symmetric(true, 0.15, 3, seed=0)
    table = pd.DataFrame(x, columns=[f"f{i}" for i in range(5)]).assign(label=given)
    (tmp_path / "d").mkdir()
    table.to_parquet(tmp_path / "d" / "a.parquet", row_group_size=500)
    ledger = audit_shards(str(tmp_path / "d"), features="f*", shard_rows=500, progress=False)
    wrong = given != true
    assert ledger.issue[wrong].mean() > 0.8
    assert wrong[ledger.issue].mean() > 0.8


def test_the_command_reads_shards(tmp_path):
    given, probs = made()
    folder = written(tmp_path / "data", given, probs, wide=True)
    command = [sys.executable, "-m", "errata", "audit", f"{folder}/*.parquet", "--label", "kind", "--pred-probs", "p_*"]
    done = subprocess.run(
        [*command, "--engine", "here", "--out", str(tmp_path / "out"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == N
    wrong = subprocess.run([*command, "--engine", "rai"], capture_output=True, text=True)
    assert wrong.returncode in (1, 2)
    assert "ray" in wrong.stderr


def test_bad_input_is_told(tmp_path):
    with pytest.raises(DataError, match="names no Parquet file"):
        audit_shards(str(tmp_path / "none-*.parquet"))
    given, probs = made()
    folder = written(tmp_path / "data", given, probs)
    with pytest.raises(UnknownNameError, match="kind"):
        audit_shards(folder, label="kinds", progress=False)
    with pytest.raises(DataError, match="none of the 2 classes"):
        audit_shards(folder, label="kind", classes=["ant", "bee"], progress=False)
    (tmp_path / "data" / "part-1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"part-1.parquet can't be read"):
        audit_shards(folder, label="kind", progress=False)


def test_shards_are_cut_at_row_groups(tmp_path):
    given, probs = made()
    files = find_files(written(tmp_path / "data", given, probs))
    shards = cut(files, most_rows=1500)
    assert [s.rows for s in shards] == [1400, 600] * 3
    assert [s.start for s in shards] == [0, 1400, 2000, 3400, 4000, 5400]


class DiesOnce:
    """An engine whose worker is killed at the first shard that it is given in some pass."""

    def __init__(self, engine, marker):
        self.engine, self.marker = engine, str(marker)

    def map(self, function, items):
        return self.engine.map(_Dying(function, self.marker), items)


class _Dying:
    def __init__(self, function, marker):
        self.function, self.marker = function, marker

    def __call__(self, shard):
        if shard.number == 1 and not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), 9)
        return self.function(shard)


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="needs ray: pip install 'errata[scale]'")
    pytest.importorskip("ray.data", reason="needs ray[data]")
    from errata.audit.engines import OnRay

    here = os.path.dirname(__file__)
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}}
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, runtime_env=environment)
    yield OnRay()
    ray.shutdown()


def test_ray_gives_the_same_with_a_worker_killed_in_the_middle(tmp_path, cluster):
    given, probs = made(seed=2, decimals=2)
    folder = written(tmp_path / "data", given, probs, group=2000)
    dying = DiesOnce(cluster, tmp_path / "died")
    on_ray = audit_shards(folder, label="kind", engine=dying, out=tmp_path / "out", shard_rows=900, progress=False)
    assert (tmp_path / "died").exists()
    same(on_ray, audit_shards(folder, label="kind", shard_rows=900, progress=False))
    assert len(list((tmp_path / "out" / "ledger").iterdir())) == 3
