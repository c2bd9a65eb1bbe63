import gzip
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import errata
from errata.data import iter_arff, read_arff
from errata.data.arff import label_names_of
from errata.errors import DataError, UnknownNameError

DENSE = """% made by hand
@RELATION 'a relation'

@Attribute size   real
@attribute 'colour of it' {red, 'light blue', "it\\'s"}
@attribute seen {1,0}
@attribute "ünïcode" {0,1}
@attribute last\t{no,yes}
@DATA
1.5,'light blue',1,1,yes
% a comment among the rows
?,?,0,?,no
-2e-1,"it's",0,0,yes,{3}
"""

SPARSE = """@relation sparse
@attribute w1 numeric
@attribute w2 {0,1}
@attribute c {red,blue}
@attribute l1 {0,1}
@attribute l2 {0,1}
@data
{0 2.5, 3 1}
{}
{1 1,2 blue,4 ?}, {0.5}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dense.arff").write_text(DENSE, encoding="utf-8")
    with gzip.open(tmp_path / "sparse.arff.gz", "wt") as file:
        file.write(SPARSE)
    return tmp_path


def write(folder, text, name="x.arff"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_dense_rows_with_quotes_gaps_and_weights(folder):
    data = read_arff(folder / "dense.arff", ["ünïcode", "last"])
    assert data.relation == "a relation"
    assert data.feature_names == ["size", "colour of it=red", "colour of it=light blue", "colour of it=it's", "seen"]
    nan = np.nan
    expected = np.array([[1.5, 0, 1, 0, 1], [nan, nan, nan, nan, 0], [-0.2, 0, 0, 1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(data.X, expected)
    assert data.X.dtype == np.float32
    assert data.Y.dtype == np.int8
    assert data.Y.tolist() == [[1, 1], [-1, 0], [0, 1]]
    assert len(data) == 3


def test_sparse_rows_stay_sparse_and_mean_what_they_leave_out(folder):
    data = read_arff(folder / "sparse.arff.gz", 2)
    assert sp.issparse(data.X)
    assert data.feature_names == ["w1", "w2", "c=red", "c=blue"]
    # a nominal attribute that is left out has its first value
    assert data.X.toarray().tolist() == [[2.5, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1]]
    assert data.Y.tolist() == [[1, 0], [0, 0], [0, -1]]


def test_events_come_one_by_one(folder):
    events = iter_arff(folder / "dense.arff", ["ünïcode", "last"])
    assert next(events) == ({"size": 1.5, "colour of it": "light blue", "seen": 1}, {"ünïcode": True, "last": True})
    assert next(events) == ({"size": None, "colour of it": None, "seen": 0}, {"last": False})
    assert list(iter_arff(folder / "sparse.arff.gz", 2)) == [
        ({"w1": 2.5, "c": "red"}, {"l1": True, "l2": False}),
        ({"c": "red"}, {"l1": False, "l2": False}),
        ({"w2": 1, "c": "blue"}, {"l1": False}),
    ]


def test_events_are_not_read_before_they_are_asked_for(tmp_path):
    path = write(tmp_path, "@relation r\n@attribute a numeric\n@attribute l {0,1}\n@data\n1,1\nbroken,1\n")
    events = iter_arff(path, 1)
    assert next(events) == ({"a": 1.0}, {"l": True})
    with pytest.raises(DataError, match=r"line 6.*broken"):
        next(events)


def test_ways_to_say_which_are_labels(folder):
    path = folder / "dense.arff"
    assert label_names_of(path, 2) == ["ünïcode", "last"]
    assert label_names_of(path, "last:1") == ["last"]
    assert label_names_of(path, -1) == label_names_of(path, "first:1") == ["size"]
    (folder / "list.xml").write_text(
        '<labels xmlns="http://m"><label name="last"><label name="seen"/></label></labels>'
    )
    assert label_names_of(path, folder / "list.xml") == ["last", "seen"]
    (folder / "dense.xml").write_text("<labels><label name='&#252;n&#239;code'/></labels>", encoding="utf-8")
    assert label_names_of(path) == ["ünïcode"]


def test_a_list_of_labels_serves_train_and_test(tmp_path):
    text = "@relation r\n@attribute a numeric\n@attribute l {0,1}\n@data\n1,1\n"
    (tmp_path / "set.xml").write_text('<labels><label name="l"></label></labels>')
    for name in ("set.arff", "set-train.arff", "set_test.arff"):
        assert label_names_of(write(tmp_path, text, name)) == ["l"]


def test_mekas_option_says_how_many_come_first(tmp_path):
    text = "@relation 'name: -C {}{}'\n@attribute a {{0,1}}\n@attribute b {{0,1}}\n@data\n1,1\n"
    assert label_names_of(write(tmp_path, text.format(1, ""))) == ["a"]
    assert label_names_of(write(tmp_path, text.format(-1, " -split-percentage 50"))) == ["b"]
    with pytest.raises(DataError, match="does not say which of its 2 attributes are labels"):
        label_names_of(write(tmp_path, text.format(1, "-weka.filters.unsupervised.Remove-R1")))


BAD = {
    "no such file": (None, "There is no file"),
    "no header": ("1,2\n", "line 1: expected @relation"),
    "no data": ("@relation r\n@attribute a numeric\n", "no line @data"),
    "no rows": ("@attribute a numeric\n@attribute l {0,1}\n@data\n", "no row after @data"),
    "no attributes": ("@relation r\n@data\n1\n", "declares no attribute"),
    "odd kind": ("@attribute a relational\n@attribute l {0,1}\n@data\n", "line 1.*'relational'"),
    "twice": ("@attribute a real\n@attribute a real\n@attribute l {0,1}\n@data\n", "line 2.*line 1 already"),
    "open brace": ("@attribute l {0,1\n@data\n", "line 1.*never end"),
    "short row": ("@attribute a real\n@attribute l {0,1}\n@data\n1,0\n1\n", "line 5: expected 2 values.*found 1"),
    "word": ("@attribute a real\n@attribute l {0,1}\n@data\nx,0\n", "line 4: expected a finite number.*'a'.*'x'"),
    "infinite": ("@attribute a real\n@attribute l {0,1}\n@data\ninf,0\n", "line 4: expected a finite number"),
    "odd category": ("@attribute a {u,v}\n@attribute l {0,1}\n@data\nw,0\n", "line 4: 'w' is none.*line 1: u, v"),
    "odd label": ("@attribute a real\n@attribute l {0,1}\n@data\n1,2\n", "line 4: expected 0 or 1.*'l'.*'2'"),
    "classes": ("@attribute a real\n@attribute l {a,b,c}\n@data\n1,a\n", "line 2: 'l' can't be a label.*a, b, c"),
    "text": ("@attribute a string\n@attribute l {0,1}\n@data\nx,0\n", "line 1.*holds a string.*errata.read"),
    "open quote": ("@attribute a real\n@attribute l {0,1}\n@data\n'1,0\n", "line 4: a quoted value never ends"),
    "open sparse": ("@attribute a real\n@attribute l {0,1}\n@data\n{0 1\n", "line 4.*never ends"),
    "odd sparse": ("@attribute a real\n@attribute l {0,1}\n@data\n{a 1}\n", "line 4: expected 'place value'"),
    "beyond": ("@attribute a real\n@attribute l {0,1}\n@data\n{7 1}\n", "line 4: the place 7.*beyond the 2"),
    "repeated": ("@attribute a real\n@attribute l {0,1}\n@data\n{0 1,0 2}\n", "line 4: a place stands twice"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_told_with_its_line(tmp_path, what):
    text, message = BAD[what]
    path = tmp_path / "x.arff" if text is None else write(tmp_path, text)
    with pytest.raises(DataError, match=message):
        read_arff(path, ["l"] if what not in ("no such file", "no attributes") else 1)


def test_wrong_lists_of_labels(folder):
    path = folder / "dense.arff"
    with pytest.raises(UnknownNameError, match="Did you mean 'last'"):
        read_arff(path, ["lost"])
    with pytest.raises(DataError, match="5 attributes; 9 of them can't be labels"):
        read_arff(path, 9)
    with pytest.raises(DataError, match="one label or more"):
        read_arff(path, [])
    with pytest.raises(DataError, match="all 5 attributes are labels"):
        read_arff(path, ["size", "colour of it", "seen", "ünïcode", "last"])
    for text, message in {"<labels/>": "names no label", "<labels>": "is not XML", "": "is not XML"}.items():
        (folder / "l.xml").write_text(text)
        with pytest.raises(DataError, match=message):
            read_arff(path, folder / "l.xml")
    (folder / "l.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><labels><label name="&x;"/></labels>')
    with pytest.raises(DataError, match="document type"):
        read_arff(path, folder / "l.xml")
    with pytest.raises(DataError, match=r"nothing\.xml can't be read"):
        read_arff(path, folder / "nothing.xml")


def test_a_file_cut_short_is_told(folder):
    whole = (folder / "sparse.arff.gz").read_bytes()
    (folder / "cut.arff.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged after line"):
        read_arff(folder / "cut.arff.gz", 2)


def test_latin_1_and_byte_order_marks(tmp_path):
    body = "@relation r\n@attribute caf\u00e9 numeric\n@attribute l {0,1}\n@data\n1,1\n"
    (tmp_path / "a.arff").write_bytes(body.encode("latin-1"))
    (tmp_path / "b.arff").write_bytes(b"\xef\xbb\xbf" + body.encode("utf-8"))
    for name in ("a.arff", "b.arff"):
        assert read_arff(tmp_path / name, 1).feature_names == ["caf\u00e9"]


NAME = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
CELL = st.none() | st.floats(-1e6, 1e6, width=32)


@given(st.lists(NAME, min_size=2, max_size=5, unique=True), st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, names, draw):
    """Dense and sparse forms of the same table, with any names, give back the same numbers."""
    rows = draw.draw(st.lists(st.tuples(*[CELL] * (len(names) - 1), st.sampled_from([0, 1, None])), min_size=1))
    quoted = ["'" + n.replace("\\", "\\\\").replace("'", "\\'") + "'" for n in names]
    head = "@relation r\n" + "".join(f"@attribute {q} numeric\n" for q in quoted[:-1])
    head += f"@attribute {quoted[-1]} {{0,1}}\n@data\n"
    told = [["?" if v is None else repr(v) for v in row] for row in rows]
    forms = {
        "dense": "\n".join(",".join(row) for row in told),
        "sparse": "\n".join("{" + ", ".join(f"{i} {v}" for i, v in enumerate(row) if v != "0") + "}" for row in told),
    }
    x = np.array([[np.nan if v is None else v for v in row[:-1]] for row in rows], dtype=np.float32)
    y = [[-1 if row[-1] is None else row[-1]] for row in rows]
    for form, text in forms.items():
        path = tmp_path_factory.mktemp("arff") / "x.arff"
        path.write_text(head + text + "\n", encoding="utf-8")
        data = read_arff(path, 1)
        np.testing.assert_array_equal(data.X.toarray() if form == "sparse" else data.X, x)
        assert data.Y.tolist() == y
        assert [*data.feature_names, *data.label_names] == names


def test_read_and_audit_take_arff(folder):
    data = errata.read(folder / "dense.arff", "colour of it")
    assert {c.name: c.kind for c in data.features} == {
        "size": "number",
        "seen": "number",
        "ünïcode": "number",
        "last": "category",
    }
    assert [(data.labels.classes + [None])[code] for code in data.labels.codes] == ["light blue", None, "it's"]
    sparse = errata.read(folder / "sparse.arff.gz", "l1")
    assert sparse.column("w1").to_pylist() == [2.5, 0.0, 0.0]
    assert sparse.column("c").to_pylist() == ["red", "red", "blue"]
    assert sparse.column("l2").to_pylist() == [0, 0, None]


def test_real_sets_read_as_mulan_describes_them(shared_data, tmp_path):
    """Sizes and mean numbers of labels (cardinality), as the MULAN repository lists them."""
    multilabel = shared_data / "multilabel"
    with zipfile.ZipFile(multilabel / "label_lists.zip") as archive:
        archive.extractall(tmp_path)
    listed = {
        "emotions": (391, 202, 72, 6, 1.868),
        "yeast": (1500, 917, 103, 14, 4.237),
        "enron": (1123, 579, 1001, 53, 3.378),
    }
    for name, (train, test, features, labels, cardinality) in listed.items():
        parts = [
            read_arff(multilabel / f"{name}-{part}.arff.gz", tmp_path / f"{name}.xml") for part in ("train", "test")
        ]
        assert [len(part) for part in parts] == [train, test]
        assert parts[0].X.shape == (train, features)
        assert parts[0].Y.shape == (train, labels)
        whole = np.concatenate([part.Y for part in parts])
        assert whole.sum(1).mean() == pytest.approx(cardinality, abs=5e-4)
    ledger = errata.audit(
        multilabel / "emotions-train.arff.gz",
        task="multilabel",
        label=str(tmp_path / "emotions.xml"),
        folds=2,
        progress=False,
    )
    assert len(ledger.parts) == 391 * 6
    assert set(ledger.parts["label"]) == set(ledger.meta["label_names"])
