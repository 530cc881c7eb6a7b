"""The user encoders of both frameworks compute the same numbers, and the right ones."""

import importlib
import inspect

import encoders as common
import numpy as np
import pytest
from encoders import (
    KINDS,
    LENGTHS,
    SMALL,
    H,
    T,
    busy,
    call,
    compiled,
    gradients,
    histories,
    is_torch,
    of,
)
from parity import FRAMEWORKS, array, assert_same, load, tensor
from test_twins import input_gradient, methods, parameters

from companion.core.checkpoint import load as load_file
from companion.core.checkpoint import save
from companion.recommenders.encoder_config import TextCNNConfig, sasrec, starting_weights

MODULES = [
    "named_weights",
    "sequence_encoders",
    "sequence_losses",
    "sequence_model",
    "text_encoders",
    "transformer",
]
D = 4  # size of what the LSTM reads
TEXT = TextCNNConfig(num_tokens=9, embedding_size=D, widths=(1, 2, 4), filters=3, hidden_size=H)
TOKENS = np.array([[3, 8, 1, 4, 4], [2, 5, 0, 0, 0], [7, 0, 0, 0, 0], [0] * 5])
EVERY = ["lstm", *KINDS]


def transformer(twin, kind="sasrec"):
    return of(twin, "transformer").TransformerEncoder(KINDS[kind])


def sequence(twin, kind):
    """An encoder of vectors, and what it reads."""
    if kind == "lstm":
        return of(twin, "sequence_encoders").LSTMEncoder(D, H), *histories(D)
    return transformer(twin, kind), *histories(H)


def text(twin, config=TEXT):
    return of(twin, "text_encoders").TextCNN(config)


def one(twin, kind):
    """An encoder with busy weights, and its input as a list."""
    made = (text(twin), TOKENS) if kind == "text" else sequence(twin, kind)
    busy(twin, made[0])
    return made[0], list(made[1:])


# --- the same names ------------------------------------------------------------------------------


def own(module):
    """Public classes and functions that a module defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    }


@pytest.mark.parametrize("module", MODULES)
def test_same_public_names_and_signatures(module):
    first, second = (own(load(framework, f".{module}")) for framework in FRAMEWORKS)
    assert list(first) == list(second)
    for name in first:
        mine, other = first[name], second[name]
        same = methods if inspect.isclass(mine) else parameters
        if name != "attend":  # a dropout is each framework's own
            assert same(mine) == same(other), name
        assert list(inspect.signature(mine).parameters) == list(inspect.signature(other).parameters)
        assert mine.__doc__ == other.__doc__


@pytest.mark.parametrize("module", MODULES)
def test_the_page_of_a_twin_names_its_twin(module):
    for mine, other in (FRAMEWORKS, FRAMEWORKS[::-1]):
        assert f"Twin: companion/{other}/{module}.py" in load(mine, f".{module}").__doc__


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", *EVERY])
def test_same_weights_give_the_same_outputs_and_gradients(twins, kind):
    outputs, slopes, names = [], [], []
    for twin in twins:
        model, given = one(twin, kind)
        names.append({n: v.shape for n, v in of(twin, "named_weights").get_weights(model).items()})
        outputs.append(call(twin, model, *given))
        slopes.append(gradients(twin, model, model, *given))
    assert names[0] == names[1]
    assert outputs[0].dtype == outputs[1].dtype == np.float32
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-5)
    assert_same(*slopes)
    for name, slope in slopes[0].items():
        # A bias of the keys adds the same to all scores of a query: the softmax takes it away.
        if not name.endswith("key/bias"):
            assert np.abs(slope).max() > 1e-5, f"{name} has no part in the output"


@pytest.mark.parametrize("kind", ["text", "lstm", "bert4rec"])
def test_one_step_of_sgd_gives_the_same_weights(twins, kind):
    stepped = []
    for twin in twins:
        (model, given), names = one(twin, kind), of(twin, "named_weights")
        weights, slopes = names.get_weights(model), gradients(twin, model, model, *given)
        names.set_weights(model, {name: weights[name] - 0.5 * slopes[name] for name in weights})
        stepped.append(names.get_weights(model))
        moved = {name for name in weights if (stepped[-1][name] != weights[name]).any()}
        assert moved >= {name for name in weights if not name.endswith("key/bias")}
    assert_same(*stepped)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_transformer_equals_its_numpy_reference(twin, kind):
    model, (x, mask) = one(twin, kind)
    weights = of(twin, "named_weights").get_weights(model)
    states = call(twin, model, x, mask)
    maps = call(twin, model.attention_maps, x, mask)  # [L, B, M, T, T]
    for row, n in enumerate(LENGTHS):
        expected, seen = common.transformer_reference(x[row, :n], weights, KINDS[kind])
        np.testing.assert_allclose(states[row, :n], expected, atol=1e-5)
        assert (states[row, n:] == 0).all()
        np.testing.assert_allclose(maps[:, row, :, :n, :n], seen, atol=1e-5)
        assert (maps[:, row, :, :, n:] == 0).all()
    np.testing.assert_allclose(maps[:, :3].sum(-1), 1, atol=1e-6)
    assert (maps[:, 3] == 0).all()


def test_the_lstm_equals_its_numpy_reference(twin):
    model, (x, mask) = one(twin, "lstm")
    weights = common.part(of(twin, "named_weights").get_weights(model), "lstm")
    states = call(twin, model, x, mask)
    for row, n in enumerate(LENGTHS):
        expected = common.lstm_reference(x[row, :n], weights)
        np.testing.assert_allclose(states[row, :n], expected, atol=1e-5)
        assert (states[row, n:] == 0).all()


def test_the_text_encoder_equals_its_numpy_reference(twin):
    model, (tokens,) = one(twin, "text")
    weights = of(twin, "named_weights").get_weights(model)
    found = call(twin, model, tokens)
    for row, own_tokens in enumerate(tokens):
        expected = common.text_cnn_reference(own_tokens[own_tokens != 0], weights, TEXT)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    np.testing.assert_allclose(found[3], weights["dense/bias"], atol=1e-6)  # no token at all


def test_a_filter_finds_its_phrase_wherever_it_stands(twin):
    """By hand: the filter answers 2 to token 2 before token 3, 1 to either alone, 0 to others."""
    config = TextCNNConfig(num_tokens=5, embedding_size=2, widths=(2,), filters=1, hidden_size=1)
    model = text(twin, config)
    weights = {
        "convolutions/0/bias": np.float32([0]),
        "convolutions/0/kernel": np.float32([[[1], [0]], [[0], [1]]]),
        "dense/bias": np.float32([10]),
        "dense/kernel": np.float32([[100]]),
        "embedding/table": np.float32([[0, 0], [0, 0], [1, 0], [0, 1], [0, 0]]),
    }
    of(twin, "named_weights").set_weights(model, weights)
    texts = np.array([[4, 2, 3, 0], [2, 3, 4, 4], [3, 2, 0, 0], [4, 4, 4, 2], [4, 4, 0, 0]])
    assert call(twin, model, texts)[:, 0].tolist() == [210, 210, 110, 110, 10]


def test_attention_by_hand(twin):
    """Scores 0 and ln 3 give weights 1/4 and 3/4; a masked key counts nothing."""
    attend = of(twin, "transformer").attend
    query = np.float32([[1, 0, 0, 0]])  # [1, 4]: the scores are divided by 2
    key = np.float32([[0, 5, 5, 5], [2 * np.log(3), 0, 0, 0], [50, 0, 0, 0]])
    value = np.float32([[4, 0], [0, 4], [1000, 1000]])
    for allowed, expected, weights in (
        ([True, True, False], [1, 3], [0.25, 0.75, 0]),
        ([True, False, False], [4, 0], [1, 0, 0]),
        ([False, False, False], [0, 0], [0, 0, 0]),
    ):
        found = attend(*(tensor(twin, v) for v in (query, key, value, np.array([allowed]))))
        np.testing.assert_allclose(array(found[0])[0], expected, atol=1e-5)
        np.testing.assert_allclose(array(found[1])[0], weights, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_equals_the_one_of_pytorch(norm_first, activation):
    """An independent reference: the layer that PyTorch itself offers."""
    twin = load("pytorch")
    torch = importlib.import_module("torch")
    config = sasrec(**SMALL, norm_first=norm_first, activation=activation, norm_epsilon=1e-5)
    block = of(twin, "transformer").TransformerBlock(config)
    busy(twin, block)
    theirs = torch.nn.TransformerEncoderLayer(
        H, 2, 7, 0.0, activation, batch_first=True, norm_first=norm_first
    )
    parts = [block.attention.query, block.attention.key, block.attention.value]
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([each.weight for each in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([each.bias for each in parts]))
    for mine, other in (
        (block.attention.out, theirs.self_attn.out_proj),
        (block.attention_norm, theirs.norm1),
        (block.wide, theirs.linear1),
        (block.narrow, theirs.linear2),
        (block.feed_norm, theirs.norm2),
    ):
        other.load_state_dict(mine.state_dict())
    x = torch.tensor(histories()[0])
    allowed = torch.ones(T, T, dtype=torch.bool).tril()
    found, _ = block(x, block.project(x), allowed[None, None])
    np.testing.assert_allclose(array(found), array(theirs(x, ~allowed)), atol=1e-5)


# --- padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
def test_what_stands_in_padding_has_no_influence(twin, kind):
    model, (x, mask) = one(twin, kind)
    other = np.where(mask[..., None], x, np.nan).astype(np.float32)
    np.testing.assert_array_equal(call(twin, model, x, mask), call(twin, model, other, mask))
    by = input_gradient(twin, lambda v: model(v, tensor(twin, mask)), other)
    assert np.isfinite(by).all()
    assert (by[~mask] == 0).all()
    assert (np.abs(by[:3, 0]).max(-1) > 0).all()
    slopes = [gradients(twin, model, model, v, mask) for v in (x, other)]
    assert_same(*slopes, atol=0)
    assert all(np.isfinite(slope).all() for slope in slopes[1].values())


@pytest.mark.parametrize("kind", ["text", *EVERY])
def test_more_padding_changes_nothing(twin, kind):
    model, given = one(twin, kind)
    wider = [np.concatenate([a, np.zeros_like(a[:, :1])], 1) for a in given]
    found, wide = call(twin, model, *given), call(twin, model, *wider)
    np.testing.assert_allclose(wide if kind == "text" else wide[:, :T], found, atol=1e-6)


@pytest.mark.parametrize("kind", ["text", *EVERY])
def test_users_without_anything_are_finite_and_teach_little(twin, kind):
    """A batch of empty histories: only a last bias of the text encoder has a gradient."""
    model, given = one(twin, kind)
    empty = [np.zeros_like(each) for each in given]
    found = call(twin, model, *empty)
    assert np.isfinite(found).all()
    assert kind == "text" or (found == 0).all()
    for name, slope in gradients(twin, model, model, *empty).items():
        assert np.isfinite(slope).all()
        assert name == "dense/bias" or (slope == 0).all(), name


@pytest.mark.parametrize("kind", EVERY)
def test_only_a_bidirectional_encoder_sees_what_comes_later(twin, kind):
    model, (x, mask) = one(twin, kind)
    later = x.copy()
    later[0, 3, 0] += 1
    difference = np.abs(call(twin, model, x, mask) - call(twin, model, later, mask))[0].max(-1)
    assert (difference[3:] > 1e-4).all()
    causal = kind == "lstm" or KINDS[kind].causal
    assert (difference[:3] == 0).all() if causal else (difference[:3] > 1e-4).all()


# --- event by event ------------------------------------------------------------------------------

CAUSAL = ["lstm", "sasrec", "relu behind"]


@pytest.mark.parametrize("kind", CAUSAL)
def test_event_by_event_equals_all_at_once(twin, kind):
    model, (x, mask) = one(twin, kind)
    states = call(twin, model, x, np.ones_like(mask))
    state = model.start(len(x))
    for place in range(T):
        vector, state = model.step(state, tensor(twin, x[:, place]))
        np.testing.assert_allclose(array(vector), states[:, place], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["sasrec", "relu behind"])
def test_a_history_read_at_once_goes_on_event_by_event(twin, kind):
    """Users of different length go on together, whatever stood in their padding."""
    model, (x, mask) = one(twin, kind)
    dirty = np.where(mask[..., None], x, np.nan).astype(np.float32)
    vector, state = model.prefill(tensor(twin, dirty), tensor(twin, mask))
    states = call(twin, model, x, mask)
    last = [states[row, n - 1] if n else np.zeros(H) for row, n in enumerate(LENGTHS)]
    np.testing.assert_array_equal(array(vector), np.float32(last))
    event = np.random.default_rng(5).normal(size=(len(x), H)).astype(np.float32)
    vector, state = model.step(state, tensor(twin, event))
    assert array(state.length).tolist() == [6, 4, 2, 1]
    for row, n in enumerate(LENGTHS):
        whole = np.concatenate([x[row, :n], event[row : row + 1]])[None]
        expected = call(twin, model, whole, np.ones((1, n + 1), bool))[0, -1]
        np.testing.assert_allclose(array(vector)[row], expected, atol=1e-5)
    with pytest.raises(ValueError, match="row 0 has 6 events already"):
        model.step(state, tensor(twin, event))


@pytest.mark.parametrize("kind", ["sasrec", "relu behind"])
def test_a_history_read_at_once_leaves_the_state_of_its_events(twin, kind):
    model, (x, mask) = one(twin, kind)
    _, state = model.prefill(tensor(twin, x), tensor(twin, mask))
    assert array(state.length).tolist() == LENGTHS.tolist()
    for row, n in enumerate(LENGTHS):
        slow = model.start(1)
        for place in range(n):
            _, slow = model.step(slow, tensor(twin, x[row : row + 1, place]))
        for found, expected in ((state.keys, slow.keys), (state.values, slow.values)):
            assert array(found)[row].shape == (2, 2, T + 1, H // 2)  # [L, M, T, S]
            np.testing.assert_allclose(array(found)[row], array(expected)[0], atol=1e-5)
            assert (array(found)[row, :, :, n:] == 0).all()


def test_what_cannot_go_on_is_refused(twin):
    x, mask = (tensor(twin, each) for each in histories())
    both_ways = transformer(twin, "bert4rec")
    for attempt in (lambda: both_ways.start(2), lambda: both_ways.prefill(x, mask)):
        with pytest.raises(ValueError, match="only a causal encoder"):
            attempt()
    long = np.zeros((1, T + 2, H), np.float32)
    with pytest.raises(ValueError, match="max_length is 6; got 7 places"):
        transformer(twin)(tensor(twin, long), tensor(twin, np.ones((1, T + 2), bool)))


def test_a_full_history_stops_a_compiled_step_of_tensorflow():
    twin = load("tensorflow")
    tf, model = importlib.import_module("tensorflow"), transformer(load("tensorflow"))
    step, state = compiled(twin, model.step), model.start(1)
    for _ in range(T + 1):
        _, state = step(state, tf.zeros((1, H)))
    assert step.experimental_get_tracing_count() == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="a user is at max_length"):
        step(state, tf.zeros((1, H)))


# --- compiled, dropout, files --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "lstm", "sasrec"])
def test_compiled_equals_eager(twin, kind):
    model, given = one(twin, kind)
    arrays = [tensor(twin, each) for each in given]
    whole = kind != "lstm"  # torch.compile leaves an LSTM to cuDNN or its own kernel
    found = compiled(twin, lambda *arrays: model(*arrays), whole)(*arrays)
    np.testing.assert_allclose(array(found), array(model(*arrays)), rtol=0, atol=1e-5)


def in_training(twin, model, *given):
    arrays = [tensor(twin, each) for each in given]
    if is_torch(twin):
        model.train()
        return array(model(*arrays))
    return np.asarray(model(*arrays, training=True))


def test_dropout_acts_in_training_alone(twin):
    config = sasrec(**{**SMALL, "dropout": 0.5})
    for make, given in (
        (lambda: of(twin, "transformer").TransformerEncoder(config), histories()),
        (lambda: text(twin, TextCNNConfig(**{**vars(TEXT), "dropout": 0.5})), (TOKENS,)),
    ):
        model = make()
        busy(twin, model)
        noisy = [in_training(twin, model, *given) for _ in range(2)]
        assert np.abs(noisy[0] - noisy[1]).max() > 1e-3
        if is_torch(twin):
            model.eval()
        still = [call(twin, model, *given) for _ in range(2)]
        np.testing.assert_array_equal(*still)


@pytest.mark.parametrize("place", ["attention", "block", "entry"])
def test_each_dropout_is_used(twin, place):
    """With one dropout alone, training differs from use; with none, it does not."""
    model = of(twin, "transformer").TransformerEncoder(sasrec(**{**SMALL, "dropout": 0.5}))
    busy(twin, model)
    blocks = [part for block in model.blocks for part in (block, block.attention)]
    rate = "p" if is_torch(twin) else "rate"
    for part in (model, *blocks):
        setattr(part.dropout, rate, 0.0)
    still = call(twin, model, *histories())
    np.testing.assert_array_equal(in_training(twin, model, *histories()), still)
    one_of = {"attention": blocks[1], "block": blocks[2], "entry": model}[place]
    setattr(one_of.dropout, rate, 0.5)
    assert np.abs(in_training(twin, model, *histories()) - still).max() > 1e-3


@pytest.mark.parametrize("kind", ["text", "lstm", "sasrec"])
@pytest.mark.parametrize("direction", [(0, 1), (1, 0)])
def test_a_checkpoint_of_one_twin_loads_in_the_other(twins, kind, direction, tmp_path):
    writer, reader = (twins[i] for i in direction)
    (first, given), (second, _) = one(writer, kind), one(reader, kind)
    expected = of(writer, "named_weights").get_weights(first)
    busy(reader, second, seed=9)
    save(tmp_path / "model", expected, {})
    of(reader, "named_weights").set_weights(second, load_file(tmp_path / "model")[0])
    assert_same(of(reader, "named_weights").get_weights(second), expected, atol=0)
    outputs = call(writer, first, *given), call(reader, second, *given)
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-5)


def test_weights_are_copies_and_what_does_not_fit_is_named(twin):
    model, _ = one(twin, "sasrec")
    names = of(twin, "named_weights")
    weights = names.get_weights(model)
    kept = {name: value.copy() for name, value in weights.items()}
    for value in weights.values():
        value[:] = 7
    assert_same(names.get_weights(model), kept, atol=0)
    wrong = {**kept, "norm/gama": kept["norm/gamma"]}
    del wrong["norm/gamma"]
    with pytest.raises(ValueError, match=r"norm/gamma is missing; norm/gama is not known"):
        names.set_weights(model, wrong)


@pytest.mark.parametrize("kind", ["text", *EVERY])
def test_one_seed_starts_both_from_the_same_numbers(twins, kind):
    shapes = []
    for twin in twins:
        names, (model, _) = of(twin, "named_weights"), one(twin, kind)
        shapes.append({n: v.shape for n, v in names.get_weights(model).items()})
        names.set_weights(model, starting_weights(shapes[-1], 0))
        assert_same(names.get_weights(model), starting_weights(shapes[0], 0), atol=0)


def test_every_parameter_has_a_name(twins):
    """No parameter is left out of the exchange format, and none in it is frozen."""
    for kind in ("text", *EVERY):
        torch_, keras_ = (one(twin, kind)[0] for twin in twins)
        names = of(twins[0], "named_weights").get_weights(torch_)
        held = sum(p.numel() for p in torch_.parameters() if p.requires_grad)
        tables = sum(v.shape[1] for n, v in names.items() if n.endswith("table"))  # rows of padding
        assert sum(v.size for v in names.values()) - tables == held
        assert sum(np.prod(v.shape) for v in keras_.trainable_variables) == held
