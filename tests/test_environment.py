"""The three files that say what is installed, the set-up script, and what importing costs."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins():
    """name -> requirements pinned in constraints.txt, with their markers."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line.strip():
            requirement = Requirement(line)
            found.setdefault(requirement.name.lower().replace("_", "-"), []).append(requirement)
    return found


def asked():
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for part in lists for text in part]


def test_every_range_holds_its_pinned_version():
    known = pins()
    for requirement in asked():
        name = requirement.name.lower().replace("_", "-")
        assert name in known, f"{name} is not in constraints.txt: make constraints"
        for pin in known[name]:
            version = next(iter(pin.specifier)).version
            assert Version(version) in requirement.specifier, f"{pin} is outside {requirement}"


def test_constraints_are_versions_without_addresses_or_hashes():
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert all(len(pin.specifier) == 1 for found in pins().values() for pin in found)
    assert not re.search(r"https?:|file:|--hash|@ |/", text)


def test_conda_users_get_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    python, pip, section = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    assert section == {"pip": ["-c constraints.txt", "-e .[pytorch,tensorflow,dev]"]}
    assert "not solved with conda" in (ROOT / "environment.yml").read_text("utf-8")


def test_one_framework_is_enough_for_its_edition():
    extras = PROJECT["optional-dependencies"]
    names = {key: {Requirement(t).name for t in texts} for key, texts in extras.items()}
    assert names["pytorch"] == {"torch"}
    assert names["tensorflow"] <= {"tensorflow", "tensorflow-cpu", "keras"}
    assert not {"torch", "tensorflow", "keras"} & {
        Requirement(t).name for t in PROJECT["dependencies"]
    }


def test_the_lock_file_of_uv_is_not_kept():
    assert not (ROOT / "uv.lock").exists()
    assert "uv.lock" in (ROOT / ".gitignore").read_text("utf-8").split()


@pytest.mark.parametrize("module", ["companion", "companion.data.schema", "companion.cli"])
def test_importing_is_light(module):
    heavy = "torch", "tensorflow", "keras", "matplotlib.pyplot", "sklearn", "papermill"
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def set_up():
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "tools" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["venv", "my own venv"])
def venv(tmp_path, request):
    """A folder that looks like an environment; its Python is this one, wrapped."""
    folder = tmp_path / request.param
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\necho '{folder}'\n")
    python.chmod(0o755)
    return folder


def test_a_right_environment_is_left_alone_and_any_other_is_not(venv, tmp_path):
    module = set_up()
    stamp = module.fingerprint(venv, gpu=False)
    assert module.problem(tmp_path / "nothing", stamp) == "there is none yet"
    assert module.problem(venv, stamp) == "it is half-made"
    (venv / ".ok").write_text(stamp)
    assert module.problem(venv, stamp) is None
    assert module.problem(venv, module.fingerprint(venv, gpu=True)) is not None
    moved = venv.rename(tmp_path / "moved")
    assert module.problem(moved, module.fingerprint(moved, gpu=False)) == "it was moved"


def test_a_broken_environment_is_seen(venv):
    module = set_up()
    stamp = module.fingerprint(venv, gpu=False)
    (venv / ".ok").write_text(stamp)
    (venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert module.problem(venv, stamp) == "it does not import the package"
    (venv / "bin" / "python").unlink()
    assert module.problem(venv, stamp) == "its Python does not start"


def test_the_kernel_of_the_notebooks_has_one_thread_and_a_quiet_tensorflow():
    variables = set_up().KERNEL_VARIABLES
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["TF_CPP_MIN_LOG_LEVEL"] == "2"


@pytest.mark.parametrize("stamp", ["", "\n", "0123abc", "0123abc (3, 11) gpu\n"])
def test_a_stamp_that_was_not_written_to_its_end_is_half_made(venv, stamp):
    module = set_up()
    (venv / ".ok").write_text(stamp)
    assert module.problem(venv, module.fingerprint(venv, gpu=False)) == "it is half-made"


class RemadeError(Exception):
    """What the stand-in for removing a folder raises."""


@pytest.fixture
def guarded(monkeypatch):
    """The set-up script, which can neither remove nor install."""
    module = set_up()

    def refuse(*args, **more):
        raise RemadeError

    monkeypatch.setattr(module.shutil, "rmtree", refuse)
    monkeypatch.setattr(module, "install", refuse)
    monkeypatch.setattr(module, "install_kernel", refuse)
    return module


@pytest.mark.parametrize(("made", "asked"), [(True, False), (True, True), (False, False)])
def test_an_environment_that_does_all_that_is_asked_is_left_alone(venv, guarded, made, asked):
    stamp = guarded.fingerprint(venv, gpu=made)
    (venv / ".ok").write_text(stamp)
    guarded.prepare(venv, gpu=asked)
    assert (venv / ".ok").read_text() == stamp


@pytest.mark.parametrize("break_it", [False, True])
def test_an_environment_is_made_again_for_a_gpu_or_when_it_is_broken(venv, guarded, break_it):
    (venv / ".ok").write_text(guarded.fingerprint(venv, gpu=break_it))
    if break_it:
        (venv / "bin" / "python").unlink()
    with pytest.raises(RemadeError):
        guarded.prepare(venv, gpu=not break_it)
