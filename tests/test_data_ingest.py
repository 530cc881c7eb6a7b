from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest

from companion.data import parse
from companion.data.ingest import ColumnMapping, to_events
from companion.data.read import read_table
from companion.data.schema import SchemaError, validate

GOOD = {"user_id": "u1", "item_id": "a", "event": "view", "timestamp": "2024-01-01"}


def table(*rows):
    return pl.DataFrame([{**GOOD, **row} for row in rows])


def test_every_row_is_kept_or_rejected_with_line_and_reason():
    rows = [
        {},
        {"user_id": ""},
        {"item_id": None},
        {"event": "hover"},
        {"timestamp": "soon"},
        {"user_id": None, "event": ""},
    ]
    found = to_events(table(*rows))
    assert found.events.height == 1
    assert found.rejected["line"].to_list() == [2, 3, 4, 5, 6]
    assert found.rejected["reason"].to_list() == [
        "user_id is missing",
        "item_id is missing",
        "event hover is not known",
        "timestamp cannot be read as a time",
        "user_id is missing; event is missing",
    ]
    assert '"user_id":""' in found.rejected["row"][0]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("price", "-5", "price is negative (a refund?)"),
        ("price", "five", "price is not a number"),
        ("position", "0", "position is below 1"),
        ("position", "1.5", "position is not a whole number"),
        ("propensity", "0", "propensity is not a probability in (0, 1]"),
        ("propensity", "1.2", "propensity is not a probability in (0, 1]"),
    ],
)
def test_values_that_cannot_be(column, value, reason):
    found = to_events(table({column: "1"}, {column: value}))
    assert found.events[column].to_list() == [1]
    assert found.rejected["reason"].to_list() == [reason]


def test_a_search_needs_no_item():
    found = to_events(table({"event": "search", "item_id": "", "query": "tea"}, {"query": ""}))
    assert found.rejected.height == 0
    assert found.events["query"].to_list() == ["tea", None]


def test_names_of_other_logs_are_known():
    kinds = ["pv", "BUY", " addtocart ", "fav", "orders", "clicks", "transaction"]
    found = to_events(table(*({"event": kind} for kind in kinds)))
    expected = ["view", "purchase", "cart", "favorite", "purchase", "click", "purchase"]
    assert found.events["event"].to_list() == expected


def test_a_mapping_names_columns_events_and_units():
    log = pl.DataFrame({"who": ["1"], "sku": ["007"], "what": ["B"], "ms": [1_700_000_000_000]})
    mapping = ColumnMapping(
        columns={"user_id": "who", "item_id": "sku", "event": "what", "timestamp": "ms"},
        events={"B": "purchase"},
        unit="ms",
        keep=("what",),
    )
    events = to_events(log, mapping).events
    assert events.rows() == [
        ("1", "007", "purchase", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), 1, "B")
    ]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"columns": {"user_id": "nobody"}}, "no column 'nobody'; there are user_id"),
        ({"columns": {"customer": "user_id"}}, "'customer' is not a column of the schema"),
        ({"event": "hover"}, "'hover' is not an event"),
        ({"events": {"x": "hover"}}, "'hover' is not an event"),
        ({"keep": ("user_id",)}, "'user_id' is a column of the schema"),
    ],
)
def test_a_wrong_mapping_is_named(mapping, message):
    with pytest.raises(SchemaError, match=message):
        to_events(table({}), ColumnMapping(**mapping))


def test_a_missing_column_is_named_with_a_way_out():
    with pytest.raises(SchemaError, match="no column is named 'timestamp'; say which one"):
        to_events(table({}).drop("timestamp"))


def test_a_number_format_error_names_the_line_of_the_file(tmp_path):
    (tmp_path / "a.csv").write_text(
        "user_id;item_id;event;timestamp;price\nu;a;view;2024-01-01;1,5\n"
        "u;a;view;2024-01-01;1.234,56\n"
    )
    rows = read_table(tmp_path / "a.csv").rows
    with pytest.raises(parse.FormatError, match=r"line 3: price '1\.234,56'"):
        to_events(rows, ColumnMapping(decimal=","))


def test_mixed_units_are_told():
    found = to_events(table({"timestamp": "1700000000"}, {"timestamp": "1700000000000"}))
    assert found.events["timestamp"].n_unique() == 1
    assert found.notes == (
        "timestamp has mixed units: 1 in seconds, 1 in milliseconds; each was read in its own",
    )


def test_pandas_in_pandas_out_and_ids_that_pandas_made_floats():
    log = pd.DataFrame({**{k: [v] * 2 for k, v in GOOD.items()}, "user_id": [101, None]})
    found = to_events(log)
    assert isinstance(found.events, pd.DataFrame)
    assert found.events["user_id"].tolist() == ["101"]
    assert found.rejected["reason"].tolist() == ["user_id is missing"]


def test_columns_of_lists_do_not_break_the_report():
    log = table({"user_id": ""}).with_columns(tags=pl.Series([["a", "b"]]))
    assert '"tags":["a","b"]' in to_events(log).rejected["row"][0]


def good_events():
    return to_events(table({"price": "1", "position": "1", "propensity": "0.5"})).events


def test_a_log_in_the_schema_is_valid():
    assert validate(good_events()).height == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("hover").alias("event"), "line 1: event 'hover'"),
        (pl.lit(-1.0).alias("price"), r"line 1: price -1.0 is not a price \(1 rows\)"),
        (pl.lit(float("nan")).alias("price"), "is not a price"),
        (pl.lit(0, pl.Int64).alias("position"), "position 0 is below 1"),
        (pl.lit(0.0).alias("propensity"), "not a probability"),
        (pl.lit(None, pl.String).alias("user_id"), "user_id None is missing"),
        (pl.lit("").alias("item_id"), "item_id '' is missing"),
        (pl.lit(5).alias("user_id"), "column 'user_id' holds Int32"),
        (pl.col("timestamp").dt.replace_time_zone(None), "column 'timestamp' holds Datetime"),
    ],
)
def test_what_is_not_in_the_schema_is_refused(change, message):
    with pytest.raises(SchemaError, match=message):
        validate(good_events().with_columns(change))


def test_a_missing_required_column_is_named():
    with pytest.raises(SchemaError, match="no column 'event'"):
        validate(good_events().drop("event"))


def test_a_query_or_a_session_that_looks_like_a_number_stays_as_it_is():
    found = to_events(table({"query": "1.5e+3", "session_id": "1.5E+10"}))
    assert found.rejected.height == 0
    assert found.events.select("query", "session_id").rows() == [("1.5e+3", "1.5E+10")]


def test_a_session_that_is_a_float_keeps_its_digits_or_gets_a_reason():
    sessions = pl.Series("session_id", [7.0, None, float("nan"), 2.0**53, -(2.0**60), 0.5])
    found = to_events(table(*[{}] * 6).with_columns(sessions))
    assert found.events["session_id"].to_list() == ["7", None, None]
    assert found.rejected["line"].to_list() == [4, 5, 6]
    assert all("session_id was read as a number" in why for why in found.rejected["reason"])


@pytest.mark.parametrize("value", ["1e30", "-1e30", "9.3e18", "1.5"])
def test_a_position_that_no_whole_number_holds_gets_a_reason(value):
    found = to_events(table({"position": "1"}, {"position": value}, {"position": "1e2"}))
    assert found.events["position"].to_list() == [1, 100]
    assert found.rejected["line"].to_list() == [2]
    assert found.rejected["reason"][0].startswith("position is not a whole number")


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64, pl.Decimal(20, 1)])
def test_ids_that_were_read_as_numbers_are_their_digits_or_have_a_reason(column, dtype):
    exact = 2**24 if dtype == pl.Float32 else 2**53
    ids = pl.Series(column, [101.0, None, float(exact)]).cast(dtype)
    found = to_events(table(*[{}] * 3).with_columns(ids))
    assert found.events[column].to_list() == ["101"]
    assert found.rejected["line"].to_list() == [2, 3]
    assert found.rejected["reason"][0] == f"{column} is missing"
    assert "lost digits" in found.rejected["reason"][1]


def test_a_time_outside_the_years_is_rejected_and_the_rest_is_kept():
    times = pl.Series([datetime(y, 6, 1, tzinfo=UTC) for y in (1989, 2024, 2100)])
    found = to_events(table({}, {}, {}).with_columns(timestamp=times))
    assert found.events["timestamp"].to_list() == [times[1]]
    assert found.rejected["line"].to_list() == [1, 3]
    assert set(found.rejected["reason"]) == {"timestamp is outside the years 1990 to 2099"}


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (pl.Series([b"\xff\x00"]), '"ff00"'),
        (pl.Series([None], dtype=pl.Binary), "null"),
        (pl.Series([["a", None]]), '["a",null]'),
        (pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)), "[1,2]"),
        (pl.Series([{"k": 1}]), '{"k":1}'),
        (pl.Series([[b"\xff"]]), r""" "[b'\\xff']" """.strip()),
    ],
)
def test_columns_of_any_type_do_not_break_the_report(other, text):
    log = table({"user_id": ""}).with_columns(other=other)
    assert f'"other":{text}' in to_events(log).rejected["row"][0]


@pytest.mark.parametrize("column", ["quantity", "rating"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_quantity_or_a_rating_that_is_no_number_is_refused(column, value):
    with pytest.raises(SchemaError, match=f"line 1: {column} .* is not a number"):
        validate(good_events().with_columns(pl.lit(value).alias(column)))
