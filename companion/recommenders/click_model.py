"""The myopic click model: P(click) by logistic regression, and the page that it thinks best now.

P(click) = sigmoid(b + w^T x(shopper, item) + u^T obs + p(place)). The place is a feature while the
model is fitted, so that what stood high does not count as liked; it is held fixed when items are
ranked. It looks one page ahead and no further.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from companion.envs.policies import Choice, Info, Policy, ScorePolicy, gathered, of_step
from companion.envs.slates import Slate
from companion.recommenders.linear_arms import Pairs


class Examples(NamedTuple):
    """Impressions of a log: M of them."""

    pairs: np.ndarray  # [M, d] features of shopper and item
    obs: np.ndarray  # [M, D] what the policy saw
    place: np.ndarray  # [M] from 0
    click: np.ndarray  # [M] bool


class ClickModel(NamedTuple):
    """A fitted logistic regression, in the units of the features."""

    intercept: float
    pairs: np.ndarray  # [d] weights w
    obs: np.ndarray  # [D] weights u
    place: np.ndarray  # [K] p; 0 at the first place

    def probability(
        self, pairs: np.ndarray, obs: np.ndarray, place: int | np.ndarray = 0
    ) -> np.ndarray:
        """P(click) of items shown at a place. [..., d], [N, D] -> [...]

        Args:
            pairs: [N, I, d], or [N, d].
            obs: [N, D].
            place: one for all, or as many as there are probabilities.
        """
        logit = pairs @ self.pairs
        of_page = self.intercept + obs @ self.obs  # [N]
        logit = logit + of_page.reshape(of_page.shape + (1,) * (logit.ndim - 1))
        probability: np.ndarray = expit(logit + self.place[place])
        return probability


def collect(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    pairs: Pairs,
    *,
    steps: int,
    seed: int,
) -> Examples:
    """The impressions of a simulated log, with what the shop knew at each.

    Args:
        envs: N shops. They are reset.
        policy: that shows the pages; a random one leaves nothing out. It does not learn.
        pairs: features of shopper and item.
        steps: pages of each shop: M = N steps K.
        seed: of the shops and of the policy.

    Raises:
        ValueError: steps is below 1.
    """

    def row(obs: np.ndarray, slate: Slate, info: Info) -> tuple[np.ndarray, ...]:
        before, click = of_step(info, "before", "click")
        n, k = slate.items.shape
        x = pairs(obs, before, slate.items).reshape(n * k, -1)
        places = np.tile(np.arange(k), n)
        return x, np.repeat(obs, k, axis=0), places, np.asarray(click, bool).reshape(-1)

    return Examples(*gathered(envs, policy, row, steps=steps, seed=seed))


def fit_click_model(examples: Examples, *, penalty: float = 1.0) -> ClickModel:
    """Fits by scikit-learn, with an L2 penalty on features of mean 0 and deviation 1.

    Args:
        examples: a log.
        penalty: 1 / C of scikit-learn, above 0. The data count M times, the penalty once.

    Raises:
        ValueError: penalty is not above 0, or the log has no click or only clicks.
    """
    if not 0 < penalty < np.inf:
        raise ValueError(f"penalty must be above 0 and finite; got {penalty}")
    clicks = int(examples.click.sum())
    if not 0 < clicks < len(examples.click):
        raise ValueError(f"a log needs clicks and others; {clicks} of {len(examples.click)} are")
    places = int(examples.place.max()) + 1
    at = (examples.place[:, None] == np.arange(1, places)).astype(np.float32)  # [M, K - 1]
    x = np.concatenate((examples.pairs, examples.obs, at), axis=1, dtype=np.float32)
    scaler = StandardScaler()
    model = LogisticRegression(C=1 / penalty, max_iter=1_000)
    model.fit(scaler.fit_transform(x), examples.click)
    weights = model.coef_[0].astype(np.float64) / scaler.scale_
    d, size = examples.pairs.shape[1], examples.obs.shape[1]
    return ClickModel(
        float(model.intercept_[0] - weights @ scaler.mean_),
        weights[:d],
        weights[d : d + size],
        np.append(0.0, weights[d + size :]),
    )


def click_policy(model: ClickModel, pairs: Pairs, choice: Choice) -> ScorePolicy:
    """Shows what is clicked most probably now, all items compared at the first place.

    Args:
        model: from `fit_click_model`.
        pairs: the features that it was fitted with.
        choice: slate size and exploration. A temperature is in units of probability.

    Raises:
        ValueError: the model has another number of features.
    """
    if len(model.pairs) != pairs.size:
        raise ValueError(f"pairs must have {len(model.pairs)} features; got {pairs.size}")

    def scores(obs: np.ndarray, info: Info) -> np.ndarray:
        return model.probability(pairs(obs, info), obs)

    return ScorePolicy("click model", scores, choice)
