import dataclasses
import itertools

import numpy as np
import pytest

from companion.envs.chains import maximisation_bias, random_walk
from companion.envs.exact import optimal_q
from companion.envs.finite import FiniteMDP, Outcome, from_outcomes
from companion.envs.gridworlds import cliff, dyna_maze, windy
from companion.rl import tab_episodes
from companion.rl.explore import epsilon_greedy_probabilities
from companion.rl.loops import TabularConfig, greedy_return, run
from companion.rl.schedules import Linear
from companion.rl.tab_compile import compiled, reads
from companion.rl.tab_methods import (
    double,
    dyna,
    monte_carlo,
    n_step,
    one_step,
    td,
    traces,
)
from companion.rl.tabular import (
    Rates,
    Step,
    double_q_learning,
    expected_sarsa,
    mark,
    n_step_return,
    q_learning,
    sarsa,
    sarsa_lambda,
    td_prediction,
    watkins_q_lambda,
)

METHODS = {
    "Q-learning": one_step(q_learning),
    "Sarsa": one_step(sarsa),
    "Expected Sarsa": one_step(expected_sarsa),
    "double": double(),
    "4-step": n_step(4),
    "Sarsa(lambda)": traces(0.8),
    "Q(lambda)": traces(0.8, replacing=True, update=watkins_q_lambda),
    "Dyna-Q": dyna(3),
    "TD": td(),
    "Monte Carlo": monte_carlo(),
}
WORLDS = {
    "cliff": cliff().mdp,  # one outcome, no noise
    "gusts": windy(8, stochastic=True).mdp,  # several outcomes
    "noise": maximisation_bias(5).mdp,  # noise, and actions that are not allowed
}
Q = np.array([[1.0, 2.0], [4.0, -2.0], [9.0, 9.0]])
RATES = Rates(alpha=0.5, gamma=0.5, epsilon=0.2)
STEP = Step(0, 1, 3.0, 1, 1, False)


def corridor(length: int, reward: float = 1.0) -> FiniteMDP:
    """Cells in a row; action 0 goes on, action 1 stays."""
    outcomes = {(s, 0): [Outcome(1.0, s + 1, reward + s)] for s in range(length)}
    outcomes |= {(s, 1): [Outcome(1.0, s, -1.0)] for s in range(length)}
    return from_outcomes(outcomes, states=length + 1, start=0, terminal=[length])


def equal(one, two):
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_updates_by_hand():
    assert q_learning(Q, STEP, RATES) == 3.5  # 2 + 0.5 (3 + 0.5 * 4 - 2)
    assert sarsa(Q, STEP, RATES) == 2.0  # 2 + 0.5 (3 - 0.5 * 2 - 2)
    assert expected_sarsa(Q, STEP, RATES) == pytest.approx(3.35)  # mean 0.9 * 4 - 0.1 * 2 = 3.4
    other = np.array([[0.0, 0.0], [-6.0, 100.0], [0.0, 0.0]])
    assert double_q_learning(Q, other, STEP, RATES) == 1.0  # 2 + 0.5 (3 - 0.5 * 6 - 2)
    v = np.array([1.0, 4.0])
    assert td_prediction(v, STEP, RATES) == 3.0  # 1 + 0.5 (3 + 0.5 * 4 - 1)
    assert n_step_return(np.array([1.0, 2.0, 4.0]), 8.0, 0.5) == 4.0  # 1 + 1 + 1 + 1


@pytest.mark.parametrize("rule", [q_learning, sarsa, expected_sarsa])
def test_nothing_follows_the_end(rule):
    end = STEP._replace(next_state=2, next_action=-1, terminated=True)
    assert rule(Q, end, RATES) == 2.5
    assert double_q_learning(Q, Q, end, RATES) == 2.5


def test_sarsa_is_expected_sarsa_in_the_mean():
    policy = epsilon_greedy_probabilities(Q[1], 0.2)
    mean = sum(p * sarsa(Q, STEP._replace(next_action=a), RATES) for a, p in enumerate(policy))
    assert mean == pytest.approx(expected_sarsa(Q, STEP, RATES))


def test_traces_by_hand():
    rates = Rates(0.5, 0.5, 0.2, trace_decay=0.8)
    q, trace = Q.copy(), np.zeros((3, 2))
    trace[0, 0] = 0.5
    sarsa_lambda(q, trace, STEP, rates)  # delta = 3 - 1 - 2 = 0
    assert (q == Q).all()
    assert trace[0].tolist() == pytest.approx([0.2, 0.4])
    sarsa_lambda(q, trace, STEP._replace(reward=5.0), rates)  # delta = 2, traces 0.2 and 1.4
    assert q[0].tolist() == pytest.approx([1.2, 3.4])
    assert trace[0].tolist() == pytest.approx([0.08, 0.56])
    mark(trace, STEP, rates._replace(replacing=True))
    assert trace[0].tolist() == pytest.approx([0.08, 1.0])


@pytest.mark.parametrize(("next_action", "kept"), [(0, 0.4), (1, 0.0)])
def test_an_exploring_action_cuts_the_traces_of_q_lambda(next_action, kept):
    q, trace = Q.copy(), np.zeros((3, 2))
    step = STEP._replace(next_action=next_action)
    watkins_q_lambda(q, trace, step, Rates(0.5, 0.5, 0.2, trace_decay=0.8))
    assert q[0, 1] == 3.5
    assert trace[0, 1] == kept


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", METHODS)
def test_compiled_and_plain_give_exactly_the_same(name, world):
    limit = 4_000 if name == "Monte Carlo" else 60  # it learns from whole episodes only
    config = TabularConfig(Linear(0.5, 0.1, 12), 0.9, 0.1, 12, limit, keep_history=True)
    plain = run(WORLDS[world], METHODS[name], config, [3, 8], compiled=False)
    equal(plain, run(WORLDS[world], METHODS[name], config, [3, 8]))
    assert (plain.q[0] != plain.q[1]).any()
    assert np.isneginf(plain.q).any() == (world == "noise" and plain.q.ndim == 3)
    assert not np.isnan(plain.q).any()


def test_seeds_do_not_influence_each_other():
    config = TabularConfig(episodes=20)
    mdp = cliff().mdp
    together = run(mdp, q_learning, config, [5, 6, 5])
    equal(together, run(mdp, q_learning, config, [5, 6, 5], threads=3))
    for place, seed in enumerate([5, 6, 5]):
        alone = run(mdp, q_learning, config, seed)
        assert (alone.q[0] == together.q[place]).all()
        assert (alone.returns[0] == together.returns[place]).all()
    assert (together.q[0] != together.q[1]).any()


@pytest.mark.parametrize("world", WORLDS)
def test_special_cases_are_one_step_methods_exactly(world):
    config = TabularConfig(alpha=0.3, gamma=0.9, episodes=12, max_steps=60)
    one = run(WORLDS[world], sarsa, config, [1, 2], compiled=False)
    for method in (n_step(1), traces(0.0), traces(0.0, replacing=True)):
        equal(one, run(WORLDS[world], method, config, [1, 2], compiled=False))
    equal(
        run(WORLDS[world], q_learning, config, 1, compiled=False),
        run(WORLDS[world], dyna(0), config, 1, compiled=False),
    )


def test_lambda_1_and_a_large_n_are_monte_carlo():
    mdp, config = corridor(4), TabularConfig(alpha=0.5, gamma=0.5, epsilon=0.0, episodes=1)
    outcomes = [1 + 0.5 * (2 + 0.5 * (3 + 0.5 * 4)), 2 + 0.5 * (3 + 0.5 * 4), 5.0, 4.0]
    for method in (n_step(50), traces(1.0)):
        found = run(mdp, method, dataclasses.replace(config, initial_q=_forward(4)), 0)
        expected = 1.0 + 0.5 * (np.array(outcomes) - 1.0)
        assert found.lengths.tolist() == [[4]]
        assert found.q[0, :4, 0] == pytest.approx(expected)


def _forward(length):
    """A table whose greedy policy always goes on."""
    return np.tile([1.0, -1_000.0], (length + 1, 1))


def test_the_best_values_are_found():
    for mdp, gamma, episodes in ((dyna_maze().mdp, 0.95, 4_000), (corridor(3, -2.0), 1.0, 3_000)):
        best = optimal_q(mdp, gamma)
        config = TabularConfig(0.5, gamma, epsilon=1.0, episodes=episodes)
        for method in (q_learning, double(), dyna(5)):
            q = run(mdp, method, config, 0).q[0]
            visited = (q != 0).any(axis=1)
            assert visited.sum() >= 3
            np.testing.assert_allclose(q[visited], best[visited], atol=1e-6)


def test_values_under_chance_are_found_with_falling_steps():
    mdp = windy(4, stochastic=True).mdp
    config = TabularConfig(Linear(0.3, 0.0, 40_000), epsilon=0.5, episodes=40_000)
    best = optimal_q(mdp, 1.0)
    found = run(mdp, q_learning, config, 0).q[0]
    assert found[mdp.start].max() == pytest.approx(best[mdp.start].max(), abs=0.8)


def test_the_cliff_of_the_book():
    late, greedy = {}, {}
    for rule in (sarsa, q_learning, expected_sarsa):
        found = run(cliff().mdp, rule, TabularConfig(), range(100))
        assert not found.truncated.any()
        late[rule] = found.returns[:, 400:].mean()
        ends = [greedy_return(cliff().mdp, q, max_steps=200).total for q in found.q]
        greedy[rule] = np.median(ends)
    assert late[sarsa] == pytest.approx(-27.0, abs=2.5)
    assert late[q_learning] == pytest.approx(-49.6, abs=3.0)
    assert late[expected_sarsa] == pytest.approx(-20.7, abs=0.9)
    assert list(greedy.values()) == [-17.0, -13.0, -15.0]


def test_the_random_walk_of_the_book():
    truth, errors = np.arange(1, 6) / 6, {}
    for method, alpha in ((td(), 0.05), (td(), 0.1), (monte_carlo(), 0.02)):
        config = TabularConfig(alpha, episodes=100, initial_q=0.5, keep_history=True)
        history = run(random_walk().mdp, method, config, range(100)).history
        error = np.sqrt(((history[:, :, 1:6] - truth) ** 2).mean(axis=2)).mean(axis=0)
        errors[method.name, alpha] = error
    assert errors["td_prediction", 0.05][99] == pytest.approx(0.036, abs=0.006)
    assert errors["td_prediction", 0.1][[24, 99]] == pytest.approx([0.057, 0.054], abs=0.008)
    assert errors["monte_carlo", 0.02][99] == pytest.approx(0.085, abs=0.01)


def test_maximisation_bias_as_in_the_book():
    config = TabularConfig(alpha=0.1, episodes=300)
    left = {}
    for method in (one_step(q_learning), double()):
        actions = run(maximisation_bias().mdp, method, config, range(1_000)).first_actions
        left[method.name] = (actions == 0).mean(axis=0)
    assert left["q_learning"].max() > 0.9
    assert left["q_learning"][250:].mean() == pytest.approx(0.125, abs=0.025)
    assert left["double_q_learning"][250:].mean() == pytest.approx(0.068, abs=0.015)
    assert left["double_q_learning"].max() < 0.6


def test_planning_saves_episodes_in_the_maze_of_the_book():
    lengths = {}
    for planning in (0, 5, 50):
        config = TabularConfig(0.1, 0.95, episodes=25)
        found = run(dyna_maze().mdp, dyna(planning), config, range(30))
        lengths[planning] = found.lengths.mean(axis=0)
    assert lengths[0][4] > 200
    assert lengths[5][4] == pytest.approx(23, abs=6)
    assert lengths[50][2] == pytest.approx(17.6, abs=2)


def test_sarsa_takes_the_action_that_it_learnt_from():
    steps = []

    def spy(q, step, rates):
        steps.append(step)
        return sarsa(q, step, rates)

    run(windy().mdp, one_step(spy, on_policy=True), TabularConfig(episodes=3), compiled=False)
    for now, then in itertools.pairwise(steps):
        if not now.terminated:
            assert (now.next_state, now.next_action) == (then.state, then.action)
        else:
            assert now.next_action == -1


def test_the_next_action_is_chosen_before_the_update_in_sarsa_and_after_it_in_q_learning():
    """Book exercise 6.12: staying in a cell, the two greedy methods do not act alike."""
    mdp = from_outcomes(
        {(0, 0): [Outcome(1.0, 0, -1.0)], (0, 1): [Outcome(1.0, 1, -1.0)]},
        states=2,
        start=0,
        terminal=[1],
    )
    config = TabularConfig(1.0, epsilon=0.0, episodes=1, initial_q=np.array([[1.0, 0.5], [0, 0]]))
    for method, length in ((q_learning, 2), (sarsa, 3)):
        for fast in (False, True):
            # Q-learning sees 1 -> 0 < 0.5 at once; Sarsa has already chosen to stay once more
            assert run(mdp, method, config, compiled=fast).lengths.tolist() == [[length]]


def test_a_rule_of_ones_own_is_compiled_and_a_changed_helper_counts():
    space = {"q_learning": q_learning}
    exec("BONUS = 1.0\ndef helper(x): return x + BONUS\n", space)
    exec("def rule(q, step, rates): return helper(q_learning(q, step, rates))", space)
    config = TabularConfig(episodes=5)

    def both():
        plain = run(corridor(3), space["rule"], config, compiled=False)
        equal(plain, run(corridor(3), space["rule"], config))
        return plain.q

    first = both()
    space["BONUS"] = 2.0
    second = both()
    exec("def helper(x): return x - 1.0", space)
    assert len({q.tobytes() for q in (first, second, both())}) == 3
    assert compiled(q_learning) is compiled(q_learning)


def test_closures_are_compiled_with_their_helpers():
    def twice(x):
        return 2 * x

    def outer(x):
        return twice(x) + 1

    assert compiled(outer)(3) == 7
    with pytest.raises(ValueError, match="only a plain Python function"):
        compiled(max)


def test_a_rule_that_reads_the_next_action_learns_on_policy():
    def helper(step):
        return step.next_action

    def hidden(q, step, rates):
        return q[step.next_state, helper(step)]

    assert reads(hidden, "next_action")
    assert one_step(hidden).episode is tab_episodes.on_policy_episode
    assert one_step(sarsa).episode is tab_episodes.on_policy_episode
    assert one_step(expected_sarsa).episode is tab_episodes.off_policy_episode
    assert one_step(sarsa, on_policy=False).episode is tab_episodes.off_policy_episode


@pytest.mark.parametrize("name", list(METHODS)[:9])
def test_an_episode_that_is_cut_off_is_flagged_and_bootstraps(name):
    mdp = from_outcomes({(0, 0): [Outcome(1.0, 0, 1.0)]}, states=2, start=0, terminal=[1])
    config = TabularConfig(0.5, 0.5, epsilon=0.0, episodes=400, max_steps=3)
    found = run(mdp, METHODS[name], config, compiled=False)
    assert found.truncated.all()
    assert (found.lengths == 3).all()
    assert found.q[0].flat[0] == pytest.approx(2.0)  # 1 / (1 - gamma), not 1


def test_monte_carlo_learns_nothing_from_an_episode_without_an_end():
    mdp = from_outcomes({(0, 0): [Outcome(1.0, 0, 1.0)]}, states=2, start=0, terminal=[1])
    for fast in (False, True):
        found = run(mdp, monte_carlo(), TabularConfig(max_steps=3, episodes=4), compiled=fast)
        assert (found.q == 0).all()


def test_a_fair_coin_says_which_table_learns():
    mdp = from_outcomes({(0, 0): [Outcome(1.0, 1, 1.0)]}, states=2, start=0, terminal=[1])
    found = run(mdp, double(), TabularConfig(1.0, episodes=1), range(2_000))
    assert (found.tables.sum(axis=(1, 2, 3)) == 1).all()
    assert found.tables[:, 0, 0, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert (found.q[:, 0, 0] == 0.5).all()


def test_double_q_learning_acts_on_both_tables():
    outcomes = {(0, action): [Outcome(1.0, 1, -1.0)] for action in range(2)}
    mdp = from_outcomes(outcomes, states=2, start=0, terminal=[1])
    config = TabularConfig(1.0, epsilon=0.0, episodes=2)
    actions = run(mdp, double(), config, range(200)).first_actions
    assert (actions.sum(axis=1) == 1).all()  # what failed once is not tried first again


def test_outcomes_and_noise_are_as_frequent_as_the_tables_say():
    row = [Outcome(0.2, 1, 0.0), Outcome(0.5, 2, 10.0), Outcome(0.3, 1, 20.0, noise=2.0)]
    mdp = from_outcomes({(0, 0): row}, states=3, start=0, terminal=[1, 2])
    found = run(mdp, q_learning, TabularConfig(episodes=20_000)).returns[0]
    assert (found == 0.0).mean() == pytest.approx(0.2, abs=0.015)
    assert (found == 10.0).mean() == pytest.approx(0.5, abs=0.015)
    noisy = found[(found != 0) & (found != 10)]
    assert noisy.mean() == pytest.approx(20, abs=0.15)
    assert noisy.std() == pytest.approx(2, abs=0.1)


def test_the_history_ends_with_the_table_and_starts_after_one_episode():
    config = TabularConfig(episodes=6, keep_history=True)
    for method in (one_step(sarsa), double(), td()):
        found = run(corridor(3), method, config, [1, 2])
        np.testing.assert_array_equal(found.history[:, -1], found.tables)
        one = run(corridor(3), method, TabularConfig(episodes=1), [1, 2])
        np.testing.assert_array_equal(found.history[:, 0], one.tables)
    assert run(corridor(3), sarsa, TabularConfig(episodes=6)).history.shape == (1, 0, 4, 2)


def test_settings_may_change_with_the_episode():
    config = TabularConfig(alpha=[0.0, 0.0, 1.0], epsilon=lambda e: float(e == 0), episodes=3)
    assert config.per_episode("epsilon").tolist() == [1.0, 0.0, 0.0]
    found = run(corridor(2), q_learning, dataclasses.replace(config, keep_history=True))
    assert (found.history[0, 1] == 0).all()
    assert (found.history[0, 2] != 0).any()


def test_a_greedy_policy_that_walks_in_a_circle_is_stopped():
    q = np.tile([0.0, 1.0], (4, 1))
    assert greedy_return(corridor(3), q, max_steps=50) == (-50.0, 50, False)
    assert greedy_return(corridor(3), -q, gamma=0.5) == (2.75, 3, True)  # 1 + 2/2 + 3/4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": 1.5}, r"alpha must be from 0 to 1; got 1\.5"),
        ({"alpha": np.nan}, "alpha must be from 0 to 1; got nan"),
        ({"gamma": -0.1}, r"gamma must be from 0 to 1; got -0\.1"),
        ({"epsilon": lambda e: 1.0 + e}, r"epsilon must be from 0 to 1; got 2\.0"),
        ({"epsilon": [0.1, 0.2]}, r"epsilon must be one number .* got the shape \(2,\)"),
        ({"episodes": 0}, "episodes must be 1 or more; got 0"),
        ({"max_steps": 0}, "max_steps must be 1 or more; got 0"),
        ({"initial_q": np.inf}, "initial_q must hold finite numbers"),
    ],
)
def test_settings_out_of_range_are_named(settings, says):
    with pytest.raises(ValueError, match=says):
        TabularConfig(**settings)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: n_step(0), "n must be 1 or more; got 0"),
        (lambda: traces(1.1), r"trace_decay must be from 0 to 1; got 1\.1"),
        (lambda: dyna(-1), "planning must be 0 or more; got -1"),
        (lambda: dyna(1, sarsa), "must not read next_action"),
        (lambda: one_step(double_q_learning), r"must take \(q, step, rates\) here"),
        (lambda: run(cliff().mdp, sarsa, TabularConfig(), []), "seeds must hold at least one"),
        (lambda: run(cliff().mdp, sarsa, TabularConfig(), -1), "seed must be 0 or more"),
        (lambda: run(cliff().mdp, sarsa, TabularConfig(), threads=0), "threads must be 1 or more"),
    ],
)
def test_what_cannot_be_run_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_the_wrong_versions_of_the_source_document_are_worse():
    """Errata E15 and E17: inverted epsilon, and a next state that is the present one."""

    def no_credit(q, step, rates):
        here = Step(step.state, step.action, step.reward, step.state, -1, step.terminated)
        return q_learning(q, here, rates)

    mdp, seeds = cliff().mdp, range(10)
    inverted = run(mdp, q_learning, TabularConfig(epsilon=0.9, max_steps=3_000), seeds)
    assert inverted.returns[:, 400:].mean() < -5_000
    stuck = run(mdp, no_credit, TabularConfig(max_steps=3_000), seeds)
    ends = [greedy_return(mdp, q, max_steps=200).terminated for q in stuck.q]
    assert not any(ends)
