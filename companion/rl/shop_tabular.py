"""Tables in the shop: Q-Learning and SARSA on a coarse state, with a topic as the action.

The state is what a table can hold: a topic, how far into the visit the shopper is, and what she
did with the topic lately. The topic is the one that she clicked most lately; without a click, the
one that her household bought most; without a history, none. The action is the topic of the page;
its items stand in the order of what the household bought most. The rules are those of
`companion.rl.tabular`, unchanged.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.envs.policies import Info, mask_of, of_step
from companion.envs.shop_tables import ShopWorld
from companion.envs.shop_view import ShopConfig, layout
from companion.envs.slates import Slate, epsilon_greedy_slate, top_k
from companion.rl import tab_compile
from companion.rl.schedules import Schedule
from companion.rl.tabular import Rates, Step, q_learning, sarsa


@dataclass(frozen=True)
class ShopTableConfig:
    """Settings of a table in the shop. A schedule counts the pages that each shopper was shown.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    alpha: float | Schedule = 0.05  # step size, in [0, 1]
    gamma: float = 0.95  # discount of one page, in [0, 1]
    epsilon: float | Schedule = 0.1  # of the choice of the topic, in [0, 1]
    initial_q: float = 0.0
    pages: tuple[int, ...] = (2, 5)  # the first page of each further stage of a visit, from 0
    bored: float = 0.45  # recent clicks from which on a topic may be too much; about 3 in a row

    def __post_init__(self) -> None:
        for name in ("alpha", "gamma", "epsilon"):
            if not 0 <= value_at(getattr(self, name), 0) <= 1:
                raise ValueError(f"{name} must be from 0 to 1; got {getattr(self, name)}")
        if not np.isfinite(self.initial_q):
            raise ValueError(f"initial_q must be finite; got {self.initial_q}")
        if any(page < 1 for page in self.pages) or list(self.pages) != sorted(set(self.pages)):
            raise ValueError(f"pages must be 1 or more and rise; got {self.pages}")
        if not self.bored > 0:
            raise ValueError(f"bored must be above 0; got {self.bored}")


class ShopStates:
    """From observations to the rows of a table: S = (C + 1) stages 3.

    A shopper has not clicked lately, or has, or has clicked the topic so often that she may have
    had enough of it.

    Args:
        world: for the topics.
        shop: for the layout of an observation.
        config: stages and boredom.
    """

    def __init__(self, world: ShopWorld, shop: ShopConfig, config: ShopTableConfig):
        parts, self._topics = layout(shop, world), world.num_topics
        self._clicked, self._bought = parts["clicked"], parts["bought"]
        self._pages, self._bored = np.array(config.pages, np.int64), config.bored
        self.count = 3 * (self._topics + 1) * (len(self._pages) + 1)  # S

    def of(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """The states. [N, D] and info -> [N] int64 from 0 to S - 1.

        Args:
            obs: [N, D].
            info: of the same moment; "page" is [N].
        """
        clicked, bought = obs[:, self._clicked], obs[:, self._bought]  # [N, C]
        most = clicked.max(axis=1)
        known = np.where(bought.max(axis=1) > 0, bought.argmax(axis=1), self._topics)
        topic = np.where(most > 0, clicked.argmax(axis=1), known)
        stage = np.searchsorted(self._pages, np.asarray(info["page"]), side="right")
        lately = (most > 0).astype(np.int64) + (most >= self._bored)  # 0, 1 or 2
        return (topic * (len(self._pages) + 1) + stage) * 3 + lately


class _Plan(NamedTuple):
    """Topics that were chosen already, for the observations that come next."""

    obs: np.ndarray  # [N, D]
    topic: np.ndarray  # [N]
    propensity: np.ndarray  # [N]
    valid: np.ndarray  # [N] False where an episode ended


class ShopTable:
    """A policy of the shop that learns a table by a rule, from N shoppers at once.

    A page is led by an item of the chosen topic and goes on with that topic's other items; where
    there are too few, with those of other topics. The first item tells the topic, so its
    propensity is that of the topic and the others have 1.

    With a rule that reads A', such as `sarsa`, the next topic is chosen before the update, and
    `act` then really takes it, as in the textbook. Q-Learning's maximum is over the topics that the
    shop has, also where the items of one are all in the cart.

    Args:
        world: catalogue, and what the log knows of the households.
        shop: of the environment.
        config: the settings.
        rule: (q, step, rates) -> new Q(S, A), of `companion.rl.tabular` or your own.
        seed: of the choices that `learn` makes.
        compiled: the rule by Numba, or as plain Python, which gives the same.

    Attributes:
        q: [S, C] float64, -inf for a topic without items.
        steps: pages learned from, of each shopper.
    """

    def __init__(
        self,
        world: ShopWorld,
        shop: ShopConfig,
        config: ShopTableConfig,
        *,
        rule: Callable[..., Any] = q_learning,
        seed: int = 0,
        compiled: bool = True,
    ):
        self.config, self.shop, self.rule = config, shop, rule
        self.name = {q_learning: "Q-Learning", sarsa: "SARSA"}.get(rule, rule.__name__)
        self.states = ShopStates(world, shop, config)
        self._topic = world.topic
        self._of_topic = (world.topic[:, None] == np.arange(world.num_topics)).astype(np.float32)
        self._ranks = own_ranks(world)
        self.q = np.full((self.states.count, world.num_topics), float(config.initial_q))
        self.q[:, ~self._of_topic.any(axis=0)] = -np.inf
        self.steps, self._rng = 0, generator(seed, "shop table")
        self._plan: _Plan | None = None
        self._ahead, self._learning = tab_compile.reads(rule, "next_action"), True
        functions = update_all, rule
        self._update = tuple(map(tab_compile.compiled, functions)) if compiled else functions

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper, [N, K]."""
        mask = mask_of(info)
        topic, propensity = self._choose(self.states.of(obs, info), mask, rng)
        if self._plan is not None and self._plan.obs.shape == obs.shape:
            plan = self._plan
            kept = plan.valid & (plan.obs == obs).all(axis=1)
            kept &= self._open(mask)[np.arange(len(obs)), plan.topic]
            topic = np.where(kept, plan.topic, topic)
            propensity = np.where(kept, plan.propensity, propensity)
        first = self._topic == topic[:, None]  # [N, I]
        scores = self._ranks[np.asarray(info["user"])] + first * np.float32(len(self._topic))
        slate = top_k(scores, mask, self.shop.slate_size)
        slate.propensity[:, 0] = propensity
        return slate

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """One update for each shopper, one after the other."""
        if not self._learning:
            return
        names = ("before", "next_obs", "reward", "terminated", "truncated")
        before, next_obs, reward, terminated, truncated = of_step(info, *names)
        state, next_state = self.states.of(obs, before), self.states.of(next_obs, info)
        next_topic, self._plan = np.full(len(obs), -1), None
        if self._ahead:
            next_topic, chance = self._choose(next_state, mask_of(info), self._rng)
            self._plan = _Plan(next_obs.copy(), next_topic, chance, ~(terminated | truncated))
        steps = (state, self._topic[slate.items[:, 0]], reward, next_state, next_topic, terminated)
        rates = Rates(value_at(self.config.alpha, self.steps), self.config.gamma, self.epsilon)
        update, rule = self._update
        update(self.q, tuple(map(np.ascontiguousarray, steps)), rates, rule)
        self.steps += 1

    @property
    def epsilon(self) -> float:
        """Of the present step."""
        return value_at(self.config.epsilon, self.steps)

    def frozen(self, epsilon: float = 0.0) -> "ShopTable":
        """A copy that learns no more, with an epsilon of its own.

        Raises:
            ValueError: epsilon is outside 0 to 1.
        """
        other = copy(self)
        other.config, other.q = replace(self.config, epsilon=epsilon), self.q.copy()
        other._plan, other._learning = None, False
        return other

    def _choose(
        self, state: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Topics and their probabilities under epsilon-greedy, both [N]."""
        found = epsilon_greedy_slate(
            self.q[state], self._open(mask), 1, epsilon=self.epsilon, rng=rng
        )
        return found.items[:, 0], found.propensity[:, 0]

    def _open(self, mask: np.ndarray) -> np.ndarray:
        """Topics of which an item may be shown. [N, I] -> [N, C]"""
        return mask.astype(np.float32) @ self._of_topic > 0


def own_ranks(world: ShopWorld) -> np.ndarray:
    """The rank of each item for each household, from 0 to I - 1: own purchases, then popularity.

    Returns:
        [H, I] float32; the item bought most has I - 1.
    """
    popular = np.broadcast_to(world.popularity, world.bought.shape)
    order = np.lexsort((popular, world.bought), axis=1)  # worst first
    ranks = np.empty(order.shape, np.float32)
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=np.float32)[None], axis=1)
    return ranks


def value_at(setting: float | Schedule, step: int) -> float:
    """A number, or a schedule's number of that step."""
    return float(setting(step) if callable(setting) else setting)


def update_all(
    q: np.ndarray, steps: tuple[np.ndarray, ...], rates: Rates, rule: Callable[..., float]
) -> None:
    """Learns from N steps, one after the other. Plain Python that Numba compiles as it is.

    Args:
        q: [S, A], changed in place.
        steps: the fields of `Step`, each [N].
        rates: of this moment.
        rule: (q, step, rates) -> new Q(S, A).
    """
    state, action, reward, next_state, next_action, terminated = steps
    for n in range(len(state)):
        step = Step(state[n], action[n], reward[n], next_state[n], next_action[n], terminated[n])
        q[state[n], action[n]] = rule(q, step, rates)
