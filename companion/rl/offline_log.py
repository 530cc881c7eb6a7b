"""The log of a policy that does not learn, and what is learnt from it: a replay."""

from typing import NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.rl.behaviour import Behaviour, supported
from companion.rl.replay import Replay, Transitions
from companion.rl.rollout import Envs, Stepper, as_vector


class OfflineLog(NamedTuple):
    """What a policy did and what came of it, L steps in the order in which they were made."""

    obs: np.ndarray  # [L, D] float32
    action: np.ndarray  # [L] int64
    reward: np.ndarray  # [L] float64
    next_obs: np.ndarray  # [L, D] float32, the true last one where an episode ended
    terminated: np.ndarray  # [L] bool
    mask: np.ndarray  # [L, A] bool, what obs allowed
    next_mask: np.ndarray  # [L, A] bool, what next_obs allows
    propensity: np.ndarray  # [L] float64, with which the action was taken


def collect_log(envs: Envs, behaviour: Behaviour, *, steps: int, seed: int) -> OfflineLog:
    """The log of a policy that does not learn.

    Args:
        envs: N environments, or a single one. They are reset.
        behaviour: the policy.
        steps: L, counted over all environments; N - 1 more at most, since they step together.
        seed: of the environments and of the choices, two streams apart.

    Raises:
        ValueError: steps is below 1, or the behaviour is no distribution over what is allowed; the
            environment and the step are named.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more; got {steps}")
    stepper, rng = Stepper(as_vector(envs)), generator(seed, "behaviour")
    stepper.reset(int(generator(seed, "log").integers(2**31)))
    parts: list[OfflineLog] = []
    made, rows = 0, np.arange(stepper.num_envs)
    while made < steps:
        mask = stepper.mask
        chances = _distribution(behaviour(stepper.obs, mask), mask, made)
        actions = _drawn(chances, rng)
        found = stepper.step(actions)
        of_step = found.obs, found.action, found.reward, found.next_obs, found.terminated
        propensity = chances[rows, actions][found.env]
        parts.append(OfflineLog(*of_step, mask[found.env], found.next_mask, propensity))
        made += len(found.env)
    return OfflineLog(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _distribution(chances: np.ndarray, mask: np.ndarray, step: int) -> np.ndarray:
    """The probabilities, once it is clear that they are some."""
    if chances.shape != mask.shape:
        got = f"{list(chances.shape)}, not {list(mask.shape)}"
        raise ValueError(f"step {step}: the behaviour has the shape {got}")
    fair = ((chances >= 0) & (mask | (chances == 0))).all(axis=1)
    wrong = ~(fair & (np.abs(chances.sum(axis=1) - 1) < 1e-6))
    if wrong.any():
        row = int(wrong.argmax())
        why = "is no distribution over the allowed actions"
        raise ValueError(f"step {step}, environment {row}: the behaviour {why}: {chances[row]}")
    return chances


def _drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An action for each row, [N]; one of probability 0 is never drawn."""
    total = np.cumsum(chances, axis=1)
    last = total[:, -1]
    draw = np.minimum(rng.random(len(chances)) * last, np.nextafter(last, 0))  # below it always
    # argmax: the first action whose running sum lies above the draw; a chance of 0 adds nothing.
    actions: np.ndarray = (total > draw[:, None]).argmax(axis=1)
    return actions


def replay_of(
    log: OfflineLog,
    *,
    gamma: float,
    behaviour: Behaviour | None = None,
    threshold: float = 0.3,
) -> Replay:
    """The log as a replay to learn from, all of it and in its order.

    With a behaviour, it is batch-constrained: the next action a' must have
    behaviour(a' | s') >= threshold * max over a of behaviour(a | s').
    A threshold of 0 allows all and gives plain DQN, one of 1 only the log's favourite.

    Single steps alone: over several, the rewards would be those of the log's policy.

    Args:
        log: from `collect_log`.
        gamma: discount of a step, 0 to 1.
        behaviour: the log's policy, or an estimate of it (`companion.rl.behaviour`); None: no
            constraint.
        threshold: 0 to 1; the paper's is 0.3.

    Raises:
        ValueError: gamma or the threshold is out of range, or the log is empty or holds a number
            that is not finite.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be from 0 to 1; got {gamma}")
    if not len(log.action):
        raise ValueError("the log is empty: there is nothing to learn from")
    next_mask = log.next_mask
    if behaviour is not None:
        next_mask = supported(behaviour(log.next_obs, next_mask), next_mask, threshold)
    size, width = next_mask.shape
    replay = Replay(size, log.obs.shape[1], width)
    columns = log.obs, log.action, log.reward, log.next_obs, log.terminated
    replay.add(Transitions(*columns, np.full(size, gamma), next_mask))
    return replay
