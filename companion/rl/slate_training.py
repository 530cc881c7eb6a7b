"""The training loop of SlateQ: that of DQN, with pages of K items instead of single actions."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from companion.envs.shop_candidates import CandidateShop
from companion.envs.slates import epsilon_greedy_slate
from companion.rl.dqn import QLearner
from companion.rl.on_policy import slate_envs
from companion.rl.replay import Transitions
from companion.rl.rollout import Envs, Step
from companion.rl.slate_policy import as_actions
from companion.rl.slate_q import PageModel, best_page, page_model, page_scores
from companion.rl.training import Training


class SlateTraining(Training):
    """A run of SlateQ that can go on, stop, be saved and be resumed.

    Each step: show every environment the page of the largest value, at each place with probability
    epsilon any other item; store what was clicked, or that nothing was, in the place of the action;
    then learn, as `Training` does.

    Args:
        envs: one environment, or a vector of N, that takes slates of K out of M items.
            `info["position"]` [N] must say which place was clicked, from 0, or -1.
        learner: with M + 1 actions, and the loss `slate_td_loss(model)` of its twin.
        seed: of the environments, of exploration and of the draws from the replay.
        model: how a page is clicked, the same as in the loss; None: as `page_model` of `envs`,
            which must then be a `CandidateShop`.

    Raises:
        ValueError: the environments, the model, the learner and the capacity do not fit together.
    """

    kind, title = "slate_q", "SlateQ"

    def __init__(self, envs: Envs, learner: QLearner, *, seed: int, model: PageModel | None = None):
        if model is None:
            if not isinstance(envs, CandidateShop):
                raise ValueError(f"a model of the page is needed, as {envs} is no CandidateShop")
            model = page_model(envs)
        self.model = model
        super().__init__(slate_envs(envs, model.slate_size), learner, seed=seed)

    def _num_values(self) -> int:
        model, stepper = self.model, self.stepper
        if stepper.num_actions != model.num_items:
            raise ValueError(
                f"the model must have {stepper.num_actions} items; got {model.num_items}"
            )
        if stepper.obs_size < model.first + model.num_items:
            end = f"end at {model.first + model.num_items}"
            raise ValueError(f"the utilities {end}, but observations have {stepper.obs_size}")
        return model.num_actions

    def _choose(self, epsilon: float) -> np.ndarray:
        """The pages of all environments, [N, K], or [N] if K is 1."""
        model, obs, mask = self.model, self.stepper.obs, self.stepper.mask
        scores = self._zeros[:, :-1]  # [N, M]
        if epsilon < 1:
            pages = best_page(model, self.learner.q_values(obs), obs, mask)
            scores = page_scores(pages, model.num_items)
        slate = epsilon_greedy_slate(
            scores, mask, model.slate_size, epsilon=epsilon, rng=self._explore
        )
        return as_actions(slate.items)

    def _transitions(self, found: Step) -> Transitions:
        """With the item that was clicked as the action, or M; the mask allows no click too."""
        pages = found.action.reshape(len(found.env), self.model.slate_size)
        position = self.stepper.told("position", found).astype(np.int64)
        clicked = clicked_items(pages, position, self.model.no_click)
        mask = np.ones((len(pages), self.model.num_actions), bool)
        mask[:, :-1] = found.next_mask
        return super()._transitions(found._replace(action=clicked, next_mask=mask))

    def _own_settings(self) -> dict[str, Any]:
        return {"model": asdict(self.model)}

    @classmethod
    def _begin(cls, settings: Mapping[str, Any], envs: Envs, learner: QLearner) -> Self:
        model = PageModel(**settings["model"])
        return cls(envs, learner, seed=settings["seed"], model=model)


def clicked_items(pages: np.ndarray, position: np.ndarray, no_click: int) -> np.ndarray:
    """The item at the clicked place of each page, or the number of no click. [N]

    Args:
        pages: [N, K].
        position: [N] from 0, or -1.
        no_click: M.

    Raises:
        ValueError: there is no such place; the row is named.
    """
    wrong = (position < -1) | (position >= pages.shape[1])
    if wrong.any():
        row = int(wrong.argmax())
        last = pages.shape[1] - 1
        raise ValueError(f"row {row}: position must be from -1 to {last}; got {position[row]}")
    at = np.take_along_axis(pages, np.maximum(position, 0)[:, None], axis=1)[:, 0]
    return np.where(position < 0, no_click, at)
