"""Every case of the area preprocessing from public bug reports, on its own file.

The kinds of fault behind them are tested in test_data_*.py, with inputs of our own; here the
files are read as they are. Skipped where the folder of cases is absent.
"""

import csv
import io
import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from companion.data import clean, features, join, parse, sequences, split, transformers
from companion.data.ingest import ColumnMapping, to_events
from companion.data.read import read_table
from companion.metrics import ranking
from companion.recommenders import simple


@pytest.fixture
def case(shared):
    cases = {}
    for line in (shared / "cases" / "cases.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        cases[entry["id"]] = entry

    def find(number):
        entry = cases[f"PRE-{number:02}"]
        return shared / "cases" / entry["file"]

    return find


@pytest.fixture
def events(case):
    def read(number, **mapping):
        mapping.setdefault("columns", {"timestamp": "ts"})
        return to_events(read_table(case(number)).rows, ColumnMapping(**mapping))

    return read


def test_pre_02_a_missing_id_does_not_round_the_others(case):
    values, reasons = parse.ids(read_table(case(2)).rows["user_id"])
    assert values.drop_nulls().to_list() == ["9007199254740993", "9007199254740992"]
    assert reasons.drop_nulls().to_list() == ["user_id is missing"]


def test_pre_03_text_keys_meet(case):
    entry = json.loads(case(3).read_text("utf-8"))
    log = pl.read_csv(io.StringIO(entry["events_csv"]))
    profiles = pl.read_csv(io.StringIO(entry["profiles_csv"]), infer_schema=False)
    found = join.join_table(
        log.with_columns(pl.col("user_id").cast(pl.Float64)), profiles, "user_id"
    )
    assert (found.matched, found.without_key) == (entry["expected_matches"], 1)


def test_pre_04_leading_zeros_stay(case):
    column = parse.ids(read_table(case(4)).rows["sku"]).values
    assert column.to_list() == ["007", "7", "0007", "42"]


def test_pre_06_a_byte_order_mark_is_no_part_of_a_name(case, tmp_path):
    copies = [case(6)]
    copies.append(tmp_path / "again.tsv")
    copies[1].write_bytes(case(6).read_bytes().replace(b";", b"\t"))
    for path in copies:
        table = read_table(path)
        assert table.rows.columns == ["user_id", "item", "line"]
        assert table.rows.height == 1
    with case(6).open(encoding="utf-8") as plain:  # what this guards against
        assert next(csv.reader(plain, delimiter=";"))[0] != "user_id"


def test_pre_07_mixed_units(events):
    found = events(7, event="view")
    first = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.events["timestamp"].to_list() == [first, first, first.replace(minute=14)]
    assert "mixed units" in found.notes[0]


def test_pre_08_the_hour_that_comes_twice(events):
    found = features.add_sessions(events(8, event="view").events)
    assert [t.strftime("%H:%M") for t in found["timestamp"]] == ["05:30", "06:30", "06:40"]
    assert found["session_id"].n_unique() == 2


def test_pre_10_european_numbers(case):
    column = read_table(case(10), separator=";").rows["price"]
    assert parse.numbers(column, ",", ".").values.sum() == pytest.approx(2246.06)
    with pytest.raises(parse.FormatError, match=r"1\.234,56"):
        parse.numbers(column, ",")


def test_pre_13_missing_groups_are_counted(case):
    counts = dict(features.count_by(read_table(case(13)).rows, "cat").rows())
    assert counts == {"a": 2, "b": 2, None: 2}


def test_pre_15_and_16_a_new_item_has_its_own_index(case):
    entry = json.loads(case(15).read_text("utf-8"))
    encoder = transformers.IdEncoder().fit(entry["train"])
    assert encoder.count_unknown(entry["test"]) == entry["expected_unknown"]
    index = encoder.transform(entry["test"])[1]
    assert index not in {transformers.PADDING, *encoder.transform(entry["train"])}
    assert encoder.inverse_transform([index])[0] == "<unknown>"


def test_pre_17_the_fill_is_of_training(case):
    entry = json.loads(case(17).read_text("utf-8"))
    train = np.array(entry["train"], float)[:, None]
    pipeline = transformers.number_pipeline("mean").fit(train)
    assert pipeline[0].transform(train)[2, 0] == entry["expected_fill"]


def test_pre_18_the_scale_is_of_training(case):
    entry = json.loads(case(18).read_text("utf-8"))
    scaler = transformers.number_pipeline()[-1].fit(np.array(entry["train"], float)[:, None])
    scaled = scaler.transform(np.array(entry["test"], float)[:, None])
    assert scaled[0, 0] == pytest.approx(entry["expected"])


def test_pre_19_refunds_are_set_apart_with_their_lines(case):
    rows = read_table(case(19)).rows.with_columns(timestamp=pl.lit("2024-01-01"))
    found = to_events(rows, ColumnMapping(event="purchase"))
    assert found.rejected["line"].to_list() == [2, 3]
    assert found.rejected["reason"].to_list() == ["price is negative (a refund?)"] * 2
    logs = transformers.log1p_price(found.events["price"])
    assert logs.tolist() == pytest.approx([0.0, 1.386294], abs=1e-6)


def test_pre_22_repeat_purchases_stay(case):
    rows = read_table(case(22)).rows.with_columns(
        timestamp=(pl.col("ts").cast(pl.Int64) + 1_700_000_000).cast(pl.String)
    )
    log = to_events(rows, ColumnMapping()).events
    kept = clean.remove_duplicates(log).events
    seconds = kept["timestamp"].dt.epoch("s") - 1_700_000_000
    assert sorted(zip(kept["user_id"], kept["event"], seconds, strict=True)) == [
        ("u1", "purchase", 160),
        ("u1", "purchase", 900),
        ("u1", "view", 100),
        ("u1", "view", 160),
        ("u2", "view", 100),
    ]


def test_pre_23_ties_keep_the_order_of_the_log(case):
    rows = read_table(case(23)).rows.with_columns(
        timestamp=(pl.col("ts").cast(pl.Int64) + 1_700_000_000).cast(pl.String)
    )
    log = to_events(rows, ColumnMapping(event="view")).events
    assert clean.sort_by_time(log).events["item_id"].to_list() == ["i9", "i2", "i5", "i1"]


def test_pre_26_a_user_without_history_is_counted_and_still_scored(case):
    rows = read_table(case(26)).rows.with_columns(timestamp=pl.lit("2024-01-01"))
    log = to_events(rows, ColumnMapping(event="view", keep=("split",))).events
    train, test = (log.filter(pl.col("split") == name) for name in ("train", "test"))
    assert "1 cold users of 2" in str(split.leaks(train, test))
    encoder = transformers.IdEncoder().fit(train["item_id"])
    found = sequences.histories(train, encoder, 3, users=["u1", "u9"])
    assert found.cold == 1
    popular = simple.popularity(encoder.transform(train["item_id"]), encoder.size_)
    row = np.repeat([0], train.height)
    counts = simple.own_counts(row, encoder.transform(train["item_id"]), (2, encoder.size_))
    top = ranking.top_k(simple.own_frequency(counts, popular), 2)
    assert set(encoder.inverse_transform(top[1])) == {"a", "b"}
