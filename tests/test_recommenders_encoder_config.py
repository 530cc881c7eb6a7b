"""Settings and starting weights of the user encoders."""

import numpy as np
import pytest

from companion.recommenders.encoder_config import (
    SequenceConfig,
    TextCNNConfig,
    TransformerConfig,
    bert4rec,
    check_histories,
    sasrec,
    starting_weights,
)

TEXT = {"num_tokens": 10}


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (TransformerConfig, {"size": 0}, "size must be 1 or more; got 0"),
        (TransformerConfig, {"layers": 0}, "layers must be 1 or more; got 0"),
        (TransformerConfig, {"heads": 3}, "size 64 must be a multiple of heads 3"),
        (TransformerConfig, {"activation": "tanh"}, "activation must be one of .*; got 'tanh'"),
        (TransformerConfig, {"norm_epsilon": 0.0}, "norm_epsilon must be above 0; got 0.0"),
        (TransformerConfig, {"norm_epsilon": np.nan}, "norm_epsilon must be above 0; got nan"),
        (TransformerConfig, {"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        (TextCNNConfig, {"num_tokens": 1}, "num_tokens must be 2 or more; got 1"),
        (TextCNNConfig, TEXT | {"widths": ()}, r"widths must be one or more .*; got \(\)"),
        (TextCNNConfig, TEXT | {"widths": (2, 0)}, r"widths must be .*; got \(2, 0\)"),
        (TextCNNConfig, TEXT | {"filters": 0}, "filters must be 1 or more; got 0"),
        (TextCNNConfig, TEXT | {"dropout": -0.1}, "dropout must be in"),
        (SequenceConfig, {"encoder": "rnn"}, "encoder must be one of .*; got 'rnn'"),
        (SequenceConfig, {"head": "cosine"}, "head must be one of .*; got 'cosine'"),
        (SequenceConfig, {"size": 0, "encoder": "gru"}, "size must be 1 or more; got 0"),
        (SequenceConfig, {"transformer": sasrec(size=32)}, "size is 64, but transformer.size 32"),
        (
            SequenceConfig,
            {"encoder": "gru", "transformer": sasrec()},
            "transformer must be None with encoder 'gru'",
        ),
    ],
)
def test_a_setting_out_of_range_is_named(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_the_published_models_are_what_they_are_called():
    assert (sasrec().causal, sasrec().norm_first, sasrec().activation) == (True, True, "relu")
    both_ways = bert4rec(size=32)
    assert (both_ways.causal, both_ways.norm_first) == (False, False)
    assert (both_ways.activation, both_ways.norm_epsilon, both_ways.size) == ("gelu", 1e-12, 32)
    assert (both_ways.feed_forward, sasrec(size=16).feed_forward) == (128, 16)
    assert sasrec(size=16, feed_forward=9).feed_forward == 9
    assert SequenceConfig(32).transformer == TransformerConfig(size=32)
    assert SequenceConfig(32, transformer=both_ways).masks
    assert not SequenceConfig(32).masks
    assert not SequenceConfig(32, "lstm").masks
    assert TextCNNConfig(10, widths=[2, 3]).widths == (2, 3)


SHAPES = {
    "embedding/table": (500, 16),
    "encoder/position": (300, 16),
    "encoder/wide/kernel": (25, 64),
    "encoder/wide/bias": (64,),
    "convolutions/0/kernel": (4, 25, 30),
    "norm/gamma": (8,),
    "norm/beta": (8,),
    "encoder/lstm/recurrent_kernel": (16, 32),
    "encoder/lstm/bias": (32,),
}


def test_starting_weights_have_the_right_size():
    weights = starting_weights(SHAPES, 0)
    assert {n: v.shape for n, v in weights.items()} == SHAPES
    assert all(value.dtype == np.float32 for value in weights.values())
    for name, width in (
        ("encoder/wide/kernel", 0.2),
        ("convolutions/0/kernel", 0.1),
        ("encoder/lstm/recurrent_kernel", 0.25),
    ):
        assert 0.95 * width < np.abs(weights[name]).max() <= width
    for name in ("embedding/table", "encoder/position"):
        lengths = np.linalg.norm(weights[name][1:], axis=1)
        assert lengths.mean() == pytest.approx(1, abs=0.05)
    assert not weights["embedding/table"][0].any()
    assert weights["encoder/position"][0].any()
    assert (weights["norm/gamma"] == 1).all()
    assert not any(weights[name].any() for name in ("norm/beta", "encoder/wide/bias"))
    assert weights["encoder/lstm/bias"].tolist() == [0] * 8 + [1] * 8 + [0] * 16


def test_a_seed_decides_each_array_by_its_name():
    one, same, other = (starting_weights(SHAPES, seed) for seed in (0, 0, 1))
    fewer = starting_weights({"encoder/wide/kernel": (25, 64)}, 0)
    kernel = "encoder/wide/kernel"
    np.testing.assert_array_equal(one[kernel], same[kernel])
    np.testing.assert_array_equal(one[kernel], fewer[kernel])
    assert (one[kernel] != other[kernel]).any()


def test_a_table_may_be_given():
    given = np.ones((500, 16))
    table = starting_weights(SHAPES, 0, {"embedding/table": given})["embedding/table"]
    assert not table[0].any()
    assert (table[1:] == 1).all()
    assert (given == 1).all()
    for wrong in ({"embedding/table": given[1:]}, {"other/table": given}):
        with pytest.raises(ValueError, match=r"/table has shape .*; the model has"):
            starting_weights(SHAPES, 0, wrong)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1, 2], r"items must be whole numbers \[B, T\]; got int64 \(2,\)"),
        ([[1.0, 2.0]], "items must be whole numbers"),
        ([[2, 0], [3, 9]], r"row 1 holds item 9, outside 0\.\.8"),
        ([[2, -1]], r"row 0 holds item -1, outside 0\.\.8"),
        ([[2, 0, 0], [2, 0, 3]], "row 1 has padding before an item: pad on the right"),
        ([[0, 2]], "row 0 has padding before an item"),
    ],
)
def test_histories_that_no_encoder_should_read_are_refused(items, message):
    with pytest.raises(ValueError, match=message):
        check_histories(np.array(items), 9)


def test_right_histories_pass():
    check_histories(np.array([[2, 8, 1], [3, 0, 0], [0, 0, 0]]), 9)
    check_histories(np.zeros((0, 4), np.int32), 9)
