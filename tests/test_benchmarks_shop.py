"""The measurement of the shop's speed: that it runs, and what its closing line says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "shop.py"
sys.path.insert(0, str(SCRIPT.parent))
import shop  # noqa: E402


def last(text):
    return json.loads(text.strip().splitlines()[-1])


@pytest.mark.slow
def test_the_quick_run_ends_in_one_line_of_figures():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=True
    )
    said = last(done.stdout)
    assert said["name"] == "shop"
    speeds = [said["figures"][name]["steps per CPU second"] for name in shop.OURS]
    assert speeds[0] < speeds[1] < speeds[2]  # together is faster than one by one
    measured = set(shop.PEERS) & set(said["figures"])
    for name in set(shop.PEERS) - measured:
        assert f"{name}: not measured" in done.stdout
    assert said["met"] == all(said["goals"].values())


@pytest.mark.parametrize(
    ("ours", "sardine", "fast", "times"),
    [(800_000, 10_000, True, True), (499_000, 10_000, False, True), (600_000, 15_001, True, False)],
)
def test_goals_follow_the_figures(capsys, ours, sardine, fast, times):
    speeds = dict.fromkeys(shop.OURS, ours) | {"SARDINE": sardine}
    shop.report({name: {"steps per CPU second": speed} for name, speed in speeds.items()}, 9, 1)
    said = last(capsys.readouterr().out)
    assert list(said["goals"].values()) == [fast, times]
    assert said["met"] is (fast and times)
    assert said["figures"][f"{shop.FASTEST}, times"]["SARDINE"] == pytest.approx(
        ours / sardine, abs=1e-3
    )


def test_a_peer_that_is_not_here_is_left_out(monkeypatch):
    monkeypatch.setattr(shop.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("RECSIM_PYTHON", raising=False)
    assert shop.python_for("RecSim") is None
    monkeypatch.setenv("RECSIM_PYTHON", "/opt/old/python")
    assert shop.python_for("RecSim") == "/opt/old/python"
    assert shop.python_for(shop.FASTEST) == sys.executable
