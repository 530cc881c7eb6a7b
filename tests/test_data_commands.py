"""The commands under `companion data`, called as the command line calls them."""

import argparse
from pathlib import Path

import polars as pl
import pytest

from companion.data import commands, fetch
from companion.data.fetch import Fetched
from companion.data.schema import TIME, validate
from companion.data.sources import SOURCES, load

SHOP = """kunde;artikel;was;zeit;preis;farbe
007;9007199254740993;ansehen;05.01.2024 23:30;1.234,50;rot
007;42;kauf;05.01.2024 23:40;9,00;
007;42;kauf;gestern;9,00;
008;43;tanz;05.01.2024 23:40;9,00;
;43;kauf;05.01.2024 23:40;9,00;
"""
OPTIONS = [
    *("--map", "user_id=kunde", "item_id=artikel", "event=was", "timestamp=zeit"),
    *("--map", "price=preis", "--event-map", "ansehen=view", "kauf=purchase"),
    *("--zone", "Europe/Berlin", "--time-format", "%d.%m.%Y %H:%M"),
    *("--decimal", ",", "--thousands", "."),
]


def run(*words: object) -> int:
    parser = argparse.ArgumentParser(prog="companion data")
    commands.add_parsers(parser.add_subparsers())
    args = parser.parse_args(list(map(str, words)))
    return args.func(args)


@pytest.fixture
def shop(tmp_path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(SHOP)
    return path


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_import(shop, tmp_path, capsys, ending):
    out = tmp_path / "new" / f"events.{ending}"
    assert run("import", shop, "--out", out, *OPTIONS) == 0
    events = validate(load(out).events)
    assert events["user_id"].to_list() == ["007", "007"]
    assert events["item_id"].to_list() == ["9007199254740993", "42"]
    assert events["event"].to_list() == ["view", "purchase"]
    assert events["price"].to_list() == [1234.5, 9.0]
    assert events["timestamp"].dt.strftime("%Y-%m-%dT%H:%M").to_list()[0] == "2024-01-05T22:30"
    assert events.schema["timestamp"] == TIME
    rejected = pl.read_csv(f"{out}.rejected.csv", infer_schema=False)
    assert rejected.columns == ["line", "reason", "row"]
    assert rejected["line"].to_list() == ["4", "5", "6"]
    assert "gestern" in rejected["row"][0]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        out.name,
        f"{out.name}.rejected.csv",
    ]
    printed = capsys.readouterr().out
    for words in (
        "rows read: 5",
        "events: 2; rejected: 3",
        "1: event tanz is not known",
        "time: 2024-01-05 22:30:00 to 2024-01-05 22:40:00 UTC",
        "users: 1; items: 2",
        "purchase 1",
        "columns left out: farbe",
    ):
        assert words in printed


def test_import_keeps_columns_and_removes_a_stale_file_of_rejected_rows(shop, tmp_path, capsys):
    out = tmp_path / "events.parquet"
    run("import", shop, "--out", out, *OPTIONS)
    aside = tmp_path / "events.parquet.rejected.csv"
    assert aside.exists()
    shop.write_text("".join(SHOP.splitlines(keepends=True)[:3]))
    assert run("import", shop, "--out", out, *OPTIONS, "--keep", "farbe") == 0
    assert not aside.exists()
    assert pl.read_parquet(out)["farbe"].to_list() == ["rot", None]
    assert "left out" not in capsys.readouterr().out.split("rows read")[-1]


def test_import_without_header_or_events(tmp_path, capsys):
    path = tmp_path / "orders.txt"
    path.write_bytes("1\tcafé\t1704067200\n1\tthé\t1704067200000\n".encode("latin-1"))
    out = tmp_path / "events.parquet"
    words = ["--columns", "user_id,item_id,timestamp", "--separator", "tab", "--event", "purchase"]
    assert run("import", path, "--out", out, *words, "--encoding", "latin-1") == 0
    events = pl.read_parquet(out)
    assert events["item_id"].to_list() == ["café", "thé"]
    assert events["timestamp"].n_unique() == 1
    assert "mixed units" in capsys.readouterr().out
    assert (
        run("import", path, "--out", out, *words, "--encoding", "latin-1", "--time-unit", "s") == 0
    )
    assert pl.read_parquet(out).height == 1


def test_nothing_kept(shop, tmp_path, capsys):
    out = tmp_path / "events.parquet"
    shop.write_text("\n".join([SHOP.splitlines()[0], *SHOP.splitlines()[3:]]) + "\n")
    assert run("import", shop, "--out", out, *OPTIONS) == 1
    assert not out.exists()
    assert pl.read_csv(f"{out}.rejected.csv").height == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "shop.csv: no row of it is an event" in error


WRONG = {
    "ending": ([], "events.txt", "the ending must be .parquet or .csv"),
    "column": (["--map", "user_id=nobody"], "events.csv", "there is no column 'nobody'"),
    "schema": (["--map", "who=kunde"], "events.csv", "'who' is not a column of the schema"),
    "event": (["--event-map", "kauf=buying"], "events.csv", "'buying' is not an event"),
    "zone": (["--zone", "Europe/Berlln"], "events.csv", "time zone 'Europe/Berlln' is not known"),
    "number": (["--thousands", " "], "events.csv", "line 2: price '1.234,50'"),
    "signs": (["--decimal", "."], "events.csv", "'.' cannot stand both before the fraction and"),
    "encoding": (["--encoding", "utf-9"], "events.csv", "utf-9"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_option_is_one_sentence(shop, tmp_path, capsys, name):
    words, out, sentence = WRONG[name]
    assert run("import", shop, "--out", tmp_path / out, *OPTIONS, *words) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["shop.csv"]


def test_missing_file_and_same_file(shop, tmp_path, capsys):
    assert run("import", tmp_path / "gone.csv", "--out", tmp_path / "events.csv") == 1
    assert "gone.csv: there is no such file" in capsys.readouterr().err
    assert run("import", shop, "--out", shop, *OPTIONS) == 1
    assert shop.read_text() == SHOP


def test_failed_writing_leaves_the_old_file(shop, tmp_path, monkeypatch, capsys):
    out = tmp_path / "events.parquet"
    assert run("import", shop, "--out", out, *OPTIONS) == 0
    before = out.read_bytes()

    def full(self, path, *args, **more):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    assert run("import", shop, "--out", out, *OPTIONS) == 1
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["user_id", "=kunde", "user_id="])
def test_pair_that_is_none(shop, tmp_path, capsys, word):
    with pytest.raises(SystemExit) as caught:
        run("import", shop, "--out", tmp_path / "events.csv", "--map", word)
    assert caught.value.code == 2
    assert "is not of the form a=b" in capsys.readouterr().err


def test_sources(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    assert run("sources") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line[0] != " "}
    assert set(state) == set(SOURCES)
    assert state.pop("sample") == "present"
    assert set(state.values()) == {"not here"}
    assert printed.count("licence: ") == len(SOURCES)
    assert printed.count("to get it: ") == len(SOURCES) - 1
    assert max(map(len, lines)) <= 82


def test_show(capsys):
    assert run("show", "sample", "--rows", "3") == 0
    printed = capsys.readouterr().out
    assert "simulated" in printed
    assert "licence: Apache-2.0" in printed
    assert "events: 110,754; rejected: 0" in printed
    assert "table of items: 600 rows" in printed
    assert printed.count("sim_u093") == 3


def test_show_what_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    assert run("show", "complete-journey") == 1
    assert "companion data fetch" in capsys.readouterr().err
    assert run("show", tmp_path / "gone.csv") == 1
    assert "there is no file" in capsys.readouterr().err


def test_fetch_says_what_happened(monkeypatch, capsys):
    asked = []

    def pretend(names):
        asked.append(names)
        return [
            Fetched("obp", "failed", "obp 0.4.1 cannot be had: no network"),
            Fetched("recbole", "present", "recbole 1.2.1 is there"),
        ]

    monkeypatch.setattr(fetch, "fetch", pretend)
    assert run("fetch", "open-bandit", "recbole") == 1
    assert asked == [["obp", "recbole"]]
    printed = capsys.readouterr()
    assert printed.out == "recbole 1.2.1 is there\n"
    assert printed.err == "companion: obp 0.4.1 cannot be had: no network\n"
    monkeypatch.setattr(
        fetch, "fetch", lambda names: [Fetched("obp", "fetched", "obp was fetched")]
    )
    assert run("fetch") == 0


def test_fetch_says_that_some_packages_are_optional(capsys):
    with pytest.raises(SystemExit):
        run("fetch", "--help")
    assert "all but the optional ones" in " ".join(capsys.readouterr().out.split())


def test_fetch_unknown_name(capsys):
    assert run("fetch", "completejourney") == 1
    error = capsys.readouterr().err
    assert "no package 'completejourney'" in error
    assert "complete-journey" in error


@pytest.mark.parametrize("rows", ["0", "-1", "1.5", "many"])
def test_a_number_of_rows_that_cannot_be_shown_is_an_error_of_usage(capsys, rows):
    with pytest.raises(SystemExit) as caught:
        run("show", "sample", "--rows", rows)
    assert caught.value.code == 2
    assert f"{rows!r} is not a whole number from 1" in capsys.readouterr().err


def test_the_rejected_rows_do_not_overwrite_the_file_that_is_read(shop, tmp_path, capsys):
    file = shop.rename(tmp_path / "events.csv.rejected.csv")
    assert run("import", file, "--out", tmp_path / "events.csv", *OPTIONS) == 1
    assert file.read_text() == SHOP
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    error = capsys.readouterr().err
    assert "would be overwritten by the rejected rows" in error
    assert error.count("\n") == 1


def test_a_parquet_file_with_bytes_and_lists_and_a_rejected_row_is_imported(tmp_path, capsys):
    table = {
        "user_id": ["1", None],
        "item_id": ["a", "b"],
        "timestamp": [1_704_067_200, 1_704_067_200],
        "picture": [b"\xff\x00", b"\x01"],
        "tags": [["x"], ["y", None]],
    }
    pl.DataFrame(table).write_parquet(tmp_path / "shop.parquet")
    out = tmp_path / "events.parquet"
    assert run("import", tmp_path / "shop.parquet", "--out", out, "--event", "view") == 0
    assert pl.read_parquet(out)["user_id"].to_list() == ["1"]
    rejected = pl.read_csv(f"{out}.rejected.csv", infer_schema=False)
    assert rejected["reason"].to_list() == ["user_id is missing"]
    assert '"tags":["y",null]' in rejected["row"][0]
    assert '"picture":"01"' in rejected["row"][0]
