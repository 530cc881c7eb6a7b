"""What all recipes of a comparison share: one budget, one choice model, one set of candidates."""

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from companion.envs.policies import Info, RandomPolicy
from companion.envs.shop_candidates import Candidates, CandidateShop
from companion.recommenders.choice_model import (
    ChoiceModel,
    collect_pages,
    fit_choice_model,
    fitted_utility,
)
from companion.recommenders.linear_arms import Pairs
from companion.rl.dqn import DQNConfig
from companion.studies.markets import Market


@dataclass(frozen=True)
class Budget:
    """What every policy that learns may use.

    Attributes:
        pages: shown to its own shoppers, in all.
        first_pages: of them under the random policy, for the choice model.
        shops: N, stepped together.

    Raises:
        ValueError: the numbers do not fit together.
    """

    pages: int = 150_000
    first_pages: int = 25_000
    shops: int = 500

    def __post_init__(self) -> None:
        if not 1 <= self.shops <= self.first_pages < self.pages:
            given = f"{self.shops}, {self.first_pages} and {self.pages}"
            raise ValueError(f"1 <= shops <= first_pages < pages must hold; got {given}")

    @property
    def rest(self) -> int:
        """Pages after the choice model was fitted."""
        return self.pages - self.first_pages


class OnCandidates:
    """Features of shoppers and candidates, for models that were written for items.

    Args:
        pairs: of shoppers and items.
    """

    def __init__(self, pairs: Pairs):
        self.pairs, self.size = pairs, pairs.size

    def __call__(self, obs: np.ndarray, info: Info, items: np.ndarray | None = None) -> np.ndarray:
        """[N, M, d] of all candidates, or [N, K, d] of those with the numbers `items` [N, K]."""
        offered = np.asarray(info["candidates"])
        chosen = offered if items is None else np.take_along_axis(offered, items, axis=1)
        return self.pairs(obs, info, chosen)


class Bench:
    """A market with one seed.

    Args:
        market: the world.
        seed: of the shoppers and of the learners, each with streams of its own.
        budget: of pages.
        framework: "pytorch" or "tensorflow", of the networks.
    """

    def __init__(self, market: Market, seed: int, budget: Budget, framework: str):
        self.market, self.seed, self.budget, self.framework = market, seed, budget, framework
        self.pairs = market.pairs

    def twin(self, module: str) -> Any:
        """A module of the framework."""
        return importlib.import_module(f"companion.{self.framework}.{module}")

    @cached_property
    def model(self) -> ChoiceModel:
        """The choice model, fitted on the first pages."""
        shops, places = self.budget.shops, self.market.slate_size
        envs, steps = self.market.shop(shops, places), self.budget.first_pages // shops
        policy = RandomPolicy(places)
        return fit_choice_model(
            collect_pages(envs, policy, self.pairs, steps=steps, seed=self.seed)
        )

    @cached_property
    def candidates(self) -> Candidates:
        """Those that every policy that learns chooses from."""
        return Candidates(
            self.market.world, self.market.static(self.model), per_topic=5, per_search=3
        )

    def shop(self, copies: int, places: int | None = None) -> CandidateShop:
        """N shops whose actions are candidates; K is the market's unless it is given."""
        inner = self.market.shop(copies, places or self.market.slate_size)
        return CandidateShop(inner, self.candidates, fitted_utility(self.model, self.pairs))

    @property
    def obs_size(self) -> int:
        """Numbers in an observation with utilities."""
        return self.shop(1, 1).parts["utility"].stop

    def dqn(self, num_actions: int, config: DQNConfig, **more: Any) -> Any:
        """A Q-learner of the framework for observations with utilities."""
        return self.twin("dqn").DQNLearner(
            config, obs_size=self.obs_size, num_actions=num_actions, seed=self.seed, **more
        )
