"""The size of every model of the course, and of known ones, in one table."""

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from companion.envs.gridworlds import cliff
from companion.envs.shop_candidates import Candidates
from companion.envs.shop_tables import ShopWorld
from companion.envs.shop_view import ShopConfig, layout
from companion.metrics.model_size import (
    ADAM_WITH_TARGET,
    FLOAT64,
    KNOWN,
    ModelSize,
    size_of,
    transformer_size,
)
from companion.recommenders.next_basket import FIRST_ITEM, NextBasketConfig
from companion.recommenders.next_basket import weight_shapes as next_basket_shapes
from companion.recommenders.shop_features import PairFeatures
from companion.rl.dqn import DQNConfig
from companion.rl.dqn import weight_shapes as q_shapes
from companion.rl.policy_gradient import PolicyGradientConfig, actor_critic
from companion.rl.policy_gradient import weight_shapes as policy_shapes
from companion.rl.shop_tabular import ShopStates, ShopTableConfig

PAGE = "a page"
CARTPOLE = (4, 2)  # D and A of the pole of chapter 9
FEATURES = 7  # of a household, in chapter 13 on Complete Journey
PAIRS = 10  # of steps and gradients that L-BFGS keeps, as scikit-learn calls it


class Model(NamedTuple):
    """A model of the course or a known one."""

    name: str
    example: str  # what one example is
    size: ModelSize
    batch_size: int  # examples whose activations training keeps together; 0 where it keeps none


def course_models(world: ShopWorld, shop: ShopConfig | None = None) -> list[Model]:
    """Every model that learns in this course, at its own default settings.

    In the shop an example is a page: what it takes to choose one for one shopper.

    Args:
        world: for the numbers of items and topics.
        shop: for the observation and the slate; the default one when None.
    """
    shop = shop or ShopConfig()
    obs, items = max(part.stop for part in layout(shop, world).values()), world.num_items
    states = ShopStates(world, shop, ShopTableConfig()).count
    grid = cliff().mdp.allowed.shape
    acting, candidates = actor_critic(), Candidates(world, world.popularity).size
    steps, batch = NextBasketConfig().max_baskets, NextBasketConfig().batch_size
    return [
        Model("table, cliff", "a step", table(*grid), 0),
        Model("table, shop", PAGE, table(states, world.num_topics), 0),
        Model("click model", PAGE, click_model(obs, items, shop.slate_size), 0),
        Model("choice model", PAGE, choice_model(obs, items, shop.slate_size), 0),
        Model("LinUCB", PAGE, linear_bandit(items), 0),
        Model("Q-network, CartPole", "a step", q_network(*CARTPOLE), DQNConfig().batch_size),
        Model("Q-network, shop", PAGE, q_network(obs, items), DQNConfig().batch_size),
        Model("dueling Q-network, shop", PAGE, q_network(obs, items, True), DQNConfig().batch_size),
        Model(
            f"SlateQ, {candidates} candidates",
            PAGE,
            q_network(obs + candidates, candidates + 1),
            DQNConfig().batch_size,
        ),
        Model("actor-critic, shop", PAGE, policy(obs, items, acting), acting.rollout_length),
        Model("GRU, next basket", f"{steps} baskets", next_basket(items), batch),
    ]


def known_models(tokens: int = 32, batch_size: int = 32) -> list[Model]:
    """The transformers of `companion.metrics.model_size.KNOWN` on a text of that many pieces."""
    example = f"{tokens} word pieces"
    return [
        Model(name, example, transformer_size(config, tokens), batch_size)
        for name, config in KNOWN.items()
    ]


def size_table(models: list[Model]) -> pd.DataFrame:
    """A row for each model, by name.

    Returns:
        `example`, `parameters`, `bytes to use`, `bytes to train` (with the activations of a batch
        where they can be said) and `operations` of one example.
    """
    rows = {
        model.name: (
            model.example,
            model.size.parameters,
            model.size.memory,
            model.size.training_memory(model.batch_size),
            model.size.operations,
        )
        for model in models
    }
    names = ["example", "parameters", "bytes to use", "bytes to train", "operations"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def readable(sizes: pd.DataFrame) -> pd.DataFrame:
    """The table of `size_table` for a reader: 42,228 parameters, 169 kB, 83.2 k operations."""
    shown = sizes.copy()
    shown["parameters"] = [f"{number:,}" for number in sizes["parameters"]]
    for column in ("bytes to use", "bytes to train"):
        shown[column] = [f"{_short(number)}B" for number in sizes[column]]
    shown["operations"] = [_short(number).strip() for number in sizes["operations"]]
    names = {column: column.removeprefix("bytes ") for column in sizes.columns}
    return shown.rename(columns=names)


def _short(number: float) -> str:
    """Three digits and a prefix of the metric system."""
    for prefix in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.3g} {prefix}"
        number /= 1_000
    return f"{number:.3g} T"


def table(states: int, actions: int) -> ModelSize:
    """A table of action values, [S, A] float64. It is looked up: nothing is multiplied."""
    return ModelSize(states * actions, 0, copies=1, itemsize=FLOAT64)


def click_model(obs: int, items: int, places: int) -> ModelSize:
    """`ClickModel`: an intercept, weights of pairs [d] and observation [D], and K - 1 places.

    A page compares all items: I products with [d] weights, one with [D].
    """
    size = PairFeatures.size
    copies = 2 + 2 * PAIRS  # weights, gradient, and what L-BFGS remembers of earlier steps
    parameters = 1 + size + obs + places - 1
    return ModelSize(parameters, 2 * (items * size + obs), copies=copies, itemsize=FLOAT64)


def choice_model(obs: int, items: int, places: int) -> ModelSize:
    """`ChoiceModel`: a click model, and an intercept and weights [d] of a click's reward."""
    click, size = click_model(obs, items, places), PairFeatures.size
    return replace(
        click,
        parameters=click.parameters + 1 + size,
        operations=click.operations + 2 * items * size,
    )


def linear_bandit(items: int) -> ModelSize:
    """`LinUCB` with one theta for all: it learns P [d, d] and m [d], and holds R and theta for use.

    A page takes, for each item, theta^T x, R x and the square of its length: 2 d^2 + 4 d.
    """
    size = PairFeatures.size
    operations = items * (2 * size**2 + 4 * size)
    return ModelSize(size**2 + size, operations, copies=2, itemsize=FLOAT64)


def q_network(obs_size: int, num_actions: int, dueling: bool = False) -> ModelSize:
    """`QNetwork` at the default settings, with its target network.

    SlateQ's reads the candidates' utilities too, and has a value for each of them and for no click.
    """
    shapes = q_shapes(DQNConfig(dueling=dueling), obs_size, num_actions)
    return size_of(shapes, copies=ADAM_WITH_TARGET)


def policy(obs_size: int, num_actions: int, config: PolicyGradientConfig) -> ModelSize:
    """`PolicyNetwork`, policy and value together. The same logits give slates of any length."""
    return size_of(policy_shapes(config, obs_size, num_actions))


def next_basket(items: int, features: int = FEATURES) -> ModelSize:
    """`NextBasketModel` on a history of T baskets, with one answer at its end.

    The same table reads the baskets, by looking up, and scores all items at the end. The row of
    padding is no parameter. While training there is an answer after each basket, and the logits of
    all of them are kept.
    """
    config = NextBasketConfig()
    steps, rows = config.max_baskets, items + FIRST_ITEM
    shapes = next_basket_shapes(config, rows, features)
    shapes["embedding/table"] = (config.embedding_size, rows)  # as the kernel of the answer
    once = {"gru/kernel": steps, "gru/recurrent_kernel": steps, "embedding/table": 1}
    every = once | {"projection/kernel": steps, "embedding/table": steps}
    answer, training = size_of(shapes, once), size_of(shapes, every)
    return ModelSize(
        parameters=answer.parameters - config.embedding_size,
        operations=answer.operations,
        kept=training.kept + steps * rows,
    )
