"""The cases about environments from public bug reports, area rl.

Each is run on every environment to which it applies, not on one alone.
"""

import gymnasium
import numpy as np
import pytest

from companion.envs import TableEnv, TableVectorEnv, TestbedEnv, seeded

NAMES = ["Cliff", "Windy", "RandomWalk", "DynaMaze", "MaximisationBias", "Testbed"]
CHANCE = [("RandomWalk", {}), ("MaximisationBias", {}), ("Testbed", {}),
          ("Windy", {"stochastic": True})]  # fmt: skip


def make(name, **options):
    return gymnasium.make(f"companion/{name}-v0", **options)


def sampled_run(env, seed, episodes=5):
    """A random policy that draws its actions from the action space."""
    obs, info = seeded(env, seed)
    run = []
    for _ in range(episodes):
        terminated, steps = False, 0
        while not terminated and steps < 30:
            action = int(env.action_space.sample(info["action_mask"]))
            obs, reward, terminated, _, info = env.step(action)
            run.append((action, obs, reward))
            steps += 1
        obs, info = env.reset()
    return run


# RL-27: reset(seed) does not seed action_space.sample()


@pytest.mark.parametrize("name", NAMES)
def test_rl_27_one_call_makes_a_random_policy_repeat(name):
    runs = [sampled_run(make(name), 7) for _ in range(2)]
    assert runs[0] == runs[1]
    if name != "RandomWalk":  # it has one action
        assert len({action for action, _, _ in runs[0]}) > 1
    assert sampled_run(make(name), 8) != runs[0]


def test_rl_27_the_trap_is_real():
    runs = []
    for _ in range(2):
        env = make("Cliff")
        env.reset(seed=7)
        runs.append([int(env.action_space.sample()) for _ in range(100)])
    assert runs[0] != runs[1]


def test_rl_27_many_copies_repeat_too():
    runs = []
    for _ in range(2):
        env = TableVectorEnv(4, "random_walk")
        runs.append([seeded(env, 7)[0]])
        runs[-1] += [env.step(env.action_space.sample())[0] for _ in range(20)]
    np.testing.assert_array_equal(*runs)
    samples = [(seeded(env, 7), env.action_space.sample())[1] for env in (
        TableVectorEnv(50, "cliff"), TableVectorEnv(50, "cliff"))]  # fmt: skip
    np.testing.assert_array_equal(*samples)


def test_rl_27_actions_and_outcomes_come_from_different_streams():
    env = make("RandomWalk").unwrapped
    obs, info = seeded(env, 7)
    assert (obs, info["action_mask"].tolist()) == (3, [1])
    world, actions = env.np_random.random(20), env.action_space.np_random.random(20)
    assert not np.isin(world, actions).any()
    assert seeded(env, 7)[0] == env.reset(seed=7)[0]
    with pytest.raises(ValueError, match="seed must be 0 or more; got -1"):
        seeded(env, -1)


# RL-28: an environment that builds its own generator in reset


def three_episodes(env, actions):
    """The first is seeded, the others go on. The same actions in each."""
    episodes = []
    for seed in (3, None, None):
        obs, _ = env.reset(seed=seed)
        episode = [obs]
        for action in actions:
            obs, reward, terminated, _, _ = env.step(action)
            episode += [obs, reward]
            if terminated:
                break
        episodes.append(tuple(episode))
    return episodes


@pytest.mark.parametrize(("name", "options"), CHANCE)
def test_rl_28_runs_are_equal_and_their_episodes_differ(name, options):
    actions = [1, 2] * 8 if name == "Windy" else [0] * 16  # right and down, through the wind
    runs = [three_episodes(make(name, **options), actions) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


def test_rl_28_many_copies():
    runs = []
    for _ in range(2):
        env = TableVectorEnv(30, "random_walk")
        run = []
        for seed in (3, None, None):
            env.reset(seed=seed)
            run.append(tuple(env.step(np.zeros(30, dtype=int))[0].tolist()))
        runs.append(run)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


def test_rl_28_a_new_environment_without_a_seed_is_not_always_the_same():
    values = [TestbedEnv().reset()[1]["values"][0] for _ in range(3)]
    assert len(set(values)) == 3


# RL-29: observations outside their own space


@pytest.mark.parametrize("name", NAMES)
def test_rl_29_every_observation_lies_in_its_space(name):
    env = make(name)
    obs, info = seeded(env, 0)
    assert env.observation_space.contains(obs)
    for _ in range(50):
        obs, reward, terminated, _, info = env.step(env.action_space.sample(info["action_mask"]))
        assert env.observation_space.contains(obs)
        assert type(reward) is float
        if terminated:
            obs, info = env.reset()
            assert env.observation_space.contains(obs)


@pytest.mark.parametrize("world", ["cliff", "windy", "random_walk", "dyna_maze"])
def test_rl_29_of_many_copies_too(world):
    env = TableVectorEnv(6, world)
    obs, _ = seeded(env, 0)
    for _ in range(50):
        assert env.observation_space.contains(obs)
        assert obs.dtype == env.observation_space.dtype
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, bool, bool)


# RL-30: step() rejects numpy integers


@pytest.mark.parametrize("name", NAMES)
def test_rl_30_numpy_integers_are_actions_and_arrays_of_one_are_not(name):
    action = 0 if name == "RandomWalk" else 1
    results = []
    for form in (action, np.int64(action), np.array(action), np.int32(action)):
        env = make(name)
        env.reset(seed=5)
        results.append(env.step(form)[:4])
    assert all(result == results[0] for result in results)
    env = make(name, disable_env_checker=True)
    env.reset(seed=5)
    with pytest.raises(ValueError, match=r"action must be a whole number .* got array\(\[[01]\]\)"):
        env.step(np.array([action]))


# RL-31: the step counter survives reset


def steps_until_truncated(env):
    for step in range(1, 100):
        _, _, terminated, truncated, _ = env.step(0)
        assert not terminated
        if truncated:
            return step
    return None


@pytest.mark.parametrize("name", ["Cliff", "Windy", "DynaMaze", "Testbed"])
def test_rl_31_every_episode_has_the_whole_limit(name):
    env = make(name, max_episode_steps=5)
    env.reset()
    assert steps_until_truncated(env) == 5
    env.reset()
    assert steps_until_truncated(env) == 5
    env.reset()
    for _ in range(3):
        env.step(0)
    env.reset()  # in the middle of an episode
    assert steps_until_truncated(env) == 5


def test_rl_31_many_copies_count_for_themselves():
    env = TableVectorEnv(2, "cliff", max_episode_steps=13)
    env.reset()
    goal = [0, *[1] * 11, 2]
    cut = []
    for step in range(40):
        actions = np.array([0, goal[step % 13]])
        _, _, terminated, truncated, _ = env.step(actions)
        assert terminated[1] == (step % 13 == 12)
        cut.append(bool(truncated[0]))
    assert [step for step, now in enumerate(cut) if now] == [12, 25, 38]
    for _ in range(3):
        env.step(np.array([0, 0]))
    env.reset()
    cut = [env.step(np.array([0, 0]))[3].tolist() for _ in range(13)]
    assert cut == [[False, False]] * 12 + [[True, True]]


def test_rl_31_an_end_in_one_copy_restarts_its_count_alone():
    env = TableVectorEnv(2, "random_walk", max_episode_steps=40)
    env.reset(seed=0)
    begun = np.zeros(2, dtype=int)
    ends = 0
    for step in range(1, 300):
        _, _, terminated, truncated, _ = env.step(np.zeros(2, dtype=int))
        np.testing.assert_array_equal(truncated, step - begun >= 40)
        begun[terminated | truncated] = step
        ends += int(terminated[0] != terminated[1])
    assert ends > 5


def test_rl_31_the_table_itself_counts_nothing():
    env = TableEnv("cliff")
    env.reset()
    assert not any(env.step(0)[3] for _ in range(20_000))
