"""The worlds against the book and Gymnasium, and what an environment must keep to."""

import importlib
import warnings

import gymnasium
import numba
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from gymnasium.utils.env_checker import check_env

import companion.envs
from companion.envs import TableEnv, TableVectorEnv, TestbedEnv, gridworlds, testbed
from companion.envs.finite import Outcome, check, from_outcomes

WORLDS = ["Cliff", "Windy", "RandomWalk", "DynaMaze", "MaximisationBias"]
RANDOM = {  # worlds with chance in them, and the arguments that put it there
    "RandomWalk": {},
    "MaximisationBias": {},
    "Testbed": {},
    "Windy": {"stochastic": True},
}


def make(name, **options):
    return gymnasium.make(f"companion/{name}-v0", **options)


def make_many(name, copies=8, **options):
    mode = "vector_entry_point"
    return gymnasium.make_vec(
        f"companion/{name}-v0", num_envs=copies, vectorization_mode=mode, **options
    )


def play(env, episodes, rng, steps=50):
    """Rewards and observations of random allowed actions, one list for each episode."""
    runs = []
    for _ in range(episodes):
        obs, info = env.reset()
        run = [obs]
        for _ in range(steps):
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            obs, reward, terminated, truncated, info = env.step(action)
            run += [obs, reward]
            if terminated or truncated:
                break
        runs.append(run)
    return runs


def leads(world, state, action):
    action = world.actions.index(action)
    return int(world.mdp.next_state[state, action, 0]), float(world.mdp.reward[state, action, 0])


# The tables of the book


def test_the_cliff_is_that_of_example_6_6():
    world = gridworlds.cliff()
    assert world.shape == (4, 12)
    assert world.actions == ("up", "right", "down", "left")
    assert world.cells("C") == tuple(range(37, 47))
    assert world.mdp.start == 36
    assert np.flatnonzero(world.mdp.terminal).tolist() == [47]
    assert leads(world, 36, "right") == (36, -100.0)
    assert leads(world, 30, "down") == (36, -100.0)
    assert leads(world, 36, "up") == (24, -1.0)
    assert leads(world, 35, "down") == (47, -1.0)
    assert leads(world, 0, "up") == leads(world, 0, "left") == (0, -1.0)


def test_the_cliff_has_the_table_of_gymnasium():
    theirs = gymnasium.make("CliffWalking-v1").unwrapped.P
    mdp = gridworlds.cliff().mdp
    for state in range(47):
        for action in range(4):
            [(chance, after, reward, ends)] = theirs[state][action]
            assert mdp.probability[state, action].tolist() == [chance]
            assert mdp.next_state[state, action, 0] == after
            assert mdp.reward[state, action, 0] == reward
            assert mdp.terminal[after] == ends


def test_the_wind_is_that_of_example_6_5():
    world = gridworlds.windy()
    assert world.shape == (7, 10)
    assert (world.mdp.start, world.cells("G")) == (30, (37,))
    assert world.wind == (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
    rises = [3 - leads(world, 30 + column, "right")[0] // 10 for column in range(10) if column != 7]
    assert rises == [0, 0, 0, 1, 1, 1, 2, 1, 0]
    assert leads(world, 38, "left") == (27, -1.0)  # the book: to the cell above the goal
    assert leads(world, 36, "right") == (17, -1.0)
    assert leads(world, 6, "down") == (6, -1.0)  # the wind of 2 and the edge
    assert leads(world, 64, "down") == (64, -1.0)
    assert leads(world, 47, "up") == (17, -1.0)
    assert leads(world, 48, "left") == (37, -1.0)


def test_king_s_moves_and_the_ninth_which_stays():
    assert gridworlds.windy(8).actions[4:] == ("up-right", "down-right", "down-left", "up-left")
    nine = gridworlds.windy(moves=9)
    assert leads(nine, 30, "stay") == (30, -1.0)
    assert leads(nine, 33, "stay") == (23, -1.0)
    assert leads(nine, 31, "up-right")[0] == 22
    assert leads(nine, 31, "down-right")[0] == 42
    assert leads(nine, 31, "down-left")[0] == 40
    assert leads(nine, 31, "up-left")[0] == 20
    with pytest.raises(ValueError, match="moves must be 4, 8 or 9; got 5"):
        gridworlds.windy(moves=5)


def test_the_wind_of_exercise_6_10_varies_by_one_where_it_blows():
    world = gridworlds.windy(stochastic=True)
    right = world.actions.index("right")
    np.testing.assert_allclose(world.mdp.probability[36, right], [1 / 3] * 3)
    assert world.mdp.next_state[36, right].tolist() == [27, 17, 7]
    assert world.mdp.probability[31, right].tolist() == [1.0, 0.0, 0.0]
    assert world.mdp.next_state[33, right].tolist() == [34, 24, 14]


def test_the_maze_is_that_of_figure_8_2():
    world = gridworlds.dyna_maze()
    assert world.shape == (6, 9)
    assert (world.mdp.start, np.flatnonzero(world.mdp.terminal).tolist()) == (18, [8])
    walls = [(0, 7), (1, 2), (1, 7), (2, 2), (2, 7), (3, 2), (4, 5)]
    assert [divmod(cell, 9) for cell in world.cells("#")] == walls
    assert leads(world, 17, "up") == (8, 1.0)
    assert leads(world, 17, "left") == (17, 0.0)
    assert leads(world, 19, "right") == (19, 0.0)
    outside = np.setdiff1d(np.arange(54), world.cells("#"))
    assert not np.isin(world.mdp.next_state[outside], world.cells("#")).any()
    assert world.mdp.reward.sum() == 1.0 + 1.0  # from below, and from a wall where nobody stands


def test_the_random_walk_goes_both_ways():
    world = gridworlds.random_walk()
    assert (world.mdp.start, world.mdp.allowed.shape) == (3, (7, 1))
    assert world.mdp.next_state[1:6, 0].tolist() == [[i - 1, i + 1] for i in range(1, 6)]
    assert (world.mdp.probability[1:6] == 0.5).all()
    assert world.mdp.reward[5, 0].tolist() == [0.0, 1.0]
    assert world.mdp.reward.sum() == 1.0
    assert np.flatnonzero(world.mdp.terminal).tolist() == [0, 6]


def test_the_bias_chain_is_that_of_example_6_7():
    world = gridworlds.maximisation_bias(arms=7)
    assert leads(world, 2, "left") == (1, 0.0)
    assert leads(world, 2, "right") == (3, 0.0)
    assert world.mdp.allowed.sum(axis=1).tolist() == [7, 7, 2, 7]
    assert (world.mdp.reward[1] == -0.1).all()
    assert (world.mdp.noise[1] == 1.0).all()
    assert world.mdp.noise[2].sum() == 0
    assert len(world.actions) == 7
    one = gridworlds.maximisation_bias(arms=1).mdp
    assert one.allowed.tolist() == [[True, True], [True, False], [True, True], [True, True]]


@pytest.mark.parametrize("name", ["random_walk", "maximisation_bias"])
def test_a_chain_needs_at_least_one(name):
    with pytest.raises(ValueError, match="must be 1 or more; got 0"):
        gridworlds.WORLDS[name](0)


# The tables themselves


@numba.njit
def total(mdp):
    return mdp.start + (mdp.reward * mdp.probability).sum() + mdp.allowed.sum()


@pytest.mark.parametrize("name", gridworlds.WORLDS)
def test_every_world_is_a_process_that_numba_takes(name):
    world = gridworlds.WORLDS[name]()
    mdp = check(world.mdp)
    assert world.shape[0] * world.shape[1] == len(mdp.terminal)
    assert len(world.actions) == mdp.allowed.shape[1]
    assert (mdp.next_state[mdp.terminal] == np.flatnonzero(mdp.terminal)[:, None, None]).all()
    mean = (mdp.reward * mdp.probability).sum()
    assert total(mdp) == pytest.approx(mdp.start + mean + mdp.allowed.sum())


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("probability", 0.5, "state 3, action 2: probability must sum to 1 .* got 0.5"),
        ("probability", -1.0, "state 3, action 2: probability must be 0 or more; got -1.0"),
        ("probability", np.nan, "state 3, action 2: probability must be 0 or more; got nan"),
        ("next_state", 48, "state 3, action 2: next_state must be from 0 to 47; got 48"),
        ("next_state", -1, "state 3, action 2: next_state must be from 0 to 47; got -1"),
        ("reward", np.inf, "state 3, action 2: reward must be a finite number; got inf"),
        ("noise", -0.1, "state 3, action 2: noise must be 0 or more; got -0.1"),
        ("noise", np.nan, "state 3, action 2: noise must be 0 or more; got nan"),
    ],
)
def test_a_bad_row_is_named(field, value, says):
    mdp = gridworlds.cliff().mdp
    getattr(mdp, field)[3, 2, 0] = value
    with pytest.raises(ValueError, match=says):
        check(mdp)
    with pytest.raises(ValueError, match=says):
        TableEnv(gridworlds.World("mine", mdp, (4, 12), gridworlds.FOUR, ()))


def test_a_process_of_the_wrong_form_is_refused():
    mdp = gridworlds.cliff().mdp
    mdp.allowed[5] = False
    with pytest.raises(ValueError, match="state 5: at least one action"):
        check(mdp)
    mdp = gridworlds.cliff().mdp
    wrong = {
        "start": [(47, "start must be"), (48, "start must be"), (-1, "start must be")],
        "reward": [
            (mdp.reward.astype(np.float32), "reward must have .* got .* float32"),
            (mdp.reward[:, :3], r"reward must have the shape \[48, 4, 1\]"),
            (np.asfortranarray(mdp.reward), "reward must be contiguous"),
        ],
        "next_state": [(mdp.next_state[0], r"next_state must have the shape \[S, A, K\]")],
        "terminal": [(mdp.terminal.astype(np.int64), "terminal must have")],
    }
    for field, values in wrong.items():
        for value, says in values:
            with pytest.raises(ValueError, match=says):
                check(mdp._replace(**{field: value}))


def test_pairs_that_cannot_be_acted_from_are_refused():
    row = [Outcome(1.0, 1, 0.0)]
    for pair in [(2, 0), (-1, 0), (0, -1), (1, 0)]:
        with pytest.raises(ValueError, match=f"state {pair[0]}, action {pair[1]}"):
            from_outcomes({(0, 0): row, pair: row}, states=2, start=0, terminal=[1])
    with pytest.raises(ValueError, match="state 0, action 0: probability must sum to 1"):
        from_outcomes({(0, 0): [Outcome(0.9, 1, 0.0)]}, states=2, start=0, terminal=[1])


# One copy


class AllowedOnly(gymnasium.ActionWrapper, RecordConstructorArgs):
    """Checkers sample any action, so one that is not allowed becomes one that is."""

    def __init__(self, env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def action(self, action):
        assert self.action_space.contains(action)
        state = self.unwrapped._state
        free = np.flatnonzero(self.unwrapped.world.mdp.allowed[state])
        return free[action % len(free)]


def checked(name, **options):
    env = make(name, **options)
    return AllowedOnly(env.unwrapped) if name == "MaximisationBias" else env.unwrapped


@pytest.mark.parametrize("name", [*WORLDS, "Testbed"])
def test_gymnasium_s_checker_passes(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(checked(name))
        check_env(make("MaximisationBias", arms=2).unwrapped)


@pytest.mark.parametrize("name", [*WORLDS, "Testbed"])
def test_the_checker_of_stable_baselines_passes(name):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(checked(name), warn=True)


def test_registering_twice_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(companion.envs)
    assert gymnasium.spec("companion/Cliff-v0").max_episode_steps == 10_000
    assert gymnasium.spec("companion/Testbed-v0").max_episode_steps == 1_000


def test_arguments_reach_the_world():
    assert make("Windy", moves=9).action_space.n == 9
    assert make("RandomWalk", states=19).observation_space.n == 21
    assert make("Testbed", arms=4).action_space.n == 4
    with pytest.raises(ValueError, match=r"world must be one of cliff, windy, .* got 'moon'"):
        TableEnv("moon")
    with pytest.raises(ValueError, match="a finished world takes no options"):
        TableEnv(gridworlds.cliff(), moves=4)
    with pytest.raises(ValueError, match="render_mode must be"):
        TableEnv("cliff", render_mode="human")
    with pytest.raises(ValueError, match="render_mode must be"):
        TestbedEnv(render_mode="human")
    with pytest.raises(ValueError, match="arms must be 1 or more; got 0"):
        TestbedEnv(arms=0)


@pytest.mark.parametrize("env", [TableEnv("cliff"), TestbedEnv(), TableVectorEnv(2, "cliff")])
def test_an_environment_must_be_reset_first(env):
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.render()


def test_after_the_end_an_episode_does_not_go_on():
    env = TableEnv("maximisation_bias")
    env.reset()
    *_, terminated, truncated, _ = env.step(1)
    assert (terminated, truncated) == (True, False)
    with pytest.raises(ResetNeeded):
        env.step(1)
    assert env.reset()[0] == 2


@pytest.mark.parametrize("bad", [-1, 4, 1.0, None, "up", np.array([1]), np.int64(9)])
@pytest.mark.parametrize("name", ["Cliff", "Testbed"])
def test_an_action_outside_the_space_is_refused(name, bad):
    env = make(name, **({"arms": 4} if name == "Testbed" else {})).unwrapped
    env.reset()
    with pytest.raises(ValueError, match="action must be a whole number from 0 to 3"):
        env.step(bad)


def test_an_action_that_is_not_allowed_is_refused_and_masked():
    env = TableEnv("maximisation_bias")
    _, info = env.reset(seed=0)
    assert info["action_mask"].dtype == np.int8
    assert info["action_mask"].tolist() == [1, 1] + [0] * 8
    with pytest.raises(ValueError, match="action 2 is not allowed in state 2"):
        env.step(2)
    assert {int(env.action_space.sample(info["action_mask"])) for _ in range(50)} == {0, 1}
    *_, info = env.step(0)
    assert info["action_mask"].tolist() == [1] * 10
    info["action_mask"][:] = 0  # the caller's copy, not the world
    assert env.world.mdp.allowed[1].all()


def test_a_loop_meets_the_best_way_through_each_world():
    env = TableEnv("cliff")
    env.reset()
    steps = [env.step(action) for action in [0, *[1] * 11, 2]]
    assert [step[1] for step in steps] == [-1.0] * 13
    assert [step[2] for step in steps] == [False] * 12 + [True]
    env.reset()
    assert env.step(1)[:4] == (36, -100.0, False, False)


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_run_and_no_two_episodes_of_it_are_equal(name):
    runs = []
    for _ in range(2):
        env = make(name, **RANDOM[name])
        env.reset(seed=11)
        runs.append(play(env, 12, np.random.default_rng(0)))
    assert runs[0] == runs[1]
    # The same action in each episode, so that only the world's chance parts them.
    same_action = play_same(make(name, **RANDOM[name]), int(name == "Windy"), 12)
    assert len(set(same_action)) > 4


def play_same(env, action, episodes):
    runs = []
    env.reset(seed=3)
    for _ in range(episodes):
        run, _ = [], env.reset()
        for _ in range(6):
            obs, reward, terminated, _, _ = env.step(action)
            run += [obs, reward]
            if terminated:
                break
        runs.append(tuple(run))
    return runs


def test_a_drawn_outcome_follows_its_probability():
    row = [Outcome(0.0, 1, 0.0), Outcome(0.7, 1, 1.0), Outcome(0.3, 1, 2.0)]
    mdp = from_outcomes({(0, 0): row, (0, 1): row[1:]}, states=2, start=0, terminal=[1])
    world = gridworlds.World("three", mdp, (1, 2), ("a", "b"), ("ST",))
    one, many = TableEnv(world), TableVectorEnv(20_000, world)
    for action in (0, 1):
        one.reset(seed=1)
        rewards = []
        for _ in range(4_000):
            rewards.append(one.step(action)[1])
            one.reset()
        many.reset(seed=2)
        together = many.step(np.full(20_000, action))[1]
        for drawn, band in ((rewards, 0.03), (together, 0.013)):
            assert set(drawn) == {1.0, 2.0}
            assert np.mean(np.array(drawn) == 2.0) == pytest.approx(0.3, abs=band)


def test_the_picture_shows_where_the_agent_is():
    env = make("Cliff", render_mode="ansi")
    env.reset()
    env.step(0)
    rows = env.render().splitlines()
    assert rows[2] == "x . . . . . . . . . . ."
    assert rows[3] == "S C C C C C C C C C C G"
    quiet = TableEnv("cliff")
    quiet.reset()
    assert quiet.render() is None
    many = TableVectorEnv(2, "random_walk", render_mode="ansi")
    many.reset()
    assert many.render() == ("T . . x . . T\n",) * 2


# Many copies


def same(ours, theirs):
    """Two infos of vector environments are equal, to the type."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            same(ours[key], value)
            continue
        assert ours[key].dtype == value.dtype, key
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


@pytest.mark.parametrize(
    ("name", "options"), [("Cliff", {}), ("Windy", {"moves": 9}), ("DynaMaze", {})]
)
def test_many_copies_do_what_gymnasium_s_own_do(name, options):
    limit, copies = 7, 5
    ours = make_many(name, copies, max_episode_steps=limit, **options)
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: make(name, max_episode_steps=limit, **options)] * copies,
        autoreset_mode="SameStep",
    )
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    compare(ours, theirs, copies)


def compare(ours, theirs, copies):
    rng = np.random.default_rng(0)
    begun = ours.reset(seed=0), theirs.reset(seed=0)
    np.testing.assert_array_equal(begun[0][0], begun[1][0])
    same(begun[0][1], begun[1][1])
    ends = 0
    for step in range(60):
        if step == 10:
            ours.reset(), theirs.reset()  # in the middle of an episode
        actions = rng.integers(ours.single_action_space.n, size=copies)
        mine, other = ours.step(actions), theirs.step(actions)
        for left, right in zip(mine[:4], other[:4], strict=True):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        same(mine[4], other[4])
        ends += "final_obs" in mine[4]
    assert ends > 3


def test_copies_that_end_at_different_times_match_gymnasium_too():
    """Left of the goal, one copy ends early; a limit of 14 ends it at the goal and in time."""
    ours = make_many("Cliff", 3, max_episode_steps=13)
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: make("Cliff", max_episode_steps=13)] * 3, autoreset_mode="SameStep"
    )
    ours.reset(), theirs.reset()
    ways = np.array([[0, *[1] * 11, 2, 0], [0] * 14, [1] * 14])
    for actions in ways.T:
        mine, other = ours.step(actions), theirs.step(actions)
        for left, right in zip(mine[:4], other[:4], strict=True):
            np.testing.assert_array_equal(left, right)
        same(mine[4], other[4])
        if mine[2].any():
            assert mine[2].tolist() == [True, False, False]
            assert mine[3].tolist() == [True, True, True]
            assert mine[4]["final_obs"].tolist() == [47, 0, 36]
            assert mine[0].tolist() == [36, 36, 36]


def test_the_chain_s_last_masks_match_gymnasium():
    ours = TableVectorEnv(4, "maximisation_bias")
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: TableEnv("maximisation_bias")] * 4, autoreset_mode="SameStep"
    )
    ours.reset(), theirs.reset()
    for actions in ([1, 0, 1, 0], [1, 5, 0, 2], [0, 0, 2, 1]):
        mine, other = ours.step(np.array(actions)), theirs.step(np.array(actions))
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[2], other[2])
        same(mine[4], other[4])


def test_many_copies_have_the_chances_of_one():
    many = TableVectorEnv(4_000, "random_walk")
    many.reset(seed=0)
    first = np.full(4_000, np.nan)
    for _ in range(150):
        _, reward, terminated, _, _ = many.step(np.zeros(4_000, dtype=int))
        first = np.where(terminated & np.isnan(first), reward, first)
    assert np.mean(first) == pytest.approx(0.5, abs=0.04)  # five standard errors
    one = TableEnv("random_walk")
    one.reset(seed=0)
    runs = [run[-1] for run in play(one, 1_000, np.random.default_rng(0), steps=500)]
    assert np.mean(runs) == pytest.approx(0.5, abs=0.08)
    noisy = TableVectorEnv(4_000, "maximisation_bias")
    noisy.reset(seed=0)
    noisy.step(np.zeros(4_000, dtype=int))
    reward = noisy.step(np.arange(4_000) % 10)[1]
    assert reward.mean() == pytest.approx(-0.1, abs=0.08)
    assert reward.std() == pytest.approx(1.0, abs=0.06)


def test_the_copies_of_one_run_are_not_equal_and_the_same_seed_repeats_them():
    runs = []
    for _ in range(2):
        env = TableVectorEnv(50, "random_walk")
        env.reset(seed=4)
        runs.append(np.stack([env.step(np.zeros(50, dtype=int))[0] for _ in range(20)]))
    np.testing.assert_array_equal(*runs)
    assert len(np.unique(runs[0], axis=1).T) > 40
    env.reset(seed=4)
    once = np.stack([env.step(np.zeros(50, dtype=int))[0] for _ in range(20)])
    env.reset()
    again = np.stack([env.step(np.zeros(50, dtype=int))[0] for _ in range(20)])
    np.testing.assert_array_equal(once, runs[0])
    assert (again != once).any()


def test_wrong_actions_of_copies_are_named():
    env = TableVectorEnv(3, "maximisation_bias")
    env.reset()
    for bad in ([0, 0], [[0, 0, 0]], [0.0, 1.0, 0.0]):
        with pytest.raises(ValueError, match="actions must be 3 whole numbers"):
            env.step(np.array(bad))
    with pytest.raises(ValueError, match="copy 1: action must be from 0 to 9; got 10"):
        env.step(np.array([0, 10, 0]))
    with pytest.raises(ValueError, match="copy 2: action must be from 0 to 9; got -1"):
        env.step(np.array([0, 1, -1]))
    with pytest.raises(ValueError, match="copy 1: action 4 is not allowed in state 2"):
        env.step(np.array([0, 4, 0]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_envs": 0}, "num_envs must be 1 or more; got 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be 1 or more, or -1; got 0"),
        ({"render_mode": "human"}, "render_mode must be"),
    ],
)
def test_wrong_arguments_of_many_copies_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        TableVectorEnv(**options)


def test_a_mask_of_resets_is_refused():
    env = TableVectorEnv(2, "cliff")
    with pytest.raises(ValueError, match="reset_mask is not taken"):
        env.reset(options={"reset_mask": np.array([True, False])})


def test_without_a_limit_copies_are_never_truncated():
    env = make_many("Cliff", 2, max_episode_steps=-1)
    env.reset()
    for _ in range(30):
        *_, truncated, info = env.step(np.array([0, 0]))
        assert not truncated.any()
        assert "final_obs" not in info


# The testbed


def test_each_reset_of_the_testbed_draws_a_new_problem():
    env = TestbedEnv()
    problems = np.stack([env.reset(seed=1)[1]["values"]] +
                        [env.reset()[1]["values"] for _ in range(2_000)])  # fmt: skip
    assert len(np.unique(problems[:, 0])) == 2_001
    assert problems.mean() == pytest.approx(0.0, abs=0.03)
    assert problems.std() == pytest.approx(1.0, abs=0.03)
    _, info = env.reset(seed=5)
    rewards = np.array([env.step(3)[1] for _ in range(4_000)])
    assert rewards.mean() == pytest.approx(info["values"][3], abs=0.08)
    assert rewards.std() == pytest.approx(1.0, abs=0.06)
    info["values"][:] = 99.0  # the caller's copy
    assert env.step(3)[4]["values"][3] != 99.0


def test_the_testbed_is_cut_after_a_thousand_steps_and_never_ends():
    env = make("Testbed")
    for _ in range(2):
        env.reset(seed=0)
        steps = [env.step(0) for _ in range(1_000)]
        assert not any(step[2] for step in steps)
        assert [step[3] for step in steps] == [False] * 999 + [True]


def test_many_problems_are_drawn_at_once():
    values = testbed.draw(500, 10, np.random.default_rng(0))
    assert values.shape == (500, 10)
    assert (values.mean(), values.std()) == pytest.approx((0.0, 1.0), abs=0.05)
    np.testing.assert_array_equal(values, testbed.draw(500, 10, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="arms must be 1 or more; got 0"):
        testbed.draw(5, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="num_problems must be 1 or more; got 0"):
        testbed.draw(0, 5, np.random.default_rng(0))


def test_the_picture_of_the_testbed_is_its_values():
    env = TestbedEnv(arms=2, render_mode="ansi")
    _, info = env.reset(seed=0)
    assert env.render() == "{:.2f} {:.2f}\n".format(*info["values"])


def test_what_the_caller_does_with_observations_moves_no_copy():
    env = TableVectorEnv(2, "cliff")
    env.reset()[0][:] = 0
    env.step(np.array([0, 0]))[0][:] = 0
    assert env.step(np.array([1, 3]))[0].tolist() == [25, 24]
