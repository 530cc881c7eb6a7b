"""Only real steps, with what was really seen last, however an environment resets itself."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from companion.rl.rollout import (
    Stepper,
    action_count,
    as_vector,
    evaluate,
    greedy,
    make_envs,
    observation_size,
)

MODES = list(AutoresetMode)


class Corridor(gym.Env):
    """Counts its steps: the observation is (episode, step). Action 0 only in even steps.

    Args:
        length: steps until it terminates.
        limit: steps until it truncates.
        reuse: one array for all observations.
        mask: "array", "list" or "seldom": in steps that are not the first; None for none.
    """

    action_space = spaces.Discrete(3)
    observation_space = spaces.Box(-1, 1e6, (2,), np.float64)

    def __init__(self, length=3, limit=100, reuse=False, mask=None):
        self.length, self.limit, self.reuse, self.mask = length, limit, reuse, mask
        self.episode, self.taken, self.array = -1, [], np.zeros(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._seen()

    def step(self, action):
        assert self.action_space.contains(action)
        self.count += 1
        self.taken.append((self.episode, int(action)))
        ends = self.count == self.length, self.count == self.limit
        obs, info = self._seen()
        return obs, 10 * self.episode + self.count, *ends, info

    def _seen(self):
        self.array[:] = self.episode, self.count
        obs = self.array if self.reuse else self.array.copy()
        mask = [self.count % 2 == 0, True, self.count < min(self.length, self.limit)]
        give = self.mask and not (self.mask == "seldom" and self.count == 0)
        mask = mask if self.mask == "list" else np.array(mask, np.int8)
        return obs, {"action_mask": mask} if give else {}


def corridors(lengths, mode, **more):
    makers = [lambda n=n: Corridor(n, **more) for n in lengths]
    return SyncVectorEnv(makers, autoreset_mode=mode)


def play(envs, calls, act=None):
    """The steps by environment, as tuples; and the stepper."""
    stepper = Stepper(as_vector(envs))
    stepper.reset(0)
    found = [[] for _ in range(stepper.num_envs)]
    for _ in range(calls):
        actions = np.ones(stepper.num_envs, np.int64) if act is None else act(stepper)
        for env, *row in zip(*stepper.step(actions), strict=True):
            found[env].append([np.array(value).tolist() for value in row])
    return found, stepper


# --- the three ways to begin again ---------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_exactly_the_real_steps_come_out(mode):
    """Episodes of 3 steps, 8 calls: 6 real ones where every fourth only resets (RL-25)."""
    (found,), _ = play(corridors([3], mode), 8)
    assert len(found) == (6 if mode is AutoresetMode.NEXT_STEP else 8)
    for number, (obs, action, reward, next_obs, terminated, truncated, mask) in enumerate(found):
        episode, count = divmod(number, 3)
        assert (obs, next_obs) == ([episode, count], [episode, count + 1])
        assert (reward, action) == (10 * episode + count + 1, 1)
        assert (terminated, truncated) == (count == 2, False)
        assert mask == [True] * 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [3, 5])
def test_environments_that_end_at_different_times(mode, limit):
    """Lengths 2, 3 and 7, cut at 3 or 5: each has its own whole episodes."""
    lengths = [2, 3, 7]
    found, _ = play(corridors(lengths, mode, limit=limit), 30)
    for length, steps in zip(lengths, found, strict=True):
        each = min(length, limit)
        rest = 30 // (each + 1) * each + 30 % (each + 1)
        assert len(steps) == (rest if mode is AutoresetMode.NEXT_STEP else 30)
        for number, (obs, _, _, next_obs, terminated, truncated, _) in enumerate(steps):
            episode, count = divmod(number, each)
            assert (obs, next_obs) == ([episode, count], [episode, count + 1])
            last = count + 1 == each
            assert (terminated, truncated) == (last and length <= limit, last and limit <= length)


def test_every_environment_may_only_reset_at_once():
    envs = corridors([2, 2], AutoresetMode.NEXT_STEP)
    stepper = Stepper(envs)
    stepper.reset(0)
    counts = [len(stepper.step(np.array([1, 1])).env) for _ in range(7)]
    assert counts == [2, 2, 0, 2, 2, 0, 2]


def test_gymnasiums_own_vector_of_poles_gives_the_steps_of_single_poles():
    """Each transition follows the equations of a single pole; the rows in between do not."""
    stepper = Stepper(CartPoleVectorEnv(num_envs=3, max_episode_steps=15))
    stepper.reset(5)
    single, rng, starts, total = gym.make("CartPole-v1").unwrapped, np.random.default_rng(0), 0, 0
    single.reset()
    for _ in range(200):
        found = stepper.step(rng.integers(2, size=3))
        total += len(found.env)
        for obs, action, next_obs, terminated in zip(
            found.obs, found.action, found.next_obs, found.terminated, strict=True
        ):
            single.state, single.steps_beyond_terminated = obs.astype(np.float64), None
            expected, _, over, _, _ = single.step(int(action))
            np.testing.assert_allclose(next_obs, expected, atol=1e-5)
            assert over == terminated
        assert (found.reward == 1).all()
        starts += (found.terminated | found.truncated).sum()
    assert starts > 20
    assert 0 <= 600 - total - starts <= 3  # each end costs one row, three may be open


@pytest.mark.parametrize("mode", MODES)
def test_the_step_is_not_changed_by_the_next_one(mode):
    stepper = Stepper(corridors([2, 3], mode, mask="array"))
    stepper.reset(0)
    for _ in range(9):
        found = stepper.step(np.array([1, 1]))
        kept = [np.array(column) for column in found]
        stepper.step(np.array([1, 1]))
        for column, before in zip(found, kept, strict=True):
            np.testing.assert_array_equal(column, before)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_a_vector_may_reuse_its_arrays(mode):
    class Narrow(Corridor):
        observation_space = spaces.Box(-1, 1e6, (2,), np.float32)

    envs = SyncVectorEnv([lambda: Narrow(3)], copy=False, autoreset_mode=mode)
    (found,), _ = play(envs, 8)
    for number, (obs, _, _, next_obs, *_) in enumerate(found):
        episode, count = divmod(number, 3)
        assert (obs, next_obs) == ([episode, count], [episode, count + 1])


@pytest.mark.parametrize("mode", MODES)
def test_after_a_reset_the_first_step_is_a_real_one(mode):
    _, stepper = play(corridors([3, 5], mode), 3)  # the first has just ended
    stepper.reset(0)
    found = stepper.step(np.array([1, 1]))
    assert found.env.tolist() == [0, 1]
    assert found.obs[:, 1].tolist() == [0, 0]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED, None])
def test_an_environment_may_reuse_its_array(mode):
    envs = Corridor(3, reuse=True) if mode is None else corridors([3], mode, reuse=True)
    (found,), _ = play(envs, 8)
    for number, (obs, _, _, next_obs, *_) in enumerate(found):
        episode, count = divmod(number, 3)
        assert (obs, next_obs) == ([episode, count], [episode, count + 1])


@pytest.mark.filterwarnings("ignore:.*share an object")
def test_environments_made_by_name_may_reuse_their_array():
    gym.register("ReusingCorridor-v0", lambda: Corridor(3, reuse=True))
    found, _ = play(make_envs("ReusingCorridor-v0", 2), 8)
    assert [[step[3] for step in steps[:4]] for steps in found] == [
        [[0, 1], [0, 2], [0, 3], [1, 1]]
    ] * 2
    del gym.registry["ReusingCorridor-v0"]


def test_a_single_environment_is_a_vector_of_one():
    envs = Corridor(3)
    (found,), stepper = play(envs, 8)
    assert stepper.num_envs == 1
    assert [step[0] for step in found] == [[n // 3, n % 3] for n in range(8)]
    assert envs.taken == [(n // 3, 1) for n in range(8)]
    vector = corridors([3], AutoresetMode.DISABLED)
    assert as_vector(vector) is vector


# --- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["array", "list"])
def test_masks_belong_to_the_observation_beside_them(mode, kind):
    """At the end of an episode the mask of its last observation, not of the first of the next."""
    found, _ = play(corridors([2, 3], mode, mask=kind), 12)
    for length, steps in zip([2, 3], found, strict=True):
        for *_, next_obs, _, _, mask in steps:
            count = next_obs[1]
            assert mask == [count % 2 == 0, True, count < length]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["array", "seldom"])
def test_the_next_decision_sees_what_is_allowed_now(mode, kind):
    """Where the environment only resets, and where it gave no mask, all are allowed."""

    def act(stepper):
        for env, (_, count) in enumerate(stepper.obs):
            length = [2, 3][env]
            free = count == length or (count == 0 and kind == "seldom")
            expected = [True] * 3 if free else [count % 2 == 0, True, count < length]
            assert stepper.mask[env].tolist() == expected
        return np.array([1, 1])

    found, _ = play(corridors([2, 3], mode, mask=kind), 12, act)
    assert len(found[0]) >= 8


def test_a_last_observation_that_allows_nothing_does_not_stop_a_reset():
    """The action of a step that only resets is ignored: nothing has to be allowed there."""

    class Emptied(Corridor):
        def _seen(self):
            obs, _ = super()._seen()
            return obs, {"action_mask": np.full(3, self.count < self.length)}

    envs = SyncVectorEnv([lambda: Emptied(2)], autoreset_mode=AutoresetMode.NEXT_STEP)
    stepper = Stepper(envs)
    stepper.reset(0)
    stepper.step(np.array([1]))
    found = stepper.step(np.array([1]))
    assert not found.next_mask.any()
    assert stepper.mask.all()


def test_without_masks_everything_is_allowed_and_cannot_be_changed():
    _, stepper = play(Corridor(), 2)
    assert not stepper.masked
    with pytest.raises(ValueError, match="read-only"):
        stepper.mask[0, 0] = False
    assert play(Corridor(mask="array"), 2)[1].masked


def test_a_mask_of_another_size_is_named():
    class Wrong(Corridor):
        def _seen(self):
            return super()._seen()[0], {"action_mask": np.ones(5, np.int8)}

    with pytest.raises(ValueError, match=r"action_mask must have the shape \(3,\); got \(5,\)"):
        Stepper(as_vector(Wrong())).reset(0)


# --- spaces --------------------------------------------------------------------------------------


class Shaped(gym.Env):
    """One observation over and over; three steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, space, obs):
        self.observation_space, self.obs = space, obs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.obs, {}

    def step(self, action):
        self.count += 1
        return self.obs, 1, self.count == 3, False, {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("space", "obs", "expected"),
    [
        (spaces.Discrete(4), 2, [0, 0, 1, 0]),
        (spaces.Discrete(4, start=-1), -1, [1, 0, 0, 0]),
        (spaces.Discrete(4, start=5), np.int64(8), [0, 0, 0, 1]),
        (spaces.Box(0, 9, (2, 3), np.int32), np.arange(6, dtype=np.int32).reshape(2, 3), range(6)),
        (spaces.Box(0, 9, (), np.float64), np.array(7.0), [7]),
    ],
    ids=str,
)
def test_observations_become_rows_of_numbers(mode, space, obs, expected):
    makers = [lambda: Shaped(space, obs)] * 2
    found, stepper = play(SyncVectorEnv(makers, autoreset_mode=mode), 7)
    assert stepper.obs_size == len(expected)
    assert stepper.obs.dtype == np.float32
    assert stepper.obs.flags.c_contiguous
    for steps in found:
        assert len(steps) >= 6
        assert all(step[0] == list(expected) == step[3] for step in steps)


def test_other_spaces_are_refused():
    with pytest.raises(ValueError, match="must be a Box or Discrete, not MultiBinary"):
        observation_size(spaces.MultiBinary(3))
    for space in (spaces.Discrete(3, start=1), spaces.Box(0, 1, (2,)), spaces.MultiDiscrete([2])):
        with pytest.raises(ValueError, match="actions must be Discrete, from 0"):
            action_count(space)
    envs = CartPoleVectorEnv(2)
    envs.metadata = {}
    with pytest.raises(ValueError, match=r"does not declare metadata.*; got None"):
        Stepper(envs)


# --- making and evaluating -----------------------------------------------------------------------


def test_environments_by_name():
    poles = make_envs("CartPole-v1", 3)
    assert isinstance(poles, CartPoleVectorEnv)
    assert (poles.num_envs, poles.max_episode_steps) == (3, 500)
    hills = make_envs("MountainCar-v0", 2)
    assert hills.num_envs == 2
    found, _ = play(hills, 201)
    assert [step[5] for step in found[1]] == [False] * 199 + [True, False]
    assert make_envs("CartPole-v1", 1, max_episode_steps=7).max_episode_steps == 7
    with pytest.raises(ValueError, match="num_envs must be 1 or more; got 0"):
        make_envs("CartPole-v1", 0)
    with pytest.raises(gym.error.NameNotFound):
        make_envs("Nowhere-v0", 1)


@pytest.mark.parametrize("mode", MODES)
def test_one_whole_episode_of_each_environment_counts(mode):
    """Not the first four to end, which would all be short ones."""
    returns = evaluate(lambda obs, mask: np.ones(3, int), corridors([2, 3, 9], mode), seed=0)
    assert returns.tolist() == [1 + 2, 1 + 2 + 3, 45]


def test_a_single_environment_is_evaluated_like_a_vector_of_one():
    assert evaluate(lambda obs, mask: np.array([1]), Corridor(4), seed=0).tolist() == [10]


def test_an_episode_that_does_not_end_is_an_error():
    envs = corridors([3, 10**9, 10**9], AutoresetMode.SAME_STEP, limit=-1)
    with pytest.raises(RuntimeError, match="2 episodes had not ended after 50 steps"):
        evaluate(lambda obs, mask: np.ones(3, int), envs, seed=0, steps=50)
    short = corridors([50], AutoresetMode.SAME_STEP)
    assert evaluate(lambda obs, mask: np.array([1]), short, seed=0, steps=50) == [1275]


def test_the_same_seed_gives_the_same_returns():
    def act(obs, mask):
        return (obs[:, 2] > 0).astype(int)

    one, two, other = (evaluate(act, make_envs("CartPole-v1", 8), seed=s) for s in (3, 3, 4))
    assert one.tolist() == two.tolist() != other.tolist()
    again = make_envs("CartPole-v1", 8)
    assert evaluate(act, again, seed=3).tolist() == evaluate(act, again, seed=3).tolist()


def test_the_greedy_action_is_the_best_allowed_one():
    act = greedy(lambda obs: np.array([[1.0, 5, 3], [4, 4, 0]]) + obs)
    mask = np.array([[True, False, True], [True, True, True]])
    assert act(np.zeros((2, 1)), mask).tolist() == [2, 0]
