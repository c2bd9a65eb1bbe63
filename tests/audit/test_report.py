import html.parser
import re
import time

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit.report import render
from errata.findings import Finding
from errata.ledger import Ledger
from errata.vouching import Vouched

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "img", "br", "link", "rect", "path"}


class Outline(html.parser.HTMLParser):
    """Checks that tags close in order, and collects what the tests look at."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.sources = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.tags.append(tag)
        self.ids += [known["id"]] if "id" in known else []
        self.links += [known["href"]] if "href" in known else []
        self.sources += [known["src"]] if "src" in known else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(page):
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    return parsed


def ledger_of(n=400, k=4, rate=0.1, classes=None, seed=0, **more):
    rng = np.random.default_rng(seed)
    given = rng.integers(0, k, n)
    proposed = np.where(rng.random(n) < rate, (given + 1) % k, given)
    trust = np.where(proposed == given, rng.uniform(0.6, 1, n), rng.uniform(0, 0.4, n))
    return Ledger(given, proposed, trust, classes=classes or [f"class {i}" for i in range(k)], **more)


def test_the_page_says_how_many_and_is_well_formed():
    ledger = ledger_of()
    page = render(ledger)
    parsed = outline(page)
    assert f"<em>{ledger.issue.sum()}</em> of 400 labels" in page
    assert parsed.tags.count("h1") == 1
    assert parsed.tags.count("caption") == parsed.tags.count("table")
    assert "script" not in parsed.tags
    assert page.count('<div class="id">') == ledger.issue.sum()


def test_it_asks_for_nothing_from_outside():
    page = render(ledger_of())
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|url\(|@import", page)


def test_everything_from_the_data_is_escaped():
    texts = [f"{EVIL} text {i}" for i in range(40)]
    data = errata.read(texts, label=[EVIL, "good"] * 20)
    proposed = np.where(np.arange(40) < 5, 1 - data.labels.codes, data.labels.codes)
    ledger = Ledger(
        data.labels.codes,
        proposed,
        np.where(np.arange(40) < 5, 0.1, 0.9),
        classes=data.labels.classes,
        meta={"source": f"/tmp/{EVIL}.csv", "method": EVIL, "notes": [EVIL], "seed": EVIL},
    )
    ledger.data = data
    page = render(ledger)
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; text 0" in page
    outline(page)


def test_names_of_files_and_columns_are_escaped(tmp_path):
    from PIL import Image

    for name in ("<b>a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (40, 40), (i * 50, 0, 0)).save(tmp_path / name / f"<i>{i}.png")
    frame = pd.DataFrame({"<u>column": ["<s>x", "y"] * 4, "n": range(8), "label": ["a", "b"] * 4})
    for data in (errata.read(tmp_path), errata.read(frame, label="label")):
        codes = data.labels.codes
        ledger = Ledger(codes, 1 - codes, np.full(len(codes), 0.1), classes=data.labels.classes)
        ledger.data = data
        page = render(ledger)
        outline(page)
        assert not {"u", "s"} & set(outline(page).tags)
        assert "<b>a" not in page
        assert "<i>0" not in page
    assert "&lt;u&gt;column" in page


def test_pictures_are_shown_where_the_data_are_at_hand():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 3, 16, 16)).astype(np.uint8)
    ledger = ledger_of(200)
    ledger.data = errata.read(pixels, label=ledger.given)
    page = render(ledger)
    outline(page)
    assert page.count('<img class="thumb') == ledger.issue.sum()
    assert page.count('class="near"') == ledger.issue.sum()


def test_a_loaded_ledger_is_shown_by_row_numbers(tmp_path):
    ledger = ledger_of(index=np.arange(400) + 7000)
    ledger.save(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert render(Ledger.load(tmp_path)) == page
    assert f"row {ledger.index[ledger.order[0]]}" in page


@pytest.mark.parametrize("k", [2, 10, 60, 100, 300])
def test_the_matrix_is_drawn_for_few_and_many_classes(k):
    page = render(ledger_of(3000, k))
    outline(page)
    assert "Noise matrix of" in page
    assert ("it shows the 60 that are confused the most" in page) == (k == 300)


def test_no_issue_one_issue_and_no_label():
    clean = Ledger([0, 1], [0, 1], [0.9, 0.9], classes=["a", "b"], meta={"source": "x/clean.csv"})
    assert "No label in clean.csv looks wrong" in render(clean)
    single = Ledger([0, 1], [0, 0], [0.9, 0.1], classes=["a", "b"])
    assert "</em> of 2 labels in the labels looks wrong" in render(single)
    nothing = Ledger([-1, -1], [0, 1], [np.nan, np.nan], classes=["a", "b"])
    assert "Rows without a label" in render(nothing)
    for ledger in (clean, single, nothing):
        outline(render(ledger))


def test_a_source_that_has_gone_leaves_the_row_numbers(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (150, 150), (i * 50, 0, 0)).save(tmp_path / name / f"{i}.jpg")
    data = errata.read(tmp_path)
    codes = data.labels.codes
    ledger = Ledger(codes, 1 - codes, np.full(6, 0.1), classes=data.labels.classes)
    ledger.data = data
    for path in tmp_path.glob("*/*.jpg"):
        path.unlink()
    page = render(ledger)
    assert outline(page).sources == []
    assert "row 0" in page


def test_large_pictures_and_long_texts_keep_the_page_small():
    noise = np.random.default_rng(0).integers(0, 256, (150, 3, 200, 200)).astype(np.uint8)
    ledger = ledger_of(150, 2, rate=1.0)
    ledger.data = errata.read(noise, label=ledger.given)
    assert len(render(ledger).encode()) < 5e6
    ledger.data = errata.read(["word " * 20_000] * 150, label=ledger.given)
    assert len(render(ledger).encode()) < 1e6


def test_many_rows_and_classes_are_quick_and_small():
    ledger = ledger_of(100_000, 1000)
    started = time.process_time()
    page = render(ledger)
    assert time.process_time() - started < 2
    assert len(page.encode()) < 5e6
    assert "970 more classes" in page


def vouched_for(issues, best):
    n = np.unique(np.linspace(1, 2 * issues, 40).astype(int))
    precision = np.linspace(best, 0.5, len(n))
    return Vouched(n, precision, precision - 0.05, np.minimum(1, precision + 0.02), n / n[-1], 99 - 0.5 * n, 99)


def test_what_is_vouched_for_is_said_first_and_drawn():
    ledger = ledger_of()
    assert "Precision of the list" not in render(ledger)
    ledger.vouched = vouched_for(int(ledger.issue.sum()), best=0.97)
    page = render(ledger)
    outline(page)
    whole = ledger.vouched.at(int(ledger.issue.sum()))
    assert f"At least {whole['low']:.1%} of them are estimated to be truly wrong" in page
    assert f"Start with the first {ledger.vouched.rows_for(0.9)}." in page
    assert "At least 90% of these are wrong" in page
    assert 'class="band"' in page
    ledger.vouched = vouched_for(int(ledger.issue.sum()), best=0.85)
    assert "Start with the first" not in render(ledger)


def test_findings_are_listed_the_gravest_first_and_escaped():
    found = [
        Finding("rare_classes", 1, "One class is rare.", 0.1),
        Finding("a_new_kind", 40, EVIL, 0.9, np.arange(40), {EVIL: {"b": [1, [2, EVIL]]}, "sure": True}),
    ]
    page = render(ledger_of(findings=found))
    outline(page)
    assert page.index("A new kind") < page.index("Rare classes")
    assert "<script" not in page
    assert "and 16 more" in page
    assert page.index("serious") < page.index("a remark")
    assert "Also found" not in render(ledger_of())


def finer(n=300, rows=50, seed=0):
    rng = np.random.default_rng(seed)
    trust = rng.random(n).astype(np.float32)
    return pd.DataFrame(
        {
            "row": rng.integers(0, rows, n),
            "given": rng.choice(["O", EVIL], n),
            "proposed": rng.choice(["O", "B"], n),
            "trust": trust,
            "issue": trust < 0.4,
            "rank": np.argsort(np.argsort(trust)),
            "position": np.arange(n),
            "token": [f"t{i}" for i in range(n)],
        }
    )


def test_finer_rows_are_shown_worst_first_and_with_their_row():
    parts = finer()
    worst = parts.sort_values("rank").iloc[0]
    wrong = np.bincount(parts["row"][parts["issue"]], minlength=50) > 0
    ledger = Ledger(
        np.zeros(50, int), wrong.astype(int), np.linspace(0, 1, 50), classes=["as labelled", "to correct"], parts=parts
    )
    page = render(ledger)
    outline(page)
    assert f"{int(parts['issue'].sum())} of 300 finer rows" in page
    assert f"<td>{worst['position']}</td><td>{worst['token']}</td>" in page
    assert "Noise matrix" not in page
    assert "Labels and issues by class" not in page
    assert '<ul class="finer">' in page
    assert "<script" not in page


def test_finer_rows_are_counted_by_label():
    parts = finer().rename(columns={"token": "label"})
    parts["label"] = np.where(np.arange(300) % 3 == 0, "rare", "common")
    page = render(ledger_of(50, parts=parts))
    outline(page)
    assert "By label" in page
    assert page.index('<th scope="row">common</th>') < page.index('<th scope="row">rare</th>')


def test_numbers_stand_in_place_of_classes_where_there_are_none():
    ledger = Ledger(
        [0, 0],
        [0, 1],
        [0.9, 0.1],
        classes=["as labelled", "to correct"],
        columns={"given": np.array([1.5, 20.0]), "proposed": np.array([1.4, 2.25])},
    )
    assert "<del>20</del> <ins>2.25</ins>" in render(ledger)


def test_annotators_are_listed():
    people = [{"annotator": EVIL, "labels": 20, "quality": 0.912345}, {"annotator": "bob", "labels": 3}]
    page = render(ledger_of(meta={"annotators": people}))
    outline(page)
    assert '<th scope="row">bob</th><td class="n">3</td><td class="n">missing</td>' in page
    assert "0.9123" in page
    assert "<script" not in page


def test_the_nearest_rows_tell_why():
    texts = ["the cat sat on the mat"] * 6 + ["a dog barks at night"] * 6
    labels = ["cat"] * 5 + ["dog"] + ["dog"] * 6
    data = errata.read(texts, label=labels)
    proposed = data.labels.codes.copy()
    proposed[5] = 0
    ledger = Ledger(
        data.labels.codes, proposed, np.where(proposed != data.labels.codes, 0.1, 0.9), classes=["cat", "dog"]
    )
    ledger.data = data
    page = render(ledger)
    outline(page)
    assert '<span class="vote proposed">cat&nbsp;×5</span>' in page
    assert "<q>the cat sat on the mat</q>" in page
