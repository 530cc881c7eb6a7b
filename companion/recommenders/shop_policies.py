"""Recommenders of the shop that count: every learned policy must stand beside them."""

import numpy as np
from scipy import sparse

from companion.envs.policies import Choice, Info, Policy, RandomPolicy, ScorePolicy, mask_of
from companion.envs.shop_tables import ShopWorld
from companion.envs.slates import Slate, epsilon_greedy_slate
from companion.recommenders.simple import own_frequency

__all__ = ["ExploringPolicy", "RandomPolicy", "own_frequency_policy", "popularity_policy"]


def popularity_policy(world: ShopWorld, choice: Choice) -> ScorePolicy:
    """The items bought most in the training weeks, the same for everyone.

    Args:
        world: of the shop.
        choice: slate size and exploration.
    """
    return ScorePolicy("popularity", lambda obs, info: world.popularity, choice)


def own_frequency_policy(world: ShopWorld, choice: Choice) -> ScorePolicy:
    """What this household bought most, then what all bought most. A newcomer gets the popular.

    Args:
        world: of the shop.
        choice: slate size and exploration. A temperature is in units of one purchase.
    """
    scores = own_frequency(sparse.csr_array(world.bought), world.popularity)  # [H, I] float32

    def of_user(obs: np.ndarray, info: Info) -> np.ndarray:
        return scores[np.asarray(info["user"])]

    return ScorePolicy("own frequency", of_user, choice)


class ExploringPolicy:
    """Another policy's slate, in which each place is at random with probability epsilon.

    So a log can be written under a policy that leaves nothing to chance: every item then has a
    propensity above 0. The other places show the policy's items in its order.

    Args:
        policy: whose propensities are all 1.
        epsilon: probability of a random item at a place, from 0 to 1.

    Raises:
        ValueError: epsilon is outside 0 to 1.
    """

    def __init__(self, policy: Policy, epsilon: float):
        self.policy, self.epsilon = policy, Choice(epsilon=epsilon).epsilon
        self.name = f"{policy.name}, epsilon {epsilon:g}"

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper.

        Raises:
            ValueError: the policy draws its slates itself; the shopper is named.
        """
        slate, mask = self.policy.act(obs, info, rng), mask_of(info)
        drawn = (slate.propensity != 1).any(axis=1)
        if drawn.any():
            row = int(drawn.argmax())
            raise ValueError(
                f"shopper {row}: {self.policy.name} must not explore itself; "
                f"its propensities are {slate.propensity[row]}"
            )
        k = slate.items.shape[1]
        scores = np.zeros(mask.shape)
        np.put_along_axis(scores, slate.items, np.arange(k, 0.0, -1)[None], axis=1)
        return epsilon_greedy_slate(scores, mask, k, epsilon=self.epsilon, rng=rng)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """The other policy learns from what was really shown."""
        self.policy.learn(obs, slate, info)
