import gzip
import json

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


@pytest.mark.parametrize("blank", ["\n", "\n\n\n", "  \n\n", "\r\n\r\n"])
@pytest.mark.parametrize("value", ["x", '"x, ""y"""', '"x\ny"'])
def test_blank_lines_before_the_header_change_neither_ids_nor_lines(tmp_path, blank, value):
    table = read_table(write(tmp_path / "a.csv", f"{blank}sku,n\n007,{value}\n\n0042,1\n"))
    first = blank.count("\n") + 2
    last = first + 2 + value.count("\n")
    assert table.rows["sku"].to_list() == ["007", "0042"]
    assert table.rows["line"].to_list() == [first, last]
    assert table.rejected.rows() == [(last - 1, "blank line", "")]


def test_blank_lines_before_a_file_without_header(tmp_path):
    path = write(tmp_path / "a.csv", "\n\n007,1\n08,2\n")
    assert read_table(path, columns=["u", "n"]).rows.rows() == [("007", "1", 3), ("08", "2", 4)]


OPEN_QUOTES = {
    "one": ('a,b\n1,ok\n2,"open\n3,z\n', 3),
    "two": ('a,b\n1,"open\n2,q\n3,"open\n4,z\n', 2),
    "two at the end": ('a,b\n1,"open\n2,q\n3,"open\n4,z', 2),
    "four": ('a,b\n0,"fine"\n1,"open\n2,q\n3,"open\n4,"open\n5,"z\n', 3),
    "a size in inches": ('id,name,event\n1,"27"" tv,view\n2,x,view\n3,"55"" tv,view\n', 2),
    "after a blank line": ('\na,b\n1,"open\n2,q\n3,"open\n', 3),
    "after a line break in quotes": ('a,b\n1,"x\ny"\n2,"open\n3,"open\n', 4),
}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "CSV.GZ"])
@pytest.mark.parametrize("name", OPEN_QUOTES)
def test_open_quotes_are_named_by_the_first_line_however_many(tmp_path, name, ending):
    text, line = OPEN_QUOTES[name]
    content = gzip.compress(text.encode()) if ending.lower().endswith("gz") else text
    with pytest.raises(ReadError, match=f"line {line}: a quote is opened and not closed"):
        read_table(write(tmp_path / f"a.{ending}", content))


@pytest.mark.parametrize("name", ["A.CSV.GZ", "a.csv.Gz", "A.JSONL.GZ"])
def test_the_ending_of_a_packed_file_may_be_in_capitals(tmp_path, name):
    text = "u,n\n007,1\n" if "csv" in name.lower() else '{"u":"007","n":1}\n'
    rows = read_table(write(tmp_path / name, gzip.compress(text.encode()))).rows
    assert rows.select("u", "n").rows() == [("007", "1")]


@pytest.mark.parametrize("text", ["a,b", "a,b\n", '"a","b"', "\na,b", "a,b\r\n", "\ufeffa,b"])
def test_a_header_alone_is_a_table_without_rows(tmp_path, text):
    table = read_table(write(tmp_path / "a.csv", text))
    assert table.rows.columns == ["a", "b", "line"]
    assert table.rows.height == table.rejected.height == 0


def test_the_separator_is_counted_outside_quotes(tmp_path):
    rows = read_table(write(tmp_path / "a.csv", '"a;b;c|d|e",n\n"1;2;3",5\n')).rows
    assert rows.columns == ["a;b;c|d|e", "n", "line"]
    assert rows.rows() == [("1;2;3", "5", 2)]


@pytest.mark.parametrize("separator", ["::", "", '"', "\n", "\r"])
def test_a_separator_that_is_not_one_sign_is_refused(tmp_path, separator):
    path = write(tmp_path / "a.dat", "1::2\n3::4\n")
    with pytest.raises(ReadError, match="separator must be one sign"):
        read_table(path, columns=["a", "b"], separator=separator)


@pytest.mark.parametrize("quoted", [False, True])
def test_the_line_ends_of_windows_change_nothing(tmp_path, quoted):
    text = 'a,b\n01,x\n\n2\n3,"y\nz"\n4,w' if quoted else "a,b\n01,x\n\n2\n3,y\n4,w"
    plain = read_table(write(tmp_path / "a.csv", text))
    windows = read_table(write(tmp_path / "b.csv", text.replace("\n", "\r\n")))
    assert windows.rows["line"].to_list() == plain.rows["line"].to_list()
    assert windows.rows["line"].to_list() == [2, 5, 7 if quoted else 6]
    assert windows.rows["a"].to_list() == ["01", "3", "4"]
    assert windows.rows["b"].str.replace("\r\n", "\n").equals(plain.rows["b"])
    assert windows.rejected["line"].to_list() == plain.rejected["line"].to_list() == [3, 4]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_that_is_nested_too_deeply_is_a_rejected_line(tmp_path, opening):
    text = '{"u": "1"}\n' + opening * 100_000 + '\n{"u": "2"}\n'
    table = read_table(write(tmp_path / "a.jsonl", text))
    assert table.rows.rows() == [(1, "1"), (3, "2")]
    assert table.rejected["line"].to_list() == [2]
    assert table.rejected["reason"].to_list() == ["not JSON: nested too deeply"]


def test_json_that_brings_its_lines_keeps_them(tmp_path):
    table = read_table(write(tmp_path / "a.jsonl", '{"u":"1","line":70}\n{"u":"2","line":"90"}\n'))
    assert table.rows["line"].to_list() == [70, 90]
    with pytest.raises(ReadError, match="'line' is not made of whole numbers"):
        read_table(write(tmp_path / "b.jsonl", '{"u":"1","line":"x"}\n'))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_more_records_than_one_chunk_holds_with_other_keys_in_each(tmp_path, monkeypatch, count):
    monkeypatch.setattr("companion.data.read.CHUNK", 2)
    records = [{"u": "1"}, {"u": "2", "x": 1}, {"y": "a"}, {"u": None}, {"z": [1]}][:count]
    path = write(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, records)) + "\n")
    table = read_table(path)
    assert table.rows["line"].to_list() == [1, 3, 5, 7, 9][:count]
    assert table.rows["u"].to_list() == ["1", "2", None, None, None][:count]
    assert table.rejected.height == count - 1
    assert set(table.rows.columns) == {"line"}.union(*records)
