"""Learning from a log that is finished: no further step is made in any environment.

A greedy target looks for the best next action among all of them. Those that the log never shows
have values that nothing corrects, and the maximum finds the ones that are too high. Two remedies:

- Batch-constrained (BCQ): the next action is one that the log's policy would have taken too.
  Fujimoto et al. (2019), arXiv:1910.01708. All of it is in the replay's `next_mask`.
- Conservative (CQL): a penalty lowers what the log does not show against what it does. Kumar et
  al. (2020), arXiv:2006.04779. `cql_loss` of the twins; here is what it must equal.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from companion.core.seeding import generator
from companion.rl.behaviour import Behaviour, check_threshold, supported
from companion.rl.dqn import QLearner, beta_at
from companion.rl.offline_log import OfflineLog, collect_log, replay_of
from companion.rl.prioritized import PrioritizedReplay
from companion.rl.replay import Batch, Replay
from companion.rl.rollout import Act
from companion.rl.targets import best_allowed, td_loss_reference

__all__ = [
    "OfflineLog",
    "collect_log",
    "conservative_gap_reference",
    "constrained_act",
    "constrained_scores",
    "cql_loss_reference",
    "fit_offline",
    "replay_of",
]

Values = Callable[[np.ndarray], np.ndarray]  # obs [N, D] -> [N, A]


def fit_offline(
    learner: QLearner,
    replay: Replay,
    *,
    updates: int,
    seed: int,
    watch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Learns from what is stored and from nothing else.

    An update stands for `train_every` steps, as it does online, so that the target network moves
    after as many updates: every `sync_every` / `train_every` of them.

    Args:
        learner: networks, loss and optimiser. Of its settings, those of exploring, `warmup`,
            `capacity`, `gamma` and `n_step` have no effect: the log is what it is.
        replay: from `replay_of`, or that of a training. It may be prioritised.
        updates: in all, a multiple of the setting `updates_per_call`.
        seed: of the draws.
        watch: is called after each call of the learner with the number of updates so far.

    Returns:
        The mean absolute TD error of each update, before it: [updates].

    Raises:
        ValueError: the replay is empty, updates is not such a multiple, or the learner has another
            number of actions.
    """
    config, rng = learner.config, generator(seed, "replay")
    group = config.updates_per_call
    if updates < 1 or updates % group:
        raise ValueError(f"updates must be a multiple of {group}, 1 or more; got {updates}")
    _check_fit(learner, replay)
    errors: list[np.ndarray] = []
    syncs = 0
    for made in range(group, updates + 1, group):
        if isinstance(replay, PrioritizedReplay):
            replay.beta = beta_at(config, made * config.train_every)
        batch, rows = replay.sample((group, config.batch_size), rng)
        found = learner.update(batch)  # [K, B]
        replay.update(rows, found)
        errors.append(np.abs(found).mean(axis=1))
        while syncs < made * config.train_every // config.sync_every:
            learner.sync_target(config.tau)
            syncs += 1
        if watch is not None:
            watch(made)
    return np.concatenate(errors)


def _check_fit(learner: QLearner, replay: Replay) -> None:
    if not len(replay):
        raise ValueError("the replay is empty: there is nothing to learn from")
    found = learner.q_values(replay.take(np.array([0])).obs).shape[1]
    if found != (needed := replay.num_actions):
        raise ValueError(f"the learner has {found} actions; those of the log are {needed}")


def constrained_act(q_values: Values, behaviour: Behaviour, *, threshold: float = 0.3) -> Act:
    """Acts by the highest value among what the log's policy would have done too.

    Args:
        q_values: of a learner.
        behaviour: as in `replay_of`.
        threshold: as in `replay_of`.

    Raises:
        ValueError: the threshold is out of range.
    """
    check_threshold(threshold)

    def act(obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return best_allowed(q_values(obs), supported(behaviour(obs, mask), mask, threshold))

    return act


def constrained_scores(
    q_values: Values,
    behaviour: Behaviour,
    *,
    threshold: float = 0.3,
    allowed: Values | None = None,
) -> Values:
    """Scores of all actions, for a page that must be filled whatever the log supports.

    An action that the log supports has its value. The others stand below all of these, in the order
    of how often the log has them: they are shown only where nothing else is left.

    Args:
        q_values: of a learner.
        behaviour: as in `replay_of`.
        threshold: as in `replay_of`.
        allowed: which actions an observation allows, obs [N, D] -> [N, A] bool; None: all.

    Raises:
        ValueError: the threshold is out of range.
    """
    check_threshold(threshold)

    def scores(obs: np.ndarray) -> np.ndarray:
        values = np.asarray(q_values(obs), np.float64)
        mask = np.ones(values.shape, bool) if allowed is None else np.asarray(allowed(obs), bool)
        chances = behaviour(obs, mask)  # [N, A]
        inside = supported(chances, mask, threshold)
        lowest = np.where(inside, values, np.inf).min(axis=1, keepdims=True)  # [N, 1]
        lowest = np.where(np.isfinite(lowest), lowest, 0.0)  # a row that allows nothing
        below: np.ndarray = np.where(inside, values, lowest - 2 + np.where(mask, chances, 0.0))
        return below

    return scores


def conservative_gap_reference(
    q: np.ndarray, action: np.ndarray, allowed: np.ndarray | None = None
) -> np.ndarray:
    """log(sum over allowed a of exp Q(s, a)) - Q(s, action): how far others stand above the log's.

    Never below 0. Kumar et al. (2020), equation 4: CQL(H).

    Args:
        q: [..., A] the online network's values of obs.
        action: [...] of the log, which counts as allowed.
        allowed: [..., A] bool; None: all.

    Returns:
        [...].
    """
    taken = np.arange(q.shape[-1]) == action[..., None]  # [..., A]
    among = q if allowed is None else np.where(allowed | taken, q, -np.inf)
    gap: np.ndarray = (
        logsumexp(among, axis=-1) - np.take_along_axis(q, action[..., None], -1)[..., 0]
    )
    return gap


def cql_loss_reference(
    batch: Batch[np.ndarray],
    q: np.ndarray,
    target: np.ndarray,
    *,
    huber: bool,
    alpha: float,
    allowed: np.ndarray | None = None,
) -> float:
    """The loss of `td_loss_reference`, and alpha times the mean over the batch of weight x gap.

    The paper halves the squared error, so its alpha is half of this one unless `huber` is set.

    Args:
        batch: [B] transitions.
        q: [B, A] the online network's values of obs.
        target: [B] from `td_target_reference`.
        huber: as in `td_loss_reference`.
        alpha: how conservative, 0 or more.
        allowed: [B, A] what obs allows; None: all.
    """
    gap = conservative_gap_reference(q, batch.action, allowed)
    weight = 1.0 if batch.weight is None else batch.weight
    return td_loss_reference(batch, q, target, huber) + alpha * float(np.mean(weight * gap))
