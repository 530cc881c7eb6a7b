import gzip

import polars as pl
import pytest

from companion.data.read import ReadError, read_table


def write(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_marks_and_separators_are_found(tmp_path, encoding, separator):
    text = f'"user_id"{separator}"item"\n1{separator}ä\n'
    rows = read_table(write(tmp_path / "a.csv", text, encoding)).rows
    assert rows.rows() == [("1", "ä", 2)]
    assert rows.columns == ["user_id", "item", "line"]


def test_everything_is_text_with_every_zero(tmp_path):
    rows = read_table(write(tmp_path / "a.csv", "sku,n\n007,1\n7,\n0007,1e3\n")).rows
    assert rows["sku"].to_list() == ["007", "7", "0007"]
    assert rows["n"].to_list() == ["1", None, "1e3"]


def test_lines_that_are_no_rows_are_named(tmp_path):
    table = read_table(write(tmp_path / "a.csv", "a,b\n1,x\n2\n\n3,y,z\n4,w\n"))
    assert table.rows["line"].to_list() == [2, 6]
    assert table.rejected["line"].to_list() == [3, 4, 5]
    assert table.rejected["reason"][1] == "blank line"
    assert "3 fields where there are 2" in table.rejected["reason"][2]


def test_a_line_break_inside_quotes_does_not_shift_the_lines(tmp_path):
    table = read_table(write(tmp_path / "a.csv", 'a,b\n1,"x\ny"\n2\n3,"say ""hi"""\n'))
    assert table.rows.rows() == [("1", "x\ny", 2), ("3", 'say "hi"', 5)]
    assert table.rejected["line"].to_list() == [4]


def test_an_open_quote_does_not_swallow_the_file(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n1,ok\n2,"open\n3,z\n')
    with pytest.raises(ReadError, match="line 3: a quote"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_another_encoding_is_named_with_its_line(tmp_path, name):
    row = "1,a\n" if "csv" in name else '{"user":"1"}\n'
    bad = "2,café\n" if "csv" in name else '{"user":"café"}\n'
    head = "user,item\n" if "csv" in name else ""
    content = (head + row * 5_000 + bad).encode("latin-1")
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    line = 5_001 + bool(head)
    with pytest.raises(ReadError, match=f"line {line} .byte 0xE9. is not utf-8"):
        read_table(path)
    assert read_table(path, encoding="latin-1").rows.height == 5_001


def test_a_file_without_header(tmp_path):
    rows = read_table(write(tmp_path / "a.dat", "1,5\n2,6\n"), columns=["u", "i"]).rows
    assert rows.rows() == [("1", "5", 1), ("2", "6", 2)]


def test_json_lines(tmp_path):
    text = '{"u": 9007199254740993, "p": 1.50, "n": null}\nnot json\n\n[1]\n'
    text += '{"u": "a", "x": {"k": 1}}\n'
    table = read_table(write(tmp_path / "a.jsonl", text))
    assert table.rows["u"].to_list() == ["9007199254740993", "a"]
    assert table.rows["p"][0] == "1.50"
    assert table.rows["line"].to_list() == [1, 5]
    assert table.rejected["line"].to_list() == [2, 3, 4]


def test_a_file_that_brings_its_lines_keeps_them(tmp_path):
    table = read_table(write(tmp_path / "a.csv", "a,line\n1,70\n\n2,90\n"))
    assert table.rows["line"].to_list() == [70, 90]
    assert table.rejected["line"].to_list() == [3]
    with pytest.raises(ReadError, match="'line' is not made of whole numbers"):
        read_table(write(tmp_path / "b.csv", "a,line\n1,x\n"))


def test_parquet_keeps_its_types_and_numbers_its_rows(tmp_path):
    pl.DataFrame({"u": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").rows.rows() == [(1, 1), (2, 2)]


def test_an_encoding_that_does_not_exist(tmp_path):
    with pytest.raises(ReadError, match="utf-9"):
        read_table(write(tmp_path / "a.csv", "a\n1\n"), encoding="utf-9")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, "no such file"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,a\n1,2\n", "'a' twice"),
        ("a.csv", b"a,\n1,2\n", "without a name"),
        ("a.parquet", b"PAR", "not a Parquet file"),
        ("a.jsonl", b"x\n", "no line"),
        ("a.csv.gz", b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
