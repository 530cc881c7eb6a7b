"""Q-learning and Sarsa on the cliff: the package beside the usual loop around Gymnasium.

    python benchmarks/tabular.py

Both learn with alpha 0.1, gamma 0.9 and epsilon 0.1, on one core. The variants run in turn in
one process; compiling is timed apart. They may not use the same random numbers, so the mean
return of the last 100 episodes must agree within 5 (Q-learning) and 2 (Sarsa).
"""

import statistics
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common import conclude

from companion.envs.gridworlds import cliff
from companion.rl.loops import TabularConfig, run
from companion.rl.tabular import q_learning, sarsa

ROUNDS, EPISODES = 5, 500
SETTINGS = {"alpha": 0.1, "gamma": 0.9, "epsilon": 0.1}


def usual_loop(on_policy: bool, seed: int) -> tuple[float, float]:
    """Steps a second and mean return of the last 100 episodes, with gymnasium and np.argmax."""
    env = gymnasium.make("CliffWalking-v1")
    q, returns, steps = np.zeros((48, 4)), np.zeros(EPISODES), 0
    np.random.seed(seed)  # noqa: NPY002 - the usual way

    def choose(state: int) -> int:
        if np.random.random() < 0.1:  # noqa: NPY002
            return np.random.randint(4)  # noqa: NPY002
        return int(np.argmax(q[state]))

    start = time.perf_counter()
    for episode in range(EPISODES):
        state, _ = env.reset()
        action, terminated = choose(state), False
        while not terminated:
            if not on_policy:
                action = choose(state)
            following, reward, terminated, _, _ = env.step(action)
            ahead = choose(following) if on_policy else int(np.argmax(q[following]))
            error = reward + 0.9 * q[following, ahead] * (1 - terminated) - q[state, action]
            q[state, action] += 0.1 * error
            state, action = following, ahead
            returns[episode] += reward
            steps += 1
    return steps / (time.perf_counter() - start), float(returns[-100:].mean())


def package(rule, seed: int, *, episodes: int, compiled: bool) -> tuple[float, float]:
    """The same of the package; the return is that of episodes 401 to 500."""
    config = TabularConfig(**SETTINGS, episodes=episodes)
    start = time.perf_counter()
    found = run(cliff().mdp, rule, config, seed, compiled=compiled)
    seconds = time.perf_counter() - start
    return float(found.lengths.sum() / seconds), float(found.returns[0, 400:500].mean())


def main() -> None:
    figures, goals = {}, {}
    for name, rule, band in (("Q-learning", q_learning, 5), ("Sarsa", sarsa, 2)):
        start = time.perf_counter()
        run(cliff().mdp, rule, TabularConfig(**SETTINGS, episodes=1))
        figures[f"{name}, compiling, s"] = time.perf_counter() - start
        variants = {
            "gymnasium": lambda seed, rule=rule: usual_loop(rule is sarsa, seed),
            "plain": lambda seed, rule=rule: package(rule, seed, episodes=500, compiled=False),
            "compiled": lambda seed, rule=rule: package(rule, seed, episodes=50_000, compiled=True),
        }
        runs = {variant: [] for variant in variants}
        for number in range(ROUNDS):
            for variant, measure in variants.items():
                runs[variant].append(measure(number))
                speed = runs[variant][-1][0]
                print(f"round {number + 1}  {name:10s} {variant:10s} {speed:12,.0f} steps/s")
        speed = {v: statistics.median(found[0] for found in runs[v]) for v in runs}
        back = {v: statistics.mean(found[1] for found in runs[v]) for v in runs}
        ratio = speed["compiled"] / speed["gymnasium"]
        figures[name] = {"steps/s": speed, "return": back, "times the usual loop": ratio}
        goals[f"{name}: 25 million steps a second"] = bool(speed["compiled"] >= 25e6)
        goals[f"{name}: 150 times the usual loop"] = bool(ratio >= 150)
        gap = abs(back["compiled"] - back["gymnasium"])
        goals[f"{name}: returns agree"] = bool(gap <= band)
    conclude("tabular", figures, goals)


if __name__ == "__main__":
    main()
