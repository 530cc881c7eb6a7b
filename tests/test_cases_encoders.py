"""Faults that others reported, as encoders of users would have them; each is a test of ours.

Of the areas "encoders", "pytorch" and "tensorflow/keras" of the collected cases, those that
concern what reads a history or a graph.
"""

import json

import encoders as common
import numpy as np
import pytest
from encoders import KINDS, H, busy, call, compiled, gradients, of
from parity import array, load, tensor
from scipy import sparse
from test_twins import input_gradient

from companion.recommenders.encoder_config import SequenceConfig, TextCNNConfig, sasrec
from companion.recommenders.graph_config import LightGCNConfig
from companion.recommenders.item_graph import bipartite, normalise_symmetric

CASES = json.loads(
    """{
"ENC-01": {"interactions": [[1, 1, 0], [0, 1, 0]],
           "weights": [[0.7071067811865475, 0.5, 0], [0, 0.7071067811865475, 0]]},
"TF-02": {"numbers": [0, 1, 2, 3, 4], "traces": 1},
"TF-03": {"tokens": [[1, 2, 0, 0], [0, 0, 0, 0]], "pad": 0},
"TF-04": {"table": [5, 1, 3], "tokens": [1, 2, 0, 0], "expected_mean": 2.0},
"PT-04": {"pad_mask": [[false, false, true], [true, true, true]]}
}"""
)
ENCODERS = ["gru", "lstm", "mean", "text", *KINDS]


@pytest.mark.parametrize("name", ["ENC-01", "TF-03", "TF-04", "PT-04"])
def test_the_inputs_are_those_that_were_reported(shared, name):
    assert json.loads((shared / "cases" / "files" / f"{name}.json").read_text()) == CASES[name]


def reader(twin, kind):
    """Tokens [B, T] -> what an encoder says of each row, and the encoder."""
    names = load(twin.__name__.rsplit(".", 1)[1], ".encoders")
    if kind == "text":
        text = of(twin, "text_encoders").TextCNN(TextCNNConfig(4, H, (2, 3), 5, H))
        return text, text
    embedding = names.ItemEmbedding(4, H)
    busy(twin, embedding)
    if kind == "mean":
        return embedding, lambda tokens: names.masked_mean(embedding(tokens), tokens != 0)
    if kind == "gru":
        encoder = names.GRUEncoder(H, H)
    elif kind == "lstm":
        encoder = of(twin, "sequence_encoders").LSTMEncoder(H, H)
    else:
        encoder = of(twin, "transformer").TransformerEncoder(KINDS[kind])

    def read(tokens):
        mask = tokens != 0
        return names.last_state(encoder(embedding(tokens), mask), mask)

    return encoder, read


@pytest.mark.parametrize("kind", ENCODERS)
def test_tf_03_a_row_of_padding_alone_gives_a_finite_vector(twin, kind):
    """Zeros from all that sums up events; the text encoder's own bias from a text without words."""
    encoder, read = reader(twin, kind)
    weights = busy(twin, encoder)
    tokens = np.array(CASES["TF-03"]["tokens"])
    found = call(twin, read, tokens)
    expected = weights["dense/bias"] if kind == "text" else np.zeros(H)
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert np.isfinite(found[0]).all()
    assert np.abs(found[0] - found[1]).max() > 1e-2
    alone = call(twin, read, tokens[:1])  # the empty row does not disturb its neighbour
    np.testing.assert_allclose(found[0], alone[0], atol=1e-6)
    for slope in gradients(twin, encoder, read, tokens).values():
        assert np.isfinite(slope).all()


def test_tf_04_padding_is_not_averaged_in(twin):
    case = CASES["TF-04"]
    table = np.float32(case["table"])[:, None]
    names = load(twin.__name__.rsplit(".", 1)[1], ".encoders")
    tokens = np.array([case["tokens"]])
    given = names.masked_mean(tensor(twin, table[tokens]), tensor(twin, tokens != 0))
    assert array(given).tolist() == [[case["expected_mean"]]]
    # Nor can a table teach its row of padding another vector: it has none.
    embedding = names.ItemEmbedding(3, 1, table)
    assert call(twin, embedding, tokens)[0, :, 0].tolist() == [1, 3, 0, 0]


@pytest.mark.parametrize("kind", list(KINDS))
def test_pt_04_attention_over_padding_alone_is_finite(twin, kind):
    """Outputs and gradients; and what stands in the padding has no part in either."""
    there = ~np.array(CASES["PT-04"]["pad_mask"])
    model = of(twin, "transformer").TransformerEncoder(KINDS[kind])
    busy(twin, model)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, H)).astype(np.float32)
    outputs, slopes = [], []
    for padding in (0.0, 7.0, np.inf, np.nan):
        other = np.where(there[..., None], x, np.float32(padding))
        outputs.append(call(twin, model, other, there))
        slopes.append(input_gradient(twin, lambda v: model(v, tensor(twin, there)), other))
        weights = gradients(twin, model, model, other, there)
        assert all(np.isfinite(slope).all() for slope in weights.values())
    for found, slope in zip(outputs, slopes, strict=True):
        np.testing.assert_array_equal(found, outputs[0])
        np.testing.assert_array_equal(slope, slopes[0])
        assert np.isfinite(slope).all()
    assert (outputs[0][1] == 0).all()
    assert (slopes[0][~there] == 0).all()
    short, _ = common.transformer_reference(
        x[0, :2], of(twin, "named_weights").get_weights(model), KINDS[kind]
    )
    np.testing.assert_allclose(outputs[0][0, :2], short, atol=1e-5)


def test_pt_04_a_softmax_over_nothing_is_zeros(twin):
    attend = of(twin, "transformer").attend
    x = np.random.default_rng(0).normal(size=(2, 3, H)).astype(np.float32)
    allowed = ~np.array(CASES["PT-04"]["pad_mask"])[:, None]  # [B, 1, T]

    def mean(v):
        return attend(v, v, v, tensor(twin, allowed))[0]

    found = call(twin, mean, x)
    assert (found[1] == 0).all()
    by = input_gradient(twin, mean, x)
    assert np.isfinite(by).all()
    assert (by[1] == 0).all()
    assert (by[0, :2] != 0).all()


def test_tf_02_a_step_is_compiled_once_whatever_the_length_of_a_history():
    case, twin = CASES["TF-02"], load("tensorflow")
    config = SequenceConfig(H, transformer=sasrec(size=H, max_length=5))
    model = of(twin, "sequence_model").SequenceModel(config, 9)
    step, state = compiled(twin, model.step), model.start(1)
    for number in case["numbers"]:
        _, state = step(state, tensor(twin, np.array([2 + number])))
    assert array(state.length).tolist() == [len(case["numbers"])]
    assert step.experimental_get_tracing_count() == case["traces"]


def interactions():
    """Two users, three items; nobody had the third."""
    return sparse.csr_array(np.array(CASES["ENC-01"]["interactions"], float))


def test_enc_01_an_item_that_nobody_touched_stays_finite(twin):
    """It keeps its own vector alone: the share 1 / (L + 1) that LightGCN gives a node's own."""
    graph = normalise_symmetric(bipartite(interactions())).toarray()
    np.testing.assert_allclose(graph[:2, 2:], CASES["ENC-01"]["weights"])
    model = of(twin, "graph").LightGCN(LightGCNConfig(size=H, layers=3, l2=0.1), interactions())
    weights = busy(twin, model)
    users, items = (array(part) for part in model.vectors())
    assert np.isfinite(users).all()
    assert np.isfinite(items).all()
    np.testing.assert_allclose(items[2], weights["items"][2] / 4, atol=1e-6)
    batch = [tensor(twin, np.array(column)) for column in ([0, 1], [0, 1], [[2], [2]])]
    slopes = of(twin, "named_weights").gradients(model, lambda: model.batch_loss(*batch))
    for slope in slopes.values():
        assert np.isfinite(slope).all()
        assert (np.abs(slope).max(1) > 1e-3).all()


def test_enc_02_users_meet_items_alone(twin):
    graph = bipartite(interactions())
    assert graph.shape == (5, 5)
    assert graph.nnz == 6
    table, seen = graph.toarray(), interactions().toarray()
    np.testing.assert_array_equal(table, table.T)
    assert not table[:2, :2].any()
    assert not table[2:, 2:].any()
    np.testing.assert_array_equal(table[:2, 2:], seen)  # item i is node 2 + i
    # One step of the model: users get their items' vectors, items their users'.
    model = of(twin, "graph").LightGCN(LightGCNConfig(size=H, layers=1), interactions())
    weights = busy(twin, model)
    step = np.array(CASES["ENC-01"]["weights"])
    users, items = (array(part) for part in model.vectors())
    np.testing.assert_allclose(users, (weights["users"] + step @ weights["items"]) / 2, atol=1e-6)
    np.testing.assert_allclose(items, (weights["items"] + step.T @ weights["users"]) / 2, atol=1e-6)
