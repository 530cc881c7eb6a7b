# mypy: untyped-calls-exclude="nbformat,nbconvert"
"""What a run needs, checked before anything runs: notebook, profile, parameters, data."""

import ast
import importlib.util
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import yaml

from companion.core.paths import ROOT
from companion.reports.cells import drop_lessons, number_cells, tags
from companion.reports.errors import ReportError

FRAMEWORKS = {"pytorch": ("torch",), "tensorflow": ("tensorflow", "keras")}
NAMES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow"}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
PROFILES = ROOT / "notebooks" / "profiles"


@dataclass(frozen=True)
class Limits:
    """How long a run may take, in seconds: each cell, and the whole notebook."""

    cell_seconds: float = 600.0
    notebook_seconds: float = 1800.0


@dataclass(frozen=True)
class Request:
    """What the caller asked for, as `run_report` documents it."""

    framework: str
    data: str | None
    profile: str
    chapter: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notebook: Path | None = None
    profiles: Path = PROFILES
    check_source: Callable[[str], object] | None = None


@dataclass(frozen=True)
class Plan:
    """A run that has passed every check that can be made before it starts."""

    path: Path
    notebook: Any
    given: dict[str, Any]  # the parameters to inject
    parameters: dict[str, Any]  # all of them, the chapter's own values included
    limits: Limits


def make_plan(request: Request) -> Plan:
    """Check a request and read what it names. Raises ReportError with one sentence."""
    check_framework(request.framework)
    default = ROOT / "notebooks" / request.framework / f"{request.chapter}.ipynb"
    path = Path(request.notebook or default).absolute()
    notebook = read_notebook(path)
    profile = read_profile(request.profile, request.profiles)
    source = None if request.data is None else find_source(request.data)
    given = dict(profile.get(path.stem) or {})
    given |= {} if source is None else {"DATA": as_text(source)}
    given |= request.parameters
    known = chapter_parameters(notebook)
    given = fit_parameters(given, known, any("parameters" in tags(c) for c in notebook["cells"]))
    if source is not None:
        check_data(source, request.check_source)
    limits = read_limits(request.profile, profile)
    return Plan(path, notebook, given, known | given, limits)


def check_framework(framework: str) -> None:
    """Raise ReportError for a framework that the course lacks or that is not installed."""
    if framework not in FRAMEWORKS:
        raise ReportError(f"There is no framework {framework!r}: take pytorch or tensorflow.")
    if any(importlib.util.find_spec(module) is None for module in FRAMEWORKS[framework]):
        raise ReportError(
            f"{NAMES[framework]} is not installed here: run `make setup`, or "
            f"`pip install -e .[{framework}]`, or take the other --framework."
        )


def read_notebook(path: Path) -> Any:
    """Read a notebook, number its cells, drop its lessons, name the kernel of this Python.

    Raises ReportError when the file is missing, unreadable or not a notebook.
    """
    shown = as_text(path)
    if not path.is_file():
        raise ReportError(f"The notebook {shown} is missing: `make notebooks` builds the chapters.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that are missing or doubled are mended below
            notebook = nbformat.reads(text, as_version=4)
            _, notebook = nbformat.validator.normalize(notebook)
            nbformat.validate(notebook)
    except OSError as error:
        raise ReportError(f"The notebook {shown} cannot be read: {error.strerror}.") from error
    except Exception as error:  # nbformat raises a different error for each kind of wrong file
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ReportError(f"The file {shown} is not a notebook in UTF-8: {why[:120]}.") from error
    number_cells(notebook)
    drop_lessons(notebook)
    # The kernel that the author's machine had is of no use here; a cleaned file may name none.
    notebook["metadata"]["kernelspec"] = nbformat.from_dict(KERNEL)
    notebook["metadata"]["language_info"] = nbformat.from_dict({"name": "python"})
    return notebook


def read_profile(name: str, folder: Path) -> dict[str, Any]:
    """Read a profile: chapter -> parameters, and `limits`. Raises ReportError for a wrong one."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ReportError(f"There is no profile {name!r}: the profiles are {', '.join(known)}.")
    try:
        profile = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise ReportError(f"The profile {name!r} cannot be read: {why}.") from error
    if not isinstance(profile, dict) or not all(
        value is None or isinstance(value, dict) for value in profile.values()
    ):
        raise ReportError(f"The profile {name!r} must map each chapter to its parameters.")
    return profile


def read_limits(name: str, profile: Mapping[str, Any]) -> Limits:
    """The profile's limits, in seconds. Raises ReportError for a wrong one."""
    given = profile.get("limits") or {}
    try:
        limits = Limits(**{key: float(value) for key, value in given.items()})
    except (TypeError, ValueError) as error:
        raise ReportError(
            f"The limits of profile {name!r} are cell_seconds and notebook_seconds, two numbers."
        ) from error
    if min(limits.cell_seconds, limits.notebook_seconds) <= 0:
        raise ReportError(f"The limits of profile {name!r} must be above zero.")
    return limits


def chapter_parameters(notebook: Any) -> dict[str, Any]:
    """The parameters that a chapter has, with its own values."""
    import papermill  # takes most of a second, so only a run pays for it

    found = papermill.inspect_notebook(notebook)
    return {name: _literal(entry["default"]) for name, entry in found.items()}


def fit_parameters(
    given: Mapping[str, Any], known: Mapping[str, Any], has_cell: bool
) -> dict[str, Any]:
    """The given parameters in the types of the chapter. Raises ReportError for one that is wrong.

    papermill itself lets an unknown name pass, and a notebook without the cell overwrites it.
    """
    if given and not has_cell:
        raise ReportError(
            f"The notebook has no cell tagged `parameters`, so {', '.join(sorted(given))} "
            "cannot be set: tag the cell that holds them."
        )
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ReportError(
                f"The chapter has no parameter {name!r}: its parameters are {listed}."
            )
    return {name: _fit(name, value, known[name]) for name, value in given.items()}


def _fit(name: str, value: Any, default: Any) -> Any:
    """One parameter in the type of its default; text from a command line is read as that type."""
    if isinstance(value, str) and not isinstance(default, str):
        value = _literal(value)
    if type(default) is float and type(value) is int:
        return float(value)
    if type(default) in KINDS and type(value) is not type(default):
        kind = KINDS[type(default)]
        raise ReportError(f"The parameter {name} is {kind} (here {default!r}), not {value!r}.")
    return value


def _literal(text: str) -> Any:
    """Read a value as Python writes it; whatever is not one stays a text."""
    words = {"true": True, "false": False, "none": None}
    try:
        return words[text.lower()] if text.lower() in words else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def find_source(data: str) -> str:
    """A source's name as it is; a path made absolute, for the notebook runs in its own folder."""
    is_path = any(mark in data for mark in (os.sep, "/", "."))
    return str(Path(data).expanduser().absolute()) if is_path else data


def check_data(source: str, check: Callable[[str], object] | None) -> None:
    """Raise ReportError when the log cannot be read. `check` raises ValueError with a sentence."""
    if check is None:
        from companion.data.sources import check_source

        check = check_source
    try:
        check(source)
    except OSError as error:
        why = f"The data {as_text(source)} cannot be read: {error.strerror}."
        raise ReportError(why if error.strerror else str(error)) from error
    except ValueError as error:
        raise ReportError(str(error)) from error


def as_text(path: str | Path) -> str:
    """A path as text that can be written as UTF-8, whatever the locale of this process."""
    return os.fsencode(path).decode("utf-8", "replace")
