"""Checks that the built notebooks keep the course's rules.

    python -m companion.course.lint             every notebook
    python -m companion.course.lint PATH ...    these alone

The budget and the order of a chapter are asked of the unsolved editions, the rest of all. A line
of code that is wrong as a lesson says so in a comment, "# wrong on purpose", and is let pass.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from companion.course.project import Project, Unreadable, speak_any_alphabet
from companion.course.rules import budget, code, order, outputs, randomness, structure
from companion.course.rules.page import Finding, Page, Rule

ALL: tuple[Rule, ...] = (
    *structure.RULES,
    *code.RULES,
    *randomness.RULES,
    *outputs.RULES,
    *order.EVERYWHERE,
)
UNSOLVED: tuple[Rule, ...] = (*budget.RULES, *order.RULES)


def lint(path: Path) -> list[Finding]:
    """What breaks a rule in one notebook; str() of a finding is a line to print.

    Args:
        path: the notebook. One in a folder "solutions" is a solved edition.
    """
    try:
        page = Page.load(path)
    except (Unreadable, UnicodeDecodeError) as error:
        return [Finding(path, None, "readable", f"cannot be read: {error}")]
    rules = ALL if page.solved else (*ALL, *UNSOLVED)
    findings = [finding for rule in rules for finding in rule(page)]
    return sorted(findings, key=lambda finding: finding.cell or 0)


def lint_all(project: Project) -> list[Finding]:
    """What breaks a rule in any notebook of the project, with paths from its root."""
    return [
        finding._replace(path=Path(project.name(path)))
        for path in project.stored()
        for finding in lint(path)
    ]


def main(argv: Sequence[str] | None = None, project: Project | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments; the command line's where it is None.
        project: the folder; the project's own where it is None.

    Returns:
        1 if anything was found, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m companion.course.lint", description="Checks the notebooks' rules."
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", type=Path, help="default: all")
    paths = parser.parse_args(argv).paths
    project = project or Project()
    speak_any_alphabet()
    findings = [f for path in paths for f in lint(path)] if paths else lint_all(project)
    lines = [str(finding) for finding in findings]
    print(*lines or [f"{len(paths or project.stored())} notebooks, no findings"], sep="\n")
    return int(bool(findings))


if __name__ == "__main__":
    raise SystemExit(main())
