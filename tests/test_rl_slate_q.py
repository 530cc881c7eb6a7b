"""SlateQ without a framework: pages by the values of clicks, targets, and the training loop."""

from itertools import permutations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from test_rl_training import LinearLearner, all_of
from tiny_shop import PLAIN, tiny_world

from companion.core.seeding import generator
from companion.envs.best_slate import page_value
from companion.envs.candidates import Candidates
from companion.envs.shop_candidates import CandidateShop
from companion.envs.shop_vector import ShopVectorEnv
from companion.envs.slates import epsilon_greedy_propensity, top_k
from companion.rl.on_policy import slate_envs
from companion.rl.replay import Batch
from companion.rl.rollout import Stepper, as_vector, evaluate
from companion.rl.slate_q import (
    PageModel,
    SlateQPolicy,
    best_page,
    page_model,
    page_scores,
    slate_act,
    slate_target_reference,
)
from companion.rl.slate_training import SlateTraining, clicked_items
from companion.rl.training import Training

S, M, K, GAMMA = 3, 4, 2, 0.9
PLACE = (1.0, 0.5)
MODEL = PageModel(M, K, S, PLACE)
UTILITY = np.array([[1.5, -0.5, -1.0, 0.0], [0.5, 1.0, -1.0, -2.0], [-1.0, 0.5, 0.0, -0.5]])
# What a click on an item brings, and where it leads; the last column is no click. State 3 is the
# end. In state 0 the item that is clicked most pays at once and ends the episode.
REWARD = np.array(
    [[1.0, 0.1, 0.0, 0.4, 0.0], [0.2, 0.3, 1.0, 0.0, 0.0], [0.0, 2.0, 0.5, 1.5, -0.2]]
)
NEXT = np.array([[3, 1, 2, 0, 0], [0, 1, 2, 3, 1], [3, 3, 2, 0, 3]])
MASK = np.array([[True] * 4, [True] * 4, [True, False, True, True]])


class Booth(gym.Env):
    """A finite process whose actions are pages of K of M items. Starts anywhere; 20 steps at most.

    The info tells the clicked place only after a step, so a step that also resets tells it in
    `final_info` alone.
    """

    observation_space = spaces.Box(-10, 10, (S + M,), np.float32)
    action_space = spaces.MultiDiscrete([M] * K)

    def __init__(self, limit=20, tells=True):
        self.limit, self.tells = limit, tells

    def _seen(self):
        state = min(self.state, S - 1)
        obs = np.concatenate([np.eye(S)[state], UTILITY[state]]).astype(np.float32)
        return obs, {"action_mask": MASK[state]}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.count = int(self.np_random.integers(S)), 0
        return self._seen()

    def step(self, page):
        assert len(set(page.tolist())) == K
        assert MASK[self.state, page].all()
        odds = np.append(np.exp(UTILITY[self.state, page]) * PLACE, 1.0)
        position = int(self.np_random.choice(K + 1, p=odds / odds.sum()))
        clicked = M if position == K else int(page[position])
        reward, self.state = REWARD[self.state, clicked], int(NEXT[self.state, clicked])
        self.count += 1
        obs, info = self._seen()
        if self.tells:
            info["position"] = -1 if position == K else position
        return obs, reward, self.state == S, self.count >= self.limit, info


def booths(count=4, mode=AutoresetMode.SAME_STEP, **more):
    return SyncVectorEnv([lambda: Booth(**more)] * count, autoreset_mode=mode)


def pages_of(state):
    return [list(page) for page in permutations(np.flatnonzero(MASK[state]), K)]


def worth(state, page, q):
    """Q(s, A) from the values of clicks, [M + 1]."""
    return page_value(UTILITY[state, page], q[page], q[M], place=np.array(PLACE))


def exact(gamma):
    """The values of clicks under the best pages, [S, M + 1], and those pages, by enumeration."""
    q = np.zeros((S, M + 1))
    for _ in range(500):
        value = [max(worth(s, page, q[s]) for page in pages_of(s)) for s in range(S)]
        q = REWARD + gamma * np.append(value, 0.0)[NEXT]
    best = [max(pages_of(s), key=lambda page, s=s: worth(s, page, q[s])) for s in range(S)]
    return q, best


class LinearSlateLearner(LinearLearner):
    """Q(s, j) = s W for the items and no click; its target is that of SlateQ."""

    def __init__(self, **settings):
        super().__init__(S + M, M + 1, **settings)

    def _one(self, batch):
        online = batch.next_obs @ self.online if self.config.double else None
        y = slate_target_reference(batch, batch.next_obs @ self.target, MODEL, online)
        rows = np.arange(len(y))
        error = y - (batch.obs @ self.online)[rows, batch.action]
        slope = np.zeros((len(y), self.online.shape[1]))
        slope[rows, batch.action] = error if batch.weight is None else batch.weight * error
        self.online = self.online + self.config.learning_rate * batch.obs.T @ slope / len(y)
        return error.astype(np.float32)


def train(steps, envs=None, seed=0, **settings):
    envs = booths() if envs is None else envs
    learner = LinearSlateLearner(gamma=GAMMA, **settings)
    return SlateTraining(envs, learner, seed=seed, model=MODEL).run(steps)


def state_of(obs):
    return obs[:, :S].argmax(1)


def all_observations():
    return np.concatenate([np.eye(S), UTILITY], axis=1).astype(np.float32)


# --- pages


def test_the_best_page_by_values_is_the_best_of_all():
    rng = np.random.default_rng(0)
    obs = all_observations()
    for _ in range(50):
        q = rng.normal(0, 2, (S, M + 1))
        found = best_page(MODEL, q, obs, MASK)
        for s in range(S):
            most = max(worth(s, page, q[s]) for page in pages_of(s))
            assert worth(s, found[s], q[s]) == pytest.approx(most, abs=1e-12)


def test_the_value_of_no_click_matters():
    """Where silence is worth much, the page holds what is clicked least."""
    obs, q = all_observations(), np.zeros((S, M + 1))
    q[:, M] = 5.0
    assert [set(page) for page in best_page(MODEL, q, obs, MASK).tolist()] == [
        {1, 2}, {2, 3}, {0, 3}
    ]  # fmt: skip
    assert [set(page) for page in best_page(MODEL, -q, obs, MASK).tolist()] == [
        {0, 3}, {0, 1}, {2, 3}
    ]  # fmt: skip


def test_scores_of_a_page_give_the_page_back():
    pages = np.array([[3, 0], [1, 2]])
    scores = page_scores(pages, M)
    assert scores.tolist() == [[1, 0, 0, 2], [0, 2, 1, 0]]
    assert top_k(scores, np.ones((2, M), bool), K).items.tolist() == pages.tolist()


def test_clicks_by_their_places():
    pages = np.array([[3, 0], [1, 2], [2, 0]])
    assert clicked_items(pages, np.array([0, 1, -1]), M).tolist() == [3, 2, M]
    with pytest.raises(ValueError, match="row 1: position must be from -1 to 1; got 2"):
        clicked_items(pages, np.array([0, 2, -1]), M)
    with pytest.raises(ValueError, match="row 0: position must be from -1 to 1; got -2"):
        clicked_items(pages, np.array([-2, 0, -1]), M)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_items": 0}, "num_items must be a whole number, 1 or more; got 0"),
        ({"slate_size": 1.5}, "slate_size must be a whole number, 1 or more; got 1.5"),
        ({"first": -1}, "first must be a whole number, 0 or more; got -1"),
        ({"rounds": 0}, "rounds must be a whole number, 1 or more; got 0"),
        ({"slate_size": 5}, "a page has 5 places, but there are 4 items"),
        ({"place": 0.0}, "finite and above 0"),
        ({"place": (1.0, 0.5, 0.2)}, r"one factor or 2; got the shape \[3\]"),
    ],
)
def test_wrong_models_are_refused(change, reason):
    given = {"num_items": 4, "slate_size": 2, "first": 3} | change
    with pytest.raises(ValueError, match=reason):
        PageModel(**given)


def test_a_model_says_what_a_network_needs():
    assert (MODEL.no_click, MODEL.num_actions, MODEL.factors) == (4, 5, PLACE)
    assert PageModel(4, 3, 0, 0.5).factors == (1.0, 0.5, 0.25)
    assert PageModel(4, 2, 0, np.array(PLACE)).place == PLACE
    assert MODEL.utility(all_observations()).tolist() == UTILITY.astype(np.float32).tolist()


# --- the target


def transitions(masked=True):
    """One for each state that may come next, and one that ends."""
    state = np.array([0, 1, 2, 2])
    return Batch(
        obs=np.zeros((4, S + M), np.float32),
        action=np.array([0, 4, 2, 1]),
        reward=np.array([1, 2, 3, 4], np.float32),
        next_obs=all_observations()[state],
        terminated=np.array([False, False, False, True]),
        discount=np.array([0.9, 0.81, 0.9, 0.9], np.float32),
        next_mask=np.concatenate([MASK[state], np.ones((4, 1), bool)], 1) if masked else None,
        weight=None,
    )


@pytest.mark.parametrize("double", [False, True])
def test_the_target_is_the_best_page_by_enumeration(double):
    rng, batch = np.random.default_rng(1), transitions()
    q, online = rng.normal(0, 2, (2, 4, M + 1))
    found = slate_target_reference(batch, q, MODEL, online if double else None)
    for n, s in enumerate([0, 1, 2]):
        by = online[n] if double else q[n]
        page = max(pages_of(s), key=lambda page, s=s, by=by: worth(s, page, by))
        expected = batch.reward[n] + batch.discount[n] * worth(s, page, q[n])
        assert found[n] == pytest.approx(expected, abs=1e-6)
    assert found[3] == 4  # nothing comes after the end


def test_without_a_mask_every_item_may_be_shown():
    batch, q = transitions(masked=False), np.zeros((4, M + 1))
    q[:, 1] = 100.0  # forbidden in state 2
    assert slate_target_reference(batch, q, MODEL)[2] > 20
    assert slate_target_reference(transitions(), q, MODEL)[2] == 3


def test_a_page_with_too_few_items_holds_those_alone():
    batch, q = transitions(), np.tile([5.0, 0.0, 1.0, 2.0, -1.0], (4, 1))
    mask = np.zeros((4, M + 1), bool)
    mask[:, M] = True  # none but no click
    mask[0, 0] = True  # one item: at the place of the largest factor
    found = slate_target_reference(batch._replace(next_mask=mask), q, MODEL)
    odds = np.exp(1.5)
    assert found[0] == pytest.approx(1 + 0.9 * (odds * 5 - 1) / (odds + 1))
    assert found[1] == pytest.approx(2 - 0.81)
    swapped = PageModel(M, K, S, (0.5, 1.0))
    assert slate_target_reference(batch._replace(next_mask=mask), q, swapped)[0] == found[0]


# --- what the training stores

MODES = list(AutoresetMode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_replay_holds_what_was_clicked(mode):
    training = train(600, booths(mode=mode), warmup=10**9, epsilon_end=1.0, capacity=1000)
    stored = training.replay.take(np.arange(len(training.replay)))
    state, action = state_of(stored.obs), stored.action
    np.testing.assert_allclose(stored.reward, REWARD[state, action], rtol=1e-6)
    after = NEXT[state, action]
    assert (stored.terminated == (after == S)).all()
    assert (state_of(stored.next_obs) == np.minimum(after, S - 1)).all()
    assert stored.terminated.sum() > 50
    assert set(action) == set(range(M + 1))
    assert stored.next_mask[:, M].all()
    goes_on = ~stored.terminated
    expected = MASK[state_of(stored.next_obs)]
    assert (stored.next_mask[goes_on, :M] == expected[goes_on]).all()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_clicks_at_random_pages_have_the_shares_of_the_choice_model(mode):
    """The place that was clicked is that of the page that was shown, not of another one."""
    training = train(4000, booths(mode=mode), warmup=10**9, epsilon_end=1.0, capacity=4000)
    stored = training.replay.take(np.arange(len(training.replay)))
    clicks = stored.action[state_of(stored.obs) == 0]
    share = np.bincount(clicks, minlength=M + 1) / len(clicks)
    expected = np.zeros(M + 1)
    for page in pages_of(0):
        odds = np.append(np.exp(UTILITY[0, page]) * PLACE, 1.0)
        expected[[*page, M]] += odds / odds.sum() / len(pages_of(0))
    assert np.abs(share - expected).max() < 4 * np.sqrt(0.25 / len(clicks))


def test_without_exploring_the_best_page_is_shown():
    training = train(0, epsilon_start=0.0, epsilon_end=0.0, warmup=10**9)
    q = np.random.default_rng(2).normal(size=(S + M, M + 1))
    training.learner.online = q
    training.run(200)
    shown = training._log.done()["actions"]
    again = as_vector(booths())
    stepper = Stepper(slate_envs(again, K))
    stepper.reset(int(generator(0, "environment").integers(2**31)))
    for pages in shown.astype(np.int64):
        expected = best_page(MODEL, (stepper.obs @ q).astype(np.float32), stepper.obs, stepper.mask)
        assert pages.tolist() == expected.tolist()
        stepper.step(pages)


def test_each_place_explores_by_itself():
    """With epsilon 1/2 a page is the best one with the chance that both places say so."""
    training = train(0, booths(60), epsilon_start=0.5, epsilon_end=0.5, warmup=10**9)
    training.learner.online = np.random.default_rng(2).normal(size=(S + M, M + 1))
    hits, chances = [], []
    for _ in range(40):
        obs, mask = training.stepper.obs, training.stepper.mask
        best = best_page(MODEL, training.learner.q_values(obs), obs, mask)
        scores = page_scores(best, M)
        chances.append(epsilon_greedy_propensity(scores, mask, best, epsilon=0.5).prod(1))
        training.run(60)
        shown = training._log.done()["actions"][-1]
        hits.append((shown == best).all(1))
    error = np.sqrt(0.25 / np.size(hits))
    assert abs(np.mean(hits) - np.mean(chances)) < 4 * error


def test_returns_and_steps_are_counted_as_in_every_training():
    training = train(500, booths(5))
    assert training.step == 500
    assert sum(episode.length for episode in training.episodes) <= 500
    assert max(episode.length for episode in training.episodes) <= 20
    assert training.updates == (500 - 20) // 2


def test_a_single_environment_is_a_vector_of_one():
    training = train(100, Booth(), warmup=10**9, epsilon_end=1.0)
    stored = training.replay.take(np.arange(len(training.replay)))
    np.testing.assert_allclose(stored.reward, REWARD[state_of(stored.obs), stored.action])


def test_n_steps_sum_the_rewards_of_a_path():
    training = train(400, booths(1), warmup=10**9, epsilon_end=1.0, n_step=2, capacity=1000)
    single = train(400, booths(1), warmup=10**9, epsilon_end=1.0, capacity=1000)
    two = training.replay.take(np.arange(390))
    one = single.replay.take(np.arange(391))
    assert two.action.tolist() == one.action[:390].tolist()
    whole = two.discount == np.float32(GAMMA**2)
    assert 100 < whole.sum() < 390
    expected = one.reward[:390] + GAMMA * one.reward[1:]
    np.testing.assert_allclose(two.reward[whole], expected[whole], rtol=1e-6)


# --- what it comes to


def test_looking_ahead_shows_other_pages_than_the_next_click_does():
    """The process is one on which a myopic learner is wrong."""
    _, far = exact(GAMMA)
    _, near = exact(0.0)
    assert far != near


@pytest.mark.parametrize(
    ("gamma", "settings"),
    [(GAMMA, {}), (GAMMA, {"double": True}), (0.0, {})],
    ids=["plain", "double", "myopic"],
)
def test_the_exact_values_are_learnt(gamma, settings):
    more = {"capacity": 4000, "sync_every": 100, "learning_rate": 0.2, "epsilon_end": 0.5}
    learner = LinearSlateLearner(gamma=gamma, batch_size=32, **more, **settings)
    SlateTraining(booths(8), learner, seed=1, model=MODEL).run(10_000)
    q, pages = exact(gamma)
    found, possible = learner.q_values(all_observations()), np.ones((S, M + 1), bool)
    possible[:, :M] = MASK
    np.testing.assert_allclose(found[possible], q[possible], atol=0.02)
    assert best_page(MODEL, found, all_observations(), MASK).tolist() == pages


def test_the_learnt_pages_bring_the_exact_return():
    """The mean of whole episodes, undiscounted, against its distribution under the exact pages."""
    q, pages = exact(GAMMA)
    weights = np.linalg.lstsq(all_observations(), q, rcond=None)[0]
    act = slate_act(lambda obs: obs @ weights, MODEL)
    returns = evaluate(act, slate_envs(booths(600, limit=200), K), seed=0)
    value = np.zeros(S + 1)
    for _ in range(500):
        q1 = REWARD + value[NEXT]
        value[:S] = [worth(s, pages[s], q1[s]) for s in range(S)]
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - value[:S].mean()) < 4 * error


# --- stopping and going on


@pytest.mark.parametrize(
    "settings",
    [{}, {"prioritized": True, "n_step": 3}, {"double": True, "updates_per_call": 3}],
    ids=["plain", "prioritised", "double"],
)
@pytest.mark.parametrize("stop", [10, 333])
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, settings, stop):
    whole = train(700, **settings)
    train(stop, **settings).save(tmp_path / "run")
    learner = LinearSlateLearner(gamma=GAMMA, **settings)
    resumed = SlateTraining.resume(tmp_path / "run", booths(), learner)
    assert isinstance(resumed, SlateTraining)
    assert resumed.model == MODEL
    resumed.run(700 - stop)
    one, other = all_of(whole), all_of(resumed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def test_runs_of_other_kinds_are_refused(tmp_path):
    train(50).save(tmp_path / "slates")
    with pytest.raises(ValueError, match="slates is not a saved run of DQN"):
        Training.resume(tmp_path / "slates", booths(), LinearSlateLearner(gamma=GAMMA))
    Training(gym.make("CartPole-v1"), LinearLearner(4, 2), seed=0).save(tmp_path / "single")
    with pytest.raises(ValueError, match="single is not a saved run of SlateQ"):
        SlateTraining.resume(tmp_path / "single", booths(), LinearSlateLearner(gamma=GAMMA))
    with pytest.raises(ValueError, match=r"was made with gamma=0\.9, not 0\.5"):
        SlateTraining.resume(tmp_path / "slates", booths(), LinearSlateLearner(gamma=0.5))


# --- what does not fit


def test_what_does_not_fit_is_refused():
    learner = LinearSlateLearner()
    with pytest.raises(ValueError, match="the model must have 4 items; got 3"):
        SlateTraining(booths(), learner, seed=0, model=PageModel(3, K, S))
    with pytest.raises(ValueError, match="the utilities end at 8, but observations have 7"):
        SlateTraining(booths(), learner, seed=0, model=PageModel(M, K, S + 1))
    with pytest.raises(ValueError, match="a slate of 3 needs the actions"):
        SlateTraining(booths(), learner, seed=0, model=PageModel(M, 3, S))
    with pytest.raises(ValueError, match=r"values of the shape \(4, 4\), not \(4, 5\)"):
        SlateTraining(booths(), LinearLearner(S + M, M), seed=0, model=MODEL)
    with pytest.raises(ValueError, match="a model of the page is needed"):
        SlateTraining(booths(), learner, seed=0)
    with pytest.raises(ValueError, match="capacity must be 120 or more; got 60"):
        SlateTraining(booths(120), learner, seed=0, model=MODEL)
    with pytest.raises(ValueError, match="there must be 5 values; got 4"):
        best_page(MODEL, np.zeros((S, M)), all_observations(), MASK)


def test_an_environment_that_does_not_tell_the_click_is_refused():
    with pytest.raises(ValueError, match="info must hold 'position'"):
        train(10, booths(tells=False))


# --- in the shop


def shop(shoppers=6, slate_size=3, **more):
    world = tiny_world()
    scores = np.random.default_rng(3).normal(size=(world.num_users, world.num_items))
    candidates = Candidates(world, scores)

    def utility(obs, info, items):
        return np.take_along_axis(scores[info["user"]], items, axis=1) - 1

    envs = ShopVectorEnv(shoppers, world, shopper=PLAIN, slate_size=slate_size, **more)
    return CandidateShop(envs, candidates, utility)


def shop_values(envs, seed=4):
    """Any values, a function of the observation."""
    size = envs.single_observation_space.shape[0]
    weights = np.random.default_rng(seed).normal(0, 0.5, (size, envs.candidates.size + 1))
    return lambda obs: obs @ weights


@pytest.mark.parametrize("slate_size", [1, 3])
def test_the_shop_with_candidates_is_trained_on(slate_size):
    envs = shop(slate_size=slate_size)
    model = page_model(envs, place=0.85)
    assert model.num_items == envs.candidates.size == 8
    assert model.slate_size == slate_size
    size = envs.single_observation_space.shape[0]
    assert model.first == size - 8
    learner = LinearLearner(size, model.num_actions, warmup=10**9, capacity=2000)
    training = SlateTraining(envs, learner, seed=0).run(1200)
    assert training.model == page_model(envs)
    stored = training.replay.take(np.arange(len(training.replay)))
    clicked = stored.action < model.no_click
    assert 100 < clicked.sum() < 1100
    assert (stored.reward[~clicked] == 0).all()
    assert (stored.reward[clicked] > 0).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_the_policy_of_the_shop_shows_the_items_of_the_best_page(epsilon):
    envs = shop()
    model, values = page_model(envs, place=0.85), shop_values(envs)
    policy = SlateQPolicy(
        "SlateQ", values, model, candidates=envs.candidates, utility=envs.utility, epsilon=epsilon
    )
    base = envs.env
    obs, info = base.reset(seed=0)
    shop_obs, shop_info = shop().reset(seed=0)
    mask, items = shop_info["action_mask"], shop_info["candidates"]
    pages = best_page(model, values(shop_obs), shop_obs, mask)
    hits = []
    for seed in range(30):
        slate = policy.act(obs, info, generator(seed, "policy"))
        assert slate.items.shape == (6, 3)
        assert np.take_along_axis(info["action_mask"], slate.items, 1).all()
        number = (items[:, None] == slate.items[..., None]) & mask[:, None]  # [N, K, M]
        assert (number.sum(-1) == 1).all()
        expected = epsilon_greedy_propensity(
            page_scores(pages, 8), mask, number.argmax(-1), epsilon=epsilon
        )
        np.testing.assert_allclose(slate.propensity, expected)
        hits.append((number.argmax(-1) == pages).all())
    assert all(hits) if epsilon == 0 else not all(hits)
    assert policy.name == "SlateQ"


def test_a_policy_of_other_candidates_is_refused():
    envs = shop()
    with pytest.raises(ValueError, match="there are 8 candidates, not 4"):
        SlateQPolicy("", shop_values(envs), MODEL, candidates=envs.candidates, utility=envs.utility)
