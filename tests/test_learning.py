"""What is learnt, in numbers: the book's figures, exact values, and whether a fault would show.

Each band says where it comes from. Unless it says otherwise, it is 4 standard errors of the mean
over the runs of the test, on either side of the mean over other seeds. With a right program the
seeds of a test leave their band in fewer than 1 of 10,000 draws; the seeds are fixed all the same.
`tests/mutants.py` lists faults that these tests must find.
"""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from parity import FRAMEWORKS, load
from worlds import Identity

from companion.envs.chains import maximisation_bias, random_walk
from companion.envs.exact import optimal_q
from companion.envs.finite import Outcome, from_outcomes
from companion.envs.gridworlds import cliff, dyna_maze, windy
from companion.envs.tables import TableEnv
from companion.envs.vector import TableVectorEnv
from companion.envs.world import World
from companion.rl.bandits import BanditConfig, run_testbed
from companion.rl.dqn import DQNConfig
from companion.rl.explore import epsilon_greedy, epsilon_greedy_batch
from companion.rl.loops import TabularConfig, greedy_return, run
from companion.rl.rollout import as_vector, evaluate, greedy
from companion.rl.schedules import Linear
from companion.rl.tab_methods import double, dyna, monte_carlo, one_step, td
from companion.rl.tabular import expected_sarsa, q_learning, sarsa
from companion.rl.targets import td_target_reference
from companion.rl.training import Training

# --- the figures of the book ---------------------------------------------------------------------

# The mean return of the last 100 of 500 episodes, over 100 runs. (mean, standard error.) Another
# program, written for the purpose, found -27.0 +- 0.6, -49.6 +- 0.8 and -20.7 +- 0.2.
CLIFF = {sarsa: (-27.0, 0.71), q_learning: (-49.6, 0.75), expected_sarsa: (-20.7, 0.2)}


@pytest.mark.parametrize("rule", CLIFF, ids=lambda rule: rule.__name__)
def test_the_cliff_of_example_6_6(rule):
    """alpha 0.5, epsilon 0.1, gamma 1. The three bands do not overlap."""
    config = TabularConfig(0.5, 1.0, 0.1, episodes=500)
    found = run(cliff().mdp, rule, config, range(100))
    assert not found.truncated.any()
    mean, error = CLIFF[rule]
    assert found.returns[:, 400:].mean() == pytest.approx(mean, abs=4 * error)


def test_q_learning_walks_along_the_cliff_and_sarsa_keeps_away():
    """The greedy path of Q-learning is the shortest, 13 steps, in each of 30 runs.

    Sarsa's shortest greedy path has 15 or more in 199 of 200 runs, and some run in a circle.
    """
    paths = {}
    for rule in (q_learning, sarsa):
        tables = run(cliff().mdp, rule, TabularConfig(episodes=500), range(30)).q
        paths[rule] = [greedy_return(cliff().mdp, q, max_steps=200).total for q in tables]
    assert paths[q_learning] == [-13.0] * 30
    assert np.median(paths[sarsa]) == -17.0


# RMS error over the five states, after so many episodes, from V = 0.5: method, step size, episodes,
# mean over 1,000 runs, standard error of the mean of 100.
WALKS = [
    (td(), 0.05, 100, 0.0353, 0.0016),
    (td(), 0.1, 25, 0.0565, 0.0020),
    (td(), 0.1, 100, 0.0552, 0.0023),
    (td(), 0.15, 100, 0.0697, 0.0027),
    (monte_carlo(), 0.01, 100, 0.0977, 0.0024),
    (monte_carlo(), 0.02, 100, 0.0840, 0.0040),
    (monte_carlo(), 0.03, 100, 0.0962, 0.0049),
    (monte_carlo(), 0.04, 100, 0.1096, 0.0055),
]


def test_the_random_walk_of_example_6_2():
    truth, best = np.arange(1, 6) / 6, {}
    for method, alpha, episodes, mean, error in WALKS:
        config = TabularConfig(alpha, episodes=episodes, initial_q=0.5)
        values = run(random_walk().mdp, method, config, range(100)).q[:, 1:6]
        found = np.sqrt(((values - truth) ** 2).mean(axis=1)).mean()
        assert found == pytest.approx(mean, abs=4 * error), (method.name, alpha, episodes)
        best[method.name] = min(found, best.get(method.name, 1.0))
    assert best["td_prediction"] < best["monte_carlo"] - 0.03  # 0.035 and 0.084


def test_the_maximisation_bias_of_example_6_7():
    """The share of runs that go left, which is always a mistake; exploring alone makes it 5 %.

    Episodes 251 to 300: 12.1 % and 6.9 % over 4,000 runs, of 1,000 runs +- 0.6 and +- 0.3 points.
    At its worst 94 % of the runs of Q-learning go left, and 50 % of those of double Q-learning,
    in the first episode, where nothing is known yet.
    """
    # The share at the worst and its bound: 0.944 and 4 standard errors of 0.007, 0.5 and of 0.016.
    for method, mean, error, worst in (
        (double(), 0.069, 0.0032, (0.44, 0.57)),
        (one_step(q_learning), 0.121, 0.006, (0.91, 0.975)),
    ):
        config = TabularConfig(0.1, episodes=300)
        actions = run(maximisation_bias().mdp, method, config, range(1_000)).first_actions
        left = (actions == 0).mean(axis=0)
        assert left[250:].mean() == pytest.approx(mean, abs=4 * error)
        assert worst[0] < left.max() < worst[1]


def test_the_ten_armed_testbed_of_section_2_3():
    """Steps 901 to 1,000 of 2,000 problems: the mean and spread of 8 such runs.

    Reward and share of the best arm: greedy 1.033 +- 0.009 and 35.5 % +- 0.6; epsilon 0.01 1.311
    +- 0.013 and 59.0 % +- 1.0; epsilon 0.1 1.367 +- 0.010 and 79.4 % +- 0.8.
    """
    expected = {0.0: (1.033, 0.355), 0.01: (1.311, 0.590), 0.1: (1.367, 0.794)}
    for epsilon, (reward, best) in expected.items():
        found = run_testbed(BanditConfig(epsilon=epsilon), seed=0)
        assert found.reward[900:].mean() == pytest.approx(reward, abs=4 * 0.013)
        assert found.best_action[900:].mean() == pytest.approx(best, abs=4 * 0.010)
    assert found.best_value == pytest.approx(1.539, abs=4 * 0.013)  # sd 0.587 over sqrt(2,000)


def test_the_maze_of_example_8_1():
    """Mean steps over 30 runs, from 300 others: planning saves episodes; 14 steps are the best."""
    for planning, episode, mean, error in (
        (0, 25, 23.5, 3.1),
        (5, 5, 22.2, 2.1),
        (50, 3, 17.7, 0.7),
    ):
        config = TabularConfig(0.1, 0.95, 0.1, episodes=episode)
        lengths = run(dyna_maze().mdp, dyna(planning), config, range(30)).lengths
        assert lengths[:, -1].mean() == pytest.approx(mean, abs=4 * error)
        assert lengths[:, 0].mean() == pytest.approx(
            877, abs=4 * 147
        )  # the book's plot: about 1,700
        assert lengths.min() >= 14


def test_the_windy_grid_of_example_6_5():
    """Episodes finished in 8,000 steps, over 30 runs; then 22.8 steps an episode, not yet 17."""
    lengths = run(windy().mdp, sarsa, TabularConfig(episodes=230), range(30)).lengths
    finished = (lengths.cumsum(axis=1) <= 8_000).sum(axis=1)
    assert finished.max() < 230
    assert finished.mean() == pytest.approx(159.5, abs=4 * 1.6)
    assert lengths[:, 140:170].mean() == pytest.approx(22.8, abs=4 * 0.48)
    assert lengths.min() >= 15


# --- tables and the exact values -----------------------------------------------------------------


def chain(slip=0.0):
    """Five cells in a row, then the end. 0 goes on for 1, 2, .. 5, or slips; 1 goes back for 2."""
    outcomes = {}
    for s in range(5):
        on = Outcome(1 - slip, s + 1, float(s + 1))
        outcomes[s, 0] = [on, Outcome(slip, s, 0.0)] if slip else [on]
        outcomes[s, 1] = [Outcome(1.0, max(s - 1, 0), 2.0)]
    mdp = from_outcomes(outcomes, states=6, start=0, terminal=[5])
    return World("chain", mdp, (1, 6), ("on", "back"), ("S....T",))


RULES = {rule.__name__: one_step(rule) for rule in (q_learning, sarsa, expected_sarsa)}
RULES["double_q_learning"] = double()


# The largest error over 20 seeds was 1e-14 where the target is the best action, 0.28 where it is a
# mean over actions of which epsilon takes fewer and fewer, and 0.65 where it is one of them.
EPISODES = 1_500
NEAR = {"q_learning": 1e-6, "double_q_learning": 1e-6, "expected_sarsa": 0.4, "sarsa": 0.9}


@pytest.mark.parametrize("name", NEAR)
def test_tables_find_the_exact_values(name):
    """From 4 everywhere, the end included, which must not count; epsilon falls from 1 to 0."""
    mdp, gamma = chain().mdp, 0.7
    falling = Linear(1.0, 0.0, EPISODES)
    config = TabularConfig(0.2, gamma, falling, episodes=EPISODES, max_steps=50, initial_q=4.0)
    found = run(mdp, RULES[name], config, 0, compiled=False).q[0, :5]
    np.testing.assert_allclose(found, optimal_q(mdp, gamma)[:5], rtol=0, atol=NEAR[name])


@pytest.mark.parametrize("name", ["q_learning", "double_q_learning"])
def test_tables_find_the_exact_values_under_chance(name):
    """The largest error over 20 seeds was 0.14 of 5 to 10, as the step size falls to 0."""
    mdp, gamma = chain(slip=0.3).mdp, 0.7
    config = TabularConfig(Linear(0.2, 0.0, 20_000), gamma, 0.7, episodes=20_000, initial_q=4.0)
    found = run(mdp, RULES[name], config, 1).q[0, :5]
    np.testing.assert_allclose(found, optimal_q(mdp, gamma)[:5], rtol=0, atol=0.2)


def test_sarsa_walks_the_action_that_it_has_learnt_from():
    steps = []

    def spy(q, step, rates):
        steps.append(step)
        return sarsa(q, step, rates)

    config = TabularConfig(epsilon=0.5, episodes=20)
    run(chain().mdp, one_step(spy, on_policy=True), config, 0, compiled=False)
    followed = [
        (now.next_state, now.next_action) == (then.state, then.action)
        for now, then in itertools.pairwise(steps)
        if not now.terminated
    ]
    assert len(followed) > 50
    assert all(followed)


# --- choosing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["row", "batch"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
def test_equal_values_are_decided_at_random_and_epsilon_is_the_share_of_exploring(way, epsilon):
    """Values 1, 0, 1: each share of 20,000 draws within 4 standard errors, sqrt(p (1 - p) / n)."""
    q, n, rng = np.array([1.0, 0.0, 1.0]), 20_000, np.random.default_rng(0)
    if way == "row":
        actions = np.array([epsilon_greedy(q, epsilon, rng) for _ in range(n)])
    else:
        actions = epsilon_greedy_batch(np.tile(q, (n, 1)), epsilon, rng)
    share = np.bincount(actions, minlength=3) / n
    other = epsilon / 3
    expected = np.array([(1 - other) / 2, other, (1 - other) / 2])
    assert (np.abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / n)).all()


# --- the training loop of DQN --------------------------------------------------------------------


class TableLearner:
    """A table [D, A] in the place of a network, for one-hot observations. Targets in NumPy.

    It starts near 3, so that values which must not count would show.
    """

    def __init__(self, config, *, obs_size, num_actions, seed):
        self.config = config
        self.table = np.random.default_rng(seed).normal(3, 0.1, (obs_size, num_actions))
        self.target = self.table.copy()

    def q_values(self, obs):
        return (obs @ self.table).astype(np.float32)

    def update(self, batch):
        return np.stack([self._one(batch.each(lambda c, k=k: c[k])) for k in range(len(batch[0]))])

    def _one(self, batch):
        chooser = batch.next_obs @ self.table if self.config.double else None
        y = td_target_reference(batch, batch.next_obs @ self.target, chooser)
        pair = batch.obs.argmax(1), batch.action
        error = y - self.table[pair]
        weight = 1.0 if batch.weight is None else batch.weight
        np.add.at(self.table, pair, self.config.learning_rate * weight * error)
        return error

    def sync_target(self, tau=1.0):
        self.target += tau * (self.table - self.target)

    def state(self):
        return {"table": self.table.copy(), "target": self.target.copy()}


KINDS = ["table", *FRAMEWORKS]


def start(kind, env, seed=0, **settings):
    """A run of a table or of a small network, ready to go."""
    defaults = {"table": {"learning_rate": 0.05}}
    usual = {"hidden_sizes": (32,), "learning_rate": 0.01, "batch_size": 32, "warmup": 100}
    usual |= {"train_every": 2, "sync_every": 50, "epsilon_steps": 800, "adam_epsilon": 1e-5}
    config = DQNConfig(**{**usual, **defaults.get(kind, {}), **settings})
    learner = TableLearner if kind == "table" else load(kind).DQNLearner
    space = getattr(env, "single_observation_space", env.observation_space)
    actions = getattr(env, "single_action_space", env.action_space)
    size = int(space.n) if isinstance(space, gym.spaces.Discrete) else space.shape[0]
    sizes = {"obs_size": size, "num_actions": int(actions.n)}
    return Training(env, learner(config, **sizes, seed=seed), seed=seed)


def learnt(training):
    """[S, A] the values of all states."""
    return training.learner.q_values(np.eye(training.stepper.obs_size, dtype=np.float32))


EXTRAS = {"double": True, "dueling": True, "prioritized": True, "n_step": 3}


@pytest.mark.parametrize("extras", [{}, EXTRAS], ids=["plain", "extras"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_task_is_learnt(kind, extras):
    """With epsilon at 0.05 the last 20 episodes pay 20 (1 - 0.05 * 3 / 4) = 19.25 in the mean.

    20 times 20 steps: the standard error is 20 sqrt(0.0375 * 0.9625 / 400) = 0.19.
    """
    training = start(kind, Identity(), gamma=0.5, **extras).run(1_600)
    assert training.returns()[-20:].mean() == pytest.approx(19.25, abs=4 * 0.19)
    best = evaluate(greedy(training.learner.q_values), as_vector(Identity()), seed=1)
    assert best.tolist() == [20.0]


@pytest.mark.parametrize("double", [False, True], ids=["plain", "double"])
@pytest.mark.parametrize("kind", KINDS)
def test_dqn_finds_the_exact_values_of_a_chain(kind, double):
    """Random actions reach every pair; many episodes end, many are cut off after 12 steps.

    The chain has no chance, so what is left is how far a network is from convergence.
    """
    world, gamma = chain(), 0.7
    env = gym.wrappers.TimeLimit(TableEnv(world), 12)
    training = start(kind, env, gamma=gamma, epsilon_end=1.0, double=double).run(2_000)
    ends = np.array([episode.length < 12 for episode in training.episodes])
    assert 0.1 < ends.mean() < 0.9
    found, exact = learnt(training)[:5], optimal_q(world.mdp, gamma)[:5]
    near = 0.05 if kind == "table" else 0.25  # the largest error over the seeds: 0.009 and 0.11
    np.testing.assert_allclose(found, exact, rtol=0, atol=near)


def test_a_vector_of_environments_is_cut_off_where_it_is_not_where_it_begins_again():
    """Four copies that reset themselves within the step; the true last observation counts."""
    world, gamma = chain(), 0.7
    envs = TableVectorEnv(4, world, max_episode_steps=6)
    training = start("table", envs, gamma=gamma, epsilon_end=1.0).run(4_000)
    found, exact = learnt(training)[:5], optimal_q(world.mdp, gamma)[:5]
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.05)


def loop(terminal):
    """Reward 1 for the only action; then the same state again, or the end."""
    mdp = from_outcomes({(0, 0): [Outcome(1.0, terminal, 1.0)]}, states=2, start=0, terminal=[1])
    return World("loop", mdp, (1, 2), ("go",), ("ST",))


@pytest.mark.parametrize("kind", KINDS)
def test_values_go_on_beyond_a_time_limit_and_stop_at_the_end(kind):
    """A reward of 1 for ever is worth 1 / (1 - 0.75) = 4, however often a limit cuts in."""
    for terminal, value in ((0, 4.0), (1, 1.0)):
        env = gym.wrappers.TimeLimit(TableEnv(loop(terminal)), 2)
        training = start(kind, env, gamma=0.75, sync_every=20).run(1_000)
        assert {episode.length for episode in training.episodes} == {1 if terminal else 2}
        assert learnt(training)[0, 0] == pytest.approx(value, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_n_steps_do_not_reach_across_the_end(kind):
    """One way to go, rewards 1 to 5: five steps, so that 3 reach over each end."""
    rows = {(s, 0): [Outcome(1.0, s + 1, s + 1.0)] for s in range(5)}
    mdp = from_outcomes(rows, states=6, start=0, terminal=[5])
    env = TableEnv(World("way", mdp, (1, 6), ("on",), ("S....T",)))
    training = start(kind, env, gamma=0.5, n_step=3).run(1_200)
    exact = optimal_q(mdp, 0.5)[:5]
    np.testing.assert_allclose(learnt(training)[:5], exact, rtol=0, atol=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_forbidden_actions_are_neither_taken_nor_counted(kind):
    """In cell 1 only action 0 is allowed, for -1; from cell 0, 1 ends for -2 and 0 leads there.

    An action that is never taken keeps about its starting value, which must not count.
    """
    rows = {(0, 0): [Outcome(1.0, 1, 0.0)], (0, 1): [Outcome(1.0, 2, -2.0)]}
    rows[1, 0] = [Outcome(1.0, 2, -1.0)]
    mdp = from_outcomes(rows, states=3, start=0, terminal=[2])
    taken, env = set(), TableEnv(World("mask", mdp, (1, 3), ("a", "b"), ("S.T",)))
    step = env.step

    def spy(action):
        taken.add((env._state, int(action)))
        return step(action)

    env.step = spy
    training = start(kind, env, gamma=1.0, double=True).run(1_000)
    assert taken == {(0, 0), (0, 1), (1, 0)}
    found = learnt(training)[[0, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(found, [-1.0, -2.0, -1.0], rtol=0, atol=0.1)
    act = greedy(training.learner.q_values)
    assert act(np.eye(3, dtype=np.float32)[1:2], np.array([[True, False]])).tolist() == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_priorities_do_not_shift_the_mean(kind):
    """10 in one of ten draws, else 0: the mean is 1.

    Drawn by |error|^0.6 without weights, 0.1 (10 - q)^1.6 = 0.9 q^1.6 gives q = 2.0.
    """
    rows = {(0, 0): [Outcome(0.1, 1, 10.0), Outcome(0.9, 1, 0.0)]}
    mdp = from_outcomes(rows, states=2, start=0, terminal=[1])
    env = TableEnv(World("lottery", mdp, (1, 2), ("go",), ("ST",)))
    # The weights are small, so the steps are; the mean is that of what the replay holds.
    few = {"learning_rate": 0.003, "train_every": 1, "warmup": 1_000, "batch_size": 64}
    training = start(kind, env, prioritized=True, priority_beta=1.0, **few).run(2_000)
    mean = training.replay.state()["reward"].mean()
    assert mean == pytest.approx(1.0, abs=4 * 3 / 2_000**0.5)
    assert learnt(training)[0, 0] == pytest.approx(mean, abs=0.35)


def test_the_target_stands_still_between_its_moves():
    training = start("table", TableEnv(chain()), warmup=10, sync_every=40)
    learner, moved, last = training.learner, [], training.learner.target.copy()
    for step in range(1, 131):
        training.run(1)
        if (learner.target != last).any():
            moved.append(step)
            np.testing.assert_array_equal(learner.target, learner.table)
        last = learner.target.copy()
    assert moved == [40, 80, 120]
    assert (learner.target != learner.table).any()


@pytest.mark.parametrize("extras", [{}, EXTRAS], ids=["plain", "extras"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_one_run_bit_for_bit(kind, extras):
    one, same, other = (start(kind, Identity(), seed, **extras).run(400) for seed in (3, 3, 4))
    assert one.episodes == same.episodes
    assert one.episodes != other.episodes
    for name, value in one.learner.state().items():
        np.testing.assert_array_equal(value, same.learner.state()[name], err_msg=name)
    assert (learnt(one) != learnt(other)).any()
