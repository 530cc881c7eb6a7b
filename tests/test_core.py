import numpy as np
import pandas as pd
import polars as pl
import pytest

from companion.core.frames import pandas_too
from companion.core.paths import ROOT, data_folder, raw_folder, sample_folder
from companion.core.seeding import generator


def test_streams_depend_on_seed_and_name_and_on_nothing_else():
    first = generator(0, "a").random(3)
    np.testing.assert_array_equal(generator(0, "a").random(3), first)
    others = [generator(1, "a"), generator(0, "b"), generator(0), generator(0, "a", "b")]
    assert all(not np.array_equal(other.random(3), first) for other in others)
    with pytest.raises(ValueError, match="0 or more"):
        generator(-1)


def test_folders_do_not_depend_on_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (ROOT / "pyproject.toml").is_file()
    assert sample_folder() == ROOT / "data" / "sample"
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert raw_folder() == tmp_path / "raw"


def test_every_table_of_a_call_answers_in_its_kind():
    @pandas_too
    def twice(first, *, second):
        return [first, (second, 5)]

    frame = pd.DataFrame({"x": [1.0, np.nan]})
    first, (second, five) = twice(pl.DataFrame({"y": [1]}), second=frame)
    assert isinstance(first, pd.DataFrame)
    assert isinstance(second, pd.DataFrame)
    assert five == 5
    same, _ = twice(pl.DataFrame({"y": [1]}), second=pl.DataFrame())
    assert isinstance(same, pl.DataFrame)
