"""Recall and NDCG of a full ranking, beside the product and the selection that any ranking needs.

    python benchmarks/ranking.py [--quick] [--rounds N] [--users U] [--items V]

"alone" multiplies a block of users with the items and takes NumPy's `argpartition` of it, no more.
"evaluation" is `companion.metrics.blocks.evaluate_in_blocks`: the product, items seen before left
out, NaN refused, ties in random order, the list sorted, recall@20 and NDCG@20 of every user. Each
variant runs in a process of its own, with one thread, in turn; the median of the rounds counts, in
CPU seconds, since a wall clock also measures the neighbours. "nothing seen" evaluates the same
candidates as "alone" ranks; these two must have the same recall. The last variant has users of
zeros, so that all scores are equal: the worst case of ties.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from common import conclude, in_process, in_turn

USERS, ITEMS, WIDTH, K, ROUNDS = 100_000, 10_000, 64, 20, 5
RELEVANT, SEEN, BLOCK = 5, 50, 209
ALONE, PLAIN, FULL, TIED = "alone", "nothing seen", "evaluation", "evaluation, all scores equal"
TIMES, GIB = 2.5, 2.0


def problem(users: int, items: int) -> dict[str, np.ndarray]:
    """Vectors, what is relevant and what was seen: different items of each user."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(items, size=(users, 1)) + np.arange(RELEVANT + SEEN) * 7
    return {
        "users": rng.standard_normal((users, WIDTH), dtype=np.float32),
        "items": rng.standard_normal((items, WIDTH), dtype=np.float32),
        "relevant": drawn[:, :RELEVANT] % items,
        "seen": drawn[:, RELEVANT:] % items,
    }


def alone(given: dict[str, np.ndarray]) -> np.ndarray:
    """The product and the selection: [U, k] items in no order."""
    users, items = given["users"], given["items"]
    top = np.empty((len(users), K), np.intp)
    for start in range(0, len(users), BLOCK):
        scores = users[start : start + BLOCK] @ items.T  # [b, V]
        top[start : start + BLOCK] = np.argpartition(scores, -K, axis=1)[:, -K:]
    return top


def evaluation(given: dict[str, np.ndarray], seen: np.ndarray | None) -> float:
    from companion.metrics.blocks import Vectors, evaluate_in_blocks
    from companion.metrics.ranking import METRICS

    vectors = Vectors(given["users"], given["items"])
    chosen = {name: METRICS[name] for name in ("recall", "NDCG")}
    found = evaluate_in_blocks(vectors, given["relevant"], k=K, seen=seen, metrics=chosen)
    return found.mean("recall")


def run_one(name: str, users: int, items: int) -> dict[str, Any]:
    """In a process of its own: one variant's figures."""
    import companion.metrics.blocks  # noqa: F401  before the clock

    given = problem(users, items)
    if name == TIED:
        given["users"][:] = 0
    seen = given["seen"] if name in (FULL, TIED) else None
    start = time.process_time()
    found = alone(given) if name == ALONE else evaluation(given, seen)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if isinstance(found, np.ndarray):
        found = recall_of(found, given["relevant"])
    same = name in (ALONE, PLAIN)
    return {"cpu_seconds": seconds, "peak_gib": peak, "check": found if same else None}


def recall_of(top: np.ndarray, relevant: np.ndarray) -> float:
    at = (top[:, :, None] == relevant[:, None, :]).any(axis=2)
    return float((at.sum(axis=1) / RELEVANT).mean())


def side_by_side(users: int, items: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of the variants, in turn; recalls of the same candidates must agree."""
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    checks: list[float] = []

    def run(name: str, _: int) -> dict[str, Any]:
        command = [sys.executable, __file__, "--worker", name, str(users), str(items)]
        figures = in_process(command, **quiet)
        checks.extend([figures["check"]] if figures["check"] is not None else [])
        return {**figures, "check": max(checks, default=0.0) - min(checks, default=0.0) < 1e-5}

    return in_turn([ALONE, PLAIN, FULL, TIED], rounds, run)


def report(found: dict[str, dict[str, float]], setting: dict[str, int]) -> None:
    """The table and the closing line."""
    base = found[ALONE]["cpu_seconds"]
    times = {name: figures["cpu_seconds"] / base for name, figures in found.items()}
    print(f"\n{'':34s} CPU s   times   peak GiB")
    for name, figures in found.items():
        print(
            f"{name:34s} {figures['cpu_seconds']:5.2f} {times[name]:7.2f} "
            f"{figures['peak_gib']:10.2f}"
        )
    print()
    ours = [name for name in found if name != ALONE]
    goals = {
        f"at most {TIMES} times the product and the selection": max(times[n] for n in ours)
        <= TIMES,
        f"under {GIB:g} GiB": max(found[n]["peak_gib"] for n in ours) < GIB,
    }
    conclude("ranking", {**setting, **found, "times": {n: times[n] for n in ours}}, goals)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(run_one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a look at whether everything runs")
    given = parser.parse_args()
    users, items, rounds = (
        (2_000, 1_000, 1) if given.quick else (given.users, given.items, given.rounds)
    )
    found = side_by_side(users, items, rounds)
    report(found, {"users": users, "items": items, "dimensions": WIDTH, "k": K, "rounds": rounds})


if __name__ == "__main__":
    main()
