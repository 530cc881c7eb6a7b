"""The contract of the real notebooks: built from their sources, executed, within the rules."""

import ast

import jupytext
import pytest

from companion.course import build
from companion.course.answers import known
from companion.course.chapter import PERCENT
from companion.course.lint import lint
from companion.course.project import Project

PROJECT = Project()
NONE = [pytest.param(None, marks=pytest.mark.skip(reason="there are no chapters yet"))]
CHAPTERS = [pytest.param(path, id=path.stem) for path in PROJECT.chapters()] or NONE
NOTEBOOKS = [
    pytest.param(edition.target, id=PROJECT.name(edition.target).removeprefix("notebooks/"))
    for edition in PROJECT.editions()
] or NONE


@pytest.fixture(scope="module")
def problems():
    return build.problems(PROJECT)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_it_is_what_its_source_gives_and_ran_against_this_code(path, problems):
    assert [line for line in problems if line.startswith(f"{PROJECT.name(path)} ")] == []


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_it_keeps_the_rules(path):
    assert [str(finding) for finding in lint(path)] == []


@pytest.mark.skipif(not PROJECT.chapters(), reason="there are no chapters yet")
def test_nothing_else_lies_among_them(problems):
    names = [PROJECT.name(edition.target) for edition in PROJECT.editions()]
    assert [line for line in problems if line.split(" ")[0] not in names] == []


@pytest.mark.skipif(not PROJECT.chapters(), reason="there are no chapters yet")
def test_no_two_chapters_share_a_number():
    numbers = [path.name[:2] for path in PROJECT.chapters()]
    assert len(set(numbers)) == len(numbers)


def used(path):
    """The ids that a chapter's source checks."""
    cells = jupytext.reads(path.read_text(encoding="utf-8"), fmt=PERCENT).cells
    return {
        ast.literal_eval(node.args[0])
        for cell in cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "check"
    }


@pytest.mark.parametrize("path", CHAPTERS)
def test_every_exercise_on_the_page_has_a_checker_and_every_checker_a_page(path):
    assert used(path) == set(known(path.name[:2]))
