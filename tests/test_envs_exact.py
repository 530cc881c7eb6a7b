"""Values by hand, by the book, and by another way of computing them."""

import numpy as np
import pytest

from companion.envs import gridworlds
from companion.envs.exact import (
    epsilon_greedy_policy,
    greedy_policy,
    optimal_q,
    policy_q,
    state_values,
)
from companion.envs.finite import Outcome, from_outcomes


def chain(*rows, states, terminal=(), start=0):
    outcomes = {}
    for state, action, *row in rows:
        outcomes.setdefault((state, action), []).append(Outcome(*row))
    return from_outcomes(outcomes, states=states, start=start, terminal=list(terminal))


def uniform(mdp):
    return mdp.allowed / mdp.allowed.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("world", "steps"),
    [
        (gridworlds.cliff(), 13),
        (gridworlds.windy(), 15),
        (gridworlds.windy(moves=8), 7),
        (gridworlds.windy(moves=9), 7),
    ],
)
def test_the_shortest_ways_of_the_book(world, steps):
    assert state_values(optimal_q(world.mdp, 1.0))[world.mdp.start] == pytest.approx(-steps)


def test_the_shortest_way_through_the_maze_has_14_steps():
    mdp = gridworlds.dyna_maze().mdp
    assert state_values(optimal_q(mdp, 0.95))[18] == pytest.approx(0.95**13, abs=1e-12)
    assert state_values(optimal_q(mdp, 1.0))[18] == 1.0


@pytest.mark.parametrize("states", [1, 4, 5, 19, 300])
def test_the_random_walk_has_the_values_of_the_book(states):
    mdp = gridworlds.random_walk(states).mdp
    truth = np.arange(states + 2) / (states + 1)
    truth[-1] = 0.0
    ones = np.ones((states + 2, 1))
    np.testing.assert_allclose(policy_q(mdp, ones, 1.0)[:, 0], truth, atol=1e-10)
    np.testing.assert_allclose(optimal_q(mdp, 1.0)[:, 0], truth, atol=1e-10)


def test_going_left_in_the_bias_chain_costs_a_tenth():
    q = optimal_q(gridworlds.maximisation_bias().mdp, 1.0)
    np.testing.assert_allclose(q[2, :2], [-0.1, 0.0], atol=1e-12)
    assert np.isneginf(q[2, 2:]).all()
    np.testing.assert_allclose(q[1], -0.1)
    assert (q[[0, 3]] == 0).all()


def test_two_states_without_an_end_solved_by_hand():
    """Waiting earns 1, searching 2 but moves with probability 1/2 to a state that earns 0."""
    mdp = chain((0, 0, 1.0, 0, 1.0), (0, 1, 0.5, 0, 2.0), (0, 1, 0.5, 1, 2.0), (1, 0, 1.0, 0, 0.0),
                states=2)  # fmt: skip
    q = optimal_q(mdp, 0.5)
    # v0 = 2 + v0 / 4 + v1 / 4 and v1 = v0 / 2 give v0 = 16 / 5.
    np.testing.assert_allclose(q, [[1 + 1.6, 3.2], [1.6, -np.inf]], atol=1e-12)
    np.testing.assert_allclose(state_values(q), [3.2, 1.6])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 0.999])
def test_the_best_values_solve_bellman_s_equation(gamma):
    rng = np.random.default_rng(5)
    for _ in range(10):
        mdp = random_process(rng)
        q = optimal_q(mdp, gamma)
        assert np.isneginf(q[~mdp.allowed & ~mdp.terminal[:, None]]).all()
        ahead = np.where(mdp.terminal, 0.0, q.max(axis=1))[mdp.next_state]  # [S, A, K]
        wanted = (mdp.probability * (mdp.reward + gamma * ahead)).sum(axis=2)
        acts = mdp.allowed & ~mdp.terminal[:, None]
        np.testing.assert_allclose(q[acts], wanted[acts], atol=1e-8)


def random_process(rng, states=6, actions=3):
    outcomes = {}
    for state in range(states - 1):
        for action in range(actions if state % 2 else actions - 1):
            chance = rng.dirichlet(np.ones(2))
            outcomes[state, action] = [
                Outcome(p, int(rng.integers(states)), float(rng.normal())) for p in chance
            ]
    return from_outcomes(outcomes, states=states, start=0, terminal=[states - 1])


def test_policy_values_equal_the_mean_of_many_episodes():
    world = gridworlds.maximisation_bias(3)
    policy = epsilon_greedy_policy(np.array([[0.0] * 3, [1, 2, 0], [2, 1, -np.inf], [0] * 3]), 0.4)
    assert state_values(policy_q(world.mdp, policy, 1.0), policy)[2] == pytest.approx(-0.08)
    assert state_values(policy_q(world.mdp, policy, 0.5), policy)[2] == pytest.approx(-0.04)


def test_a_policy_s_values_do_not_need_the_pairs_that_it_never_takes():
    mdp = chain((0, 0, 1.0, 2, -1.0), (0, 1, 1.0, 1, 0.0), (1, 0, 1.0, 1, 0.0), states=3,
                terminal=[2])  # fmt: skip
    q = policy_q(mdp, np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]), 1.0)
    assert q[0, 0] == -1.0
    assert np.isnan(q[0, 1])
    assert np.isnan(q[1, 0])
    assert np.isneginf(q[1, 1])
    assert (q[2] == 0).all()


def test_a_policy_that_may_never_end_has_no_value_without_discount():
    mdp = gridworlds.cliff().mdp
    up = np.eye(4)[np.zeros(48, dtype=int)]
    with pytest.raises(ValueError, match="from state 36 the policy may never end"):
        policy_q(mdp, up, 1.0)
    assert policy_q(mdp, up, 0.9)[36, 0] == pytest.approx(-10.0)
    maybe = chain((0, 0, 0.5, 1, 0.0), (0, 0, 0.5, 2, 0.0), (1, 0, 1.0, 1, 0.0), states=3,
                  terminal=[2])  # fmt: skip
    with pytest.raises(ValueError, match="may never end"):
        policy_q(maybe, np.ones((3, 1)), 1.0)


@pytest.mark.parametrize("reward", [-1.0, 1.0])
def test_values_that_do_not_converge_are_refused(reward):
    mdp = chain((0, 0, 1.0, 0, reward), states=2, terminal=[1])
    with pytest.raises(ValueError, match="state 0: its value does not converge"):
        optimal_q(mdp, 1.0)
    assert optimal_q(mdp, 0.75)[0, 0] == pytest.approx(4 * reward)


def test_walking_for_ever_at_no_cost_may_be_best():
    mdp = chain((0, 0, 1.0, 0, 0.0), (0, 1, 1.0, 1, -1.0), states=2, terminal=[1])
    assert optimal_q(mdp, 1.0)[0].tolist() == [0.0, -1.0]


@pytest.mark.parametrize("gamma", [-0.1, 1.1, np.nan])
def test_gamma_outside_its_range_is_refused(gamma):
    mdp = gridworlds.random_walk().mdp
    with pytest.raises(ValueError, match="gamma must be from 0 to 1"):
        optimal_q(mdp, gamma)
    with pytest.raises(ValueError, match="gamma must be from 0 to 1"):
        policy_q(mdp, np.ones((7, 1)), gamma)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_a_tolerance_that_stops_nothing_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        optimal_q(gridworlds.cliff().mdp, 1.0, tolerance=tolerance)


def test_a_wrong_policy_is_refused_by_state():
    mdp = gridworlds.maximisation_bias(3).mdp
    good = uniform(mdp)
    policy_q(mdp, good, 1.0)
    banned, short, negative = good.copy(), good.copy(), good.copy()
    banned[2] = [0.5, 0.0, 0.5]
    short[1] *= 0.5
    negative[2] = [-0.5, 1.5, 0.0]
    with pytest.raises(ValueError, match="state 2, action 2"):
        policy_q(mdp, banned, 1.0)
    with pytest.raises(ValueError, match="state 1: the policy does not sum to 1"):
        policy_q(mdp, short, 1.0)
    with pytest.raises(ValueError, match="state 2, action 0"):
        policy_q(mdp, negative, 1.0)
    with pytest.raises(ValueError, match=r"policy must be \[4, 3\]; got \[3, 4\]"):
        policy_q(mdp, good.T, 1.0)


def test_the_greedy_policy_of_the_best_values_earns_them():
    for world in (gridworlds.cliff(), gridworlds.windy(8, stochastic=True)):
        q = optimal_q(world.mdp, 1.0)
        np.testing.assert_allclose(policy_q(world.mdp, greedy_policy(q), 1.0), q, atol=1e-7)


def test_ties_share_evenly_also_when_round_off_parts_them():
    q = np.array([[1.0, 1.0 + 1e-13, 0.0, -np.inf], [0.0, -1.0, -np.inf, -np.inf]])
    assert greedy_policy(q).tolist() == [[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]


def test_epsilon_is_the_share_of_random_actions():
    q = np.array([[0.0, 3.0, 1.0, -np.inf]])
    np.testing.assert_allclose(epsilon_greedy_policy(q, 0.3), [[0.1, 0.8, 0.1, 0.0]])
    assert epsilon_greedy_policy(q, 0.0).tolist() == [[0.0, 1.0, 0.0, 0.0]]
    for epsilon in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="epsilon must be from 0 to 1"):
            epsilon_greedy_policy(q, epsilon)


@pytest.mark.parametrize("row", [[np.nan, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]])
def test_a_state_without_a_best_action_is_named(row):
    with pytest.raises(ValueError, match="state 1: q must have a finite best value"):
        greedy_policy(np.array([[0.0, 0.0], row]))


def test_state_values_under_a_policy_leave_out_what_is_not_allowed():
    q = np.array([[2.0, 4.0, -np.inf]])
    assert state_values(q).tolist() == [4.0]
    assert state_values(q, np.array([[0.25, 0.75, 0.0]])).tolist() == [3.5]


def test_the_safe_way_is_best_for_an_agent_that_explores():
    """With epsilon 0.1 the way along the edge is worth less than the way around it."""
    mdp = gridworlds.cliff().mdp
    edge = epsilon_greedy_policy(optimal_q(mdp, 1.0), 0.1)
    q = policy_q(mdp, edge, 1.0)
    for _ in range(30):
        q = policy_q(mdp, epsilon_greedy_policy(q, 0.1), 1.0)
    safe = epsilon_greedy_policy(q, 0.1)
    assert state_values(policy_q(mdp, edge, 1.0), edge)[36] == pytest.approx(-50.80, abs=0.01)
    assert state_values(q, safe)[36] == pytest.approx(-20.71, abs=0.01)
    assert greedy_policy(q)[24, 1] == 0  # not along the edge


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_what_stands_in_the_rows_of_a_terminal_state_counts_for_nothing(gamma):
    mdp = chain((0, 0, 1.0, 1, 3.0), (0, 1, 1.0, 0, 0.0), states=2, terminal=[1])
    mdp.reward[1] = 5.0
    mdp.allowed[1, 1] = False
    q = optimal_q(mdp, gamma)
    assert q.tolist() == [[3.0, 3.0 * gamma], [0.0, 0.0]]
    assert policy_q(mdp, np.array([[1.0, 0.0], [1.0, 0.0]]), gamma).tolist() == q.tolist()
