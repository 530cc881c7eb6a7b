"""The choice model in the shop: the log it is fitted on, candidates, and the myopic policy.

The model itself, and its fit, are in `companion.recommenders.choice_logit`.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from companion.envs.best_slate import best_slate
from companion.envs.policies import Info, Policy, gathered, mask_of, of_step
from companion.envs.shop_candidates import Candidates, Utility
from companion.envs.shop_tables import ShopWorld, topic_counts
from companion.envs.slates import Slate
from companion.recommenders.choice_logit import (
    ChoiceModel,
    ClickReward,
    PageExamples,
    fit_choice_model,
)
from companion.recommenders.linear_arms import Pairs
from companion.recommenders.shop_features import PairFeatures

__all__ = [
    "ChoiceModel",
    "ClickReward",
    "MyopicPolicy",
    "PageExamples",
    "collect_pages",
    "fit_choice_model",
    "fitted_utility",
    "myopic_policy",
    "static_scores",
]

_AT_ONCE = 256  # households whose features of all items are in memory together
_PARTS = ("bought", "clicked", "shown", "ordered", "searched")


def collect_pages(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    pairs: Pairs,
    *,
    steps: int,
    seed: int,
) -> PageExamples:
    """The pages of a simulated log, with what the shop knew at each.

    Args:
        envs: N shops. They are reset.
        policy: that shows the pages; a random one leaves nothing out. It does not learn.
        pairs: features of shopper and item.
        steps: pages of each shop: M = N steps.
        seed: of the shops and of the policy.

    Raises:
        ValueError: steps is below 1.
    """

    def row(obs: np.ndarray, slate: Slate, info: Info) -> tuple[np.ndarray, ...]:
        before, position, reward = of_step(info, "before", "position", "reward")
        return pairs(obs, before, slate.items), obs, position, reward

    return PageExamples(*gathered(envs, policy, row, steps=steps, seed=seed))


def fitted_utility(model: ChoiceModel, pairs: Pairs) -> Utility:
    """The model's utilities of items, as `CandidateShop` wants them.

    Args:
        model: from `fit_choice_model`.
        pairs: the features that it was fitted with.

    Raises:
        ValueError: the model has another number of features.
    """
    _check_size(model, pairs)
    return lambda obs, info, items: model.utility(pairs(obs, info, items), obs)


def static_scores(model: ChoiceModel, world: ShopWorld) -> np.ndarray:
    """What the model says of each item and household before any page, for `Candidates`. [H, I]

    It is w^T x where nothing was clicked, shown or searched for: what is left does not change
    within an episode.

    Args:
        model: fitted with `PairFeatures`.
        world: of the shop.

    Raises:
        ValueError: the model has another number of features.
    """
    topics, households = world.num_topics, world.num_users
    parts = {name: slice(n * topics, (n + 1) * topics) for n, name in enumerate(_PARTS)}
    pairs = PairFeatures(world, parts)
    _check_size(model, pairs)
    counts = topic_counts(world)
    obs = np.zeros((households, len(_PARTS) * topics), np.float32)
    obs[:, :topics] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    scores = np.empty((households, world.num_items))
    for first in range(0, households, _AT_ONCE):
        user = np.arange(first, min(first + _AT_ONCE, households))
        info = {"user": user, "search": np.full(len(user), -1)}
        scores[user] = pairs(obs[user], info) @ model.pairs
    return scores


@dataclass(frozen=True)
class MyopicPolicy:
    """Shows the page of the largest expected reward by a model, and looks no further.

    `myopic_policy` makes one.
    """

    name: str  # in tables and figures
    model: ChoiceModel
    pairs: Pairs  # the features that it was fitted with
    slate_size: int  # K
    candidates: Candidates | None = None  # None for all items

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper. Nothing is left to chance, so each propensity is 1."""
        model, items, mask = self.model, None, mask_of(info)
        if self.candidates is not None:
            items, mask = self.candidates(info)
        x = self.pairs(obs, info, items)  # [N, M, d]
        odds = np.exp(model.at(self.slate_size))  # [K] factor of each place
        worth = model.utility(x, obs), model.value(x)
        chosen = best_slate(*worth, np.zeros(len(obs)), mask, self.slate_size, place=odds)
        if items is not None:
            chosen = np.take_along_axis(items, chosen, axis=1)
        return Slate(chosen, np.ones(chosen.shape))

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""


def myopic_policy(
    model: ChoiceModel,
    pairs: Pairs,
    slate_size: int,
    *,
    candidates: Candidates | None = None,
    name: str = "choice model",
) -> MyopicPolicy:
    """Shows the page of the largest expected reward by the model, and looks no further.

    Args:
        model: from `fit_choice_model`.
        pairs: the features that it was fitted with.
        slate_size: K.
        candidates: among which items; None for all.
        name: in tables and figures.

    Raises:
        ValueError: the model has another number of features, or was fitted on fewer places.
    """
    _check_size(model, pairs)
    model.at(slate_size)
    return MyopicPolicy(name, model, pairs, slate_size, candidates)


def _check_size(model: ChoiceModel, pairs: Pairs) -> None:
    if len(model.pairs) != pairs.size:
        raise ValueError(f"pairs must have {len(model.pairs)} features; got {pairs.size}")
