"""What a linear bandit believes of each item: one theta for all, or one for each."""

from typing import NamedTuple, Protocol

import numpy as np

from companion.envs.policies import Info
from companion.recommenders.linear_model import Ridge


class Page(NamedTuple):
    """What N shoppers did with the items they were shown."""

    items: np.ndarray  # [N, K]
    reward: np.ndarray  # [N, K]
    counts: np.ndarray  # [N, K] bool, which are examples
    kappa: np.ndarray  # [K] how probably a place is looked at


class Pairs(Protocol):
    """Features of a shopper and an item together."""

    @property
    def size(self) -> int:
        """d."""

    def __call__(self, obs: np.ndarray, info: Info, items: np.ndarray | None = None) -> np.ndarray:
        """[N, I, d] of all items, or [N, K, d] of items [N, K]."""


class Context(Protocol):
    """Features of a shopper alone."""

    @property
    def size(self) -> int:
        """d."""

    def __call__(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """[N, d]."""


class SharedArms:
    """One theta for all items, which differ by their features: what is learned of one helps all.

    Args:
        pairs: features of shopper and item.
        ridge: what P begins with.
    """

    def __init__(self, pairs: Pairs, ridge: float = 1.0):
        self.pairs, self.ridge = pairs, Ridge(1, pairs.size, ridge)

    def look(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """Features of all items. [N, I, d]"""
        return self.pairs(obs, info)

    def mean(self, seen: np.ndarray) -> np.ndarray:
        """theta^T x. [N, I, d] -> [N, I]"""
        return seen @ self.ridge.theta[0]

    def deviation(self, seen: np.ndarray) -> np.ndarray:
        """sqrt(x^T P^-1 x). [N, I, d] -> [N, I]"""
        half = seen @ self.ridge.root[0].T
        return np.sqrt(np.einsum("nid,nid->ni", half, half))

    def sample(self, seen: np.ndarray, v: float, rng: np.random.Generator) -> np.ndarray:
        """x^T theta~ for one draw theta~ ~ N(theta, v^2 P^-1) of each shopper. [N, I]"""
        noise = rng.standard_normal((len(seen), self.pairs.size))
        theta = self.ridge.theta[0] + v * noise @ self.ridge.root[0]  # [N, d]
        return (seen @ theta[:, :, None])[:, :, 0]

    def learn(self, obs: np.ndarray, info: Info, page: Page) -> None:
        """Adds the examples of a page."""
        x = self.pairs(obs, info, page.items) * page.kappa[:, None]  # [N, K, d]
        self.ridge.update(x[page.counts], page.reward[page.counts])


class DisjointArms:
    """A theta for each item, and features of the shopper alone: algorithm 1 of Li et al. (2010).

    A page costs N I d^2 operations, so d should be small.

    Args:
        context: features of the shopper.
        num_items: I.
        ridge: what each P begins with.
    """

    def __init__(self, context: Context, num_items: int, ridge: float = 1.0):
        self.context, self.ridge = context, Ridge(num_items, context.size, ridge)

    def look(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """Features of the shoppers. [N, d]"""
        return self.context(obs, info)

    def mean(self, seen: np.ndarray) -> np.ndarray:
        """theta_i^T x. [N, d] -> [N, I]"""
        return seen @ self.ridge.theta.T

    def deviation(self, seen: np.ndarray) -> np.ndarray:
        """sqrt(x^T P_i^-1 x). [N, d] -> [N, I]"""
        roots = self.ridge.root  # [I, d, d]
        width = np.empty((len(seen), len(roots)))
        for item, root in enumerate(roots):  # one by one: [N, I, d] would not fit a cache
            half = seen @ root.T
            width[:, item] = (half**2).sum(axis=1)
        return np.sqrt(width)

    def sample(self, seen: np.ndarray, v: float, rng: np.random.Generator) -> np.ndarray:
        """x^T theta~_i, a draw of each shopper and item; the arms are independent. [N, I]"""
        noise = rng.standard_normal((len(seen), len(self.ridge.theta)))
        return self.mean(seen) + v * self.deviation(seen) * noise

    def learn(self, obs: np.ndarray, info: Info, page: Page) -> None:
        """Adds the examples of a page."""
        x = self.context(obs, info)[:, None] * page.kappa[:, None]  # [N, K, d]
        counts = page.counts
        self.ridge.update(x[counts], page.reward[counts], page.items[counts])


Arms = SharedArms | DisjointArms
