import numpy as np
import pandas as pd
import pytest

from errata.data.plain import column_values, read_plain
from errata.errors import DataError, ParameterError, UnknownNameError


def test_tables_of_every_kind_keep_numbers_words_and_gaps(tmp_path):
    frame = pd.DataFrame({"n": [1, 2, 3], "w": ["x", None, "x"], "f": [0.5, np.nan, 1.0]})
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for source in (frame, dict(frame), *(tmp_path / f"a.{e}" for e in ("csv.gz", "tsv", "parquet", "jsonl"))):
        content = read_plain(source)
        assert column_values(content, "n").tolist() == [1, 2, 3]
        words = column_values(content, "w").tolist()
        assert words[0] == words[2] == "x"
        assert not words[1]
        assert column_values(content, "f")[2] == 1.0


def test_what_is_refused(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_plain(tmp_path / "none.csv")
    (tmp_path / "a.xls").write_text("x")
    with pytest.raises(DataError, match="expected a table named"):
        read_plain(tmp_path / "a.xls")
    with pytest.raises(ParameterError, match="got int"):
        read_plain(7)
    with pytest.raises(UnknownNameError, match="Did you mean 'item'"):
        column_values(read_plain({"item": [1]}), "itme")
