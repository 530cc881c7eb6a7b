"""The measurements of DQN run, say what they should, and compare equal things."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
STEPS = 400


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def script(name, *arguments, **environment):
    quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    own = {k: v for k, v in os.environ.items() if k != "TF_AGENTS_PYTHON"}
    out = subprocess.run(
        [sys.executable, str(FOLDER / name), *arguments],
        capture_output=True,
        text=True,
        env={**own, **quiet},
    )
    assert out.returncode == 0, out.stderr[-2_000:]
    return out.stdout


def small_settings(**changes):
    from _dqn_peers import settings

    return settings(STEPS, **{"batch_size": 16, "capacity": 300, "warmup": 100, **changes})


def peer_model(**changes):
    pytest.importorskip("stable_baselines3")
    import gymnasium as gym
    from _dqn_peers import stable_baselines

    return stable_baselines(small_settings(**changes), gym.make("CartPole-v1"), STEPS, 0)


def plain_script(**changes):
    pytest.importorskip("torch")
    import gymnasium as gym
    from _dqn_peers import PlainScript

    return PlainScript(small_settings(**changes), gym.make("CartPole-v1"), 0)


def our_learner(**changes):
    pytest.importorskip("torch")
    from companion.pytorch.dqn import DQNLearner
    from companion.rl.dqn import DQNConfig

    config = DQNConfig(**small_settings(**changes))
    return DQNLearner(config, obs_size=4, num_actions=2, seed=0)


def kernels(network):
    """The arrays of a PyTorch network in our order and form, [in, out]."""
    return [p.detach().numpy().T.copy() for p in network.parameters()]


def take_over(learner, online, target):
    """Our learner gets a peer's two networks."""
    names = list(learner.get_weights())
    found = {f"online/{k}": v for k, v in zip(names, kernels(online), strict=True)}
    found |= {f"target/{k}": v for k, v in zip(names, kernels(target), strict=True)}
    learner.restore({**learner.state(), **found})


def random_rows(count=16, large=1.0):
    rng = np.random.default_rng(1)
    return {
        "obs": (large * rng.normal(size=(count, 4))).astype(np.float32),
        "action": rng.integers(2, size=count),
        "reward": (large * rng.normal(size=count)).astype(np.float32),
        "next_obs": (large * rng.normal(size=(count, 4))).astype(np.float32),
        "terminated": rng.random(count) < 0.3,
    }


def our_updates(learner, *batches):
    from companion.rl.replay import Batch

    for rows in batches:
        discount = np.full(len(rows["action"]), learner.config.gamma, np.float32)
        batch = Batch(**rows, discount=discount, next_mask=None, weight=None)
        learner.update(batch.each(lambda column: column[None]))
    return list(learner.get_weights().values())


def unequal_target(target):
    import torch

    with torch.no_grad():
        for number, p in enumerate(target.parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(number)) / 3)


# Adam does not see how long all gradients are, only how one compares with the next: a long one,
# which every side must cut, comes before a short one.
def long_then_short():
    return [random_rows(large=30.0), random_rows(large=1.0)]


def test_updates_of_stable_baselines_change_the_weights_as_ours_do(monkeypatch):
    model, learner, batches = peer_model(), our_learner(), long_then_short()
    import torch
    from stable_baselines3.common.buffers import ReplayBufferSamples

    unequal_target(model.q_net_target)
    take_over(learner, model.q_net, model.q_net_target)
    before = kernels(model.q_net)
    theirs = iter(
        ReplayBufferSamples(
            torch.tensor(rows["obs"]),
            torch.tensor(rows["action"])[:, None],
            torch.tensor(rows["next_obs"]),
            torch.tensor(rows["terminated"], dtype=torch.float32)[:, None],
            torch.tensor(rows["reward"])[:, None],
        )
        for rows in batches
    )
    monkeypatch.setattr(model.replay_buffer, "sample", lambda *_, **__: next(theirs))
    model._setup_learn(STEPS)
    model.train(gradient_steps=2, batch_size=16)
    found = our_updates(learner, *batches)
    for peer, ours, first in zip(kernels(model.q_net), found, before, strict=True):
        np.testing.assert_allclose(ours, peer, rtol=0, atol=2e-6)
        assert np.abs(ours - first).max() > 1e-4


def test_updates_of_the_plain_script_change_the_weights_as_ours_do():
    plain, learner, batches = plain_script(), our_learner(), long_then_short()
    unequal_target(plain.target)
    take_over(learner, plain.online, plain.target)
    for rows in batches:
        for row in range(16):
            plain.store(row, *(rows[name][row] for name in rows))
        plain.update(np.arange(16))
    found = our_updates(learner, *batches)
    for peer, ours in zip(kernels(plain.online), found, strict=True):
        np.testing.assert_allclose(ours, peer, rtol=0, atol=2e-6)


def test_stable_baselines_has_the_settings_that_were_given():
    given = small_settings()
    model = peer_model()
    assert model.batch_size == given["batch_size"]
    assert model.gamma == given["gamma"]
    assert model.learning_starts == given["warmup"]
    assert model.train_freq.frequency == given["train_every"]
    assert model.gradient_steps == 1
    assert model.target_update_interval == given["sync_every"]
    assert model.tau == 1
    assert model.replay_buffer.buffer_size == given["capacity"]
    assert model.policy.optimizer.param_groups[0]["lr"] == given["learning_rate"]
    assert [tuple(p.shape) for p in model.q_net.parameters()][::2] == [(120, 4), (84, 120), (2, 84)]


def test_epsilon_of_stable_baselines_falls_like_ours():
    from companion.rl.dqn import DQNConfig, epsilon_at

    model, config = peer_model(), DQNConfig(**small_settings())
    for step in (0, 100, 150, 200, 399):
        theirs = model.exploration_schedule(1 - step / STEPS)
        assert theirs == pytest.approx(epsilon_at(config, step))


@pytest.mark.slow
def test_every_variant_makes_the_same_updates():
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("tensorflow")
    from _dqn_variants import GAINS, VARIANTS
    from dqn import in_own_process, run_one

    left_out = ("compiled", "XLA", "TF-Agents", "20 updates")  # slow to build; 30 is no multiple
    names = [n for n in {**VARIANTS, **GAINS} if not any(word in n for word in left_out)]
    for name in names:  # TensorFlow takes its number of threads only before it has computed
        run = in_own_process if name.startswith("TensorFlow") else run_one
        assert run(name, STEPS, 0)["check"] == {"updates": 30, "weights": 10_934}, name
    assert len(names) == 11


def test_what_came_before_the_clock_leaves_no_trace():
    from _dqn_variants import first_calls

    learner, untouched = our_learner(), our_learner().state()
    first_calls(learner, learner.config)
    for name, value in learner.state().items():
        np.testing.assert_array_equal(value, untouched[name])


def test_adam_array_by_array_makes_the_same_step():
    from _dqn_variants import adam_by_tensor

    learners, batches = [our_learner(), our_learner()], long_then_short()
    adam_by_tensor(learners[1])
    for fused, plain in zip(*(our_updates(each, *batches) for each in learners), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=0, atol=1e-6)


def test_a_difference_is_of_means_and_its_interval_covers_it():
    from dqn_agreement import difference

    rng = np.random.default_rng(0)
    mean, low, high = difference(rng.normal(10, 1, 50), rng.normal(4, 1, 50))
    assert mean == pytest.approx(6, abs=0.6)
    assert mean - 0.6 < low < mean < high < mean + 0.6


def test_a_policy_is_judged_by_whole_episodes():
    from _dqn_curves import judge

    left = np.array([[1.0, 0.0]])
    returns, _ = judge(lambda obs: np.repeat(left, len(obs), 0), "CartPole-v1", seed=0)
    assert 8 <= returns <= 11  # a cart that is always pushed left
    up = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert judge(lambda obs: np.repeat(up, len(obs), 0), "companion/Cliff-v0", 0) == [-200, 200]


@pytest.mark.slow
def test_the_speed_script_ends_with_one_line_of_json():
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("tensorflow")
    out = script("dqn.py", "--quick")
    found = json.loads(out.splitlines()[-1])
    assert set(found) == {"name", "figures", "goals", "met"}
    assert found["name"] == "dqn"
    assert len(found["goals"]) == 5
    assert "TF-Agents: not measured" in out
    for name in ("Stable-Baselines3", "plain PyTorch script", "PyTorch", "PyTorch, compiled"):
        assert {"seconds", "cpu_seconds", "steps per CPU second"} <= set(found["figures"][name])
    assert found["figures"]["PyTorch, compiled"]["compiler, s"] > 1
    assert set(found["figures"]["times Stable-Baselines3"]["PyTorch"]) == {"CPU", "wall"}


@pytest.mark.slow
def test_the_agreement_script_ends_with_one_line_of_json():
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("tensorflow")
    found = json.loads(script("dqn_agreement.py", "--quick").splitlines()[-1])
    assert set(found) == {"name", "figures", "goals", "met"}
    assert found["name"] == "dqn_agreement"
    figures = found["figures"]
    for name in ("Stable-Baselines3", "PyTorch, 10 environments", "TensorFlow, 10 environments"):
        assert len(figures[name]["area"]) == len(figures[name]["final"]) == 3
    assert figures["Stable-Baselines3"]["area, less the peer's"][0] == 0
    assert figures["companion/Cliff-v0, Stable-Baselines3"]["best possible"] == 13
