"""The training loop: what is done when, and that a run can stop anywhere."""

import os

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from parity import FRAMEWORKS, load

from companion.core import checkpoint
from companion.rl.dqn import DQNConfig, beta_at, epsilon_at
from companion.rl.rollout import evaluate, greedy
from companion.rl.run_log import Episode
from companion.rl.targets import td_target_reference
from companion.rl.training import Training, run_and_keep_best

SMALL = {
    "batch_size": 4,
    "capacity": 60,
    "warmup": 20,
    "train_every": 2,
    "sync_every": 7,
    "epsilon_steps": 100,
    "learning_rate": 0.05,
}


class Walk(gym.Env):
    """Five places in a row; the last one ends the episode. Action 1 goes right, 0 left, 2 stays.

    A step slips at random. In place 2, action 1 is forbidden if `masked`, and 2 jumps to 3.
    """

    action_space = spaces.Discrete(3)
    observation_space = spaces.Discrete(5)

    def __init__(self, masked=False, limit=12, slip=0.1):
        self.masked, self.limit, self.slip = masked, limit, slip

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.count = int(self.np_random.integers(3)), 0
        return self.place, self._info()

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r}"
        assert self._info().get("action_mask", np.ones(3))[action], "forbidden"
        jump = 1 if self.masked and self.place == 2 and action == 2 else 0
        move = [-1, 1, jump][action]
        if self.np_random.random() < self.slip:
            move = -move
        self.place, self.count = int(np.clip(self.place + move, 0, 4)), self.count + 1
        ends = self.place == 4, self.count >= self.limit
        return self.place, 1.0 if ends[0] else -0.125, *ends, self._info()

    def _info(self):
        allowed = np.array([True, self.place != 2, True]) & (self.place < 4)
        return {"action_mask": allowed.astype(np.int8)} if self.masked else {}


class LinearLearner:
    """Q(s, a) = s W, by gradient descent with momentum; it writes down what it is asked for."""

    def __init__(self, obs_size=5, num_actions=3, seed=0, **settings):
        self.config = DQNConfig(**{**SMALL, **settings})
        self.online = np.random.default_rng(seed).normal(0, 0.01, (obs_size, num_actions))
        self.target, self.momentum = self.online.copy(), np.zeros_like(self.online)
        self.calls = []

    def q_values(self, obs):
        self.calls.append(("q", len(obs)))
        return (obs @ self.online).astype(np.float32)

    def update(self, batch):
        self.calls.append(("update", batch))
        return np.stack([self._one(batch.each(lambda c, k=k: c[k])) for k in range(len(batch[1]))])

    def _one(self, batch):
        y = td_target_reference(batch, batch.next_obs @ self.target)
        rows = np.arange(len(y))
        error = y - (batch.obs @ self.online)[rows, batch.action]
        weighted = error if batch.weight is None else batch.weight * error
        slope = np.zeros((len(y), self.online.shape[1]))
        slope[rows, batch.action] = weighted
        self.momentum = 0.5 * self.momentum + batch.obs.T @ slope / len(y)
        self.online = self.online + self.config.learning_rate * self.momentum
        return error.astype(np.float32)

    def sync_target(self, tau=1.0):
        self.calls.append(("sync", tau))
        self.target = tau * self.online + (1 - tau) * self.target

    def state(self):
        names = "online", "target", "momentum"
        return {name: getattr(self, name).copy() for name in names}

    def restore(self, state):
        for name, value in state.items():
            setattr(self, name, value.copy())

    def asked(self, kind):
        return [what for name, what in self.calls if name == kind]


def walks(count=3, mode=AutoresetMode.NEXT_STEP, **more):
    return SyncVectorEnv([lambda: Walk(**more)] * count, autoreset_mode=mode)


def all_of(training):
    """Everything that a run consists of, as arrays and words."""
    return {
        **{f"learner/{k}": v for k, v in training.learner.state().items()},
        **{f"replay/{k}": v for k, v in training.replay.state().items()},
        **{f"n_step/{k}": v for k, v in training._n_step.state().items()},
        **{f"done/{k}": v for k, v in training._log.done().items()},
        "words": str(
            (
                training.step,
                training.updates,
                training.syncs,
                training.episodes,
                training._explore.bit_generator.state,
                training._sample.bit_generator.state,
            )
        ),
    }


def assert_equal(one, other):
    one, other = all_of(one), all_of(other)
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


# --- what is done when ---------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [60, 10_000])
def test_the_target_network_moves_by_its_own_count(capacity):
    """Training every 3 steps, the target every 500, 3,000 steps: 6 moves, not 2 (RL-23)."""
    learner = LinearLearner(train_every=3, sync_every=500, capacity=capacity)
    training = Training(Walk(), learner, seed=0).run(3_000)
    assert training.syncs == len(learner.asked("sync")) == 6
    assert training.updates == len(learner.asked("update")) == (3_000 - 20) // 3
    assert training.step == 3_000


@pytest.mark.parametrize("warmup", [0, 5, 20])
def test_updates_begin_after_the_warmup_and_come_when_due(warmup):
    learner = LinearLearner(warmup=warmup, train_every=4)
    training = Training(Walk(), learner, seed=0)
    for step in range(1, 60):
        training.run(1)
        assert len(learner.asked("update")) == max(0, (step - warmup) // 4)
        assert training.updates == len(learner.asked("update"))


def test_an_update_comes_before_the_target_moves():
    learner = LinearLearner(warmup=0, train_every=5, sync_every=5)
    Training(Walk(), learner, seed=0).run(10)
    kinds = [kind for kind, _ in learner.calls if kind != "q"]
    assert kinds == ["update", "sync"] * 2


def test_updates_come_in_groups():
    """Ten at a time: as many in all, in a tenth of the calls."""
    learner = LinearLearner(train_every=2, updates_per_call=10)
    training = Training(Walk(), learner, seed=0).run(139)
    assert [batch.obs.shape for batch in learner.asked("update")] == [(10, 4, 5)] * 5
    assert training.updates == 50
    training.run(1)
    assert training.updates == 60


def test_many_environments_make_as_many_updates_as_one():
    learner = LinearLearner(train_every=2, sync_every=2, warmup=10)
    training = Training(walks(6, AutoresetMode.SAME_STEP), learner, seed=0).run(60)
    assert training.step == 60
    assert training.updates == len(learner.asked("update")) == 25
    assert training.syncs == len(learner.asked("sync")) == 30


def test_the_target_moves_by_tau():
    learner = LinearLearner(tau=0.25, sync_every=10)
    Training(Walk(), learner, seed=0).run(55)
    assert learner.asked("sync") == [0.25] * 5
    assert np.abs(learner.online - learner.target).max() > 1e-3


def test_updates_wait_for_the_first_whole_transition():
    learner = LinearLearner(warmup=0, train_every=1, n_step=5)
    training = Training(Walk(limit=100), learner, seed=3)
    training.run(4)
    assert training.updates == 0
    training.run(1)
    assert (len(training.replay), training.updates) == (1, 5)


def test_resets_are_no_steps():
    """NEXT_STEP: what Gymnasium's own vector spends on resets is neither counted nor stored."""
    learner = LinearLearner(4, 2, capacity=1_000)
    training = Training(CartPoleVectorEnv(num_envs=4, max_episode_steps=9), learner, seed=0)
    training.run(400)
    assert 400 <= training.step < 404
    assert training.replay.added == training.step
    batch = training.replay.take(np.arange(len(training.replay)))
    assert np.abs(batch.next_obs - batch.obs)[:, 0].max() < 0.1  # a cart does not jump
    assert (batch.reward == 1).all()


def test_epsilon_and_beta_follow_their_lines():
    config = DQNConfig(epsilon_steps=100, beta_steps=200)
    found = [epsilon_at(config, step) for step in (0, 50, 100, 10_000)]
    assert found == pytest.approx([1.0, 0.525, 0.05, 0.05], abs=1e-12)
    assert found[2] == 0.05
    assert [beta_at(config, step) for step in (0, 100, 200, 900)] == pytest.approx([0.4, 0.7, 1, 1])
    assert beta_at(config, 200) == 1


def test_a_run_of_five_steps_has_a_schedule_too():
    """A line of one step: everything at random, then 0.05 from step 1 on (RL-14)."""
    config = DQNConfig(epsilon_steps=1)
    assert [epsilon_at(config, step) for step in range(5)] == [1.0] + [0.05] * 4
    Training(Walk(), LinearLearner(epsilon_steps=1, warmup=0, train_every=1), seed=0).run(5)


def test_exploration_falls_from_all_to_the_end_value():
    """The best action is 0 everywhere. Random ones of three: a third is 0."""
    learner = LinearLearner(epsilon_steps=3_000, epsilon_end=0.3, warmup=10**6)
    learner.online = np.tile([1.0, 0.0, 0.0], (5, 1))
    training = Training(Walk(), learner, seed=0)
    shares = []
    for _ in range(3):
        training.run(3_000)
        actions = training._log.done()["actions"][-3_000:, 0]
        shares.append((actions == 0).mean())
    assert shares == pytest.approx([1 - 0.65 * 2 / 3, 0.8, 0.8], abs=0.03)
    assert training._log.done()["actions"][:200].mean() > 0.8  # nearly all at random: 1 on average


def test_beta_rises_and_errors_reach_the_priorities():
    settings = {"prioritized": True, "priority_alpha": 1.0, "beta_steps": 200}
    learner = LinearLearner(**settings, batch_size=8)
    training = Training(Walk(), learner, seed=0)
    for step in (100, 100, 100):
        training.run(step)
        assert training.replay.beta == pytest.approx(beta_at(learner.config, training.step))
    assert training.replay.beta == 1
    assert all(batch.weight.max() <= 1 for batch in learner.asked("update"))
    priorities = training.replay.state()["priority"]
    assert len(np.unique(priorities)) > 10
    # The last errors lie in the tree, under the rows that were drawn.
    batch, rows = training.replay.sample((1, 8), np.random.default_rng(0))
    training.replay.update(rows, learner.update(batch))
    assert (training.replay.state()["priority"] != priorities).any()


def test_priorities_are_those_of_the_rows_that_were_drawn():
    seen = {}

    class Told(LinearLearner):
        def update(self, batch):
            errors = np.arange(1, 5, dtype=np.float32)[None] * 2
            seen.update(batch=batch, errors=errors)
            return errors

    learner = Told(prioritized=True, priority_alpha=1.0, warmup=20, train_every=30)
    training = Training(Walk(), learner, seed=0).run(50)
    priorities = training.replay.state()["priority"]
    stored = training.replay.take(np.arange(50))
    changed = np.flatnonzero(priorities != 1)
    assert 1 <= len(changed) <= 4
    for row in changed:
        place = round(priorities[row] / 2) - 1
        assert priorities[row] == pytest.approx(seen["errors"][0, place], abs=1e-4)
        for name in ("obs", "action", "next_obs"):
            drawn = getattr(seen["batch"], name)[0, place]
            np.testing.assert_array_equal(getattr(stored, name)[row], drawn)


# --- what is stored ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("epsilon", [1.0, 0.0])
def test_forbidden_actions_are_never_taken(mode, epsilon):
    """The environment refuses them. The values prefer the forbidden one."""
    settings = {"epsilon_start": epsilon, "epsilon_end": epsilon, "warmup": 10**6}
    learner = LinearLearner(**settings, capacity=500)
    learner.online = np.tile([0.5, 1.0, 0.0], (5, 1))
    training = Training(walks(3, mode, masked=True), learner, seed=0).run(300)
    batch = training.replay.take(np.arange(len(training.replay)))
    place, after = batch.obs.argmax(1), batch.next_obs.argmax(1)
    assert (batch.action[place == 2] != 1).all()
    assert (place == 2).sum() > 10
    expected = np.stack([after < 4, (after != 2) & (after < 4), after < 4], 1)
    np.testing.assert_array_equal(batch.next_mask, expected)
    np.testing.assert_array_equal(batch.terminated, after == 4)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("n_step", [1, 3])
def test_episodes_have_their_returns_lengths_and_steps(mode, n_step):
    """Told from what the environments themselves saw."""
    seen = []

    class Told(Walk):
        def reset(self, **more):
            self.total = 0.0
            return super().reset(**more)

        def step(self, action):
            obs, reward, terminated, truncated, info = super().step(action)
            self.total += reward
            if terminated or truncated:
                seen.append((self.total, self.count))
            return obs, reward, terminated, truncated, info

    envs = SyncVectorEnv([Told] * 3, autoreset_mode=mode)
    training = Training(envs, LinearLearner(n_step=n_step), seed=0).run(500)
    assert [(e.reward, e.length) for e in training.episodes] == seen  # eighths add up exactly
    assert len(seen) > 40
    assert training.returns().tolist() == [reward for reward, _ in seen]
    steps = np.array([e.step for e in training.episodes])
    assert (np.diff(steps) >= 0).all()
    first = training.episodes[0]
    assert isinstance(first, Episode)
    assert first.length <= first.step <= 3 * first.length
    unfinished = training.step - sum(length for _, length in seen)
    assert 0 <= unfinished <= 3 * 12


def test_the_end_wins_over_the_time_limit():
    """An episode that ends in the very step of its limit is stored as terminated (RL-02)."""

    class Both(Walk):
        def step(self, action):
            obs, reward, *_, info = super().step(action)
            return obs, reward, self.count == 3, self.count == 3, info

    training = Training(Both(), LinearLearner(), seed=0).run(30)
    assert training.replay.take(np.arange(30)).terminated.tolist() == [False, False, True] * 10
    assert [episode.length for episode in training.episodes] == [3] * 10


def test_a_time_limit_is_no_end():
    training = Training(Walk(limit=2), LinearLearner(), seed=0).run(40)
    batch = training.replay.take(np.arange(40))
    np.testing.assert_array_equal(batch.terminated, batch.next_obs[:, 4] == 1)
    assert len(training.episodes) >= 20


# --- the same run --------------------------------------------------------------------------------

KINDS = {
    "one environment": (Walk, {}),
    "next step": (walks, {}),
    "same step": (lambda: walks(mode=AutoresetMode.SAME_STEP), {}),
    "disabled": (lambda: walks(mode=AutoresetMode.DISABLED), {"updates_per_call": 3}),
    "poles": (lambda: CartPoleVectorEnv(num_envs=3, max_episode_steps=11), {}),
    "three steps": (walks, {"n_step": 3}),
    "prioritized": (lambda: walks(masked=True), {"prioritized": True, "beta_steps": 300}),
    "polyak": (Walk, {"tau": 0.1, "sync_every": 1, "n_step": 12}),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def begin(kind, seed=0, **more):
    make, settings = KINDS[kind]
    sizes = {"obs_size": 4, "num_actions": 2} if kind == "poles" else {}
    return make(), LinearLearner(**sizes, **{**settings, **more}), seed


def run(kind, *chunks, seed=0):
    envs, learner, seed = begin(kind, seed)
    training = Training(envs, learner, seed=seed)
    for steps in chunks:
        training.run(steps)
    return training


@kinds
def test_the_same_seed_gives_the_same_run(kind):
    one, two, other = run(kind, 200), run(kind, 200), run(kind, 200, seed=1)
    assert_equal(one, two)
    assert one.episodes != other.episodes
    assert (one.learner.online != other.learner.online).any()
    assert one._log.done()["actions"][:9].tolist() != other._log.done()["actions"][:9].tolist()


@kinds
def test_a_run_in_chunks_is_the_same_run(kind):
    assert_equal(run(kind, 1_000), run(kind, 300, 700))
    assert_equal(run(kind, 100), run(kind, *[1] * 100))


@kinds
@pytest.mark.parametrize("stop", [0, 13, 157])
def test_saved_and_resumed_it_goes_on_as_if_it_had_never_stopped(kind, stop, tmp_path):
    whole = run(kind, stop, 143)
    run(kind, stop).save(tmp_path / "run")
    envs, learner, _ = begin(kind)
    learner.restore({name: value + 1 for name, value in learner.state().items()})
    resumed = Training.resume(tmp_path / "run", envs, learner)
    assert resumed.learner is learner
    assert_equal(resumed, run(kind, stop))
    resumed.run(100).save(tmp_path / "run")  # and once more
    envs, learner, _ = begin(kind)
    assert_equal(Training.resume(tmp_path / "run", envs, learner).run(43), whole)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("settings", [{}, {"n_step": 3, "prioritized": True, "tau": 0.2}], ids=str)
def test_networks_and_optimiser_go_on_as_if_they_had_never_stopped(framework, settings, tmp_path):
    twin = load(framework)
    if not hasattr(twin, "DQNLearner"):
        pytest.skip("there is no DQNLearner")

    def fresh(seed):
        config = DQNConfig(**{**SMALL, **settings}, hidden_sizes=(8,), double=True)
        return walks(), twin.DQNLearner(config, obs_size=5, num_actions=3, seed=seed)

    envs, learner = fresh(0)
    whole = Training(envs, learner, seed=0).run(90)
    whole.save(tmp_path / "run")
    whole.run(60)
    resumed = Training.resume(tmp_path / "run", *fresh(1)).run(60)
    assert_equal(resumed, whole)


def test_it_learns():
    """Right is the way: from place 3 the return is 1 but for slips."""
    learner = LinearLearner(capacity=2_000, sync_every=20, gamma=0.9, learning_rate=0.3)
    Training(walks(), learner, seed=0).run(4_000)
    assert learner.online[:4].argmax(1).tolist() == [1, 1, 1, 1]
    returns = evaluate(greedy(learner.q_values), walks(40), seed=1)
    assert returns.mean() > 0.5


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    run("next step", 150).save(tmp_path / "run")
    return tmp_path / "run"


def test_other_settings_are_named(saved):
    with pytest.raises(ValueError, match=r"was made with gamma=0\.99, not 0\.5"):
        Training.resume(saved, walks(), LinearLearner(gamma=0.5))


class Elsewhere(Walk):
    def _info(self):
        return {}

    def reset(self, **more):
        _, info = super().reset(**more)
        self.place = 0
        return 0, info


class Dear(Walk):
    """The same way through the same places, at another price."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, 2 * reward, *rest


class Wide(Walk):
    observation_space = spaces.Discrete(6)


class Free(Walk):
    """Randomness of its own, which no seed reaches."""

    def step(self, action):
        self.slip = np.random.default_rng().random()
        return super().step(action)


def vector(kind, count=3):
    return SyncVectorEnv([kind] * count)


@pytest.mark.parametrize(
    ("envs", "reason"),
    [
        (lambda: walks(2), "num_envs=3, not 2"),
        (Walk, "num_envs=3, not 1"),
        (lambda: walks(mode=AutoresetMode.SAME_STEP), "autoreset_mode=NextStep, not SameStep"),
        (lambda: vector(Elsewhere), "do not repeat the run in .*: .* differs"),
        (lambda: vector(Dear), "do not repeat the run in .*: (episodes|return) differs"),
        (lambda: vector(Free), "do not repeat the run in"),
        (lambda: walks(masked=True), "do not repeat the run in .*: an action is not allowed now"),
        (lambda: walks(limit=13), "do not repeat the run in"),
    ],
)
def test_other_environments_are_refused(saved, envs, reason):
    with pytest.raises(ValueError, match=reason):
        Training.resume(saved, envs(), LinearLearner())


def test_environments_of_another_size_are_refused(saved):
    with pytest.raises(ValueError, match="obs_size=5, not 6"):
        Training.resume(saved, vector(Wide), LinearLearner(obs_size=6))


def test_another_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        Training.resume(tmp_path / "none", Walk(), LinearLearner())
    (tmp_path / "text").write_text("not a run")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        Training.resume(tmp_path / "text", Walk(), LinearLearner())
    checkpoint.save(tmp_path / "agent", {"a": np.zeros(1)}, {"agent": "dqn"})
    with pytest.raises(ValueError, match="agent is not a saved run of DQN"):
        Training.resume(tmp_path / "agent", Walk(), LinearLearner())


def test_a_half_written_file_never_appears(saved, monkeypatch):
    """The disk is full in the middle: the older file stays, and nothing else."""
    before = saved.read_bytes()
    training = run("next step", 200)

    def full(descriptor, *_):
        os.close(descriptor)
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fdopen", full)
        with pytest.raises(OSError, match="no space left"):
            training.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["run"]
    training.save(saved)
    assert saved.read_bytes() != before


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"values of the shape \(3, 2\).* not \(3, 3\)"):
        Training(walks(), LinearLearner(num_actions=2), seed=0)
    with pytest.raises(ValueError, match="capacity must be 9 or more; got 8"):
        Training(walks(), LinearLearner(capacity=8, n_step=3), seed=0)
    Training(walks(), LinearLearner(capacity=9, n_step=3), seed=0).run(300)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 1.1),
        ("gamma", float("nan")),
        ("tau", 0.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("batch_size", 0),
        ("batch_size", 3.5),
        ("sync_every", 100.0),
        ("warmup", -1),
        ("beta_steps", 0),
        ("max_gradient_norm", 0.0),
        ("hidden_sizes", (3, 0)),
        ("priority_epsilon", 0.0),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} is out of range"):
        DQNConfig(**{name: value})


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert DQNConfig(batch_size=np.int64(8), hidden_sizes=[np.int64(3)]).hidden_sizes == (3,)


# --- keeping the best ----------------------------------------------------------------------------


def scored(scores, **more):
    """Scores in turn; the learner's states when they were given, and what came out."""
    training, states, steps = Training(Walk(), LinearLearner(), seed=0), [], []
    left = iter(scores)

    def score():
        states.append(training.learner.state())
        steps.append(training.step)
        return next(left)

    found = run_and_keep_best(training, score, **more)
    return found, states, steps, training


def holds(training, state):
    own = training.learner.state()
    return all((own[name] == state[name]).all() for name in own)


def test_the_best_state_is_kept_the_latest_of_equals():
    found, states, steps, training = scored([1, 5, 3, 5, 2], num_steps=220, every=50)
    assert found == [1, 5, 3, 5, 2]
    assert steps == [50, 100, 150, 200, 220]
    assert [holds(training, state) for state in states] == [False, False, False, True, False]
    assert training.step == 220


def test_it_stops_when_it_is_good_enough():
    found, states, steps, training = scored([1, 7, 9], num_steps=1_000, every=40, enough=7)
    assert found == [1, 7]
    assert steps == [40, 80]
    assert holds(training, states[1])


def test_a_score_that_is_no_number_is_never_the_best():
    found, states, _, training = scored([np.nan, 1, np.nan], num_steps=120, every=40)
    assert found == pytest.approx([np.nan, 1, np.nan], nan_ok=True)
    assert holds(training, states[1])


def test_nothing_to_do_leaves_the_learner_alone():
    found, _, _, training = scored([], num_steps=0, every=40)
    assert found == []
    assert holds(training, LinearLearner().state())
    with pytest.raises(ValueError, match="every must be 1 or more; got 0"):
        scored([], num_steps=10, every=0)
