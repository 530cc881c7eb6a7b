"""Each loader on a small file in the exact format of its source, with that source's dirt."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from companion.data.fetch import DataMissing
from companion.data.ingest import ColumnMapping
from companion.data.read import ReadError
from companion.data.schema import validate
from companion.data.sources import (
    amazon_reviews,
    movielens,
    otto,
    own,
    retailrocket,
    taobao,
    yoochoose,
)
from companion.data.sources.files import in_parts

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
TAOBAO = """1,2268318,2520377,pv,1511544070
1,2333346,2520771,buy,1511561733
0012,5002615,2520377,cart,1511539199
2,90071992547409931,149192,fav,1512316799
2,2268318,2520377,pv,1512316800
2,2268318,2520377,pv,-1511544070
2,2268318,2520377,pv,2122867355
2,2268318,2520377,look,1511572885
2,2268318
"""


def genuine(name: str) -> Path:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the genuine piece {name} is not beside the project")
    return path


def counts(events: pl.DataFrame) -> dict[str, int]:
    return dict(events["event"].value_counts().iter_rows())


def reasons(rejected: pl.DataFrame) -> dict[int, str]:
    return dict(rejected.select("line", "reason").iter_rows())


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# --- Taobao


def test_taobao(tmp_path):
    dataset = taobao.load(write(tmp_path / "UserBehavior.csv", TAOBAO))
    events = validate(dataset.events)
    assert events["line"].to_list() == [1, 2, 4]
    assert events["event"].to_list() == ["view", "purchase", "favorite"]
    assert events["item_id"].to_list()[2] == "90071992547409931"
    assert events["timestamp"].to_list()[0] == datetime(2017, 11, 24, 17, 21, 10, tzinfo=UTC)
    assert events["category_id"].to_list() == ["2520377", "2520771", "149192"]
    why = reasons(dataset.rejected)
    assert sorted(why) == [3, 5, 6, 7, 8, 9]
    assert [why[line] for line in (3, 5, 7)] == [taobao.OUTSIDE] * 3
    assert "1990" in why[6]
    assert why[8] == "event look is not known"
    assert "2 fields" in why[9]
    assert "0012" in dataset.rejected.row(0)[2]
    assert dict(dataset.items.iter_rows())["2268318"] == "2520377"


def test_taobao_keeps_what_is_outside_when_asked(tmp_path):
    dataset = taobao.load(write(tmp_path / "UserBehavior.csv", TAOBAO), keep_outside=True)
    assert dataset.events["line"].to_list() == [1, 2, 3, 4, 5, 7]
    assert dataset.events["user_id"].to_list()[2] == "0012"


def test_taobao_first_rows(tmp_path):
    file = write(tmp_path / "UserBehavior.csv", TAOBAO)
    dataset = taobao.load(file, max_rows=3)
    assert dataset.events.height + dataset.rejected.height == 3
    with pytest.raises(ValueError, match="max_rows must be 1 or more; got 0"):
        taobao.load(file, max_rows=0)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 100])
def test_parts_are_the_whole(tmp_path, rows):
    path = write(tmp_path / "UserBehavior.csv", TAOBAO)
    whole = taobao.load(path)
    good = [part for part in in_parts(taobao.load, path, rows) if part.events.height]
    assert pl.concat([part.events for part in good]).equals(whole.events)
    parts = list(in_parts(taobao.load, path, rows))
    assert len(parts) == -(-9 // rows)
    assert pl.concat([part.rejected for part in parts]).equals(whole.rejected)


def test_parts_of_a_file_with_a_header_and_open_quotes(tmp_path):
    rows = "".join(f'{n},{n},search,2024-01-01,"two\nlines"\n' for n in range(7))
    path = write(tmp_path / "log.csv", f"user_id,item_id,event,timestamp,query\n{rows}")
    whole = own.load(path).events
    parts = [part.events for part in in_parts(own.load, path, 3, header=True)]
    assert len(parts) > 1
    assert pl.concat(parts).equals(whole)


def test_taobao_genuine_piece():
    dataset = taobao.load(genuine("taobao_userbehavior/UserBehavior.csv"), keep_outside=True)
    assert dataset.events.height == 4_321
    assert dataset.events["user_id"].n_unique() == 43
    assert counts(dataset.events) == {"view": 3_926, "cart": 190, "favorite": 128, "purchase": 77}
    assert dataset.rejected.height == 0
    inside = taobao.load(genuine("taobao_userbehavior/UserBehavior.csv"))
    assert 0 < inside.rejected.height < 20
    assert inside.events.height + inside.rejected.height == 4_321
    assert dataset.events["timestamp"].min().strftime("%Y-%m-%d") == "2017-09-11"
    assert inside.events["timestamp"].min() >= taobao.WINDOW[0]


# --- RetailRocket


@pytest.fixture
def rocket(tmp_path) -> Path:
    write(
        tmp_path / "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,addtocart,248676,\n"
        "1433221999827,111016,transaction,318965,4000\n"
        "1433221999827,111016,transaction,,4000\n"
        "1433221999827,111016,refund,318965,4000\n",
    )
    write(
        tmp_path / "item_properties_part1.csv",
        "timestamp,itemid,property,value\n"
        "1435460400000,460429,categoryid,1338\n"
        "1433041200000,460429,790,n5.000\n"
        "1434250800000,460429,790,n-3.675\n",
    )
    write(
        tmp_path / "item_properties_part2.csv",
        "timestamp,itemid,property,value\n"
        "1433041200000,355908,888,66094 n12.000 372274\n"
        "soon,355908,790,n1.000\n"
        "1433041200000,355908,available,1\n",
    )
    write(tmp_path / "category_tree.csv", "categoryid,parentid\n1016,213\n213,\n")
    return tmp_path


def test_retailrocket(rocket):
    dataset = retailrocket.load(rocket)
    events = validate(dataset.events)
    assert events["event"].to_list() == ["view", "cart", "purchase"]
    assert events["user_id"].to_list() == ["257597", "992329", "111016"]
    assert events["transactionid"].to_list() == [None, None, "4000"]
    assert events["timestamp"].to_list()[0] == datetime(2015, 6, 2, 5, 2, 12, 117000, tzinfo=UTC)
    assert reasons(dataset.rejected) == {5: "item_id is missing", 6: "event refund is not known"}


def test_retailrocket_properties_can_be_joined_as_of_an_event(rocket):
    table = retailrocket.load_properties(rocket, ["790"])
    assert table.rows["number"].to_list() == [5.0, -3.675]
    assert reasons(table.rejected).keys() == {3}
    assert "item_properties_part2.csv" in table.rejected["reason"][0]
    event = pl.DataFrame(
        {"item_id": ["460429"], "timestamp": [datetime(2015, 6, 10, tzinfo=UTC)]},
        schema_overrides={"timestamp": table.rows.schema["timestamp"]},
    )
    joined = event.join_asof(table.rows, on="timestamp", by="item_id", check_sortedness=False)
    assert joined["value"].to_list() == ["n5.000"]


def test_retailrocket_all_properties_and_tree(rocket):
    table = retailrocket.load_properties(rocket)
    assert table.rows.height == 5
    assert table.rows["timestamp"].is_sorted()
    text = table.rows.filter(pl.col("property") == "888").row(0, named=True)
    assert text["value"] == "66094 n12.000 372274"
    assert text["number"] is None
    assert retailrocket.load_tree(rocket).rows() == [("1016", "213"), ("213", None)]
    (rocket / "category_tree.csv").unlink()
    with pytest.raises(DataMissing, match=r"category_tree.csv; it is to be had"):
        retailrocket.load_tree(rocket)


# --- OTTO


def test_otto(tmp_path):
    sessions = [
        '{"session":0,"events":[{"aid":1517085,"ts":1659304800025,"type":"clicks"},'
        '{"aid":90071992547409931,"ts":1659304904511,"type":"carts"}]}',
        '{"session":1,"events":[{"aid":5,"ts":1659304904511,"type":"orders"},'
        '{"aid":6,"ts":1659304904511,"type":"orders"},{"ts":1659304904511,"type":"orders"}]}',
        '{"session":2,"events":[]}',
        '{"session":3,"events":"none"}',
        '{"session":4,"events":[5]}',
        '{"session":5,"events":[{"aid":1,"ts":16593',
    ]
    dataset = otto.load(write(tmp_path / "train.jsonl", "\n".join(sessions) + "\n"))
    events = validate(dataset.events)
    assert events["item_id"].to_list() == ["1517085", "90071992547409931", "5", "6"]
    assert events["event"].to_list() == ["click", "cart", "purchase", "purchase"]
    assert events["user_id"].to_list() == ["0", "0", "1", "1"]
    assert events["line"].to_list() == [1, 1, 2, 2]
    assert events["timestamp"].to_list()[0] == datetime(2022, 7, 31, 22, 0, 0, 25000, tzinfo=UTC)
    why = reasons(dataset.rejected)
    assert sorted(why) == [2, 3, 4, 5, 6]
    assert why[2] == "item_id is missing"
    assert why[3] == "session has no event"
    assert why[4] == why[5] == "events is no list of events"
    assert why[6].startswith("not JSON")


def test_otto_parquet_copy(tmp_path):
    table = {
        "session": [11, 11],
        "aid": [59625, 1142000],
        "ts": [1661724000, 1661724058],
        "type": [0, 2],
    }
    pl.DataFrame(table).write_parquet(tmp_path / "test.parquet")
    events = otto.load(tmp_path / "test.parquet").events
    assert events["event"].to_list() == ["click", "purchase"]
    assert events["timestamp"].dt.year().to_list() == [2022, 2022]


def test_otto_other_json(tmp_path):
    with pytest.raises(ReadError, match=r"log.jsonl: .*'events'"):
        otto.load(write(tmp_path / "log.jsonl", '{"session": 1}\n'))


def test_otto_genuine_piece():
    path = genuine("otto/train.jsonl")
    dataset = otto.load(path)
    assert dataset.events["user_id"].n_unique() == 20
    assert counts(dataset.events) == {"click": 800, "cart": 52, "purchase": 10}
    assert dataset.rejected.height == 0
    assert otto.load(path, max_rows=3).events["user_id"].n_unique() == 3
    parts = list(in_parts(otto.load, path, 7))
    assert pl.concat([part.events for part in parts]).equals(dataset.events)


# --- YooChoose


def test_yoochoose(tmp_path):
    write(
        tmp_path / "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n"
        "1,2014-04-07T10:50:09.868Z,214536500,S\n"
        "2,2014-04-07T13:56:37.614Z,214662742,2089046016\n"
        "2,yesterday,214662742,5\n",
    )
    write(
        tmp_path / "yoochoose-buys.dat",
        "1,2014-04-07T10:59:09.277Z,214536502,12462,1\n1,2014-04-07T11:00:00.000Z,214600000,0,0\n",
    )
    dataset = yoochoose.load(tmp_path)
    events = validate(dataset.events)
    assert counts(events) == {"click": 3, "purchase": 2}
    assert events["category"].to_list() == ["0", "S", "2089046016", None, None]
    assert events["price"].to_list() == [None, None, None, 12462.0, None]
    assert events["quantity"].to_list() == [None, None, None, 1.0, None]
    assert (
        events["user_id"].to_list() == events["session_id"].to_list() == ["1", "1", "2", "1", "1"]
    )
    assert events["file"].to_list() == ["clicks"] * 3 + ["buys"] * 2
    assert events["timestamp"].to_list()[0] == datetime(2014, 4, 7, 10, 51, 9, 277000, tzinfo=UTC)
    assert reasons(dataset.rejected) == {
        4: "yoochoose-clicks.dat: timestamp cannot be read as a time"
    }
    assert counts(yoochoose.load(tmp_path / "yoochoose-buys.dat").events) == {"purchase": 2}
    assert counts(yoochoose.load(tmp_path / "yoochoose-clicks.dat").events) == {"click": 3}


def test_yoochoose_genuine_piece():
    dataset = yoochoose.load(genuine("yoochoose"))
    assert counts(dataset.events) == {"click": 500}
    assert dataset.rejected.height == 0
    assert dataset.events["category"].null_count() == 0


# --- MovieLens 1M


def test_movielens_1m(tmp_path):
    write(tmp_path / "ratings.dat", "1::1193::5::978300760\n1::73::3::978302109\n2::73::3\n")
    write(
        tmp_path / "movies.dat",
        "73::Misérables, Les (1995)::Drama|Musical\n1193::One Flew Over (1975)::Drama\n",
        "latin-1",
    )
    write(tmp_path / "users.dat", "1::F::1::10::48067\n2::M::56::16::02460\n")
    dataset = movielens.load(tmp_path)
    events = validate(dataset.events)
    assert dataset.name == "movielens-1m"
    assert events["rating"].to_list() == [5.0, 3.0]
    assert events["timestamp"].to_list()[0] == datetime(2000, 12, 31, 22, 12, 40, tzinfo=UTC)
    assert dataset.items.row(0) == ("73", "Misérables, Les (1995)", "Drama|Musical", 1995)
    assert dataset.users["zip_code"].to_list() == ["48067", "02460"]
    assert dataset.rejected.row(0) == (3, "ratings.dat: 3 values where there are 4", "2::73::3")


def test_movielens_1m_without_a_file(tmp_path):
    with pytest.raises(DataMissing, match=r"has no ratings.dat"):
        movielens.load(tmp_path)


# --- Amazon Reviews 2023


def review(**more: object) -> str:
    first = {
        "rating": 5.0,
        "title": "It&#39;s &quot;fine&quot;",
        "text": "a<br />b &amp; c",
        "images": [{"small_image_url": "x"}],
        "asin": "B00YQ6X8EO",
        "parent_asin": "B00YQ6X8EO",
        "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    return json.dumps({**first, **more})


def product(**more: object) -> str:
    first = {
        "main_category": "All Beauty",
        "title": "Howard &amp; Co",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": [],
        "description": ["a", "b"],
        "price": None,
        "store": "Howard",
        "categories": ["Beauty"],
        "details": {"Size": "5"},
        "parent_asin": "B01CUPMQZE",
        "bought_together": None,
    }
    return json.dumps({**first, **more})


def test_amazon_reviews(tmp_path):
    lines = [review(), review(asin="B1", parent_asin="0123456789", rating=1), review(user_id=None)]
    write(tmp_path / "reviews.jsonl", "\n".join([*lines, "{broken"]) + "\n")
    prices = [None, "None", "—", 12.5, "$1,299.00", "from 9.99"]
    meta = [product(parent_asin=f"B{n}", price=price) for n, price in enumerate(prices)]
    write(
        tmp_path / "meta.jsonl",
        "\n".join([*meta, product(parent_asin="B0"), product(parent_asin=None)]),
    )
    dataset = amazon_reviews.load(tmp_path)
    events = validate(dataset.events)
    assert events["item_id"].to_list() == ["B00YQ6X8EO", "0123456789"]
    assert events["asin"].to_list() == ["B00YQ6X8EO", "B1"]
    assert events["rating"].to_list() == [5.0, 1.0]
    assert events["title"][0] == 'It\'s "fine"'
    assert events["text"][0] == "a<br />b & c"
    assert events["timestamp"][0] == datetime(2020, 5, 5, 14, 8, 48, 923000, tzinfo=UTC)
    assert dataset.items["price"].to_list() == [None, None, None, 12.5, 1299.0, None]
    assert dataset.items["price_text"].to_list()[-1] == "from 9.99"
    assert dataset.items["title"][0] == "Howard & Co"
    assert dataset.items["average_rating"][0] == 4.8
    found = dataset.rejected["reason"].to_list()
    assert found[0] == "user_id is missing"
    assert found[1].startswith("not JSON")
    assert sorted(found[2:]) == ["meta.jsonl: parent_asin is missing", "meta.jsonl: product again"]


def test_amazon_benchmark_csv(tmp_path):
    path = tmp_path / "All_Beauty.csv.gz"
    rows = "A1,B1,5.0,1588687728923,\nA1,B2,4.0,1588687728924,B1\n"
    text = f"user_id,parent_asin,rating,timestamp,history\n{rows}"
    path.write_bytes(gzip.compress(text.encode()))
    dataset = amazon_reviews.load(path)
    assert dataset.items is None
    assert dataset.events["history"].to_list() == [None, "B1"]
    assert dataset.events["rating"].to_list() == [5.0, 4.0]
    assert amazon_reviews.load(path, max_rows=1).events["item_id"].to_list() == ["B1"]
    with pytest.raises(DataMissing, match=r"gone.jsonl"):
        amazon_reviews.load(path, meta=tmp_path / "gone.jsonl")


# --- a log of the reader's own


def test_own_with_a_mapping(tmp_path):
    path = write(
        tmp_path / "shop.csv",
        "kunde;artikel;was;zeit;preis\n"
        "7;0042;kauf;31.12.2023 23:30;1.234,50\n"
        "7;0042;kauf;gestern;1,00\n",
        "latin-1",
    )
    mapping = ColumnMapping(
        columns={
            "user_id": "kunde",
            "item_id": "artikel",
            "event": "was",
            "timestamp": "zeit",
            "price": "preis",
        },
        events={"kauf": "purchase"},
        zone="Europe/Berlin",
        layout="%d.%m.%Y %H:%M",
        decimal=",",
        thousands=".",
    )
    dataset = own.load(path, mapping, encoding="latin-1")
    event = dataset.events.row(0, named=True)
    assert event["item_id"] == "0042"
    assert event["price"] == 1234.5
    assert event["timestamp"] == datetime(2023, 12, 31, 22, 30, tzinfo=UTC)
    assert sorted(reasons(dataset.rejected)) == [3]
    with pytest.raises(ValueError, match=r"shop.csv: line 2: price '1.234,50'"):
        own.load(path, ColumnMapping(columns=mapping.columns, events=mapping.events))


def test_own_without_a_path():
    with pytest.raises(ValueError, match="name the file"):
        own.load()
