"""n steps joined into one: each pair once, nothing across the end of an episode."""

import numpy as np
import pytest

from companion.core import checkpoint
from companion.rl.n_step import NStep
from companion.rl.replay import Batch, Transitions
from companion.rl.targets import td_target_reference

GAMMA = 0.9


def step(number, env, reward=1.0, terminated=False):
    """One step of some environments; the observation is (environment, number)."""
    env = np.asarray(env)
    obs = np.stack([env, np.broadcast_to(number, env.shape)], 1).astype(np.float32)
    ones = np.ones(len(env))
    return Transitions(
        obs=obs,
        action=np.broadcast_to(np.asarray(number) % 5, env.shape).astype(int),
        reward=reward * ones,
        next_obs=obs + [0, 1],
        terminated=np.broadcast_to(terminated, env.shape),
        discount=GAMMA * ones,
        next_mask=np.stack([env > -1, np.broadcast_to(number, env.shape) % 2 == 0], 1),
    )


def one_env(n, rewards, end, truncated=False):
    """The transitions of one environment whose episodes end at the steps `end`."""
    joined, found = NStep(n, GAMMA, 1), []
    for number, reward in enumerate(rewards):
        over = number in end
        new = step(number, [0], reward, terminated=over and not truncated)
        found += list(zip(*joined.push(new, np.array([0]), np.array([over])), strict=True))
    return [Transitions(*entry) for entry in found]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_two_episodes_of_four_steps_give_eight_transitions(n):
    """Each (s, a) once, in order (RL-16)."""
    found = one_env(n, np.arange(8.0), {3, 7})
    assert [entry.obs[1] for entry in found] == list(range(8))
    assert [entry.action for entry in found] == [0, 1, 2, 3, 4, 0, 1, 2]
    for number, entry in enumerate(found):
        last = min(number + n - 1, 3 if number < 4 else 7)
        rewards = np.arange(number, last + 1)
        assert entry.reward == pytest.approx((rewards * GAMMA ** (rewards - number)).sum())
        assert entry.discount == pytest.approx(GAMMA ** len(rewards))
        assert entry.next_obs[1] == last + 1
        assert entry.terminated == (last in (3, 7))
        assert entry.next_mask.tolist() == [True, last % 2 == 0]


def target(entry, value):
    """y for a network that values everything at `value`."""
    one = Batch(*(np.asarray(column)[None] for column in entry), weight=None)
    return td_target_reference(one, np.full((1, 2), value))[0]


def test_nothing_is_bootstrapped_past_the_end():
    """Rewards 1, 1 before the end: 1.9, where a tail that bootstraps gives 5.95 (RL-16)."""
    found = one_env(3, [0, 0, 1, 1], {3})
    assert target(found[2], value=5.0) == pytest.approx(1.9)
    assert target(found[3], value=5.0) == pytest.approx(1.0)
    assert target(found[0], value=5.0) == pytest.approx(0.81 + 0.729 * 5)


def test_after_a_time_limit_the_rests_bootstrap_with_their_own_discount():
    found = one_env(3, [1, 1, 1, 1], {3}, truncated=True)
    assert [entry.next_obs[1] for entry in found] == [3, 4, 4, 4]
    expected = [2.71 + 0.729 * 5, 2.71 + 0.729 * 5, 1.9 + 0.81 * 5, 1 + 0.9 * 5]
    assert [target(entry, value=5.0) for entry in found] == pytest.approx(expected)


def test_gamma_0_and_1():
    for gamma, expected in ((0.0, 1.0), (1.0, 3.0)):
        joined = NStep(3, gamma, 1)
        for number in range(3):
            new = step(number, [0])._replace(discount=np.array([gamma]))
            found = joined.push(new, np.array([0]), np.array([False]))
        assert found.reward.tolist() == [expected]
        assert found.discount.tolist() == [gamma]


def many(n, seed, steps=60, envs=4, stop=None):
    """Random lengths; some environments rest at times. What came out, by environment."""
    rng, joined, numbers = np.random.default_rng(seed), NStep(n, GAMMA, envs), np.zeros(envs, int)
    pushed, found = [[] for _ in range(envs)], [[] for _ in range(envs)]
    for moment in range(steps):
        if moment == stop:
            joined = yield joined
        env = np.flatnonzero(rng.random(envs) < 0.8)
        reward, over = rng.normal(size=len(env)), rng.random(len(env)) < 0.2
        new = step(numbers[env], env, reward, over & (rng.random(len(env)) < 0.5))
        for row, place in enumerate(env):
            pushed[place].append((numbers[place], reward[row], over[row]))
        for entry in zip(*joined.push(new, env, over), strict=True):
            found[int(entry[0][0])].append(entry)
        numbers[env] += 1
    yield pushed, found


@pytest.mark.parametrize("n", [2, 3, 12])
def test_environments_side_by_side_do_not_mix(n):
    pushed, found = next(many(n, seed=n))
    for steps, entries in zip(pushed, found, strict=True):
        assert [entry[0][1] for entry in entries] == list(range(len(entries)))
        for obs, _, reward, next_obs, _, discount, _ in entries:
            first, total = int(obs[1]), 0.0
            for length, (_, one, over) in enumerate(steps[first : first + n], 1):
                total += GAMMA ** (length - 1) * one
                if over:
                    break
            assert reward == pytest.approx(total)
            assert discount == pytest.approx(GAMMA**length)
            assert next_obs.tolist() == [obs[0], first + length]
        complete = len(steps) - len(entries)  # those that wait
        assert complete < n
        assert not any(over for _, _, over in steps[len(entries) :])


def test_arrays_may_be_reused_by_the_caller():
    joined, new = NStep(2, GAMMA, 1), step(0, [0])
    env, ended = np.array([0]), np.array([False])
    assert len(joined.push(new, env, ended).action) == 0
    new.obs[:] = new.next_obs[:] = 7
    new.reward[:], new.action[:] = 2, 3
    found = joined.push(new, env, ended)
    assert found.obs.tolist() == [[0, 0]]
    assert found.action.tolist() == [0]
    assert found.reward == pytest.approx(1 + 0.9 * 2)


@pytest.mark.parametrize("n", [1, 2, 3, 12])
@pytest.mark.parametrize("stop", [0, 1, 30])
def test_saved_and_restored_it_goes_on_as_if_it_had_never_stopped(n, stop, tmp_path):
    _, whole = next(many(n, seed=5))
    run = many(n, seed=5, stop=stop)
    checkpoint.save(tmp_path / "waiting", next(run).state(), {})
    other = NStep(n, GAMMA, 4)
    other.push(step(0, [0, 1, 2, 3]), np.arange(4), np.zeros(4, bool))  # what it held must not stay
    other.restore(checkpoint.load(tmp_path / "waiting")[0])
    _, found = run.send(other)
    assert str(found) == str(whole)


def test_a_state_is_a_copy():
    joined = NStep(3, GAMMA, 1)
    joined.push(step(0, [0]), np.array([0]), np.array([False]))
    state = joined.state()
    kept = {name: value.copy() for name, value in state.items()}
    joined.push(step(1, [0]), np.array([0]), np.array([False]))
    assert all((state[name] == kept[name]).all() for name in kept)
    other = NStep(3, GAMMA, 1)
    other.restore(state)
    other.push(step(1, [0]), np.array([0]), np.array([False]))
    assert all((state[name] == kept[name]).all() for name in kept)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="n and num_envs must be 1 or more; got 0 and 2"):
        NStep(0, GAMMA, 2)
    with pytest.raises(ValueError, match=r"action of the waiting steps must .* \(1, 3\)"):
        NStep(3, GAMMA, 1).restore(NStep(2, GAMMA, 1).state())
