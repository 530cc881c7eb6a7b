import numpy as np
import pytest

from companion.rl.bandits import BanditConfig, gradient_step, run_testbed


def test_the_ten_armed_testbed_of_the_book():
    found = {e: run_testbed(BanditConfig(epsilon=e), seed=1) for e in (0.0, 0.01, 0.1)}
    late = {e: (r.reward[900:].mean(), r.best_action[900:].mean()) for e, r in found.items()}
    assert late[0.0] == pytest.approx((1.022, 0.347), abs=0.06)
    assert late[0.01] == pytest.approx((1.317, 0.607), abs=0.05)
    assert late[0.1] == pytest.approx((1.363, 0.797), abs=0.03)
    assert found[0.0].best_value == pytest.approx(1.539, abs=0.05)
    assert found[0.1].best_value == found[0.0].best_value  # the same problems
    assert late[0.0][1] < late[0.01][1] < late[0.1][1]


@pytest.mark.parametrize(
    ("config", "reward", "best"),
    [
        (BanditConfig(initial=5.0, alpha=0.1), 1.49, 0.855),
        (BanditConfig(ucb_c=2.0), 1.48, 0.856),
        (BanditConfig(temperature=0.2), 1.437, 0.748),
        (BanditConfig(gradient=True, alpha=0.1), 1.494, 0.859),
    ],
)
def test_the_other_ways_of_choosing(config, reward, best):
    found = run_testbed(config, runs=1_000)
    assert found.reward[900:].mean() == pytest.approx(reward, abs=0.07)
    assert found.best_action[900:].mean() == pytest.approx(best, abs=0.05)


def test_optimism_and_confidence_bounds_try_every_arm_first():
    for config in (BanditConfig(ucb_c=2.0), BanditConfig(initial=1e6, alpha=1e-9)):
        found = run_testbed(config, runs=5_000, steps=10)
        assert found.best_action.sum() == pytest.approx(1.0)  # each arm once in ten steps
        assert found.best_action[0] == pytest.approx(0.1, abs=0.02)  # in random order


def test_the_step_of_the_gradient_bandit_by_hand():
    policy = np.array([[0.2, 0.3, 0.5]])
    step = gradient_step(policy, np.array([1]), np.array([0.4]))
    assert step[0].tolist() == pytest.approx([-0.08, 0.28, -0.2])


def test_the_same_seed_plays_the_same_game():
    config = BanditConfig(epsilon=0.1)
    one, two = (run_testbed(config, runs=5, steps=20, seed=4) for _ in range(2))
    assert (one.reward == two.reward).all()
    assert (one.reward != run_testbed(config, runs=5, steps=20, seed=5).reward).any()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epsilon": 1.1}, r"epsilon must be from 0 to 1; got 1\.1"),
        ({"alpha": 0.0}, "alpha"),
        ({"ucb_c": -1.0}, "ucb_c must be 0 or more"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"gradient": True}, "alpha is None"),
        ({"epsilon": 0.1, "ucb_c": 1.0}, "choose one"),
    ],
)
def test_settings_that_make_no_sense(settings, says):
    with pytest.raises(ValueError, match=says):
        BanditConfig(**settings)


@pytest.mark.parametrize("name", ["arms", "runs", "steps"])
def test_nothing_to_play(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more; got 0"):
        run_testbed(BanditConfig(), **{name: 0})
