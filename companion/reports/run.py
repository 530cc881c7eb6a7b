# mypy: untyped-calls-exclude="nbformat,nbconvert"
"""From a chapter to a report: run it, collect its figures, write the page."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from companion.reports.cells import title
from companion.reports.errors import ReportError
from companion.reports.output import Stage
from companion.reports.plan import PROFILES, Plan, Request, as_text, make_plan
from companion.reports.provenance import cell_seconds, code_version, cpu_model, versions
from companion.reports.record import figures


def run_report(
    framework: str = "pytorch",
    data: str | None = "complete-journey",
    profile: str = "quick",
    out: str | Path = "reports",
    *,
    chapter: str = "13_ecommerce_case",
    parameters: Mapping[str, Any] | None = None,
    notebook: str | Path | None = None,
    profiles: str | Path = PROFILES,
    check_source: Callable[[str], object] | None = None,
    progress: bool = True,
) -> Path:
    """Run a chapter and write `report.html`, `results.json` and `report.ipynb` into `out`.

    `data` is a source's name or a path; it becomes the chapter's parameter DATA (None: it has
    none). `profile` names a file of `profiles`: chapter -> parameters, and limits in seconds.
    `parameters` win over both; a text is read in the type that the chapter uses. `notebook` runs
    a file of its own in place of `notebooks/{framework}/{chapter}.ipynb`.

    The notebook may record figures named "device" and "data": they say what it really ran on.

    Returns the path of the page. Raises ReportError, one sentence, for whatever stops it; then
    `out` holds no report, and `failed.ipynb` when the run had begun.
    """
    path = None if notebook is None else Path(notebook)
    request = Request(framework, data, profile, chapter, dict(parameters or {}), path)
    request = replace(request, profiles=Path(profiles), check_source=check_source)
    with Stage(Path(out)) as stage:
        _make(request, stage, progress)
    return stage.out / "report.html"


def _make(request: Request, stage: Stage, progress: bool) -> None:
    """Run and write; on the way out of any failure keep what there is of the notebook."""
    from companion.reports.execution import Watch, execute  # papermill takes a second to load

    plan = make_plan(request)
    code = code_version()
    watch = Watch(plan.limits)
    try:
        execute(plan.notebook, plan.given, watch, folder=plan.path.parent, progress=progress)
        results = _results(request, plan, watch.notebook) | {"title": title(watch.notebook)}
        results["provenance"] |= code | {
            "started": watch.started.isoformat(timespec="seconds"),
            "seconds": round(watch.seconds, 3),
        }
        _write(stage, watch.notebook, results, plan)
        stage.publish()
    except BaseException as error:
        if watch.notebook is not None:
            watch.mark_stopped()
            reason = str(error) if isinstance(error, ReportError) else "It was interrupted."
            stage.keep_failed(watch.notebook, reason)
        raise


def _results(request: Request, plan: Plan, notebook: Any) -> dict[str, Any]:
    """Every figure and where it came from."""
    found = figures(notebook)
    asked = "none" if request.data is None else as_text(request.data)
    return {
        "figures": found,
        "provenance": {
            "framework": request.framework,
            "chapter": plan.path.stem,
            "profile": request.profile,
            # The notebook knows better where it had to take the sample in place of the log.
            "data": found.get("data", {}).get("value", asked),
            "data_asked": asked,
            "seed": plan.parameters.get("SEED", "unknown"),
            "device": found.get("device", {}).get("value", "unknown"),
            "parameters": plan.parameters,
            "versions": versions(request.framework),
            "cpu": cpu_model(),
            "platform": platform.platform(),
            "cells": cell_seconds(notebook),
        },
    }


def _write(stage: Stage, notebook: Any, results: dict[str, Any], plan: Plan) -> None:
    """Write the three files into the work folder. Raises ReportError for a value JSON lacks."""
    from companion.reports.page import render_page

    try:
        text = json.dumps(results, ensure_ascii=False, allow_nan=False, indent=2)
    except (TypeError, ValueError) as error:
        raise ReportError(f"The results cannot be written as JSON: {error}.") from error
    stage.write("results.json", text + "\n")
    stage.write("report.ipynb", nbformat.writes(notebook) + "\n")
    stage.write("report.html", render_page(notebook, results, folder=plan.path.parent))
