"""Each exercise: the right answer, and wrong ones that learners really give, told apart.

The answers of chapter NN lie in answers_chNN.py.
"""

import importlib
from pathlib import Path

import pytest

from companion.course.answers import verdict

HERE = Path(__file__).parent
CHAPTERS = [importlib.import_module(path.stem) for path in sorted(HERE.glob("answers_ch*.py"))]
RIGHT = {name: answer for chapter in CHAPTERS for name, answer in chapter.RIGHT.items()}
WRONG = [wrong for chapter in CHAPTERS for wrong in chapter.WRONG]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_right(name):
    assert verdict(name, RIGHT[name]) == f"{name}: right."


@pytest.mark.parametrize(("name", "attempt", "words"), WRONG)
def test_a_known_mistake_is_named(name, attempt, words):
    said = verdict(name, attempt)
    assert "right." not in said
    assert words in said


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize(
    "attempt", [lambda *_: "what?", lambda *_: [99, 99], lambda *_: 1 / 0, None]
)
def test_anything_else_is_not_yet(name, attempt):
    assert verdict(name, attempt).startswith(f"{name}: not yet")


def test_each_exercise_has_two_wrong_answers_or_more():
    for name in RIGHT:
        assert sum(wrong[0] == name for wrong in WRONG) >= 2
