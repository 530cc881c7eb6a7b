import json

import numpy as np
import pytest

from companion.envs.finite import Outcome, from_outcomes
from companion.rl.explore import epsilon_greedy, epsilon_greedy_batch
from companion.rl.loops import TabularConfig, run
from companion.rl.schedules import linear_fraction
from companion.rl.tab_methods import double, dyna, n_step, traces
from companion.rl.tabular import (
    Rates,
    Step,
    double_q_learning,
    expected_sarsa,
    n_step_return,
    q_learning,
    sarsa,
    watkins_q_lambda,
)

CASES = json.loads(
    """{
"RL-09": {"r": 1, "gamma": 0.9, "q": 0, "q_next": 2, "alpha": 0.5,
          "expected": 1.4, "expected_terminal": 0.5},
"RL-10": {"alpha": 0.5, "gamma": 0.9, "r": 1, "q0": 0, "q_terminal_row": 5, "updates": 3,
          "expected": 0.875},
"RL-12": {"q": [0, 0, 0, 0], "epsilon": 0, "draws": 4000, "expected_each": 1000,
          "tolerance": 150},
"RL-13": {"values": [2, 0, 2], "allowed": [0, 2]},
"RL-14": {"fraction": 0.1, "start": 1.0, "end": 0.05, "checks": [
          {"total": 5, "step": 1, "eps": 0.05}, {"total": 1000, "step": 50, "eps": 0.525},
          {"total": 1000, "step": 400, "eps": 0.05}]}
}"""
)
RULES = [q_learning, sarsa, expected_sarsa, double(), n_step(1), n_step(5), dyna(0)]
RULES += [traces(0.7), traces(0.7, replacing=True, update=watkins_q_lambda)]


@pytest.mark.parametrize("rule", [q_learning, sarsa, expected_sarsa])
def test_rl_09_the_update_multiplies_by_the_next_value(rule):
    case = CASES["RL-09"]
    q = np.array([[case["q"]], [case["q_next"]]], float)
    rates = Rates(case["alpha"], case["gamma"], 0.1)
    new = rule(q, Step(0, 0, case["r"], 1, 0, False), rates)
    assert new == pytest.approx(case["expected"])
    assert rule(q, Step(0, 0, case["r"], 1, 0, True), rates) == case["expected_terminal"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_rl_10_the_row_of_a_terminal_state_is_neither_read_nor_written(rule, compiled):
    case = CASES["RL-10"]
    mdp = from_outcomes({(0, 0): [Outcome(1.0, 1, case["r"])]}, states=2, start=0, terminal=[1])
    initial = np.array([[case["q0"]], [case["q_terminal_row"]]], float)
    settings = {"alpha": case["alpha"], "gamma": case["gamma"], "initial_q": initial}
    updates = case["updates"]
    found = run(mdp, rule, TabularConfig(episodes=updates, **settings), compiled=compiled)
    assert found.q[0, 1, 0] == case["q_terminal_row"]
    many = run(mdp, rule, TabularConfig(episodes=200, **settings), compiled=compiled)
    assert many.tables.reshape(-1, 2)[:, 0] == pytest.approx(1.0)
    if found.tables.ndim == 3:  # of two tables each gets a share of the updates
        assert found.q[0, 0, 0] == case["expected"]


def test_rl_05_an_end_with_an_infinite_value_gives_a_finite_target():
    q, rates = np.array([[0.0, 0.0], [-np.inf, -np.inf]]), Rates(1.0, 0.9, 0.1)
    step = Step(0, 0, 1.0, 1, -1, True)
    assert [rule(q, step, rates) for rule in (q_learning, sarsa, expected_sarsa)] == [1.0] * 3
    assert double_q_learning(q, q, step, rates) == 1.0
    trace = np.zeros((2, 2))
    watkins_q_lambda(q, trace, step, rates)
    assert q[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("rule", RULES)
def test_rl_02_an_end_at_the_time_limit_is_an_end(rule):
    mdp = from_outcomes({(0, 0): [Outcome(1.0, 1, 1.0)]}, states=2, start=0, terminal=[1])
    config = TabularConfig(alpha=1.0, gamma=0.9, episodes=30, max_steps=1, initial_q=5.0)
    found = run(mdp, rule, config, compiled=False)
    assert not found.truncated.any()
    assert found.q[0, 0, 0] == 1.0


def test_rl_12_equal_values_are_decided_at_random():
    case = CASES["RL-12"]
    row = np.array(case["q"], float)
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    actions = [epsilon_greedy(row, case["epsilon"], rng) for _ in range(case["draws"])]
    assert np.bincount(actions, minlength=4) == pytest.approx(
        [case["expected_each"]] * 4, abs=case["tolerance"]
    )
    batch = epsilon_greedy_batch(np.tile(row, (case["draws"], 1)), case["epsilon"], again)
    assert batch.tolist() == actions


def test_rl_13_a_tie_is_among_the_best_values():
    case = CASES["RL-13"]
    row, rng = np.array(case["values"], float), np.random.default_rng(0)
    assert {epsilon_greedy(row, 0.0, rng) for _ in range(200)} == set(case["allowed"])


def test_rl_14_a_short_run_has_a_schedule_too():
    case = CASES["RL-14"]
    for check in case["checks"]:
        schedule = linear_fraction(case["start"], case["end"], case["fraction"], check["total"])
        assert schedule(check["step"]) == pytest.approx(check["eps"])


def test_rl_16_the_last_rewards_have_no_value_after_the_end():
    assert n_step_return(np.array([1.0, 1.0]), 0.0, 0.9) == pytest.approx(1.9)
    outcomes = {(s, 0): [Outcome(1.0, s + 1, 1.0)] for s in range(4)}
    mdp = from_outcomes(outcomes, states=5, start=0, terminal=[4])
    config = TabularConfig(alpha=1.0, gamma=0.9, episodes=1, initial_q=5.0)
    q = run(mdp, n_step(3), config, compiled=False).q[0, :, 0]
    assert q == pytest.approx([2.71 + 0.729 * 5, 2.71, 1.9, 1.0, 5.0])  # each pair once
