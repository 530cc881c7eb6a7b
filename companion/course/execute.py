"""Runs the notebooks that need it and stores their outputs.

    python -m companion.course.execute              all that need it
    python -m companion.course.execute 09_dqn       these alone; "09" and "pytorch/09" do too

A notebook needs it when it never ran, or when code that it imports changed. It runs in its own
folder. A RuntimeWarning or FutureWarning that comes from a cell or from the package is an error;
other libraries' warnings are shown here and not stored. A notebook that fails is left as it was.
"""

import argparse
from collections.abc import Sequence
from copy import deepcopy
from time import perf_counter

from companion.course.build import survey
from companion.course.chapter import BuildError
from companion.course.fingerprint import Fingerprints, Owner
from companion.course.kernel import Failure, Limits, run
from companion.course.project import (
    Edition,
    Notebook,
    Project,
    read,
    speak_any_alphabet,
    write,
)
from companion.course.state import KEY, NEED_EXECUTION, State, outputs_hash
from companion.course.tidy import tidy


def execute(edition: Edition, project: Project, limits: Limits) -> str:
    """Runs one notebook and stores it, with what it was run against.

    Returns:
        The seconds that it took, and what its cells wrote to stderr.

    Raises:
        Failure: a cell failed, took too long, or ended the kernel; the file stays as it was.
    """
    built = read(edition.target)
    owner = Owner(edition.framework, edition.source.name[:2])
    # Before the run: if the code changes meanwhile, the notebook is then seen to be out of date.
    fingerprint = Fingerprints(project).of(built, owner)
    executed = deepcopy(built)
    start = perf_counter()
    run(executed, edition.target.parent, project.package, limits)
    seconds = perf_counter() - start
    notes = tidy(executed, built)
    _remember(executed, fingerprint, seconds)
    write(edition.target, executed)
    return "; ".join([f"{seconds:.1f} s", *notes])


def _remember(notebook: Notebook, fingerprint: str, seconds: float) -> None:
    memory = {"inputs": notebook.metadata[KEY]["inputs"], "fingerprint": fingerprint}
    notebook.metadata[KEY] = {
        **memory,
        "outputs": outputs_hash(notebook),
        "seconds": round(seconds),
    }


def chosen(project: Project, names: Sequence[str]) -> list[tuple[Edition, State]]:
    """The editions that the names mean, all of them where no name is given.

    A name is the beginning of "09_dqn", or of "pytorch/09_dqn", or of a notebook's path.

    Raises:
        LookupError: a name that means no notebook.
        BuildError: a chapter cannot be built.
    """
    found = [(edition, state) for edition, _, state in survey(project)]
    for name in names:
        if not any(_means(name, edition, project) for edition, _ in found):
            raise LookupError(f"no notebook is named {name}")
    return [
        (edition, state)
        for edition, state in found
        if not names or any(_means(name, edition, project) for name in names)
    ]


def _means(name: str, edition: Edition, project: Project) -> bool:
    path = project.name(edition.target)
    short = path.removeprefix("notebooks/")
    return any(form.startswith(name) for form in (edition.source.stem, path, short))


def run_all(wanted: Sequence[tuple[Edition, State]], project: Project, limits: Limits) -> bool:
    """Runs those that need it, printing a line for each; whether all are well."""
    well = True
    for edition, state in wanted:
        name = project.name(edition.target)
        if state in NEED_EXECUTION:
            try:
                print(f"{name}: {execute(edition, project, limits)}", flush=True)
            except Failure as failure:
                well = False
                print(f"{name} {failure}", flush=True)
        elif state is not State.GOOD:
            well = False
            print(f"{name} {state.value}; run 'python -m companion.course.build' first", flush=True)
    return well


def main(argv: Sequence[str] | None = None, project: Project | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments; the command line's where it is None.
        project: the folder; the project's own where it is None.

    Returns:
        0 if every chosen notebook is executed, 1 if one is not, 2 if a name means none.
    """
    parser = argparse.ArgumentParser(
        prog="python -m companion.course.execute", description="Runs the notebooks that need it."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 09_dqn; default: all")
    default = Limits()
    parser.add_argument("--cell-seconds", type=float, default=default.cell)
    parser.add_argument("--notebook-seconds", type=float, default=default.notebook)
    parser.add_argument("--force", action="store_true", help="run them even if nothing changed")
    arguments = parser.parse_args(argv)
    project = project or Project()
    speak_any_alphabet()
    try:
        wanted = chosen(project, arguments.names)
    except BuildError as error:
        print(f"notebooks/src/{error}")
        return 1
    except LookupError as error:
        print(error.args[0])
        return 2
    if arguments.force:
        wanted = [(e, State.NOT_EXECUTED if s is State.GOOD else s) for e, s in wanted]
    limits = Limits(arguments.cell_seconds, arguments.notebook_seconds)
    return int(not run_all(wanted, project, limits))


if __name__ == "__main__":
    raise SystemExit(main())
