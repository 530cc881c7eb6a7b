"""LinUCB and linear Thompson sampling for slates, many shoppers at a time.

Both regress the reward of an item on features and explore where they are unsure. They are myopic:
they know nothing of the pages that follow.

N shoppers choose from the same estimate and the estimate learns from all N pages after that. With
N = 1 and K = 1 this is the algorithm of the papers; with more, feedback comes in batches.
"""

from dataclasses import dataclass

import numpy as np

from companion.envs.policies import Choice, Info, mask_of, of_step
from companion.envs.slates import Slate, epsilon_greedy_propensity
from companion.recommenders.linear_arms import Arms, Page


@dataclass(frozen=True)
class LinearBanditConfig:
    """Settings of both bandits.

    What a page teaches about the items on it:
    - "page": every item is an example, clicked or not.
    - "cascade": only those from the top down to the click; who clicked may not have looked
      further. Without a click all are examples. Kveton et al. (2015), arXiv:1502.02763.
    With `examination` an item at place k is seen with probability kappa_k, and its reward is
    expected to be kappa_k theta^T x: Lagrée, Vernade and Cappé (2016), arXiv:1606.02448. It is
    known or estimated beforehand, and used in learning alone: a ranking compares items at the same
    place.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    slate_size: int = 1  # K
    width: float = 1.0  # LinUCB: alpha, standard deviations above the mean. Thompson sampling: v
    epsilon: float = 0.0  # at each place a random item with this probability
    feedback: str = "page"
    examination: tuple[float, ...] | None = None  # kappa [K], each in (0, 1]; None: all 1
    weights: tuple[float, float, float] = (1.0, 0.0, 0.0)  # reward of a click, a cart, a purchase

    def __post_init__(self) -> None:
        Choice(self.slate_size, self.epsilon)
        if not 0 <= self.width < np.inf:
            raise ValueError(f"width must be 0 or more and finite; got {self.width}")
        if self.feedback not in ("page", "cascade"):
            raise ValueError(f'feedback must be "page" or "cascade"; got {self.feedback!r}')
        if len(self.weights) != 3 or not np.isfinite(self.weights).all():
            raise ValueError(f"weights must be three finite numbers; got {self.weights}")
        kappa = self.examination
        if kappa is not None and len(kappa) != self.slate_size:
            raise ValueError(f"examination must have {self.slate_size} places; got {len(kappa)}")
        if kappa is not None and not all(0 < seen <= 1 for seen in kappa):
            raise ValueError(f"examination must be above 0 and at most 1; got {kappa}")

    @property
    def kappa(self) -> np.ndarray:
        """[K]"""
        return np.ones(self.slate_size) if self.examination is None else np.array(self.examination)


class LinUCB:
    """Shows the items of the highest theta^T x + alpha sqrt(x^T P^-1 x). Li et al. (2010).

    Alpha is `config.width`. With epsilon = 0 the slate is certain and each propensity is 1: such a
    log can tell nothing about another policy.

    Args:
        arms: `SharedArms` or `DisjointArms`.
        config: the settings.
        name: in tables and figures.
    """

    def __init__(self, arms: Arms, config: LinearBanditConfig, name: str = "LinUCB"):
        self.arms, self.config, self.name = arms, config, name
        self._choice = Choice(config.slate_size, config.epsilon)

    def scores(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """The upper confidence bounds. [N, I]"""
        seen = self.arms.look(obs, info)
        bound = self.arms.mean(seen)
        if self.config.width > 0:
            bound += self.config.width * self.arms.deviation(seen)
        return bound

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper."""
        return self._choice(self.scores(obs, info), mask_of(info), rng)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Adds what a page taught."""
        (before,) = of_step(info, "before")
        self.arms.learn(obs, before, page_of(slate, info, self.config))


class LinearThompson:
    """Draws theta~ ~ N(theta, v^2 P^-1) for each shopper and shows the items of highest theta~^T x.

    Agrawal and Goyal (2013), arXiv:1209.3352. v is `config.width`.

    The probability of a slate, over all draws, has no closed form. What `act` returns is the exact
    probability *given the draw*: epsilon-greedy around it. The draw does not depend on what the
    shopper will do, so weights made of these propensities are unbiased where epsilon is above 0,
    and a log may hold them. With epsilon = 0 they are all 1, and of no use for weighting.
    The Open Bandit Dataset holds the other kind, frequencies over many draws (obp's
    `compute_batch_action_dist`); `propensity_estimate` gives such estimates.

    Args:
        arms: `SharedArms` or `DisjointArms`.
        config: the settings.
        name: in tables and figures.
    """

    def __init__(self, arms: Arms, config: LinearBanditConfig, name: str = "Thompson sampling"):
        self.arms, self.config, self.name = arms, config, name
        self._choice = Choice(config.slate_size, config.epsilon)

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper; its propensities are given the draw."""
        scores = self.arms.sample(self.arms.look(obs, info), self.config.width, rng)
        return self._choice(scores, mask_of(info), rng)

    def propensity_estimate(
        self,
        obs: np.ndarray,
        info: Info,
        items: np.ndarray,
        *,
        draws: int,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """An estimate of the propensities over all draws, by Monte Carlo. [N, K]

        P(item | items above) = P(slate down to it) / P(slate above it); each of the two is the mean
        over the draws of the exact probability given the draw. 0 where no draw leads there.

        Args:
            obs: [N, D].
            info: of the same moment.
            items: [N, K] the slates in question.
            draws: how many; the error falls with its square root.
            rng: of the draws.

        Raises:
            ValueError: draws is below 1, or items are no slates.
        """
        if draws < 1:
            raise ValueError(f"draws must be 1 or more; got {draws}")
        mask, seen = mask_of(info), self.arms.look(obs, info)
        total = np.zeros(items.shape)  # [N, K] sums of the probabilities of each prefix
        for _ in range(draws):
            scores = self.arms.sample(seen, self.config.width, rng)
            given = epsilon_greedy_propensity(scores, mask, items, epsilon=self.config.epsilon)
            total += np.cumprod(given, axis=1)
        above = np.concatenate((np.full((len(items), 1), float(draws)), total[:, :-1]), axis=1)
        return np.divide(total, above, out=np.zeros_like(total), where=above > 0)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Adds what a page taught."""
        (before,) = of_step(info, "before")
        self.arms.learn(obs, before, page_of(slate, info, self.config))


def page_of(slate: Slate, info: Info, config: LinearBanditConfig) -> Page:
    """The examples of a page: rewards, and which items count.

    Args:
        slate: what was shown.
        info: of the step; "click", "cart" and "purchase" are [N, K].
        config: weights, feedback and examination.

    Raises:
        ValueError: the info lacks one of them, or it has another shape than the slate.
    """
    reward = np.zeros(slate.items.shape)
    names = ("click", "cart", "purchase")
    found = of_step(info, *names)
    for name, weight, happened in zip(names, config.weights, found, strict=True):
        if np.shape(happened) != reward.shape:
            raise ValueError(f"{name} must have the shape {reward.shape}; got {np.shape(happened)}")
        reward += weight * np.asarray(happened)
    counts = np.ones(reward.shape, np.bool_)
    if config.feedback == "cascade":
        click = np.asarray(info["click"], np.bool_)
        counts = np.cumsum(click, axis=1) - click == 0  # no click above
    return Page(slate.items, reward, counts, config.kappa)
