"""Where commands write: fresh folders, nothing overwritten, told before the long work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from errata.cli._places import fresh_folder, output_file, output_folder, stem_of
from errata.cli._talk import Talk
from errata.errors import ErrataError


@pytest.fixture
def talk():
    return Talk(quiet=True)


def folder(talk, out, **options):
    return output_folder(talk, out, "a-audit", taken_by=("ledger.parquet",), hint="Use --force.", **options)


def test_a_fresh_folder_gets_a_number_where_the_name_is_taken(here, talk):
    (here / "a-audit-2").write_text("a file in the way")
    assert [str(folder(talk, None)) for _ in range(3)] == ["a-audit", "a-audit-3", "a-audit-4"]


def test_other_files_in_the_chosen_folder_are_left_alone(here, talk):
    (here / "out").mkdir()
    (here / "out" / "mine.txt").write_text("mine")
    assert folder(talk, here / "out") == here / "out"
    assert os.listdir(here / "out") == ["mine.txt"]
    assert talk.made == []


def test_an_earlier_result_is_only_replaced_when_told(here, talk):
    (here / "ledger.parquet").write_text("old")
    with pytest.raises(ErrataError, match=r"already holds an earlier result \(ledger.parquet\).*Use --force"):
        folder(talk, here)
    assert folder(talk, here, replace=True) == here


def test_folders_are_made_down_to_the_chosen_one(here, talk):
    folder(talk, here / "a" / "b")
    assert (here / "a" / "b").is_dir()
    assert talk.made == [here / "a", here / "a" / "b"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_told(here, talk, place):
    (here / "file").write_text("x")
    with pytest.raises(ErrataError, match=r"is a file|Could not make the folder"):
        folder(talk, here / place)


def test_a_place_that_cannot_be_written_is_told(talk):
    with pytest.raises(ErrataError, match="Choose another"):
        folder(talk, Path("/proc/errata-out"))


def test_a_file_is_not_overwritten_unasked(here):
    out = here / "a.csv"
    assert output_file(out, (".csv",)) == out
    assert os.listdir(here) == []
    out.write_text("old")
    with pytest.raises(ErrataError, match="exists, and nothing is overwritten unasked"):
        output_file(out, (".csv",))
    assert output_file(out, (".csv",), force=True) == out
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.xls", "must be one of .csv"),
        ("folder.csv", "is a folder"),
        ("none/a.csv", "does not exist"),
        ("csv", "ending"),
    ],
)
def test_a_file_that_cannot_be_is_told(here, name, says):
    (here / "folder.csv").mkdir()
    with pytest.raises(ErrataError, match=says):
        output_file(here / name, (".csv",))


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("données/été 2026.csv", "été 2026"),
        ("x.parquet", "x"),
        ("a.tsv.gz", "a"),
        ("photos/", "photos"),
        ("v1.2", "v1.2"),
        ("/", "data"),
    ],
)
def test_outputs_are_named_after_the_source(source, stem):
    assert stem_of(source) == stem


def test_the_folder_one_stands_in_has_its_name(here):
    assert stem_of(".") == here.name


def test_fresh_folders_are_remembered_for_cleaning_up(here, talk):
    made = fresh_folder(talk, "a")
    assert talk.made == [made]
