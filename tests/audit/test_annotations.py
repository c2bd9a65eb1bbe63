import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit.annotations import audit
from errata.errors import DataError, UnknownNameError


def small(**columns):
    table = {"item": ["a", "a", "a", "b", "b"], "annotator": [1, 2, 3, 1, 2], "label": ["x", "x", "y", "y", "y"]}
    return pd.DataFrame({**table, **columns})


def test_a_row_per_item_with_what_people_said(tmp_path):
    table = small()
    ledger = errata.audit(annotations=table, aggregate="majority")
    assert ledger.table["item"].tolist() == ["a", "b"]
    assert ledger.table["given"].tolist() == ["x", "y"]
    assert ledger.columns["opinions"].tolist() == [3, 2]
    assert ledger.columns["agreement"].tolist() == [pytest.approx(1 / 3), 1]
    assert ledger.trust[1] > ledger.trust[0] > 0.5
    assert ledger.columns["another_opinion"][0] > ledger.columns["another_opinion"][1]
    people = {p["annotator"]: p for p in ledger.meta["annotators"]}
    assert people[1]["labels"] == 2
    assert people[3]["agreement"] == 0
    assert people[3]["quality"] < people[1]["quality"]
    for name, write in {
        "t.csv": lambda p: table.to_csv(p, index=False),
        "t.csv.gz": lambda p: table.to_csv(p, index=False),
        "t.parquet": lambda p: table.to_parquet(p),
        "t.jsonl": lambda p: table.to_json(p, orient="records", lines=True),
    }.items():
        write(tmp_path / name)
        again = errata.audit(annotations=str(tmp_path / name), aggregate="majority")
        assert (again.trust == ledger.trust).all()
        assert again.columns["item"].tolist() == ["a", "b"]
    ledger.save(tmp_path / "out", report=False)
    loaded = errata.Ledger.load(tmp_path / "out")
    assert loaded.columns["item"].tolist() == ["a", "b"]
    assert loaded.meta["annotators"] == ledger.meta["annotators"]


def test_silence_can_be_asked_for(capfd):
    errata.audit(annotations=small(), aggregate="majority", progress=False)
    assert capfd.readouterr() == ("", "")


def test_gaps_and_repetitions_are_told_and_done_without():
    table = small()
    more = pd.DataFrame({"item": ["a", "b", "c"], "annotator": [1, 1, 1], "label": ["x", "x", None]})
    ledger = audit(pd.concat([table, more]), aggregate="majority")
    assert len(ledger) == 3
    assert ledger.given.tolist() == [0, 1, -1]
    assert np.isnan(ledger.trust[2])
    assert ledger.columns["another_opinion"][2] == 1
    assert ledger.columns["opinions"].tolist() == [3, 3, 0]
    assert len(ledger.meta["notes"]) == 3
    assert "1 rows without a label" in ledger.meta["notes"][0]


def test_what_cannot_be_used_is_refused_with_what_to_do():
    with pytest.raises(DataError, match=r"all 3 are by 7\. With one label per item use errata\.audit"):
        audit(small(annotator=7))
    with pytest.raises(DataError, match="at least two classes; all 5 are 'x'"):
        audit(small(label="x"))
    with pytest.raises(DataError, match="row 2 has nothing in the column 'item'"):
        audit(small(item=["a", "a", None, "b", "b"]))
    with pytest.raises(UnknownNameError, match="Did you mean 'annotator'"):
        audit(small(), annotator="anotator")
    with pytest.raises(DataError, match="every one missing"):
        audit(small(label=None))
    with pytest.raises(DataError, match="There is no file"):
        audit("nowhere.csv")
    with pytest.raises(UnknownNameError, match="aggregate"):
        errata.audit(annotations=small(), aggregate="mean")


@pytest.mark.parametrize(("name", "least"), [("duck", 0.87), ("product", 0.93)])
def test_real_crowds(shared_data, name, least):
    pytest.importorskip("crowdkit")
    folder = shared_data / "crowd"
    ledger = audit(folder / f"{name}_answer.csv.gz", item="question", annotator="worker", label="answer")
    truth = pd.read_csv(folder / f"{name}_truth.csv.gz").set_index("question").truth
    table = ledger.table.set_index("item")
    both = table.index.intersection(truth.index)
    right = table.loc[both, "proposed"].astype(int) == truth.loc[both]
    majority = table.loc[both, "given"].astype(int) == truth.loc[both]
    assert right.mean() > least
    assert right.mean() > majority.mean() + 0.03
    assert (~majority[table.loc[both, "issue"]]).mean() > 0.75


def split(shared_data, name="duck", seed=0):
    table = pd.read_csv(shared_data / "crowd" / f"{name}_answer.csv.gz").sample(frac=1, random_state=seed)
    return table[: int(0.9 * len(table))], table[int(0.9 * len(table)) :], table


@pytest.mark.parametrize("aggregate", ["majority", "dawid-skene"])
def test_late_labels_are_added_to_an_earlier_audit(shared_data, tmp_path, aggregate):
    pytest.importorskip("crowdkit")
    names = {"item": "question", "annotator": "worker", "label": "answer", "progress": False}
    early, late, every = split(shared_data)
    before = audit(early, aggregate=aggregate, **names)
    before.save(tmp_path / "before", report=False)
    after = audit(late, earlier=tmp_path / "before", **names)
    assert (after.trust == audit(late, earlier=before, **names).trust).all()
    together = audit(every, aggregate=aggregate, **names)
    one, other = (ledger.table.set_index("item").sort_index() for ledger in (after, together))
    assert (one["opinions"] == other["opinions"]).all()
    assert (one["given"].astype(int) == other["given"].astype(int)).all()
    assert (one["proposed"].astype(int) == other["proposed"].astype(int)).mean() >= 0.95
    assert after.meta["annotations"] == together.meta["annotations"]
    assert after.meta["aggregate"] == aggregate
    assert "new labels were added" in after.meta["notes"][-1]
    if aggregate == "majority":
        assert np.allclose(one["trust"], other["trust"])


def test_late_labels_may_be_of_new_items_by_new_people_and_of_new_classes():
    before = audit(small(), aggregate="majority")
    late = {"item": ["c", "c", "a", "a"], "annotator": [9, 1, 9, 1], "label": ["z", "z", "w", "x"]}
    after = audit(late, earlier=before)
    assert after.classes == ["x", "y", "w", "z"]
    assert after.columns["item"].tolist() == ["a", "b", "c"]
    assert after.table["given"].tolist() == ["x", "y", "z"]
    assert after.columns["opinions"].tolist() == [4, 2, 2]
    assert "a second time were counted once" in " ".join(after.meta["notes"])  # 1 had said x of a before
    assert after.columns["probabilities"].shape == (3, 4)


def test_opinions_are_the_finer_rows(tmp_path):
    ledger = audit(small(), aggregate="majority")
    parts = ledger.parts
    assert parts["row"].tolist() == [0, 0, 0, 1, 1]
    assert parts["annotator"].tolist() == [1, 2, 3, 1, 2]
    assert parts["issue"].tolist() == [False, False, True, False, False]
    assert parts["trust"].tolist() == [
        pytest.approx(ledger.columns["probabilities"][r, c]) for r, c in zip(parts["row"], [0, 0, 1, 1, 1])
    ]
    assert ledger.called(1) == "b"
    ledger.save(tmp_path)
    assert "opinions" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_brought_up_to_date_says_so():
    from errata.errors import LedgerError

    other = errata.Ledger([0, 1], [0, 1], [0.5, 0.5], classes=["x", "y"], meta={"method": "confident"})
    with pytest.raises(LedgerError, match=r"is of one label per row\. Audit all labels together"):
        audit(small(), earlier=other)
    before = audit(small(), aggregate="majority")
    before.meta["aggregate"] = "glad"
    with pytest.raises(LedgerError, match="by 'glad' cannot be brought up to date"):
        audit(small(), earlier=before)
