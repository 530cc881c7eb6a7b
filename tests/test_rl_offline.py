"""Learning from a finished log: what is stored, what the log supports, and what goes wrong."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tiny_shop import PLAIN, small_world
from worlds import Identity, ThreeSteps

from companion.envs.exact import optimal_q, policy_q
from companion.envs.gridworlds import cliff
from companion.envs.policies import Choice
from companion.envs.shop import ShopVectorEnv
from companion.envs.shop_candidates import CandidatePolicy, Candidates, CandidateShop
from companion.envs.vector import TableVectorEnv
from companion.rl import behaviour as behaviours
from companion.rl.dqn import DQNConfig
from companion.rl.explore import epsilon_greedy_probabilities, softmax_probabilities
from companion.rl.offline import (
    collect_log,
    conservative_gap_reference,
    constrained_act,
    constrained_scores,
    cql_loss_reference,
    fit_offline,
    replay_of,
)
from companion.rl.prioritized import PrioritizedReplay
from companion.rl.replay import Replay
from companion.rl.targets import best_allowed, td_loss_reference, td_target_reference

MDP, GAMMA = cliff().mdp, 0.9
STATES = np.eye(48, dtype=np.float32)
ALL = np.ones((48, 4), bool)

# Walks right above the cliff and never goes down before the last column: it never falls.
SAFE = np.tile([0.25, 0.55, 0.0, 0.2], (48, 1))
SAFE[11:36:12] = 0.2, 0.0, 0.6, 0.2
SAFE[36] = 1, 0, 0, 0


def safe(obs, mask):
    return np.asarray(obs, float) @ SAFE


def cliff_log(seed=0, steps=4_000):
    return collect_log(TableVectorEnv(20, cliff()), safe, steps=steps, seed=seed)


def within_the_log():
    """q* of all policies that do nothing that the log's policy never does."""
    allowed = MDP.allowed & ((SAFE > 0) | MDP.terminal[:, None])
    return optimal_q(MDP._replace(allowed=allowed), GAMMA)


def true_value(act):
    """What a deterministic policy is worth at the start, exactly."""
    best = act(STATES, ALL)
    return policy_q(MDP, np.eye(4)[best], GAMMA)[36, best[36]]


class TableLearner:
    """Q-learning on a table, with a target table. Values begin at 0, which is too high here."""

    def __init__(self, config, actions=4):
        self.config = config
        self.online, self.target = np.zeros((48, actions)), np.zeros((48, actions))
        self.calls = []

    def q_values(self, obs):
        return obs @ self.online

    def update(self, batch):
        errors = []
        for k in range(len(batch.action)):
            each = batch.each(lambda column, k=k: column[k])
            y = td_target_reference(each, each.next_obs @ self.target)
            state = each.obs.argmax(1)
            errors.append(y - self.online[state, each.action])
            for s, a, error in zip(state, each.action, errors[-1], strict=True):
                self.online[s, a] += 0.2 * error
        self.calls.append("update")
        return np.array(errors)

    def sync_target(self, tau=1.0):
        self.target = tau * self.online + (1 - tau) * self.target
        self.calls.append("sync")


def settings(**more):
    return DQNConfig(**{"gamma": GAMMA, "train_every": 1, "sync_every": 50, **more})


# --- the log -------------------------------------------------------------------------------------


def test_a_log_holds_what_was_done_and_what_came_of_it():
    log = cliff_log()
    state, then = log.obs.argmax(1), log.next_obs.argmax(1)
    assert len(log.action) == 4_000
    np.testing.assert_array_equal(then, MDP.next_state[state, log.action, 0])
    np.testing.assert_array_equal(log.reward, MDP.reward[state, log.action, 0])
    np.testing.assert_array_equal(log.terminated, then == 47)
    assert log.terminated.sum() > 50
    assert log.mask.all()
    assert log.next_mask.all()
    np.testing.assert_allclose(log.propensity, SAFE[state, log.action])
    goes_on = ~log.terminated[:-20]
    np.testing.assert_array_equal(log.obs[20:][goes_on], log.next_obs[:-20][goes_on])


def test_actions_are_drawn_with_the_probabilities_of_the_behaviour():
    log = cliff_log(steps=20_000)
    state = log.obs.argmax(1)
    assert (SAFE[state, log.action] > 0).all()
    inner = log.action[~np.isin(state, [11, 23, 35, 36])]
    found = np.bincount(inner, minlength=4) / len(inner)
    error = np.sqrt(0.25 / len(inner))  # at most
    np.testing.assert_allclose(found, [0.25, 0.55, 0, 0.2], atol=4 * error)
    assert len(inner) > 10_000


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_each_episode_ends_with_its_own_last_observation(mode):
    """Whatever way the environments reset themselves; a step that only resets is not in the log."""
    envs = SyncVectorEnv([ThreeSteps, ThreeSteps], autoreset_mode=mode)
    log = collect_log(envs, lambda obs, mask: mask / 2, steps=60, seed=0)
    assert set(log.obs[:, 0]) == {0, 1, 2}
    np.testing.assert_array_equal(log.next_obs, log.obs + 1)
    np.testing.assert_array_equal(log.terminated, log.obs[:, 0] == 2)
    assert 60 <= len(log.action) <= 61


def test_what_is_not_allowed_is_neither_done_nor_forgotten():
    envs = SyncVectorEnv([lambda: Identity(masked=True)] * 3)
    uniform = lambda obs, mask: behaviours.uniform_over(mask)  # noqa: E731
    log = collect_log(envs, uniform, steps=300, seed=0)
    for mask, obs in ((log.mask, log.obs), (log.next_mask, log.next_obs)):
        np.testing.assert_array_equal(mask, np.roll(obs, 1, axis=1) == 0)
    assert log.mask[np.arange(len(log.action)), log.action].all()
    np.testing.assert_allclose(log.propensity, 1 / 3)


def test_a_seed_gives_the_same_log_and_another_does_not():
    one, same, other = cliff_log(3), cliff_log(3), cliff_log(4)
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.action != other.action).any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda obs, mask: mask / 4, "environment 0: the behaviour is no distribution"),
        (lambda obs, mask: np.eye(4)[(obs.argmax(1) + 1) % 4], "is no distribution over the allow"),
        (lambda obs, mask: mask * [1.5, -0.5, 0, 0], "is no distribution"),
        (lambda obs, mask: mask[:, :2] / 2, r"the behaviour has the shape \[1, 2\], not \[1, 4\]"),
    ],
)
def test_a_behaviour_that_is_none_is_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        collect_log(Identity(masked=True), wrong, steps=20, seed=0)


def test_a_log_needs_steps_and_single_actions():
    with pytest.raises(ValueError, match="steps must be 1 or more; got 0"):
        collect_log(Identity(), safe, steps=0, seed=0)
    envs = ShopVectorEnv(2, small_world(), shopper=PLAIN, slate_size=3)
    with pytest.raises(ValueError, match="actions must be Discrete"):
        collect_log(envs, safe, steps=4, seed=0)


# --- the replay ----------------------------------------------------------------------------------


def test_a_replay_is_the_log_in_its_order():
    log = cliff_log(steps=400)
    batch = replay_of(log, gamma=0.8).take(np.arange(400))
    np.testing.assert_array_equal(batch.obs, log.obs)
    np.testing.assert_array_equal(batch.action, log.action)
    np.testing.assert_array_equal(batch.reward, log.reward)
    np.testing.assert_array_equal(batch.next_obs, log.next_obs)
    np.testing.assert_array_equal(batch.terminated, log.terminated)
    np.testing.assert_allclose(batch.discount, 0.8)
    assert batch.next_mask is None  # nothing was ever forbidden


def test_the_next_action_is_one_of_the_log_s():
    log = cliff_log(steps=400)
    then = log.next_obs.argmax(1)
    for threshold in (0.1, 0.3, 0.5, 1.0):
        replay = replay_of(log, gamma=GAMMA, behaviour=safe, threshold=threshold)
        found = replay.take(np.arange(400)).next_mask
        expected = SAFE[then] >= threshold * SAFE[then].max(1, keepdims=True)
        np.testing.assert_array_equal(found, expected)
        assert not found.all()
    np.testing.assert_array_equal(found.sum(1), 1)  # with 1.0 the favourite alone is left


def test_a_threshold_of_0_constrains_nothing():
    replay = replay_of(cliff_log(steps=400), gamma=GAMMA, behaviour=safe, threshold=0.0)
    assert replay.take(np.arange(400)).next_mask is None


def test_support_is_counted_among_what_is_allowed():
    chances = np.array([[0.6, 0.2, 0.15, 0.05], [0.6, 0.2, 0.15, 0.05], [0.0, 0.0, 0.0, 1.0]])
    mask = np.array([[True] * 4, [False, True, True, True], [True, True, False, False]])
    found = behaviours.supported(chances, mask, 0.3)
    expected = [[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]]  # 0.05 / 0.2 is too little
    np.testing.assert_array_equal(found, np.array(expected, bool))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"gamma": 1.5}, "gamma must be from 0 to 1; got 1.5"),
        ({"behaviour": safe, "threshold": -0.1}, "threshold must be from 0 to 1; got -0.1"),
        ({"behaviour": safe, "threshold": 2}, "threshold must be from 0 to 1; got 2"),
    ],
)
def test_a_replay_refuses_what_cannot_be(wrong, says):
    with pytest.raises(ValueError, match=says):
        replay_of(cliff_log(steps=20), **{"gamma": GAMMA, **wrong})


def test_an_empty_log_teaches_nothing():
    log = cliff_log(steps=20)
    empty = log._make(column[:0] for column in log)
    with pytest.raises(ValueError, match="the log is empty"):
        replay_of(empty, gamma=GAMMA)


# --- who wrote the log ---------------------------------------------------------------------------


def rows(seed=0, size=50, actions=5):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(0, 1, (size, actions)), 0)  # with ties
    mask = rng.random((size, actions)) < 0.7
    mask[:, 2] = True
    return scores, mask


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_is_that_of_exploring(epsilon):
    scores, mask = rows()
    found = behaviours.epsilon_greedy_behaviour(lambda obs: obs, epsilon)(scores, mask)
    for row, allowed, chances in zip(scores, mask, found, strict=True):
        expected = epsilon_greedy_probabilities(np.where(allowed, row, -np.inf), epsilon)
        np.testing.assert_allclose(chances, expected)


def test_softmax_is_that_of_exploring():
    scores, mask = rows()
    found = behaviours.softmax_behaviour(lambda obs: obs, 0.5)(scores, mask)
    for row, allowed, chances in zip(scores, mask, found, strict=True):
        expected = softmax_probabilities(np.where(allowed, row, -np.inf), 0.5)
        np.testing.assert_allclose(chances, expected, atol=1e-12)


def test_counted_shares_are_those_of_the_log():
    obs = np.eye(3, dtype=np.float32)[[0, 0, 0, 0, 1, 1]]
    seen = behaviours.counted_behaviour(obs, np.array([1, 1, 1, 0, 2, 2]), 3)
    free = np.ones((3, 3), bool)
    third = 1 / 3  # of an observation that the log does not have
    expected = [[0.25, 0.75, 0], [0, 0, 1], [third, third, third]]
    np.testing.assert_allclose(seen(np.eye(3), free), expected)
    only = np.array([[True, False, True], [True, True, False], [False, True, True]])
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]  # state 1: nothing allowed was ever done
    np.testing.assert_allclose(seen(np.eye(3), only), expected)


def test_counting_finds_the_behaviour_of_the_cliff():
    log = cliff_log(steps=40_000)
    found = behaviours.counted_behaviour(log.obs, log.action, 4)(STATES, ALL)
    often = np.bincount(log.obs.argmax(1), minlength=48) > 500
    assert often.sum() > 15
    np.testing.assert_allclose(found[often], SAFE[often], atol=4 * np.sqrt(0.25 / 500))


def test_a_classifier_finds_a_softmax_of_linear_scores():
    rng = np.random.default_rng(0)
    obs, weights = rng.normal(size=(40_000, 3)), rng.normal(0, 1, (3, 4))
    chances = behaviours.softmax_behaviour(lambda x: x @ weights)(obs, np.ones((40_000, 4), bool))
    action = (chances.cumsum(1) > rng.random((40_000, 1))).argmax(1) * 2  # 1, 3, 5: never done
    seen = behaviours.fitted_behaviour(obs, action, 7)
    found = seen(obs, np.ones((40_000, 7), bool))
    np.testing.assert_allclose(found[:, ::2], chances, atol=0.06)
    assert np.abs(found[:, ::2] - chances).mean() < 0.006
    assert (found[:, 1::2] == 0).all()
    mask = np.tile([True, True, False, False, False, False, True], (40_000, 1))
    some = seen(obs, mask)
    np.testing.assert_allclose(some[:, 0] / some[:, 6], found[:, 0] / found[:, 6])
    np.testing.assert_allclose(some.sum(1), 1)
    assert (some[:, ~mask[0]] == 0).all()


def test_a_behaviour_refuses_what_cannot_be():
    obs = np.zeros((3, 2))
    for wrong, says in (
        (lambda: behaviours.epsilon_greedy_behaviour(safe, 1.2), "epsilon must be from 0 to 1"),
        (lambda: behaviours.softmax_behaviour(safe, 0.0), "temperature must be above 0; got 0"),
        (lambda: behaviours.counted_behaviour(obs[:0], np.array([], int), 2), "the log is empty"),
        (
            lambda: behaviours.counted_behaviour(obs, np.array([0, 2, 0]), 2),
            "row 1 of the log: the action must be from 0 to 1; got 2",
        ),
        (
            lambda: behaviours.fitted_behaviour(obs, np.array([1, 1, 1]), 2),
            r"needs two different actions or more; it has \[1\]",
        ),
        (
            lambda: behaviours.fitted_behaviour(obs, np.array([0, 1, 1]), 2, penalty=0),
            "penalty must be above 0",
        ),
    ):
        with pytest.raises(ValueError, match=says):
            wrong()


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_table_overrates_what_the_log_never_shows_and_a_constraint_does_not(seed):
    """The log has no step down into the cliff. Its best policy is worth -7.46, and so is q*.

    Unseen actions keep their first value, 0, and the maximum of a target finds them: the start
    seems to be worth about -1, and who believes it walks for ever (-10) or falls.
    """
    log, exact = cliff_log(seed), within_the_log()
    seen = behaviours.counted_behaviour(log.obs, log.action, 4)
    naive, bound = TableLearner(settings()), TableLearner(settings())
    fit_offline(naive, replay_of(log, gamma=GAMMA), updates=2_000, seed=seed)
    replay = replay_of(log, gamma=GAMMA, behaviour=seen, threshold=0.1)
    fit_offline(bound, replay, updates=2_000, seed=seed)
    act = constrained_act(bound.q_values, seen, threshold=0.1)
    start = STATES[36:37]
    assert true_value(act) == pytest.approx(exact[36].max())
    assert bound.online[36, act(start, ALL[:1])[0]] == pytest.approx(exact[36].max(), abs=0.1)
    assert naive.online[36].max() > exact[36].max() + 5
    believed = true_value(lambda obs, mask: best_allowed(naive.q_values(obs), mask))
    assert believed < exact[36].max() - 1


def test_the_target_moves_as_often_as_it_would_online():
    """An update stands for 4 steps; after 10 steps the target moves: after updates 3, 5, 8, 10."""
    learner = TableLearner(settings(train_every=4, sync_every=10))
    fit_offline(learner, replay_of(cliff_log(steps=40), gamma=GAMMA), updates=10, seed=0)
    places = [i for i, call in enumerate(learner.calls) if call == "sync"]
    made = [learner.calls[:place].count("update") for place in places]
    assert made == [3, 5, 8, 10]


def test_the_target_moves_by_tau():
    learner = TableLearner(settings(sync_every=1, tau=0.25))
    fit_offline(learner, replay_of(cliff_log(steps=40), gamma=GAMMA), updates=1, seed=0)
    np.testing.assert_allclose(learner.target, 0.25 * learner.online)
    assert learner.online.any()


def test_updates_are_made_in_groups_and_watched():
    learner, times = TableLearner(settings(updates_per_call=5)), []
    replay = replay_of(cliff_log(steps=40), gamma=GAMMA)
    errors = fit_offline(learner, replay, updates=20, seed=0, watch=times.append)
    assert times == [5, 10, 15, 20]
    assert learner.calls.count("update") == 4
    assert errors.shape == (20,)
    assert errors[0] == pytest.approx(1)  # all values are 0 and each step costs 1
    for wrong in (0, 7, -5):
        with pytest.raises(ValueError, match=f"must be a multiple of 5, 1 or more; got {wrong}"):
            fit_offline(learner, replay, updates=wrong, seed=0)


def test_a_seed_gives_the_same_learner():
    found = []
    for seed in (0, 0, 1):
        learner = TableLearner(settings())
        replay = replay_of(cliff_log(steps=400), gamma=GAMMA)
        errors = fit_offline(learner, replay, updates=50, seed=seed)
        found.append((learner.online, errors))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert (found[0][0] != found[2][0]).any()


def test_priorities_are_followed():
    log = cliff_log(steps=400)
    replay = PrioritizedReplay(400, 48, 4, alpha=0.6, epsilon=1e-6)
    replay.add(replay_of(log, gamma=GAMMA)._columns)
    seen = []

    class Spy(TableLearner):
        def update(self, batch):
            seen.append((replay.beta, batch.weight is not None))
            return super().update(batch)

    before = replay.state()
    config = settings(prioritized=True, priority_beta=0.4, beta_steps=100, train_every=2)
    fit_offline(Spy(config), replay, updates=50, seed=0)
    assert all(weighted for _, weighted in seen)
    np.testing.assert_allclose([beta for beta, _ in seen], 0.4 + 0.6 * np.arange(2, 101, 2) / 100)
    after = replay.state()
    assert any((before[name] != after[name]).any() for name in before if name != "added")


def test_what_does_not_fit_is_named():
    replay = replay_of(cliff_log(steps=40), gamma=GAMMA, behaviour=safe)
    with pytest.raises(ValueError, match="the learner has 3 actions; those of the log are 4"):
        fit_offline(TableLearner(settings(), actions=3), replay, updates=1, seed=0)
    everything = replay_of(cliff_log(steps=40), gamma=GAMMA)  # nothing was ever forbidden
    with pytest.raises(ValueError, match="the learner has 5 actions; those of the log are 4"):
        fit_offline(TableLearner(settings(), actions=5), everything, updates=1, seed=0)
    with pytest.raises(ValueError, match="the replay is empty"):
        fit_offline(TableLearner(settings()), Replay(5, 48, 4), updates=1, seed=0)


# --- acting --------------------------------------------------------------------------------------


def test_who_acts_stays_within_the_log():
    values = np.tile([0.0, 1.0, 9.0, 2.0], (48, 1))
    act = constrained_act(lambda obs: obs @ values, safe, threshold=0.3)
    found = act(STATES, ALL)
    assert found[0] == 3  # 2 is best and never done; 3 is done in 0.2 / 0.55 of the favourite's
    assert found[36] == 0
    assert constrained_act(lambda obs: obs @ values, safe, threshold=0.4)(STATES, ALL)[0] == 1
    without = ALL.copy()
    without[:, 3] = False
    assert act(STATES, without)[0] == 1
    with pytest.raises(ValueError, match="threshold"):
        constrained_act(lambda obs: obs, safe, threshold=1.1)


def test_scores_put_the_log_s_actions_first_whatever_the_values():
    values = np.array([[-5.0, 100.0, -300.0, 7.0, 50.0]])
    chances = np.array([[0.4, 0.02, 0.5, 0.0, 0.08]])
    scores = constrained_scores(lambda obs: values, lambda obs, mask: chances)(np.zeros((1, 2)))
    assert np.argsort(-scores[0]).tolist() == [0, 2, 4, 1, 3]
    assert scores[0, [0, 2]].tolist() == [-5, -300]
    mask = np.array([[True, True, False, True, True]])
    some = constrained_scores(
        lambda obs: values, lambda obs, mask: mask * chances, allowed=lambda obs: mask
    )(np.zeros((1, 2)))
    assert np.argsort(-some[0][mask[0]]).tolist() == [0, 3, 1, 2]  # actions 0, 4, 1, 3
    assert np.isfinite(some).all()
    with pytest.raises(ValueError, match="threshold"):
        constrained_scores(lambda obs: values, safe, threshold=-1)


# --- the penalty ---------------------------------------------------------------------------------


def test_the_gap_by_hand():
    q, action = np.array([[0.0, 0.0], [1.0, 3.0], [1.0, 3.0]]), np.array([0, 0, 1])
    found = conservative_gap_reference(q, action)
    np.testing.assert_allclose(found, [np.log(2), np.log(1 + np.e**2), np.log(1 + np.e**-2)])
    allowed = np.array([[True, False], [True, True], [True, False]])
    found = conservative_gap_reference(q, action, allowed)  # in the last row 1 was taken
    np.testing.assert_allclose(found, [0, np.log(1 + np.e**2), np.log(1 + np.e**-2)])
    large = conservative_gap_reference(np.array([[1e4, -1e4]]), np.array([1]))
    np.testing.assert_allclose(large, 2e4)


def test_the_loss_is_dqn_s_and_the_penalty():
    log = cliff_log(steps=64)
    batch = replay_of(log, gamma=GAMMA).take(np.arange(64), np.linspace(0, 1, 64))
    q = np.random.default_rng(0).normal(size=(64, 4))
    target = np.ones(64)
    plain = td_loss_reference(batch, q, target, huber=True)
    gap = conservative_gap_reference(q, batch.action)
    found = cql_loss_reference(batch, q, target, huber=True, alpha=2.0)
    assert found == pytest.approx(plain + 2 * np.mean(np.linspace(0, 1, 64) * gap))
    assert cql_loss_reference(batch, q, target, huber=True, alpha=0.0) == pytest.approx(plain)


# --- the shop ------------------------------------------------------------------------------------


def utility(obs, info, items):
    """Not the shop's: any numbers that depend on the household and the item."""
    return np.cos(3.0 * items + np.asarray(info["user"])[:, None])


def candidate_shop(copies, slate_size=1):
    world = small_world()
    shopper = ShopVectorEnv(copies, world, shopper=PLAIN, slate_size=slate_size, horizon=5)
    candidates = Candidates(world, world.popularity, per_topic=2, per_search=0)
    return CandidateShop(shopper, candidates, utility)


def test_a_log_of_candidates_is_learnt_from_and_shown_as_pages_of_items():
    envs = candidate_shop(8)
    part = envs.parts["utility"]
    drawn = behaviours.softmax_behaviour(lambda obs: obs[:, part])
    log = collect_log(envs, drawn, steps=4_000, seed=0)
    size = envs.candidates.size
    assert log.obs.shape == (4_000, part.stop)
    expected = drawn(log.obs, log.mask)
    np.testing.assert_allclose(log.propensity, expected[np.arange(4_000), log.action])
    seen = behaviours.fitted_behaviour(log.obs, log.action, size)
    assert np.abs(seen(log.obs, log.mask) - expected).mean() < 0.02
    replay = replay_of(log, gamma=GAMMA, behaviour=seen, threshold=0.5)
    assert 0.2 < replay.take(np.arange(4_000)).next_mask.mean() < 0.9

    scores = constrained_scores(lambda obs: -obs[:, part], seen, threshold=0.5)
    policy = CandidatePolicy("offline", scores, envs.candidates, utility, Choice(4))
    shop = ShopVectorEnv(8, small_world(), shopper=PLAIN, slate_size=4)
    obs, info = shop.reset(seed=1)
    slate = policy.act(obs, info, np.random.default_rng(0))
    shop.step(slate.items)
    assert slate.items.shape == (8, 4)


def test_a_page_of_several_candidates_has_no_single_action():
    with pytest.raises(ValueError, match="actions must be Discrete"):
        collect_log(candidate_shop(2, slate_size=3), safe, steps=4, seed=0)


def test_gymnasium_s_own_vectors_are_logged_too():
    envs = gym.make_vec("CartPole-v1", 2, "sync")
    log = collect_log(envs, lambda obs, mask: mask / 2, steps=100, seed=0)
    goes_on = ~log.terminated
    assert np.abs(log.next_obs[goes_on] - log.obs[goes_on]).max() < 1.5
    assert log.terminated.any()
