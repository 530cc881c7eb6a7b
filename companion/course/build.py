"""Builds each edition of the course from one source per chapter.

    python -m companion.course.build            write the notebooks that are not up to date
    python -m companion.course.build --check    write nothing; list what is not up to date

A notebook whose inputs did not change keeps its outputs. One that was edited by hand is built
anew, and said to be: the source is the one place to edit.
"""

import argparse
from collections.abc import Iterator, Sequence

from companion.course.chapter import BuildError, build_notebook
from companion.course.fingerprint import Fingerprints, Owner
from companion.course.project import (
    Edition,
    Notebook,
    Project,
    speak_any_alphabet,
    write,
)
from companion.course.state import NEED_BUILD, State, edited_cell, sealed, state_of


def build(project: Project) -> list[str]:
    """Writes each notebook that is missing, stale, unreadable or edited.

    Returns:
        One sentence for each notebook written.

    Raises:
        BuildError: a chapter cannot be built; no notebook was written.
    """
    sentences = []
    for edition, built, state in list(survey(project)):
        if state in NEED_BUILD:
            sentences.append(f"{project.name(edition.target)} {_what(edition, state)}: built")
            write(edition.target, built)
    return sentences


def problems(project: Project) -> list[str]:
    """All that keeps the stored notebooks from being what the sources give, a sentence each."""
    found = [
        f"{project.name(path)} is not named NN_topic.py; no notebook is built from it"
        for path in project.misnamed()
    ]
    expected = {edition.target for edition in project.editions()}
    found += [
        f"{project.name(path)} has no source in notebooks/src; add one or delete the notebook"
        for path in project.stored()
        if path not in expected
    ]
    try:
        states = [(edition, state) for edition, _, state in survey(project)]
    except BuildError as error:
        return [*found, f"notebooks/src/{error}"]
    return found + [
        f"{project.name(edition.target)} {_what(edition, state)}; run 'make notebooks'"
        for edition, state in states
        if state is not State.GOOD
    ]


def survey(project: Project) -> Iterator[tuple[Edition, Notebook, State]]:
    """Yields each edition, what its source gives now, and what the stored notebook is.

    Raises:
        BuildError: a chapter cannot be built.
    """
    fingerprints = Fingerprints(project)
    for edition in project.editions():
        built = sealed(build_notebook(edition, project.root))
        owner = Owner(edition.framework, edition.source.name[:2])
        yield edition, built, state_of(edition.target, built, fingerprints.of(built, owner))


def _what(edition: Edition, state: State) -> str:
    """The state as a phrase, with the cell where one can be named."""
    cell = edited_cell(edition.target) if state is State.EDITED else None
    return state.value + (f" in cell {cell}" if cell else "")


def main(argv: Sequence[str] | None = None, project: Project | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments; the command line's where it is None.
        project: the folder; the project's own where it is None.

    Returns:
        1 if `--check` found something or a chapter cannot be built, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m companion.course.build", description="Builds the course's notebooks."
    )
    parser.add_argument("--check", action="store_true", help="write nothing, list what is stale")
    check = parser.parse_args(argv).check
    project = project or Project()
    speak_any_alphabet()
    try:
        sentences = problems(project) if check else build(project)
    except BuildError as error:
        print(f"notebooks/src/{error}")
        return 1
    count = len(project.editions())
    print(*sentences or [f"{count} notebooks, all up to date"], sep="\n")
    return int(check and bool(sentences))


if __name__ == "__main__":
    raise SystemExit(main())
