"""SlateQ without a framework: a value for each item that may be clicked, and one for no click.

Ie et al. (2019), arXiv:1905.12767. The value of a page is split by what its reader does:

    Q(s, A) = sum over j in A of p(j | s, A) Q(s, j) + p(none | s, A) Q(s, none)

so M + 1 values are learnt instead of one for each of M! / (M - K)! pages. Two assumptions stand
behind it: at most one item of a page is clicked, and what follows depends on the page only through
the click. How probable each click is must be known: here the observation itself ends with the
utilities of the M items, as `CandidateShop` gives them.

Letters: N shoppers, M items that may be shown (candidates), K places, D numbers of an observation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import cast

import numpy as np

from companion.envs.best_slate import best_slate, page_value, place_factors
from companion.envs.candidates import Candidates
from companion.envs.policies import Choice, Info
from companion.envs.shop_candidates import CandidateShop, Utility, with_utilities
from companion.envs.slates import Slate
from companion.rl.replay import Batch
from companion.rl.rollout import Act
from companion.rl.slate_policy import as_actions

Values = Callable[[np.ndarray], np.ndarray]  # obs [N, D] -> [N, M + 1]


@dataclass(frozen=True)
class PageModel:
    """How a page is clicked, as an observation tells it: see `companion.envs.best_slate`.

    Raises:
        ValueError: a number is out of range.
    """

    num_items: int  # M
    slate_size: int  # K
    first: int  # where the M utilities begin in an observation
    place: float | tuple[float, ...] = 1.0  # factor from place to place, or those of all K places
    rounds: int = 6  # of the search for the best page within a network's update

    def __post_init__(self) -> None:
        for name, least in (("num_items", 1), ("slate_size", 1), ("first", 0), ("rounds", 1)):
            given = getattr(self, name)
            if not isinstance(given, Integral) or given < least:
                raise ValueError(f"{name} must be a whole number, {least} or more; got {given}")
        if self.slate_size > self.num_items:
            says = f"{self.slate_size} places, but there are {self.num_items} items"
            raise ValueError(f"a page has {says}")
        place = place_factors(np.array(self.place), self.slate_size)
        object.__setattr__(self, "place", tuple(place.tolist()))

    @property
    def no_click(self) -> int:
        """The number that stands for no click, after those of the items: M."""
        return self.num_items

    @property
    def num_actions(self) -> int:
        """How many values a network gives: M + 1."""
        return self.num_items + 1

    @property
    def factors(self) -> tuple[float, ...]:
        """Of the odds at each place, [K]."""
        return cast(tuple[float, ...], self.place)

    @property
    def falling(self) -> list[float]:
        """The same, the largest first."""
        return sorted(self.factors, reverse=True)

    def utility(self, obs: np.ndarray) -> np.ndarray:
        """The utilities in observations. [..., D] -> [..., M]"""
        return obs[..., self.first : self.first + self.num_items]


def page_model(shop: CandidateShop, *, place: float | tuple[float, ...] = 1.0) -> PageModel:
    """Of the pages of a shop with candidates.

    Args:
        shop: says where the utilities are, and how many places a page has.
        place: as in `companion.envs.best_slate.place_factors`.
    """
    utility = shop.parts["utility"]
    return PageModel(utility.stop - utility.start, shop.slate_size, utility.start, place)


def best_page(model: PageModel, q: np.ndarray, obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The page of the largest value of all, exactly. [N, K]

    Args:
        model: of the page.
        q: [N, M + 1] values, the last of no click.
        obs: [N, D].
        mask: [N, M] true where an item may be shown.

    Raises:
        ValueError: as in `best_slate`, or there is another number of values.
    """
    if q.shape[1] != model.num_actions:
        raise ValueError(f"there must be {model.num_actions} values; got {q.shape[1]}")
    utility, k = model.utility(obs), model.slate_size
    return best_slate(utility, q[:, :-1], q[:, -1], mask, k, place=np.array(model.factors))


def page_scores(pages: np.ndarray, num_items: int) -> np.ndarray:
    """Scores whose K highest are a page in its order, for rules that take scores. [N, K] -> [N, M]

    The first place has K, the last one 1, and what is not on the page 0.
    """
    scores = np.zeros((len(pages), num_items))
    np.put_along_axis(scores, pages, np.arange(pages.shape[1], 0, -1.0)[None, :], axis=1)
    return scores


def slate_act(q_values: Values, model: PageModel) -> Act:
    """Shows the page of the largest value, for `rollout.evaluate`: [N, K], or [N] if K is 1."""
    return lambda obs, mask: as_actions(best_page(model, q_values(obs), obs, mask))


class SlateQPolicy:
    """Shows the page of the largest value among the candidates: a policy of the shop itself.

    Args:
        name: in tables and figures.
        q_values: of observations as `CandidateShop` gives them: [N, D] -> [N, M + 1].
        model: as in training.
        candidates: as in training.
        utility: as in training.
        epsilon: probability of exploring at each place, as in `epsilon_greedy_slate`.

    Raises:
        ValueError: epsilon is outside 0 to 1, or the model is of another number of candidates.
    """

    def __init__(
        self,
        name: str,
        q_values: Values,
        model: PageModel,
        *,
        candidates: Candidates,
        utility: Utility,
        epsilon: float = 0.0,
    ):
        if candidates.size != model.num_items:
            given = f"{candidates.size} candidates, not {model.num_items}"
            raise ValueError(f"the policy's model must fit them; there are {given}")
        self.name, self.q_values, self.model = name, q_values, model
        self.candidates, self.utility = candidates, utility
        self.choice = Choice(model.slate_size, epsilon)

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper; the propensities are exact."""
        seen, found = with_utilities(obs, info, self.candidates, self.utility)
        pages = best_page(self.model, self.q_values(seen), seen, found.mask)
        slate = self.choice(page_scores(pages, self.model.num_items), found.mask, rng)
        return Slate(np.take_along_axis(found.items, slate.items, axis=1), slate.propensity)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""


def slate_target_reference(
    batch: Batch[np.ndarray],
    q_next_target: np.ndarray,
    model: PageModel,
    q_next_online: np.ndarray | None = None,
) -> np.ndarray:
    """y = r + gamma^n max over pages A of Q_target(s', A), and y = r where s' is terminal.

    The page is the best by Q_target, or by Q_online if it is given, as in Double DQN; its value is
    Q_target's. Where fewer than K items may be shown, the page holds those alone, at the places of
    the largest factors; an empty page is never clicked.

    Args:
        batch: [B] transitions, the action being what was clicked, or M.
        q_next_target: [B, M + 1] the target network's values of next_obs.
        model: of the pages.
        q_next_online: [B, M + 1] the online network's, for Double DQN.

    Returns:
        [B].
    """
    chooser = q_next_target if q_next_online is None else q_next_online
    utility = model.utility(batch.next_obs)
    mask = np.ones(utility.shape, bool)
    if batch.next_mask is not None:
        mask = batch.next_mask[:, : model.num_items]
    factors = np.array(model.falling)
    future = q_next_target[:, -1].astype(np.float64)
    count = np.minimum(mask.sum(1), model.slate_size)
    for k in np.unique(count[count > 0]).tolist():
        rows = count == k
        by, place = chooser[rows], factors[:k]
        pages = best_slate(utility[rows], by[:, :-1], by[:, -1], mask[rows], k, place=place)
        shown = [np.take_along_axis(x[rows], pages, 1) for x in (utility, q_next_target)]
        future[rows] = page_value(shown[0], shown[1], q_next_target[rows, -1], place=place)
    return batch.reward + batch.discount * np.where(batch.terminated, 0.0, future)
