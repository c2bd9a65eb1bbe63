"""Every address of the page, through a real server."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from errata.ledger import Ledger


def test_the_page_shows_the_most_suspicious_row(opens):
    ann = opens().person("ann")
    page = ann.get("/")
    assert page.status == 200
    for part in ("animal 0", "<del>cat</del>", "<ins>dog</ins>", "0 %", "<b>0</b> of 15 suspicious rows"):
        assert part in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_who_has_no_name_is_asked_for_one(opens):
    stranger = opens(suggestion="me").person()
    assert (stranger.get("/").status, stranger.get("/").headers["location"]) == (303, "/name")
    assert 'value="me"' in stranger.get("/name").text
    assert "give a name" in stranger.post("/name", {"name": " \t\n"}).text
    assert stranger.post("/name", {"name": "  Ann-Zoë \u202e <b> "}).status == 303
    assert "Ann-Zoë &lt;b&gt;" in stranger.get("/").text
    nobody = opens(suggestion="me").person()
    nobody.get("/name")
    reply = nobody.decide(0, "drop")
    assert reply.status == 403
    assert "name" in reply.json["error"]


def test_nobody_is_asked_where_the_reviewer_is_known(opens):
    opened = opens(reviewer="ann")
    person = opened.person()
    assert person.get("/").status == 200
    person.decide(0, "drop")
    assert opened.record.last("ann").action == "drop"


def test_keep_relabel_drop_skip_undo(opens):
    opened = opens()
    ann = opened.person("ann")
    answers = [
        ann.decide(0, "keep"),
        ann.decide(1, "relabel", "owl", note="  an owl  "),
        ann.decide(2, "drop"),
        ann.decide(3, "skip"),
    ]
    assert [a.status for a in answers] == [200] * 4
    assert [a.json["row"] for a in answers] == [1, 2, 3, 4]
    assert answers[1].json["said"] == "Row 1 relabelled as owl."
    assert 'data-row="2"' in answers[1].json["html"]
    stands = [(d.row, d.action, d.label) for d in opened.record.standing()]
    assert stands == [(0, "keep", None), (1, "relabel", "owl"), (2, "drop", None), (3, "skip", None)]
    assert opened.record.standing(1)[0].note == "an owl"
    for expected in (3, 2):
        undone = ann.post("/undo", {}, accept="application/json").json
        assert undone["row"] == expected
    assert undone["said"] == "Undone: Row 2 dropped."
    assert len(opened.record.standing()) == 2


def test_undoing_a_named_decision_twice_undoes_it_once(opens):
    opened = opens()
    ann = opened.person("ann")
    ids = [ann.decide(row, "drop").json["id"] for row in (0, 1)]
    for _ in range(2):
        assert ann.post("/undo", {"decision": ids[1]}, accept="application/json").json["row"] == 1
    assert [d.row for d in opened.record.standing()] == [0]
    bob = opened.person("bob")
    assert "nothing to undo" in bob.post("/undo", {"decision": ids[0]}, accept="application/json").json["said"]


def test_a_form_sent_twice_counts_once_but_another_answer_on_it_is_another_decision(opens):
    opened = opens()
    ann = opened.person("ann")
    first = ann.decide(0, "drop", key="k1").json
    assert ann.decide(0, "drop", key="k1").json["id"] == first["id"]
    assert ann.decide(0, "keep", key="k1").json["id"] != first["id"]
    assert [d.action for d in opened.record.standing(0)] == ["keep"]


def test_it_all_works_without_scripts(opens):
    opened = opens()
    ann = opened.person("ann")
    reply = ann.post("/decide?given=cat", {"row": 0, "action": "relabel", "label": "owl", "key": "x"})
    assert (reply.status, reply.headers["location"]) == (303, "/?given=cat&row=3")
    assert "animal 3" in ann.get(reply.headers["location"]).text
    back = ann.post("/undo?given=cat", {"decision": ""})
    assert back.headers["location"] == "/?given=cat&row=0"
    assert opened.record.standing() == []


def test_filters_choose_rows(opens):
    ann = opens().person("ann")
    assert ann.row("?given=dog&proposed=owl") == "1"
    assert ann.row("?low=0.3&high=0.4") == "9"
    assert ann.row("?given=cat&proposed=cat") == "15"
    assert ann.row("?low=0.99") is None
    page = ann.get("/?given=dog").text
    assert "<option selected>dog</option>" in page
    assert 'action="/decide?given=dog"' in page
    assert ann.decide(1, "drop", query="?given=dog").json["row"] == 4


def test_skipped_and_decided_rows_can_be_leafed_through(opens):
    opened = opens()
    ann, bob = opened.person("ann"), opened.person("bob")
    for row, action in ((0, "skip"), (1, "drop"), (2, "keep")):
        ann.decide(row, action)
    assert ann.row("?show=skipped") == "0"
    assert bob.row("?reviewer=ann") == "1"
    assert bob.row("?reviewer=ann&after=1") == "2"
    assert bob.row("?reviewer=ann&before=2") == "1"
    assert bob.row("?reviewer=ann&after=2") is None
    assert "ann dropped" in bob.get("/?reviewer=ann").text
    assert "You dropped this row" in ann.get("/?row=1").text


def test_a_row_can_be_called_by_its_number(opens):
    ann = opens().person("ann")
    assert "animal 17" in ann.get("/?row=17").text
    missing = ann.get("/?row=99")
    assert missing.status == 404
    assert "no row named &#39;99&#39;" in missing.text


def test_several_reviewers_get_different_rows_and_blind_ones_see_nothing_of_each_other(opens):
    opened = opens(overlap=2)
    people = {name: opened.person(name) for name in ("ann", "bob", "cleo")}
    assert [person.row() for person in people.values()] == ["0", "0", "1"]
    people["ann"].decide(0, "relabel", "owl", note="secret words")
    assert "secret words" not in people["bob"].get("/?row=0").text
    people["bob"].decide(0, "relabel", "owl")
    assert "secret words" in people["bob"].get("/?row=0").text
    assert opened.queue.progress("ann").decided == 1
    results = people["ann"].get("/agreement").text
    assert "ann and bob" in results
    assert "100 %" in results


def test_results_show_kappa_and_disputes(opens):
    opened = opens(overlap=2)
    ann, bob = opened.person("ann"), opened.person("bob")
    assert "Nothing has been decided yet" in ann.get("/agreement").text
    for row, other in ((0, "drop"), (1, "drop"), (2, "keep"), (3, "drop")):
        ann.decide(row, "drop" if row < 2 else "keep")
        bob.decide(row, other)
    page = ann.get("/agreement").text
    assert '<td class="n">0.50</td>' in page
    assert "3 (tie)" in page


def test_the_decisions_can_be_taken_home(opens):
    ann = opens().person("ann")
    ann.decide(0, "relabel", "owl")
    ann.decide(1, "skip")
    reply = ann.get("/decisions.csv")
    assert reply.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    table = pd.read_csv(io.BytesIO(reply.body))
    assert table[["row", "action", "label", "reviewer"]].to_numpy().tolist() == [[0, "relabel", "owl", "ann"]]
    assert len(pd.read_parquet(io.BytesIO(ann.get("/decisions.parquet?what=history").body))) == 2
    assert ann.get("/decisions.csv?what=opinions").text.count("\n") == 3
    assert ann.get("/decisions.xlsx").status == 400
    assert ann.get("/decisions.csv?what=all").status == 404


def test_when_nothing_is_left_it_says_what_can_be_done(opens):
    opened = opens(budget=2)
    ann, bob = opened.person("ann"), opened.person("bob")
    ann.decide(0, "skip")
    bob.row()
    ann.decide(1, "drop")
    page = ann.get("/").text
    for part in ("Nothing left here", "1 row is being looked at by others", "The row that you have skipped", "Undo"):
        assert part in page


def test_pictures_are_served_by_row_number_only(opens, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("RGB", (300, 150), "red").save(tmp_path / "pets" / name / "1.png")
    ledger = Ledger([0, 1], [1, 1], [0.1, 0.9], classes=["cat", "dog"], meta={"source": str(tmp_path / "pets")})
    ledger.save(tmp_path / "audit", report=False)
    ann = opens(tmp_path / "audit").person("ann")
    assert 'src="/image?row=0&amp;side=640"' in ann.get("/").text
    reply = ann.get("/image?row=1&side=100")
    assert reply.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(reply.body)).size == (100, 50)
    assert Image.open(io.BytesIO(ann.get("/image?row=1&side=999999").body)).size == (300, 150)
    assert ann.get("/image?row=2").status == 404
    assert ann.get("/image?row=pets/cat/1.png").status == 404
    assert ann.get("/image?row=1&side=x").status == 422
    (tmp_path / "pets" / "cat" / "1.png").unlink()
    assert ann.get("/image?row=0").status == 404


def test_without_the_data_rows_are_known_by_number(opens, folder):
    (folder / "animals.csv").unlink()
    page = opens().person("ann").get("/").text
    assert "Row 0" in page
    assert "no longer there" in page


def test_errors_are_told_in_words(opens):
    ann = opens().person("ann")
    for reply, status, said in [
        (ann.decide(0, "kepe"), 404, "keep"),
        (ann.decide(0, "relabel", "wolf"), 404, "wolf"),
        (ann.decide(0, "relabel"), 400, "new label"),
        (ann.decide(99, "drop"), 404, "99"),
        (ann.decide("", "drop"), 404, "row"),
        (ann.get("/work?low=7", accept="application/json"), 400, "from 0 to 1"),
        (ann.get("/nowhere", accept="application/json"), 404, "no such page"),
    ]:
        assert reply.status == status, reply.text
        assert said in reply.json["error"]
    assert ann.get("/?given=wolf").status == 404
    assert "Back to the review" in ann.get("/?given=wolf").text


def test_a_full_disk_is_told_and_nothing_is_believed_that_is_not_there(opens):
    opened = opens()
    ann = opened.person("ann")
    ann.decide(0, "drop")
    (pages,) = opened.record._db.execute("PRAGMA page_count").fetchone()
    opened.record._db.execute(f"PRAGMA max_page_count = {pages}")
    failed = [ann.decide(row, "drop", note="n" * 2000) for row in range(1, 15)]
    refused = [reply for reply in failed if reply.status != 200]
    assert refused
    assert all(reply.status == 500 and "full" in reply.json["error"] for reply in refused)
    acknowledged = 1 + len(failed) - len(refused)
    opened.record._db.execute("PRAGMA max_page_count = 1000000")
    assert opened.queue.progress("ann").decided == len(opened.record.standing()) == acknowledged


def test_the_page_of_many_classes_is_not_sent_with_each_row(opens, tmp_path):
    names = [f"class number {i}" for i in range(500)]
    given = np.arange(500)
    Ledger(given, given[::-1].copy(), np.linspace(0, 1, 500), classes=names).save(tmp_path, report=False)
    ann = opens(tmp_path).person("ann")
    assert ann.get("/").text.count("<option>class number 499</option>") == 3  # to relabel, and two filters
    assert len(ann.decide(0, "drop").body) < 10_000


@pytest.mark.parametrize("path", ["/static/review.css", "/static/review.js", "/favicon.ico"])
def test_what_the_page_needs_is_there(opens, path):
    assert opens().person().get(path).status in (200, 204)


def test_words_that_speak_for_a_class_are_marked_and_escaped(opens, tmp_path):
    texts = ["a <b>penalty</b> in the match", "a law on taxes"] * 20
    given = np.arange(40) % 2
    given[0] = 1
    ledger = Ledger(given, np.arange(40) % 2, np.where(np.arange(40) == 0, 0.1, 0.9), classes=["sport", "law"])
    ledger.save(tmp_path / "audit", report=False)
    page = opens(tmp_path / "audit", reviewer="ann", data=texts).person().get("/").text
    assert "proposed level" in page
    assert ">penalty</mark>" in page
    assert "<b>penalty" not in page
    assert "&lt;" in page


def test_rows_of_one_annotator_can_be_chosen(opens, tmp_path):
    who = np.array(["ann", "bob <x>"] * 3)
    ledger = Ledger([0] * 6, [1] * 6, np.arange(6) / 10, classes=["a", "b"], columns={"annotator": who})
    ledger.save(tmp_path / "audit", report=False)
    person = opens(tmp_path / "audit", reviewer="me").person()
    assert "<option>bob &lt;x&gt;</option>" in person.get("/").text
    assert person.row("?annotator=bob+%3Cx%3E") == "1"
    person.decide(1, "keep", query="?annotator=bob+%3Cx%3E")
    assert person.row("?annotator=bob+%3Cx%3E") == "3"
    assert person.row("?annotator=nobody") is None


def test_numbers_are_relabelled_with_numbers(opens, tmp_path):
    columns = {"given": np.array([1.5, 20.0]), "proposed": np.array([1.5, 2.25])}
    Ledger([0, 0], [0, 1], [0.9, 0.1], classes=["as labelled", "to correct"], columns=columns).save(
        tmp_path / "audit", report=False
    )
    opened = opens(tmp_path / "audit", reviewer="me")
    person = opened.person()
    page = person.get("/").text
    assert "<ins>2.25</ins>" in page
    assert "data-free" in page
    assert person.decide(1, "relabel", "2.5").status == 200
    assert person.decide(0, "relabel", "1.5").json["said"] == "Row 0 kept."
    assert [(d.row, d.action, d.label) for d in opened.record.standing()] == [(0, "keep", None), (1, "relabel", "2.5")]


def test_what_looks_wrong_within_a_row_is_listed(opens, tmp_path):
    parts = pd.DataFrame(
        {
            "row": [7, 5, 7, 7],
            "given": ["O", "O", "<B>", "O"],
            "proposed": ["B", "O", "O", "O"],
            "trust": [0.3, 0.9, 0.1, 0.9],
            "issue": [True, False, True, False],
            "rank": [1, 2, 0, 3],
            "token": ["Kano", "x", "Lagos", "y"],
        }
    )
    ledger = Ledger(
        [0, 0], [0, 1], [0.9, 0.1], classes=["as labelled", "to correct"], index=np.array([5, 7]), parts=parts
    )
    ledger.save(tmp_path / "audit", report=False)
    person = opens(tmp_path / "audit", reviewer="me").person()
    page = person.get("/?row=7").text
    assert page.index("token Lagos") < page.index("token Kano")
    assert "&lt;B&gt;" in page
    assert "token y" not in page
    assert "What looks wrong in it" not in person.get("/?row=5").text


def test_rows_drawn_at_random_tell_of_all_from_the_twentieth_on(opens):
    opened = opens(random=25, reviewer="ann")
    ann = opened.person()
    first = ann.get("/").text
    assert "of 25 rows drawn at random decided" in first
    assert "That is the ledger’s estimate" in first
    queue = opened.queue
    for place, position in enumerate(queue.order[:20]):
        ann.decide(queue.row(int(position)), "drop" if place < 5 else "keep")
    later = ann.get("/").text
    assert "Of the first 20 rows of a random order, 5 had a wrong label" in later
    assert "Between <b>" in later
