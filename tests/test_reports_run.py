"""Running a chapter into a report: whole when it succeeds, one sentence when it does not."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion.reports import plan, provenance, run
from companion.reports.errors import ReportError
from companion.reports.output import NAMES, Stage
from companion.reports.run import run_report

HEAD = "from companion.reports.record import record\n"
PARAMETERS = new_code_cell(
    "SEED = 7\nDATA = 'sample'\nEPOCHS = 2  # a report: 10\nRATE = 0.5\nNAME = 'gru'",
    metadata={"tags": ["parameters"]},
)


def notebook(path, *cells, kernel="conda-env-of-the-author"):
    """Write a tiny notebook; a text is a code cell."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    nb = new_notebook(cells=made)
    if kernel:
        nb.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


@pytest.fixture
def profiles(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "quick.yaml").write_text(
        "13_ecommerce_case: {EPOCHS: 4}\nlimits: {cell_seconds: 60, notebook_seconds: 60}\n"
    )
    (folder / "short.yaml").write_text("limits: {cell_seconds: 1, notebook_seconds: 60}\n")
    (folder / "small.yaml").write_text("limits: {cell_seconds: 60, notebook_seconds: 1.5}\n")
    return folder


@pytest.fixture
def make(tmp_path, profiles, monkeypatch):
    """`run_report` on a notebook of the test, into a folder that holds an older report."""
    monkeypatch.setattr(plan, "check_framework", lambda framework: None)
    out = tmp_path / "out"

    def call(path, profile="quick", data=None, **words):
        words = {"check_source": lambda source: None, "progress": False} | words
        return run_report(
            "pytorch", data, profile, out, notebook=path, profiles=profiles, **words
        ).parent

    call.out = out
    out.mkdir()
    for name in NAMES:
        (out / name).write_text("an older report")
    return call


def assert_no_report(out):
    """Nothing in the folder can be taken for a report of this run, nor is there litter."""
    assert not [name for name in NAMES if (out / name).exists()]
    assert {path.name for path in out.iterdir()} <= {"failed.ipynb", "previous"}
    assert (out / "previous" / "report.html").read_text() == "an older report"


def fails(make, path, pattern, **words):
    with pytest.raises(ReportError, match=pattern) as caught:
        make(path, **words)
    assert "\n" not in str(caught.value)
    assert_no_report(make.out)
    return str(caught.value)


def failed_notebook(out):
    failed = nbformat.read(out / "failed.ipynb", as_version=4)
    assert failed.cells[0].source.startswith("**This run failed; it is not a report.**")
    return failed


def test_a_run_leaves_page_results_and_notebook(make, tmp_path):
    exercise = new_code_cell(
        "raise RuntimeError('not for a report')", metadata={"tags": ["lesson"]}
    )
    path = notebook(
        tmp_path / "课程 ü {x}" / "13_ecommerce_case.ipynb",
        new_markdown_cell("# Fallstudie 推荐 “naïve”\n\nIntro $x^2$."),
        PARAMETERS,
        exercise,
        new_markdown_cell("## Figures"),
        HEAD + "record('device', 'CPU'); record('epochs', EPOCHS, label='Epochs')\n"
        "record('rate', RATE, interval=(0.4, 0.6)); record('data', 'sample of ' + DATA)\n"
        "print(DATA, NAME, 'café 商品 ✓')",
        new_code_cell("1/0", metadata={"tags": ["raises-exception"]}),
        "import os; record('folder', os.path.basename(os.getcwd()))",
    )
    before = path.read_bytes()
    out = make(path, data="complete-journey", parameters={"RATE": "1", "NAME": "007"})

    assert {p.name for p in out.iterdir()} == set(NAMES)
    assert path.read_bytes() == before
    results = json.loads((out / "results.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert results["title"] == "Fallstudie 推荐 “naïve”"
    assert results["figures"]["epochs"] == {
        "value": 4,
        "label": "Epochs",
        "unit": "",
        "interval": None,
        "cell": 5,
        "section": "Figures",
    }
    assert results["figures"]["rate"]["interval"] == [0.4, 0.6]
    assert results["figures"]["folder"]["value"] == "课程 ü {x}"
    origin = results["provenance"]
    assert origin["parameters"] == {
        "SEED": 7,
        "DATA": "complete-journey",
        "EPOCHS": 4,
        "RATE": 1.0,
        "NAME": "007",
    }
    assert (origin["seed"], origin["device"]) == (7, "CPU")
    assert origin["data"] == "sample of complete-journey"
    assert origin["data_asked"] == "complete-journey"
    assert origin["started"].endswith("+00:00")
    assert 0 < sum(cell["seconds"] for cell in origin["cells"]) <= origin["seconds"]
    assert [cell["cell"] for cell in origin["cells"]] == [2, 2, 5, 6, 7]
    assert set(origin["versions"]) >= {"companion", "python", "numpy", "pandas", "polars", "torch"}

    page = (out / "report.html").read_text("utf-8")
    soup = BeautifulSoup(page, "html.parser")
    assert "complete-journey 007 café 商品 ✓" in soup.main.text
    assert soup.math
    assert "not for a report" not in page
    executed = nbformat.read(out / "report.ipynb", as_version=4)
    nbformat.validate(executed)
    assert executed.metadata.kernelspec.name == "python3"
    assert str(tmp_path) not in json.dumps(executed.metadata)


def test_a_notebook_without_kernel_or_with_doubled_ids_just_works(make, tmp_path):
    path = tmp_path / "n.ipynb"
    cells = [
        {"cell_type": "code", "id": "same", "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": source}
        for source in ("x = 1", "print('x is', x)")
    ]
    bare = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(bare))
    assert "x is 1" in (make(path) / "report.html").read_text("utf-8")


def test_an_exception_in_a_cell_is_named(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", new_markdown_cell("## Training"), "x = 1", "1/0", "y = 2")
    sentence = fails(make, path, "Cell 3")
    assert sentence == "Cell 3 (section “Training”) raised ZeroDivisionError: division by zero"
    failed = failed_notebook(make.out)
    assert sentence in failed.cells[0].source
    status = [cell.metadata.papermill.status for cell in failed.cells[1:]]
    assert status == ["completed", "completed", "failed", "pending"]


def test_leaving_early_is_not_success(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", "import sys; sys.exit(0)", "print('never')")
    fails(make, path, r"Cell 1 raised SystemExit")


def test_a_dead_kernel_is_named_with_its_likely_cause(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", "print('start')", "import os; os._exit(137)", "x = 1")
    fails(make, path, r"The kernel died in cell 2: it may have run out of memory")
    status = [cell.metadata.papermill.status for cell in failed_notebook(make.out).cells[1:]]
    assert status == ["completed", "failed", "pending"]


def test_an_endless_cell_is_stopped_and_its_kernel_ended(make, tmp_path):
    note = tmp_path / "pid"
    endless = f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True:\n    pass"
    path = notebook(tmp_path / "n.ipynb", endless, "print('second')")
    start = time.monotonic()
    fails(make, path, r"Cell 1 took longer than the 1 s that a cell may take", profile="short")
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_notebook_over_its_budget_is_stopped(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", *["import time; time.sleep(0.5)"] * 9)
    fails(make, path, r"The notebook took longer than its 1\.5 s and was stopped", profile="small")


@pytest.mark.parametrize(
    ("parameters", "pattern"),
    [
        ({"EPOCH": 1}, r"no parameter 'EPOCH': its parameters are SEED, DATA, EPOCHS, RATE, NAME"),
        ({"EPOCHS": "many"}, r"EPOCHS is a whole number \(here 2\), not 'many'"),
        ({"EPOCHS": 2.5}, r"EPOCHS is a whole number"),
        ({"RATE": "fast"}, r"RATE is a number"),
    ],
)
def test_a_wrong_parameter_is_named(make, tmp_path, parameters, pattern):
    path = notebook(tmp_path / "n.ipynb", PARAMETERS)
    fails(make, path, pattern, parameters=parameters)
    assert not (make.out / "failed.ipynb").exists()


def test_parameters_need_a_tagged_cell(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", "epochs = 50", "print('ran', epochs)")
    fails(make, path, r"no cell tagged `parameters`, so epochs", parameters={"epochs": 1})


def test_what_is_missing_or_unreadable_is_named(make, tmp_path):
    fails(make, tmp_path / "none.ipynb", r"none\.ipynb is missing")
    for name, content in {"a": b"", "b": b"{}", "c": b"[1]", "d": b"\xff\xfe{}"}.items():
        (tmp_path / f"{name}.ipynb").write_bytes(content)
        fails(make, tmp_path / f"{name}.ipynb", rf"{name}\.ipynb is not a notebook")
    path = notebook(tmp_path / "n.ipynb", PARAMETERS)
    fails(make, path, r"no profile 'long': the profiles are quick, short, small", profile="long")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("limits: {cell_seconds: fast}", "two numbers"),
        ("limits: {seconds: 3}", "two numbers"),
        ("limits: {cell_seconds: 0}", "above zero"),
        ("- a\n- b", "must map each chapter"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_profile_is_named(make, tmp_path, profiles, text, pattern):
    (profiles / "odd.yaml").write_text(text)
    fails(make, notebook(tmp_path / "n.ipynb", PARAMETERS), pattern, profile="odd")


def test_data_is_checked_before_anything_runs(make, tmp_path):
    def refuse(source):
        raise ValueError(f"The log {Path(source).name} has no column user_id.")

    def absent(source):
        raise FileNotFoundError(2, "No such file or directory", source)

    path = notebook(tmp_path / "n.ipynb", PARAMETERS)
    fails(make, path, "log.csv has no column", data="./log.csv", check_source=refuse)
    fails(make, path, "log.csv cannot be read: No such", data="./log.csv", check_source=absent)


def test_a_path_is_made_absolute_and_a_name_is_not(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "complete-journey").mkdir()
    assert plan.find_source("complete-journey") == "complete-journey"
    assert plan.find_source("log.csv") == str(tmp_path / "log.csv")


def test_a_framework_must_be_known_and_installed(monkeypatch):
    with pytest.raises(ReportError, match="no framework 'jax'"):
        plan.check_framework("jax")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ReportError, match="TensorFlow is not installed here"):
        plan.check_framework("tensorflow")


def test_a_figure_recorded_twice_stops_the_report(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", HEAD + "record('a', 1)", "record('a', 2)")
    fails(make, path, "'a' is recorded twice")
    failed_notebook(make.out)


def test_a_folder_that_cannot_be_written_is_named(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"folder .*file/out cannot be written"):
        run_report(out=tmp_path / "file" / "out")


def test_nothing_half_moved_remains(tmp_path, monkeypatch):
    """A failure between the moves takes back what was moved."""
    real, moved = os.replace, []

    def replace(source, target):
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target)
        real(source, target)

    def publish():
        with Stage(tmp_path / "out") as stage:
            for name in NAMES:
                stage.write(name, "new")
            monkeypatch.setattr(os, "replace", replace)
            stage.publish()

    with pytest.raises(KeyboardInterrupt):
        publish()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_new_report_takes_the_place_of_a_failed_one(make, tmp_path):
    path = notebook(tmp_path / "n.ipynb", "1/0")
    fails(make, path, "ZeroDivisionError")
    out = make(notebook(path, "x = 1"))
    assert {p.name for p in out.iterdir()} == set(NAMES)


SCRIPT = """
import sys
from companion.reports.run import run_report
run_report(data=None, profile="quick", out=sys.argv[1], notebook=sys.argv[2],
           profiles=sys.argv[3])
"""


def script(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_an_interrupt_leaves_no_report_and_no_kernel(make, tmp_path, profiles):
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    process = script(make.out, notebook(tmp_path / "n.ipynb", code), profiles)
    deadline = time.monotonic() + 30
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert_no_report(make.out)
    assert "It was interrupted." in failed_notebook(make.out).cells[0].source
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX locale")
def test_paths_and_text_survive_an_ascii_locale(tmp_path, profiles):
    path = notebook(
        tmp_path / "课程 ü" / "n.ipynb",
        new_markdown_cell("# 推荐 “naïve”"),
        "print('café 商品 ✓', open('商品.txt').read())",
    )
    (path.parent / "商品.txt").write_text("läuft", encoding="utf-8")
    out = tmp_path / "报告"
    process = script(out, path, profiles, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert b"Executing" in errors or b"%" in errors  # the progress bar
    assert "café 商品 ✓ läuft" in (out / "report.html").read_text("utf-8")
    assert all(path.stat().st_size for path in out.iterdir())


def test_the_commit_is_that_of_the_project_or_unknown(tmp_path):
    unknown = {"commit": "unknown", "tree": "unknown"}
    assert provenance.code_version(tmp_path) == unknown

    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *names, "-C", str(tmp_path), *arguments], check=True)

    git("init", "-q")
    assert provenance.code_version(tmp_path) == unknown
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    clean = provenance.code_version(tmp_path)
    assert (len(clean["commit"]), clean["tree"]) == (40, "clean")
    (tmp_path / "file").write_text("2")
    assert provenance.code_version(tmp_path) == clean | {"tree": "dirty"}
    (tmp_path / "inside").mkdir()
    assert provenance.code_version(tmp_path / "inside") == unknown


def test_results_that_json_lacks_are_refused(tmp_path):
    given = plan.Plan(tmp_path / "n.ipynb", None, {}, {}, plan.Limits())
    with Stage(tmp_path / "out") as stage, pytest.raises(ReportError, match="as JSON"):
        run._write(stage, None, {"a": float("nan")}, given)


def test_the_shipped_profiles_can_be_read():
    for name in ("quick", "full"):
        profile = plan.read_profile(name, plan.PROFILES)
        assert plan.read_limits(name, profile).cell_seconds >= 60
        assert "13_ecommerce_case" in profile
