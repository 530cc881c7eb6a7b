"""The training loop of DQN: one for both frameworks, and for one environment or many."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from companion.core import checkpoint
from companion.core.seeding import generator
from companion.rl.dqn import QLearner, beta_at, epsilon_at, make_replay
from companion.rl.explore import epsilon_greedy_batch
from companion.rl.n_step import NStep
from companion.rl.prioritized import PrioritizedReplay
from companion.rl.replay import Transitions
from companion.rl.rollout import Envs, Step, Stepper, as_vector
from companion.rl.run_log import Logged, RunLog, refuse_others


class Training(Logged):
    """A run that can go on, stop, be saved and be resumed.

    Each step: act on all N environments at once (epsilon-greedy), store the N transitions, then
    make the updates that are due, then move the target network if that is due.

    Args:
        envs: one Gymnasium environment, or a vector of N.
        learner: networks, loss and optimiser.
        seed: of the environments, of exploration and of the draws from the replay.

    Raises:
        ValueError: the spaces, the learner and the capacity do not fit together.
    """

    kind, title = "dqn", "DQN"  # of a saved run: in its settings, and in a sentence

    def __init__(self, envs: Envs, learner: QLearner, *, seed: int):
        self.learner, self.config, self.seed = learner, learner.config, seed
        self.stepper = stepper = Stepper(as_vector(envs))
        values = self._num_values()
        self.replay = make_replay(self.config, stepper.obs_size, values)
        self.updates = self.syncs = 0
        self._asked = 0  # steps that `run` was asked for, in all
        self._n_step = NStep(self.config.n_step, self.config.gamma, stepper.num_envs)
        self._explore, self._sample = generator(seed, "explore"), generator(seed, "replay")
        self._log = RunLog(stepper, seed=seed)
        self._discount = np.full(stepper.num_envs, self.config.gamma)
        self._zeros = np.zeros((stepper.num_envs, values), np.float32)
        self._check_sizes()

    def run(self, num_steps: int) -> Self:
        """Goes on for `num_steps` more steps, counted over all environments.

        They step together, so a run may go up to N - 1 steps further; the next one makes up for it.
        Two runs of 500 steps are therefore the same as one of 1,000.
        """
        self._asked += num_steps
        while self.step < self._asked:
            self._observe(self._act())
            self._learn()
            while self.syncs < self.step // self.config.sync_every:
                self.learner.sync_target(self.config.tau)
                self.syncs += 1
        return self

    def _check_sizes(self) -> None:
        at_once = self.stepper.num_envs * self.config.n_step  # at most, when all episodes end
        if at_once > self.config.capacity:
            raise ValueError(f"capacity must be {at_once} or more; got {self.config.capacity}")
        found = self.learner.q_values(self.stepper.obs)
        if found.shape != (needed := self._zeros.shape):
            raise ValueError(f"the learner gives values of the shape {found.shape}, not {needed}")

    def _num_values(self) -> int:
        """How many values the learner gives for an observation."""
        return self.stepper.num_actions

    def _act(self) -> Step:
        actions = self._choose(epsilon_at(self.config, self.step))
        self._log.note(actions)
        return self.stepper.step(actions)

    def _choose(self, epsilon: float) -> np.ndarray:
        """The actions of all environments, [N]."""
        stepper = self.stepper
        values = self.learner.q_values(stepper.obs) if epsilon < 1 else self._zeros  # [N, A]
        mask = stepper.mask if stepper.masked else None
        return epsilon_greedy_batch(values, epsilon, self._explore, mask)

    def _observe(self, found: Step) -> None:
        ended = self._log.count(found)
        self.replay.add(self._n_step.push(self._transitions(found), found.env, ended))

    def _transitions(self, found: Step) -> Transitions:
        """What a step adds to the replay."""
        columns = found.obs, found.action, found.reward, found.next_obs, found.terminated
        return Transitions(*columns, self._discount[: len(found.env)], found.next_mask)

    def _learn(self) -> None:
        config, group = self.config, self.config.updates_per_call
        due = (self.step - config.warmup) // config.train_every - self.updates
        while due >= group and len(self.replay):
            if isinstance(self.replay, PrioritizedReplay):
                self.replay.beta = beta_at(config, self.step)
            batch, rows = self.replay.sample((group, config.batch_size), self._sample)
            self.replay.update(rows, self.learner.update(batch))
            self.updates, due = self.updates + group, due - group

    def save(self, path: str | Path) -> None:
        """Writes the run whole: networks, optimiser, replay, generators, and what was done.

        Environments cannot be stored, so their actions are: a resumed run steps through them again.
        """
        learner, replay, n_step = self.learner.state(), self.replay.state(), self._n_step.state()
        parts = {"run": self._log.done(), "learner": learner, "replay": replay, "n_step": n_step}
        settings = {
            "training": self.kind,
            "config": asdict(self.config),
            "environments": self._log.environments(),
            "seed": self.seed,
            "counts": [self.updates, self.syncs, self._asked],
            "explore": self._explore.bit_generator.state,
            "sample": self._sample.bit_generator.state,
            **self._own_settings(),
        }
        checkpoint.save(path, checkpoint.joined(parts), settings)

    @classmethod
    def resume(cls, path: str | Path, envs: Envs, learner: QLearner) -> Self:
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
        if settings.get("training") != cls.kind:
            raise ValueError(f"{path} is not a saved run of {cls.title}")
        refuse_others(path, settings["config"], checkpoint.plain(asdict(learner.config)))
        training = cls._begin(settings, envs, learner)
        refuse_others(path, settings["environments"], training._log.environments())
        training._log.step_again(checkpoint.part_of(arrays, "run"), path)
        learner.restore(checkpoint.part_of(arrays, "learner"))
        training.replay.restore(checkpoint.part_of(arrays, "replay"))
        training._n_step.restore(checkpoint.part_of(arrays, "n_step"))
        training.updates, training.syncs, training._asked = settings["counts"]
        training._explore.bit_generator.state = settings["explore"]
        training._sample.bit_generator.state = settings["sample"]
        return training

    def _own_settings(self) -> dict[str, Any]:
        """What a saved run says beside the settings of every run."""
        return {}

    @classmethod
    def _begin(cls, settings: dict[str, Any], envs: Envs, learner: QLearner) -> Self:
        """A run with the settings of a saved one, at its beginning."""
        return cls(envs, learner, seed=settings["seed"])


def run_and_keep_best(
    training: Training,
    score: Callable[[], float],
    *,
    num_steps: int,
    every: int,
    enough: float = np.inf,
) -> list[float]:
    """Trains, scores the policy at times, and leaves the learner in the state of the best score.

    DQN does not get better with each step: it forgets and learns again. Which moment to keep is
    a choice, so the score must come from other episodes than those reported in the end.

    Args:
        training: the run.
        score: the figure to be large, such as a mean return over validation episodes.
        num_steps: at most.
        every: steps between two scores.
        enough: stop at this score.

    Returns:
        The scores; of equal ones the latest was kept.

    Raises:
        ValueError: every is below 1.
    """
    if every < 1:
        raise ValueError(f"every must be 1 or more; got {every}")
    scores: list[float] = []
    best, kept = -np.inf, training.learner.state()
    for made in range(0, num_steps, every):
        training.run(min(every, num_steps - made))
        scores.append(float(score()))
        if scores[-1] >= best:
            best, kept = scores[-1], training.learner.state()
        if best >= enough:
            break
    training.learner.restore(kept)
    return scores
