"""The training loop of policy gradients: one for both frameworks, for one environment or many."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from companion.core import checkpoint
from companion.core.seeding import generator
from companion.rl.on_policy import collect, minibatches, slate_envs, to_batch
from companion.rl.policy_gradient import ActorCritic, Diagnostics, PolicyBatch
from companion.rl.rollout import Envs, Stepper
from companion.rl.run_log import Logged, RunLog, refuse_others
from companion.rl.slate_policy import Chosen, as_actions, draw_slates


class Progress(NamedTuple):
    """What one rollout led to."""

    step: int  # steps of all environments together when it was learnt from
    epochs: int  # passes that were made over it
    diagnostics: Diagnostics  # means over the updates of the last pass


class PolicyTraining(Logged):
    """A run that can go on, stop, be saved and be resumed.

    In turns: the policy acts in all N environments for `rollout_length` steps; then the learner
    makes `epochs` passes over these steps, in minibatches, and the steps are forgotten.

    With the baseline "none" nothing stands for the rest of an episode that a rollout cuts off. The
    environments then step on, under the same policy, until the episodes of all steps have ended.

    Args:
        envs: one Gymnasium environment, or a vector of N. With `slate_size` K > 1 its actions are
            MultiDiscrete([I] * K).
        learner: networks, loss and optimiser.
        seed: of the environments, of the policy's draws and of the order of minibatches.

    Raises:
        ValueError: the spaces and the learner do not fit together.
    """

    def __init__(self, envs: Envs, learner: ActorCritic, *, seed: int):
        self.learner, self.config, self.seed = learner, learner.config, seed
        self.stepper = stepper = Stepper(slate_envs(envs, self.config.slate_size))
        self.history: list[Progress] = []
        self._asked = 0  # steps that `run` was asked for, in all
        self._draw, self._order = generator(seed, "actions"), generator(seed, "minibatches")
        self._log = RunLog(stepper, seed=seed)
        found, needed = learner.logits(stepper.obs).shape, (stepper.num_envs, stepper.num_actions)
        if found != needed:
            raise ValueError(f"the learner gives logits of the shape {found}, not {needed}")

    def run(self, num_steps: int) -> "PolicyTraining":
        """Goes on for `num_steps` more steps, counted over all environments.

        A rollout is made whole, so a run may go further; the next one makes up for it. Two runs of
        5,000 steps are therefore the same as one of 10,000.
        """
        self._asked += num_steps
        whole = self.config.baseline == "none"
        while self.step < self._asked:
            length = self.config.rollout_length
            rollout = collect(self.stepper, self._act, length, whole=whole, watch=self._log.count)
            self._learn(to_batch(rollout, self.learner))
        return self

    def _act(self, obs: np.ndarray, mask: np.ndarray | None) -> Chosen:
        choice = draw_slates(self.learner.logits(obs), mask, self.config.slate_size, self._draw)
        self._log.note(as_actions(choice.items))
        return choice

    def _learn(self, batch: PolicyBatch[np.ndarray]) -> None:
        config = self.config
        if not len(batch.action):  # every environment only reset itself
            return
        epochs, moved = 0, False
        while epochs < config.epochs and not moved:
            found = self.learner.update(minibatches(batch, config.minibatch_size, self._order))
            means = Diagnostics(*(float(np.mean(column)) for column in found))
            moved = config.target_kl is not None and means.approx_kl > config.target_kl
            epochs += 1
        self.history.append(Progress(self.step, epochs, means))

    def save(self, path: str | Path) -> None:
        """Writes the run whole: networks, optimiser, generators, and what was done.

        Environments cannot be stored, so their actions are: a resumed run steps through them again.
        """
        parts = {"run": self._log.done(), "learner": self.learner.state()}
        arrays = checkpoint.joined(parts)
        rows = [(step, epochs, *means) for step, epochs, means in self.history]
        arrays["history"] = np.array(rows, np.float64).reshape(-1, 2 + len(Diagnostics._fields))
        settings = {
            "training": "policy_gradient",
            "config": asdict(self.config),
            "environments": self._log.environments(),
            "seed": self.seed,
            "asked": self._asked,
            "draw": self._draw.bit_generator.state,
            "order": self._order.bit_generator.state,
        }
        checkpoint.save(path, arrays, settings)

    @classmethod
    def resume(cls, path: str | Path, envs: Envs, learner: ActorCritic) -> "PolicyTraining":
        """A saved run, ready to go on as if it had never stopped.

        Args:
            path: from `save`.
            envs: new environments of the same kind and number.
            learner: a new learner with the same settings; its weights are replaced.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no saved run, the settings differ, or the environments do not
                repeat what they did: they use randomness that `reset(seed)` does not reach.
        """
        arrays, settings = checkpoint.load(path)
        if settings.get("training") != "policy_gradient":
            raise ValueError(f"{path} is not a saved run of a policy gradient")
        refuse_others(path, settings["config"], checkpoint.plain(asdict(learner.config)))
        training = cls(envs, learner, seed=settings["seed"])
        refuse_others(path, settings["environments"], training._log.environments())
        training._log.step_again(checkpoint.part_of(arrays, "run"), path)
        learner.restore(checkpoint.part_of(arrays, "learner"))
        for step, epochs, *means in arrays["history"].tolist():
            training.history.append(Progress(int(step), int(epochs), Diagnostics(*means)))
        training._asked = settings["asked"]
        training._draw.bit_generator.state = settings["draw"]
        training._order.bit_generator.state = settings["order"]
        return training
