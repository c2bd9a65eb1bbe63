"""CVAT's XML: what is read of it, and that nothing in it can do harm."""

from __future__ import annotations

import zipfile

import pytest

from errata.errors import DataError
from errata.exchange import read_answers

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
META = "<version>1.1</version><meta><task><name>t</name><updated>2026-01-02</updated></task></meta>"


def tag(label, checked):
    inside = "" if checked is None else f'<attribute name="checked">{checked}</attribute>'
    return f'<tag label="{label}" source="manual">{inside}</tag>'


def image(name, *tags):
    inside = "".join(tag(label, checked) for label, checked in tags)
    return f'<image id="3" name="{name}" width="40" height="30">{inside}</image>\n'


def read(folder, tmp_path, *images, text=None):
    path = tmp_path / "annotations.xml"
    path.write_text(text if text is not None else f"{HEAD}<annotations>{META}\n{''.join(images)}</annotations>")
    return [(a.row, a.action, a.label, a.reviewer, a.when) for a in read_answers(folder, path, "cvat", reviewer="ann")]


def test_checked_tags_become_decisions(photos, tmp_path):
    found = read(
        photos,
        tmp_path,
        image("a dog/0.png", ("cat", "true")),
        image("a dog/1.png", ("cat", "false"), ("a dog", "true")),
        image("a dog/2.png", ("cat", "false")),
        image("cat/0.png", ("(drop this picture)", "true"), ("cat", "true")),
        image("cat/1.png", ("a dog", None)),  # of a task without the attribute
        image("cat/2.png"),
    )
    assert found == [
        (0, "relabel", "cat", "ann", "2026-01-02"),
        (1, "keep", None, "ann", "2026-01-02"),
        (3, "drop", None, "ann", "2026-01-02"),
        (4, "relabel", "a dog", "ann", "2026-01-02"),
    ]


def test_boxes_and_other_things_are_passed_over(photos, tmp_path):
    box = '<box label="x" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"><attribute name="checked">true</attribute></box>'
    assert read(photos, tmp_path, image("cat/0.png").replace("></image>", f">{box}</image>")) == []


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([image("bird/9.png", ("cat", "true"))], "line 3: expected a picture of the ledger's data; found 'bird/9.png'"),
        ([image("0.png", ("cat", "true"))], "found '0.png'"),  # of which there are two
        (
            [image("cat/0.png"), image("cat/1.png", ("owl", "true"))],
            "line 4: expected one of the classes .*; found 'owl'",
        ),
        ([image("cat/0.png", ("cat", "true"), ("a dog", "true"))], "expected one class for cat/0.png"),
        (['<image id="1"/>'], "expected 'name' in <image>"),
        (['<track id="1"/>'], "CVAT for images 1.1"),
        (["<image>"], "line 3"),
    ],
)
def test_what_is_not_as_expected_is_told_by_line(photos, tmp_path, images, said):
    with pytest.raises(DataError, match=said):
        read(photos, tmp_path, *images)


def test_other_xml_is_refused(photos, tmp_path):
    with pytest.raises(DataError, match=r"expected <annotations>.*found '<html>'"):
        read(photos, tmp_path, text="<html></html>")
    with pytest.raises(DataError, match=r"expected version 1.0 or 1.1; found '2.0'"):
        read(photos, tmp_path, text="<annotations><version>2.0</version></annotations>")
    with pytest.raises(DataError, match="line 1: expected XML"):
        read(photos, tmp_path, text="no xml")


@pytest.mark.parametrize(
    "evil",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><image name="&x;"/></annotations>',
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotations>&b;</annotations>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><annotations/>',
    ],
)
def test_entities_are_never_expanded(photos, tmp_path, evil):
    with pytest.raises(DataError, match="without a document type"):
        read(photos, tmp_path, text=HEAD + evil)


def test_an_archive_must_hold_the_annotations(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(DataError, match=r"expected one annotations.xml in the archive; found \['other.txt'\]"):
        read_answers(photos, tmp_path / "x.zip", "cvat")


def test_without_the_data_only_pictures_named_by_rows_are_known(photos, tmp_path):
    import shutil

    shutil.rmtree(tmp_path / "pets")
    with pytest.raises(DataError, match="expected a picture of the ledger's data"):
        read(photos, tmp_path, image("cat/0.png", ("cat", "true")))
