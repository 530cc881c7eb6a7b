"""The choice model: which of the items of a page is clicked, or none; and what a click brings.

P(click at place k) = exp(v_k) / (1 + sum over j of exp(v_j)),
v_k = b + w^T x(shopper, item k) + u^T obs + p_k, p_0 = 0

This is the multinomial logit of McFadden (1974), with "no click" as a choice of utility 0. The
items of a page compete: a good neighbour takes clicks away, which a logistic regression of each
item alone puts down to the item.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


class PageExamples(NamedTuple):
    """The pages of a log: M of them."""

    pairs: np.ndarray  # [M, K, d] features of shopper and item
    obs: np.ndarray  # [M, D] what the policy saw
    position: np.ndarray  # [M] place of the click, from 0, or -1
    reward: np.ndarray  # [M] of the page


class ClickReward(NamedTuple):
    """The expected reward of a click on an item: low + (high - low) sigmoid(b + w^T x)."""

    low: float
    high: float
    intercept: float
    pairs: np.ndarray  # [d]


class ChoiceModel(NamedTuple):
    """A fitted multinomial logit, in the units of the features."""

    intercept: float
    pairs: np.ndarray  # [d] weights w
    obs: np.ndarray  # [D] weights u
    place: np.ndarray  # [K] p; 0 at the first place
    reward: ClickReward

    def utility(self, pairs: np.ndarray, obs: np.ndarray) -> np.ndarray:
        """Log-odds of a click on an item alone on a page, at the first place. [N, M, d] -> [N, M]

        Args:
            pairs: [N, M, d], or [N, d].
            obs: [N, D].
        """
        of_page = self.intercept + obs @ self.obs  # [N]
        found: np.ndarray = pairs @ self.pairs
        return found + of_page.reshape(of_page.shape + (1,) * (found.ndim - 1))

    def probability(self, pairs: np.ndarray, obs: np.ndarray) -> np.ndarray:
        """P(click) at each place of a page; the rest is no click. [N, K, d] -> [N, K]

        Args:
            pairs: [N, K, d] of the items in the order of the page.
            obs: [N, D].

        Raises:
            ValueError: the pages have more places than those that the model was fitted on.
        """
        return shares(self.utility(pairs, obs) + self.at(pairs.shape[1]))

    def value(self, pairs: np.ndarray) -> np.ndarray:
        """The expected reward of a page on which this item is clicked. [..., d] -> [...]"""
        low, high, intercept, weights = self.reward
        found: np.ndarray = low + (high - low) * expit(intercept + pairs @ weights)
        return found

    def at(self, places: int) -> np.ndarray:
        """p of the first K places. [K]

        Raises:
            ValueError: the model was fitted on fewer.
        """
        if not 1 <= places <= len(self.place):
            raise ValueError(f"the model knows {len(self.place)} places; got {places}")
        return self.place[:places]


def shares(utilities: np.ndarray) -> np.ndarray:
    """exp(v_k) / (1 + sum over j of exp(v_j)), in a form that cannot overflow. [..., K]"""
    no_click = np.zeros_like(utilities[..., :1])
    found: np.ndarray = softmax(np.concatenate((no_click, utilities), axis=-1), axis=-1)
    return found[..., 1:]


class _Data(NamedTuple):
    x: np.ndarray  # [M K, d], features of mean 0 and deviation 1
    obs: np.ndarray  # [M, D], likewise
    clicked: np.ndarray  # [M, K], 1 at the place of the click
    penalty: float


def fit_choice_model(pages: PageExamples, *, penalty: float = 1.0) -> ChoiceModel:
    """The weights of the largest likelihood with an L2 penalty, and the reward of a click.

    minus log likelihood + penalty / 2 (|w|^2 + |u|^2 + |p|^2), on features of mean 0 and deviation
    1, by L-BFGS with the exact gradient.

    Args:
        pages: a log.
        penalty: above 0. The data count M times, the penalty once.

    Raises:
        ValueError: penalty is not above 0, the tables do not fit together, or the log has no click
            or nothing but clicks.
    """
    if not 0 < penalty < np.inf:
        raise ValueError(f"penalty must be above 0 and finite; got {penalty}")
    _check(pages)
    (places, d), items, shoppers = pages.pairs.shape[1:], StandardScaler(), StandardScaler()
    x = items.fit_transform(pages.pairs.reshape(-1, d).astype(np.float64))
    obs = shoppers.fit_transform(pages.obs.astype(np.float64))
    clicked = np.eye(places + 1)[pages.position, :places]  # -1 is the last row, of zeros
    share = clicked.sum() / len(clicked)
    start = np.zeros(d + obs.shape[1] + places)
    start[0] = np.log(share / (1 - share) / places)
    data = _Data(x, obs, clicked, penalty)
    found = minimize(_loss, start, (data,), "L-BFGS-B", jac=True, options={"maxiter": 1_000})
    intercept, w, u, p = _parts(found.x, data)
    w, u = w / items.scale_, u / shoppers.scale_
    base = float(intercept[0] - w @ items.mean_ - u @ shoppers.mean_)
    return ChoiceModel(base, w, u, np.append(0.0, p), _click_reward(pages, penalty))


def _check(pages: PageExamples) -> None:
    shape = pages.pairs.shape
    sizes = {len(table) for table in pages}
    if len(shape) != 3 or len(sizes) != 1:
        rows = ", ".join(
            f"{name} {list(np.shape(table))}" for name, table in pages._asdict().items()
        )
        raise ValueError(f"pairs must be [M, K, d], and all tables of M pages; got {rows}")
    wrong = (pages.position < -1) | (pages.position >= shape[1])
    if wrong.any():
        row = int(wrong.argmax())
        wish = f"position must be from -1 to {shape[1] - 1}"
        raise ValueError(f"page {row}: {wish}; got {pages.position[row]}")
    clicks = int((pages.position >= 0).sum())
    if not 0 < clicks < shape[0]:
        raise ValueError(f"a log needs clicks and others; {clicks} of {shape[0]} pages have one")


def _parts(theta: np.ndarray, data: _Data) -> list[np.ndarray]:
    """Intercept [1], w [d], u [D] and p [K - 1], of one row of numbers."""
    d = data.x.shape[1]
    return np.split(theta, [1, 1 + d, 1 + d + data.obs.shape[1]])


def _loss(theta: np.ndarray, data: _Data) -> tuple[float, np.ndarray]:
    """The penalised minus log likelihood of all pages, and its gradient."""
    intercept, w, u, p = _parts(theta, data)
    v = (data.x @ w).reshape(data.clicked.shape) + (intercept + data.obs @ u)[:, None]  # [M, K]
    v[:, 1:] += p
    highest = np.maximum(v.max(axis=1), 0.0)
    weight = np.exp(v - highest[:, None])
    total = np.exp(-highest) + weight.sum(axis=1)
    loss = (highest + np.log(total)).sum() - (v * data.clicked).sum()
    error = weight / total[:, None] - data.clicked  # [M, K]
    of_page, of_place = error.sum(axis=1), error.sum(axis=0)
    sums = [of_page.sum()], data.x.T @ error.ravel(), data.obs.T @ of_page, of_place[1:]
    shrunk = np.append(0.0, theta[1:])  # not the intercept
    loss += data.penalty / 2 * (shrunk @ shrunk)
    return float(loss), np.concatenate(sums) + data.penalty * shrunk


def _click_reward(pages: PageExamples, penalty: float) -> ClickReward:
    """Fits (reward - low) / (high - low) of the pages with a click by its logistic likelihood.

    That share need not be 0 or 1: Papke and Wooldridge (1996), fractional responses. Each page
    counts as both classes, in proportion.
    """
    rows = np.flatnonzero(pages.position >= 0)
    x, reward = pages.pairs[rows, pages.position[rows]].astype(np.float64), pages.reward[rows]
    low, high = float(reward.min()), float(reward.max())
    if low == high:
        return ClickReward(low, high, 0.0, np.zeros(x.shape[1]))
    share, scaler = (reward - low) / (high - low), StandardScaler()
    x = scaler.fit_transform(x)
    model = LogisticRegression(C=1 / penalty, max_iter=1_000)
    classes = np.repeat([1, 0], len(x))
    model.fit(np.vstack((x, x)), classes, sample_weight=np.concatenate((share, 1 - share)))
    weights = model.coef_[0] / scaler.scale_
    return ClickReward(low, high, float(model.intercept_[0] - weights @ scaler.mean_), weights)
