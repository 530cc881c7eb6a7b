"""The simulated shop beside published simulators: steps a second, one step being one user's page.

    python benchmarks/shop.py [--quick] [--steps N] [--rounds N]

Each variant runs in a process of its own, with one thread, in turn; the median of the rounds
counts, in CPU seconds, since a wall clock also measures the neighbours. How the work of a step
differs is written in `_shop_peers.py`. SARDINE is a Python package with no demands (sardine-rec
1.0.8); where this Python lacks it, SARDINE_PYTHON names one that has it. RecSim 0.2.4 and RecoGym
0.1.3 need old libraries: RECSIM_PYTHON and RECOGYM_PYTHON name a Python that has them. Both run on
Python 3.11 with tensorflow-cpu 2.15.1, gym 0.25.2, NumPy 1.26, SciPy 1.11 and dopamine-rl 4.0.9.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _shop_peers as peers
from common import conclude, in_process

STEPS, ROUNDS = 400_000, 3
USERS = (1, 100, 1_000)
OURS = {f"ours, {users:,} shoppers": users for users in USERS}
FASTEST = list(OURS)[-1]
# name: (function, share of our steps, module, environment variable that names a Python)
PEERS = {
    "SARDINE": (peers.sardine, 0.05, "sardine", "SARDINE_PYTHON"),
    "RecSim": (peers.recsim, 0.002, "recsim", "RECSIM_PYTHON"),
    "RecoGym": (peers.recogym, 0.05, "recogym", "RECOGYM_PYTHON"),
}
GOAL, TIMES = 500_000, 40


def run_one(name: str, steps: int) -> dict[str, float]:
    """In a process of its own: one variant's figures."""
    if name in OURS:
        users = OURS[name]
        return peers.ours(max(steps * min(users, 100) // 100, users), users)
    play, share, _, _ = PEERS[name]
    return play(max(int(steps * share), 100))


def python_for(name: str) -> str | None:
    """The Python that runs a variant, or None where there is none."""
    if name in OURS:
        return sys.executable
    _, _, module, variable = PEERS[name]
    here = sys.executable if importlib.util.find_spec(module) else None
    return os.environ.get(variable) or here


def side_by_side(steps: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of all variants that can run, in turn."""
    pythons = {name: python_for(name) for name in (*OURS, *PEERS)}
    for name in PEERS:
        if pythons[name] is None:
            print(f"{name}: not measured; set {PEERS[name][3]} to a Python that has it")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in pythons if pythons[name]}
    for number in range(rounds):
        for name, found in runs.items():
            command = [str(pythons[name]), __file__, "--worker", name, str(steps)]
            quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
            found.append(in_process(command, **quiet))
            print(f"round {number + 1}  {name:24s} {found[-1]['steps per CPU second']:12,.0f}")
    return {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }


def report(found: dict[str, dict[str, float]], steps: int, rounds: int) -> None:
    """The table and the closing line."""
    best = found[FASTEST]["steps per CPU second"]
    print(f"\n{'':24s} steps / CPU s   {FASTEST}, times this")
    for name, figures in found.items():
        speed = figures["steps per CPU second"]
        print(f"{name:24s} {speed:13,.0f} {best / speed:8.1f}")
    print()
    times = {name: best / found[name]["steps per CPU second"] for name in PEERS if name in found}
    goals: dict[str, bool] = {f"{GOAL:,} shopper-steps a second": best >= GOAL}
    if "SARDINE" in times:
        goals[f"{TIMES} times SARDINE"] = times["SARDINE"] >= TIMES
    figures: dict[str, Any] = {
        "steps": steps,
        "rounds": rounds,
        **found,
        f"{FASTEST}, times": times,
    }
    conclude("shop", figures, goals)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(run_one(sys.argv[2], int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a look at whether everything runs")
    given = parser.parse_args()
    steps, rounds = (4_000, 1) if given.quick else (given.steps, given.rounds)
    report(side_by_side(steps, rounds), steps, rounds)


if __name__ == "__main__":
    main()
