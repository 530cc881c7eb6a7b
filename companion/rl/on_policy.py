"""Collecting what one policy does, and making it the batches that a policy gradient learns from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper

from companion.rl.policy_gradient import ActorCritic, PolicyBatch
from companion.rl.policy_targets import Path, gae, normalized
from companion.rl.rollout import Envs, Step, Stepper, as_vector
from companion.rl.slate_policy import Chosen, as_actions

LARGEST = 1e30  # of a reward or a value: sums of them are finite in float32
MOST = 10_000  # steps beyond a rollout in which its episodes have to end, where that is waited for


class SlateEnvs(VectorWrapper):
    """Environments that take slates, for code that wants to know how many items there are.

    `single_action_space` is Discrete(I); `step` takes [N, K] items, as the environments do.

    Args:
        envs: with the actions MultiDiscrete([I] * K).
        slate_size: K.

    Raises:
        ValueError: the actions are of another kind.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], slate_size: int):
        super().__init__(envs)
        space = envs.single_action_space
        if (
            not isinstance(space, spaces.MultiDiscrete)
            or space.shape != (slate_size,)
            or space.start.any()
            or len(set(space.nvec)) != 1
        ):
            raise ValueError(
                f"a slate of {slate_size} needs the actions MultiDiscrete([I] * {slate_size}), "
                f"from 0; got {space}"
            )
        self.single_action_space = spaces.Discrete(int(space.nvec[0]))


def slate_envs(envs: Envs, slate_size: int) -> VectorEnv[Any, Any, Any]:
    """One environment or N, ready for `Stepper` and `evaluate`, with slates of K items.

    Raises:
        ValueError: the environments take no slates of this size.
    """
    vector = as_vector(envs)
    return vector if slate_size == 1 else SlateEnvs(vector, slate_size)


class Rollout(NamedTuple):
    """T steps of N environments under one policy, one below the other."""

    obs: np.ndarray  # [T, N, D] float32
    mask: np.ndarray | None  # [T, N, A] what was allowed; None: every action, at all times
    items: np.ndarray  # [T, N, K] int64
    log_prob: np.ndarray  # [T, N] float64, of the whole slate
    reward: np.ndarray  # [T, N] float64
    next_obs: np.ndarray  # [T, N, D], where an episode ended its true last observation
    terminated: np.ndarray  # [T, N]; also where next_obs leaves no slate to choose
    truncated: np.ndarray  # [T, N]
    learn: np.ndarray  # [T, N] false where an environment only reset itself, and beyond T


Act = Callable[[np.ndarray, np.ndarray | None], Chosen]  # obs [N, D], mask [N, A] -> slates


def collect(
    stepper: Stepper, act: Act, length: int, *, whole: bool, watch: Callable[[Step], object]
) -> Rollout:
    """What one policy does in `length` steps of each environment.

    Args:
        stepper: goes on where it stands.
        act: the policy.
        length: steps to learn from, of each environment.
        whole: step on under the same policy until the episodes of these steps have ended, so that
            their returns are whole. The further steps are not learnt from: those of long episodes
            alone would be there.
        watch: is given each step.

    Raises:
        RuntimeError: an episode had not ended after 10,000 further steps.
    """
    rows: list[_Row] = []
    running = np.ones(stepper.num_envs, bool)
    while len(rows) < length or (whole and running.any()):
        if len(rows) == length + MOST:
            raise RuntimeError(f"{running.sum()} episodes had not ended after {MOST} more steps")
        mask = None if stepper.mask.all() else stepper.mask
        choice = act(stepper.obs, mask)
        step = stepper.step(as_actions(choice.items))
        watch(step)
        rows.append(_row(step, stepper, choice, mask))
        row = rows[-1]
        # Beyond the rollout only the episodes that it left open are waited for.
        running = row.made if len(rows) <= length else running
        running = running & ~(row.terminated | row.truncated)
    return _stacked(rows, length)


class _Row(NamedTuple):
    """One step of all N environments; where none was made, the numbers are 0."""

    mask: np.ndarray | None
    choice: Chosen
    made: np.ndarray
    obs: np.ndarray
    next_obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def _row(step: Step, stepper: Stepper, choice: Chosen, mask: np.ndarray | None) -> _Row:
    made = np.zeros(stepper.num_envs, bool)
    made[step.env] = True
    terminated = step.terminated
    if not step.next_mask.all():
        terminated = terminated | (step.next_mask.sum(-1) < choice.items.shape[1])
    reward = step.reward.astype(np.float64)
    found = [step.obs, step.next_obs, reward, terminated, step.truncated]
    if not made.all():
        found = [_spread(column, step.env, stepper.num_envs) for column in found]
    return _Row(mask, choice, made, *found)


def _spread(column: np.ndarray, env: np.ndarray, num_envs: int) -> np.ndarray:
    """[M, ...] of some environments -> [N, ...] with zeros for the others."""
    wide = np.zeros((num_envs, *column.shape[1:]), column.dtype)
    wide[env] = column
    return wide


def _stacked(rows: list[_Row], length: int) -> Rollout:
    given = [row.mask for row in rows if row.mask is not None]
    every = np.ones_like(given[0]) if given else np.empty(0)
    made = np.stack([row.made for row in rows])  # [T, N]
    learn = made.copy()
    learn[length:] = False
    return Rollout(
        obs=np.stack([row.obs for row in rows]),
        mask=np.stack([every if r.mask is None else r.mask for r in rows]) if given else None,
        items=np.stack([row.choice.items for row in rows]),
        log_prob=np.stack([row.choice.log_prob.sum(-1) for row in rows]),
        reward=np.stack([row.reward for row in rows]),
        next_obs=np.stack([row.next_obs for row in rows]),
        terminated=np.stack([row.terminated for row in rows]),
        truncated=np.stack([row.truncated for row in rows]),
        learn=learn,
    )


def to_batch(rollout: Rollout, learner: ActorCritic) -> PolicyBatch[np.ndarray]:
    """The steps to learn from with their advantages, [M, ...], as the learner values them now.

    target = A + V(s), before the advantage is normalised.

    Raises:
        ValueError: a reward or a value is not a finite number; its step is named.
    """
    config, learn = learner.config, rollout.learn
    path = _valued(rollout, learner)
    advantage = gae(path, config.gamma, config.gae_lambda)  # [T, N]
    target = (advantage + path.value)[learn]  # [M]
    kept = advantage[learn]  # [M]
    return PolicyBatch(
        obs=rollout.obs[learn],
        action=rollout.items[learn],
        log_prob=rollout.log_prob[learn].astype(np.float32),
        advantage=(normalized(kept) if config.normalize_advantage else kept).astype(np.float32),
        target=target.astype(np.float32),
        mask=None if rollout.mask is None else rollout.mask[learn],
    )


def _valued(rollout: Rollout, learner: ActorCritic) -> Path:
    """The values of all observations; within an episode, the next one's is the next row's."""
    shape, size = rollout.reward.shape, rollout.obs.shape[-1]
    value = learner.values(rollout.obs.reshape(-1, size)).reshape(shape).astype(np.float64)
    next_value = np.empty_like(value)
    next_value[:-1] = value[1:]
    ends = rollout.truncated | rollout.terminated
    ends[-1] = True
    next_value[ends] = learner.values(rollout.next_obs[ends])
    _check_finite("reward", rollout.reward)
    _check_finite("value", value)
    _check_finite("next value", np.where(rollout.terminated, 0.0, next_value))
    columns = value, next_value, rollout.terminated, rollout.truncated
    return Path(rollout.reward, *columns)


def _check_finite(name: str, column: np.ndarray) -> None:
    wrong = np.argwhere(~(np.abs(column) < LARGEST))
    if len(wrong):
        t, env = wrong[0]
        raise ValueError(f"step {t} of environment {env}: the {name} is {column[t, env]}")


def minibatches(
    batch: PolicyBatch[np.ndarray], size: int | None, rng: np.random.Generator
) -> PolicyBatch[np.ndarray]:
    """[M, ...] steps in random order -> [J, B, ...], J = M // B; chance leaves M - J B of them out.

    Args:
        batch: of which each step is taken at most once.
        size: B; None, or more than there are, takes all steps at once.
        rng: gives the order.
    """
    count = len(batch.action)
    size = count if size is None else min(size, count)
    rows = rng.permutation(count)[: count - count % size].reshape(-1, size)
    return batch.each(lambda column: column[rows])
