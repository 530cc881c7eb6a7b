"""Each known fault, put into a copy of the package, makes a test fail."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS

PROJECT = Path(__file__).resolve().parents[1]
# Loaded by pytest before the tests: says which package they test.
SAYS_WHERE = "import companion\nprint('companion is', companion.__file__, flush=True)\n"


def copy_project(folder, mutant=None):
    """The package and the tests, with a fault if one is given."""
    leave = shutil.ignore_patterns("__pycache__")  # no bytecode of the text before the change
    for name in ("companion", "tests"):
        shutil.copytree(PROJECT / name, folder / name, ignore=leave)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "says_where.py").write_text(SAYS_WHERE)
    if mutant is not None:
        path = folder / "companion" / mutant.file
        text = path.read_text()
        assert text.count(mutant.old) == 1, (
            f"{mutant.file} holds {text.count(mutant.old)} times:\n{mutant.old}"
        )
        path.write_text(text.replace(mutant.old, mutant.new))


def run_tests(folder, tests):
    """pytest's exit code and output, from the copy alone."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "OMP_NUM_THREADS": "1",
    }
    wanted = [f"tests/{test}" for test in tests]
    command = [sys.executable, "-m", "pytest", "-x", "-p", "says_where", "--tb=line", *wanted]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    output = done.stdout + done.stderr
    assert f"companion is {folder / 'companion' / '__init__.py'}" in output, output
    return done.returncode, output


def skip_if_missing(test):
    """Skips what needs a framework that is not here."""
    for framework, library in (("pytorch", "torch"), ("tensorflow", "tensorflow")):
        if framework in test and importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_fault_is_found(mutant, tmp_path):
    skip_if_missing(mutant.test)
    copy_project(tmp_path, mutant)
    code, output = run_tests(tmp_path, [mutant.test])
    assert code == 1, output  # tests ran, and some failed
    assert "1 failed" in output, output
    assert " error" not in output.splitlines()[-1], output


@pytest.mark.slow
def test_without_a_fault_the_copy_passes(tmp_path):
    """The same tests, so that each failure above is due to its fault."""
    copy_project(tmp_path)
    tests = sorted({mutant.test for mutant in MUTANTS})
    code, output = run_tests(tmp_path, tests)
    assert code == 0, output
    assert " failed" not in output


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_fault_fits_the_package(mutant):
    """The text to be changed is there once, and is changed."""
    text = (PROJECT / "companion" / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    assert mutant.old != mutant.new
