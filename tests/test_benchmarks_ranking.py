"""The measurement of the full ranking: that it runs, and what its closing line says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "ranking.py"
sys.path.insert(0, str(SCRIPT.parent))
import ranking as bench  # noqa: E402


def last(text):
    return json.loads(text.strip().splitlines()[-1])


@pytest.mark.slow
def test_the_quick_run_ends_in_one_line_of_figures():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=True
    )
    said = last(done.stdout)
    assert said["name"] == "ranking"
    for name in (bench.ALONE, bench.PLAIN, bench.FULL, bench.TIED):
        assert said["figures"][name]["cpu_seconds"] > 0
        assert said["figures"][name]["peak_gib"] > 0
    assert said["met"] == all(said["goals"].values())


@pytest.mark.parametrize(
    ("seconds", "gib", "fast", "small"),
    [(2.4, 1.9, True, True), (2.6, 1.9, False, True), (2.4, 2.1, True, False)],
)
@pytest.mark.parametrize("slow", [1, 2, 3])
def test_goals_follow_the_worst_variant(capsys, seconds, gib, fast, small, slow):
    names = [bench.ALONE, bench.PLAIN, bench.FULL, bench.TIED]
    found = {name: {"cpu_seconds": 1.0, "peak_gib": 0.5} for name in names}
    found[names[slow]] = {"cpu_seconds": seconds, "peak_gib": gib}
    bench.report(found, {"users": 1})
    said = last(capsys.readouterr().out)
    assert list(said["goals"].values()) == [fast, small]
    assert said["met"] is (fast and small)


def test_both_rank_the_same_candidates():
    given = bench.problem(300, 400)
    recall = bench.recall_of(bench.alone(given), given["relevant"])
    assert bench.evaluation(given, None) == pytest.approx(recall)
    for relevant, seen in zip(given["relevant"], given["seen"], strict=True):
        both = np.concatenate([relevant, seen])
        assert len(set(both.tolist())) == len(both)
