"""Vectors are computed once for each text and model, and a damaged file is made again."""

import hashlib

import numpy as np
import pytest

from companion.core.checkpoint import load, save
from companion.data.embedding_cache import cache_file, cached


class Toy:
    """An encoder whose vectors follow from text and model, and which notes what it was asked."""

    def __init__(self, fingerprint="a" * 64, size=3):
        self.fingerprint, self.size, self.asked = fingerprint, size, []

    def encode(self, texts):
        self.asked.append(list(texts))
        return np.array([self.vector(text) for text in texts], np.float32)

    def vector(self, text):
        digest = hashlib.sha256(f"{self.fingerprint} {text}".encode()).digest()
        return np.frombuffer(digest, np.uint8)[: self.size].astype(np.float32)


def assert_right(encoder, texts, found):
    expected = np.array([encoder.vector(text) for text in texts], np.float32)
    np.testing.assert_array_equal(found, expected.reshape(len(texts), encoder.size))
    assert found.dtype == np.float32


def test_each_text_is_asked_for_once(tmp_path):
    toy, texts = Toy(), ["b", "a", "b", ""]
    assert_right(toy, texts, cached(toy, texts, tmp_path))
    assert toy.asked == [["b", "a", ""]]
    again = Toy()
    assert_right(again, ["", "c", "a"], cached(again, ["", "c", "a"], tmp_path))
    assert again.asked == [["c"]]
    assert_right(again, ["c", "b"], cached(again, ["c", "b"], tmp_path))
    assert again.asked == [["c"]]


def test_nothing_to_do(tmp_path):
    toy = Toy()
    assert cached(toy, [], tmp_path).shape == (0, 3)
    assert toy.asked == []
    assert list(tmp_path.iterdir()) == []


def test_each_model_has_a_file_of_its_own(tmp_path):
    one, other = Toy("1" * 64), Toy("2" * 64)
    assert_right(one, ["a"], cached(one, ["a"], tmp_path))
    assert_right(other, ["a"], cached(other, ["a"], tmp_path))
    assert other.asked == [["a"]]
    assert len(list(tmp_path.iterdir())) == 2


def test_models_with_one_file_keep_their_rows_apart(tmp_path):
    """Only the beginning of a fingerprint is in the file's name; the whole one is in the key."""
    one, other = Toy("3" * 16 + "1" * 48), Toy("3" * 16 + "2" * 48)
    cached(one, ["a"], tmp_path)
    assert_right(other, ["a"], cached(other, ["a"], tmp_path))
    assert_right(one, ["a"], cached(one, ["a"], tmp_path))
    assert one.asked == [["a"]]


def changed_byte(content):
    return content[:-1] + bytes([content[-1] ^ 1])


DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"not a file of vectors",
    "one bit of a number": changed_byte,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_made_again(tmp_path, name):
    toy = Toy()
    cached(toy, ["a", "b"], tmp_path)
    path = cache_file(toy, tmp_path)
    whole, _ = load(path)
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert_right(toy, ["a", "b"], cached(toy, ["a", "b"], tmp_path))
    assert toy.asked == [["a", "b"], ["a", "b"]]
    for key, value in load(path)[0].items():
        np.testing.assert_array_equal(value, whole[key])


def test_a_file_with_other_arrays_or_another_size_is_made_again(tmp_path):
    toy, path = Toy(), cache_file(Toy(), tmp_path)
    save(path, {"weights": np.ones(3, np.float32)}, {})
    assert_right(toy, ["a"], cached(toy, ["a"], tmp_path))
    wide = Toy(size=5)
    assert_right(wide, ["a"], cached(wide, ["a"], tmp_path))
    assert wide.asked == [["a"]]
    keys, vectors = np.zeros((2, 32), np.uint8), np.zeros((1, 5), np.float32)
    digest = hashlib.sha256(keys.tobytes() + vectors.tobytes()).hexdigest()
    save(path, {"keys": keys, "vectors": vectors}, {"sha256": digest})
    assert_right(wide, ["a"], cached(wide, ["a"], tmp_path))


def test_what_another_process_added_meanwhile_is_kept(tmp_path):
    class Slow(Toy):
        def encode(self, texts):
            cached(Toy(), ["b"], tmp_path)
            return super().encode(texts)

    cached(Slow(), ["a"], tmp_path)
    later = Toy()
    assert_right(later, ["a", "b"], cached(later, ["a", "b"], tmp_path))
    assert later.asked == []


def test_a_failed_encoder_leaves_the_file(tmp_path):
    class Broken(Toy):
        def encode(self, texts):
            raise MemoryError

    cached(Toy(), ["a"], tmp_path)
    before = cache_file(Toy(), tmp_path).read_bytes()
    with pytest.raises(MemoryError):
        cached(Broken(), ["b"], tmp_path)
    assert cache_file(Toy(), tmp_path).read_bytes() == before


def test_a_failed_write_leaves_the_file(tmp_path, monkeypatch):
    cached(Toy(), ["a"], tmp_path)
    before = cache_file(Toy(), tmp_path).read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("companion.core.checkpoint.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        cached(Toy(), ["b"], tmp_path)
    assert cache_file(Toy(), tmp_path).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_it_lies_in_the_cache_of_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    cached(Toy(), ["a"])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [
        "embeddings-" + "a" * 16 + ".safetensors"
    ]


def test_keys_are_of_model_and_text(tmp_path):
    cached(Toy(), ["café"], tmp_path)
    arrays, _ = load(cache_file(Toy(), tmp_path))
    expected = hashlib.sha256(b"a" * 64 + b"\n" + "café".encode()).digest()
    assert arrays["keys"].tobytes() == expected


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["a", None], "row 1 is None"),
        ("abc", "got one text"),
        (["\ud800"], "row 0 is no valid Unicode"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, texts, sentence):
    with pytest.raises(ValueError, match=sentence):
        cached(Toy(), texts, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_of_another_shape_is_named(tmp_path):
    class Wrong(Toy):
        def encode(self, texts):
            return super().encode(texts)[:, :2]

    with pytest.raises(ValueError, match=r"gave shape \(2, 2\); \(2, 3\) was due"):
        cached(Wrong(), ["a", "b"], tmp_path)
    assert list(tmp_path.iterdir()) == []
