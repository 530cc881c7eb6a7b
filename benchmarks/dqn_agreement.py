"""Whether DQN learns as much from as many steps here as in Stable-Baselines3.

    python benchmarks/dqn_agreement.py [--quick] [--seeds N] [--steps N]

CartPole, all with the same settings and the squared loss. Each agent is judged several times along
its training, greedily, on 100 whole episodes that it never saw. The area under that curve is the
mean of the scores. Then Stable-Baselines3 trains on two of the package's own worlds.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from _dqn_curves import AGENTS, PEER, WORLDS, train
from _dqn_peers import TASK, settings
from common import conclude, in_process

SEEDS, STEPS, POINTS = 8, 50_000, 10
MARGIN = 50.0  # of a return of 500 at best: what we would call as good
TWINS = list(AGENTS)[1:4]  # with the peer's settings exactly
WORLD_SEEDS, WORLD_STEPS = 3, 30_000


def learnable(steps: int, **changes: Any) -> dict[str, Any]:
    """Settings with which CartPole is learnt in that many steps; the same for all agents."""
    given = {
        "hidden_sizes": (64, 64),
        "learning_rate": 1e-3,
        "batch_size": 64,
        "capacity": 20_000,
        "warmup": min(1_000, steps // 4),
        "train_every": 5,
        "sync_every": 250,
    }
    return settings(steps, **{**given, **changes})


def trained(task: str, name: str, given: dict[str, Any], plan: dict[str, int]) -> np.ndarray:
    """`train` for each seed, in a process of its own: a framework keeps its threads for good."""
    request = json.dumps([task, name, given, plan])
    quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    start = time.perf_counter()
    found = np.array(in_process([sys.executable, __file__, "--worker", request], **quiet))
    shown = np.array2string(found[..., 0].mean(0), precision=0, suppress_small=True)
    print(f"{task:24s} {name:36s} {time.perf_counter() - start:6.0f} s  {shown}", flush=True)
    return found


def work(request: str) -> None:
    task, name, given, plan = json.loads(request)
    seeds = range(plan.pop("seeds"))
    found = [train(task, AGENTS[name], given, {**plan, "seed": seed}) for seed in seeds]
    print(json.dumps(found))


def difference(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Mean of ours less mean of theirs, and its 95 % bootstrap interval over the seeds.

    Not paired: the same seed does not give two programs the same luck.
    """
    rng = np.random.default_rng(0)
    draws = [
        values[rng.integers(len(values), size=(10_000, len(values)))].mean(1)
        for values in (ours, theirs)
    ]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    return [float(ours.mean() - theirs.mean()), float(low), float(high)]


def cartpole(seeds: int, steps: int, points: int) -> tuple[dict[str, Any], dict[str, bool]]:
    plan = {"seeds": seeds, "steps": steps, "points": points}
    scores: dict[str, np.ndarray] = {}  # by agent, [seeds, P]
    figures: dict[str, Any] = {}
    for name in AGENTS:
        scores[name] = trained(TASK, name, learnable(steps), plan)[..., 0]
        figures[name] = against(scores[name], scores[PEER])
        show(figures[name])
    many, few = (scores[f"TensorFlow, {n}, 10 updates a call"].mean(1) for n in (100, 10))
    figures["100 environments less 10"] = {"area": difference(many, few)}
    print("100 environments less 10, with 10 updates a call")
    show(figures["100 environments less 10"])
    goals = {}
    for name in TWINS:
        high = figures[name]["area, less the peer's"][2]
        goals[f"{name}: not shown to be worse"] = high >= 0
    return figures, goals


def against(found: np.ndarray, peer: np.ndarray) -> dict[str, Any]:
    """Means with intervals over the seeds, and the differences to the peer. Both [seeds, P]."""
    from companion.metrics.uplift import bootstrap_mean

    area = difference(found.mean(1), peer.mean(1))
    return {
        "area": bootstrap_mean(found.mean(1), seed=0)[:3],
        "final": bootstrap_mean(found[:, -1], seed=0)[:3],
        "area, less the peer's": area,
        "final, less the peer's": difference(found[:, -1], peer[:, -1]),
        "area shown to be within the margin": area[1] > -MARGIN,
    }


def show(figures: dict[str, Any]) -> None:
    for key, found in figures.items():
        if not isinstance(found, bool):
            mean, low, high = found
            print(f"    {key:24s} {mean:+7.1f} [{low:+.1f}, {high:+.1f}]", flush=True)


def worlds(seeds: int, steps: int) -> tuple[dict[str, Any], dict[str, bool]]:
    """How many steps the greedy path takes: the shortest of all points, and the last, by seed."""
    figures: dict[str, Any] = {}
    goals: dict[str, bool] = {}
    plan = {"seeds": seeds, "steps": steps, "points": 10}
    given = learnable(
        steps,
        hidden_sizes=(64,),
        learning_rate=2e-3,
        gamma=0.95,
        sync_every=100,
        epsilon_end=0.1,
    )
    for task, best in WORLDS.items():
        for name in (PEER, "PyTorch, 10 environments"):
            found = trained(task, name, given, plan)[..., 1]  # [seeds, P]
            figures[f"{task}, {name}"] = {
                "shortest": found.min(1).tolist(),
                "last": found[:, -1].tolist(),
                "best possible": best,
            }
            print(f"{task}, {name}: {figures[f'{task}, {name}']}")
            reached = bool(np.median(found.min(1)) == best)
            goals[f"{task}: {name} finds the shortest path in most runs"] = reached
    return figures, goals


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--quick", action="store_true", help="a look at whether everything runs")
    given = parser.parse_args()
    seeds, steps = (2, 1_000) if given.quick else (given.seeds, given.steps)
    figures, goals = cartpole(seeds, steps, 2 if given.quick else POINTS)
    on_worlds, reached = worlds(*((2, 1_000) if given.quick else (WORLD_SEEDS, WORLD_STEPS)))
    conclude(
        "dqn_agreement",
        {"seeds": seeds, "steps": steps, "margin": MARGIN, **figures, **on_worlds},
        {**goals, **reached},
    )


if __name__ == "__main__":
    main()
