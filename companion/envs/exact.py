"""Exact values of a finite process, against which learners are measured. Book chapters 3 and 4."""

import numpy as np

from companion.envs.finite import FiniteMDP

SWEEPS = 50_000
EQUAL = 1e-9  # values closer than this are ties: a linear solve is not exact to the last digit


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be from 0 to 1; got {gamma}")


def _transitions(mdp: FiniteMDP) -> np.ndarray:
    """[S, A, S] probability of each next state; 0 from states that end an episode."""
    states, actions, _ = mdp.next_state.shape
    matrix = np.zeros((states, actions, states))
    pair = np.indices(mdp.next_state.shape)
    np.add.at(matrix, (pair[0], pair[1], mdp.next_state), mdp.probability)
    matrix[mdp.terminal] = 0.0
    return matrix


def _rewards(mdp: FiniteMDP) -> np.ndarray:
    """[S, A] mean reward; 0 in states that end an episode, -inf where not allowed."""
    mean = np.where(mdp.allowed, (mdp.probability * mdp.reward).sum(axis=2), -np.inf)
    return np.where(mdp.terminal[:, None], 0.0, mean)


def _check_policy(mdp: FiniteMDP, policy: np.ndarray) -> None:
    if policy.shape != mdp.allowed.shape:
        raise ValueError(f"policy must be {list(mdp.allowed.shape)}; got {list(policy.shape)}")
    acts = ~mdp.terminal[:, None]
    wrong = acts & ~((policy >= 0) & (mdp.allowed | (policy == 0)))
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        value = policy[state, action]
        raise ValueError(f"state {state}, action {action}: the policy cannot have {value}")
    wrong = acts[:, 0] & (np.abs(policy.sum(axis=1) - 1) > 1e-9)
    if wrong.any():
        raise ValueError(f"state {np.flatnonzero(wrong)[0]}: the policy does not sum to 1")


def _may_never_end(mdp: FiniteMDP, moves: np.ndarray) -> np.ndarray:
    """[S] true where an episode under a policy may go on for ever. `moves` is [S, S] bool."""
    ends = mdp.terminal.copy()
    while (more := ends | (moves & ends).any(axis=1)).sum() > ends.sum():
        ends = more
    endless = ~ends
    while (more := endless | (moves & endless).any(axis=1)).sum() > endless.sum():
        endless = more
    return endless


def policy_q(mdp: FiniteMDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """The values q_pi of a policy, from the linear equations of Bellman. Book section 3.5.

    q(s, a) = sum over s' and r of p(s', r | s, a) [r + gamma * sum over a' of pi(a' | s')
    q(s', a')].

    Args:
        mdp: the process.
        policy: [S, A] probabilities. Rows of terminal states are not looked at.
        gamma: 0 to 1.

    Returns:
        [S, A]; -inf where an action is not allowed, 0 in terminal states. With gamma = 1, NaN
        where an episode that begins so may never end; the start is never such a state.

    Raises:
        ValueError: gamma or the policy is wrong, or gamma is 1 and an episode from the start
            may never end.
    """
    _check_gamma(gamma)
    policy = np.asarray(policy, dtype=np.float64)
    _check_policy(mdp, policy)
    step, reward = _transitions(mdp), _rewards(mdp)
    moves = np.einsum("sa,sat->st", policy, step)
    endless = np.zeros(len(moves), dtype=np.bool_)
    if gamma == 1:
        endless = _may_never_end(mdp, moves > 0)
    if endless[mdp.start]:
        raise ValueError(f"gamma is 1, and from state {mdp.start} the policy may never end")
    gain = (policy * np.where(policy > 0, reward, 0.0)).sum(axis=1)
    values = np.zeros(len(moves))
    kept = ~endless
    inner = np.eye(kept.sum()) - gamma * moves[np.ix_(kept, kept)]
    values[kept] = np.linalg.solve(inner, gain[kept])
    q = reward + gamma * (step @ values)
    return np.where((step @ endless > 0) & mdp.allowed, np.nan, q)


def _can_avoid_the_end(mdp: FiniteMDP, step: np.ndarray) -> bool:
    """True if some way of acting keeps an episode going for ever."""
    inside = ~mdp.terminal
    while True:
        stays = mdp.allowed & (step @ (~inside) == 0)  # [S, A]
        left = inside & stays.any(axis=1)
        if (left == inside).all():
            return bool(inside.any())
        inside = left


def _policy_iteration(mdp: FiniteMDP, gamma: float) -> np.ndarray:
    """Evaluates, improves, and repeats until nothing improves. Exact. Book section 4.3."""
    best = mdp.allowed.argmax(axis=1)
    rows = np.arange(len(best))
    while True:
        q = policy_q(mdp, np.eye(mdp.allowed.shape[1])[best], gamma)
        gap = EQUAL * max(1.0, float(np.abs(q[np.isfinite(q)]).max()))
        better = q.max(axis=1) > q[rows, best] + gap  # among equals the old action stays
        if not better[~mdp.terminal].any():
            return q
        best = np.where(better, q.argmax(axis=1), best)


def _value_iteration(mdp: FiniteMDP, tolerance: float) -> np.ndarray:
    """Sweeps of v <- max over a of r + P v from v = 0, without discount. Book section 4.4."""
    step, reward = _transitions(mdp), _rewards(mdp)
    values = np.zeros(len(mdp.terminal))
    for _ in range(SWEEPS):
        new = (reward + step @ values).max(axis=1)
        change = np.abs(new - values)
        values = new
        if change.max() <= tolerance:
            return reward + step @ values
    state = int(change.argmax())
    raise ValueError(f"state {state}: its value does not converge with gamma = 1")


def optimal_q(mdp: FiniteMDP, gamma: float, *, tolerance: float = 1e-10) -> np.ndarray:
    """The values q* of the best policy. Book equation 3.20.

    q*(s, a) = sum over s' and r of p(s', r | s, a) [r + gamma * max over a' of q*(s', a')].

    Exact by policy iteration where every policy has a value. That is not so for gamma = 1 and a
    world in which one can walk for ever: there value iteration runs.

    Args:
        mdp: the process.
        gamma: 0 to 1.
        tolerance: value iteration stops when a sweep changes no value by more.

    Returns:
        [S, A]; -inf where an action is not allowed, 0 in terminal states.

    Raises:
        ValueError: gamma or tolerance is out of range, or the values do not converge (state
            named).
    """
    _check_gamma(gamma)
    if not 0 < tolerance < np.inf:
        raise ValueError(f"tolerance must be above 0; got {tolerance}")
    if gamma == 1 and _can_avoid_the_end(mdp, _transitions(mdp)):
        return _value_iteration(mdp, tolerance)
    return _policy_iteration(mdp, gamma)


def greedy_policy(q: np.ndarray) -> np.ndarray:
    """[S, A] probabilities of the best actions of q [S, A]; ties share evenly.

    Raises:
        ValueError: a value is NaN or +inf, or a state has no action above -inf.
    """
    q = np.asarray(q, dtype=np.float64)
    best = q.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        state = int(np.flatnonzero(~np.isfinite(best))[0])
        raise ValueError(f"state {state}: q must have a finite best value; got {q[state]}")
    ties = q >= best - EQUAL * np.maximum(1.0, np.abs(best))
    return ties / ties.sum(axis=1, keepdims=True)


def epsilon_greedy_policy(q: np.ndarray, epsilon: float) -> np.ndarray:
    """Greedy with probability 1 - epsilon, else any allowed action. Book section 2.4.

    Args:
        q: [S, A]; an action with -inf is not allowed.
        epsilon: 0 to 1.

    Returns:
        [S, A] probabilities.

    Raises:
        ValueError: epsilon is out of range, or q has no greedy policy.
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must be from 0 to 1; got {epsilon}")
    greedy = greedy_policy(q)
    allowed = ~np.isneginf(q)
    return (1 - epsilon) * greedy + epsilon * allowed / allowed.sum(axis=1, keepdims=True)


def state_values(q: np.ndarray, policy: np.ndarray | None = None) -> np.ndarray:
    """[S] values of states: the best action's, or the mean under a policy [S, A]."""
    if policy is None:
        return np.max(q, axis=1)
    return (policy * np.where(policy > 0, q, 0.0)).sum(axis=1)
