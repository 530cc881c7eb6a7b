"""DQN on CartPole: the package beside its peers, with one network and one set of settings.

    python benchmarks/dqn.py [--quick] [--steps N] [--rounds N] [--gains]

All sides make the same number of steps and of updates: hidden layers 120 and 84, batches of 128,
an update for every 10 steps, a replay of 10,000, the squared loss, Adam at 2.5e-4, gradients cut
at 10, the target copied every 500 steps, one thread. Imports, building the networks and the first,
compiling call come before the clock starts; how long the compiler took is printed. TF-Agents needs
a Python of its own, named by TF_AGENTS_PYTHON. `--gains` changes one thing of ours at a time.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _dqn_variants import GAINS, VARIANTS
from common import conclude, in_process, in_turn

STEPS, ROUNDS = 60_000, 3
PEERS = ("Stable-Baselines3", "plain PyTorch script", "TF-Agents")
OURS = (
    "PyTorch",
    "PyTorch, 10 updates a call",
    "PyTorch, compiled",
    "TensorFlow, 10 updates a call",
    "TensorFlow, 10 updates a call, XLA",
)


def run_one(name: str, steps: int, seed: int) -> dict[str, Any]:
    """In a process of its own: prepares a variant, then times its steps."""
    play = {**VARIANTS, **GAINS}[name](steps, seed)
    figures = next(play)
    start, cpu = time.perf_counter(), time.process_time()
    check = next(play)
    figures["seconds"] = time.perf_counter() - start
    figures["cpu_seconds"] = time.process_time() - cpu
    return {**figures, "check": check}


def in_own_process(name: str, steps: int, seed: int) -> dict[str, Any]:
    python = os.environ["TF_AGENTS_PYTHON"] if name == "TF-Agents" else sys.executable
    quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    return in_process([python, __file__, "--worker", name, str(steps), str(seed)], **quiet)


def side_by_side(names: list[str], steps: int, rounds: int) -> dict[str, dict[str, float]]:
    found = in_turn(names, rounds, lambda name, seed: in_own_process(name, steps, seed))
    for figures in found.values():
        figures["steps per CPU second"] = round(steps / figures["cpu_seconds"])
    return found


def ratio(found: dict[str, dict[str, float]], name: str, to: str) -> dict[str, float]:
    """How many times as fast as another: in CPU seconds, and by the clock on the wall."""
    return {
        "CPU": found[to]["cpu_seconds"] / found[name]["cpu_seconds"],
        "wall": found[to]["seconds"] / found[name]["seconds"],
    }


def table(found: dict[str, dict[str, float]], to: str) -> None:
    print(f"\n{'':38s} steps / CPU s   times {to}, CPU (wall)")
    for name, figures in found.items():
        times = ratio(found, name, to)
        print(
            f"{name:38s} {figures['steps per CPU second']:13,.0f}"
            f" {times['CPU']:8.2f} ({times['wall']:.2f})"
        )
    print()


def compare(steps: int, rounds: int) -> None:
    names = [n for n in (*PEERS, *OURS) if n != "TF-Agents" or "TF_AGENTS_PYTHON" in os.environ]
    found = side_by_side(names, steps, rounds)
    table(found, "Stable-Baselines3")
    times = {name: ratio(found, name, "Stable-Baselines3") for name in OURS}
    script = {name: ratio(found, name, "plain PyTorch script") for name in OURS}
    both = {"times Stable-Baselines3": times, "times the plain script": script}
    tensorflow = "TensorFlow, 10 updates a call, XLA"
    goals = {
        "PyTorch: 3 times Stable-Baselines3": times["PyTorch"]["CPU"] >= 3,
        "PyTorch: 1.7 times the plain script": script["PyTorch"]["CPU"] >= 1.7,
        "compiled: 5 times Stable-Baselines3": times["PyTorch, compiled"]["CPU"] >= 5,
        "compiled: 3 times the plain script": script["PyTorch, compiled"]["CPU"] >= 3,
        "TensorFlow with XLA: 6 times Stable-Baselines3": times[tensorflow]["CPU"] >= 6,
    }
    if "TF-Agents" in found:
        both["TensorFlow with XLA, times TF-Agents"] = agents = ratio(
            found, tensorflow, "TF-Agents"
        )
        goals["TensorFlow with XLA: 12 times TF-Agents"] = agents["CPU"] >= 12
    else:
        print("TF-Agents: not measured; set TF_AGENTS_PYTHON to a Python that has it")
    conclude("dqn", {"steps": steps, "rounds": rounds, **found, **both}, goals)


def gains(steps: int, rounds: int) -> None:
    found = side_by_side(list(GAINS), steps, rounds)
    table(found, "PyTorch")
    conclude("dqn gains", {"steps": steps, "rounds": rounds, **found}, {})


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(run_one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a look at whether everything runs")
    parser.add_argument("--gains", action="store_true", help="what each change brings")
    given = parser.parse_args()
    steps, rounds = (2_400, 1) if given.quick else (given.steps, given.rounds)
    (gains if given.gains else compare)(steps, rounds)


if __name__ == "__main__":
    main()
