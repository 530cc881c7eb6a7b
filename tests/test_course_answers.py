"""What `check` says about right, wrong, unwritten and broken answers."""

import functools

import numpy as np
import pytest

from companion.course import answers, exercises
from companion.course.answers import Mistake, NotYet, check, exercise, known, verdict

STUB = "98.1: not yet. Write your code where ... stands"


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """The exercises of a test go when it ends."""
    monkeypatch.setattr(answers, "_CHECKERS", {})


@pytest.fixture
def doubling():
    @exercise("98.1")
    def double(attempt):
        seen = attempt([1, 2])
        if seen == [1, 4]:
            raise Mistake("It squares, where it should double.")
        if seen != [2, 4]:
            raise NotYet(f"For [1, 2] it gave {seen}.")


@pytest.mark.parametrize(
    ("attempt", "line"),
    [
        (lambda x: [2 * i for i in x], "98.1: right."),
        (lambda x: [i**2 for i in x], "98.1: a known mistake. It squares, where it should double."),
        (lambda x: [0, 0], "98.1: not yet. For [1, 2] it gave [0, 0]."),
        (lambda x: ..., f"{STUB}."),
        (lambda x: (..., 1), f"{STUB}."),
        (lambda x: None, f"{STUB}, and return its result."),
        (..., f"{STUB}."),
        (None, f"{STUB}."),
    ],
)
def test_one_line_for_each_kind_of_answer(doubling, capsys, attempt, line):
    assert check("98.1", attempt) is None
    assert capsys.readouterr().out == f"{line}\n"


def test_an_attempt_that_raises_is_told_what_and_where(doubling):
    def attempt(x):
        y = x
        return y.nothing

    line = attempt.__code__.co_firstlineno + 2
    assert verdict("98.1", attempt) == (
        "98.1: not yet. Your code raised AttributeError: 'list' object has no attribute 'nothing'"
        f" in line {line} of its cell."
    )


@pytest.mark.parametrize(
    "error", [ValueError("one\ntwo"), SystemExit("one"), RecursionError("one")]
)
def test_whatever_an_attempt_raises_check_does_not(doubling, error):
    def attempt(x):
        raise error

    line = verdict("98.1", attempt)
    assert line.startswith(f"98.1: not yet. Your code raised {type(error).__name__}: one in line")
    assert "\n" not in line


def test_an_error_that_cannot_be_printed_is_named(doubling):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def attempt(x):
        raise Odd

    assert "Your code raised Odd in line" in verdict("98.1", attempt)


def test_the_learner_can_interrupt(doubling):
    def attempt(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("98.1", attempt)


@pytest.mark.parametrize("attempt", ["text", 3, [1], object, {"a": 1}])
def test_an_answer_of_a_strange_form_is_said_to_be_one(doubling, attempt):
    assert verdict("98.1", attempt).startswith(
        "98.1: not yet. The answer has a form that cannot be checked (TypeError: "
    )


def test_a_sentence_of_several_lines_is_printed_in_one():
    @exercise("98.1")
    def wordy(attempt):
        raise NotYet(f"It gave\n{np.eye(2)}.")

    assert verdict("98.1", 1) == "98.1: not yet. It gave [[1. 0.] [0. 1.]]."


def test_a_value_can_be_an_answer():
    @exercise("98.1")
    def three(attempt):
        if attempt != 3:
            raise NotYet(f"It is {attempt}.")

    assert verdict("98.1", 3) == "98.1: right."
    assert verdict("98.1", 0) == "98.1: not yet. It is 0."
    assert verdict("98.1", ...) == f"{STUB}."


def spoil(array, numbers, table, nested):
    array[:] = -1
    numbers.append(9)
    table["new"] = 1
    nested[0][0] = 7
    return array.sum() + len(numbers) + len(table)


def test_an_attempt_that_spoils_its_arguments_spoils_only_copies():
    seen = []

    @exercise("98.1")
    def spoiled(attempt):
        arguments = np.ones(2), [1], {"a": 1}, ([5, 5],)
        for _ in range(2):
            attempt(*arguments)
            attempt(array=arguments[0], numbers=[], table={}, nested=arguments[3])
        seen.append((arguments[0].tolist(), *arguments[1:]))

    assert verdict("98.1", spoil) == "98.1: right."
    assert seen == [([1.0, 1.0], [1], {"a": 1}, ([5, 5],))]


def test_a_value_that_a_checker_spoils_is_a_copy_too():
    @exercise("98.1")
    def spoiler(attempt):
        attempt[0] = 9

    answer = [1, 2]
    verdict("98.1", answer)
    assert answer == [1, 2]


def test_a_generator_is_not_copied_since_each_call_would_see_the_same_numbers():
    seen = []

    @exercise("98.1")
    def draws(attempt):
        rng = np.random.default_rng(0)
        seen.extend(attempt(rng) for _ in range(2))

    verdict("98.1", lambda rng: rng.random())
    assert seen[0] != seen[1]


def test_copies_keep_their_kind():
    seen = []
    kinds = (
        functools.partial(int, "3"),
        np.float32(1),
        answers.ID.fullmatch("98.1"),
        dict.fromkeys("ab"),
    )

    @exercise("98.1")
    def kept(attempt):
        attempt(kinds)

    def attempt(values):
        seen.append(values)
        return True

    assert verdict("98.1", attempt) == "98.1: right."
    assert [type(value) for value in seen[0]] == [type(value) for value in kinds]


def test_a_named_tuple_of_arrays_stays_one():
    from collections import namedtuple

    Batch = namedtuple("Batch", "obs action")
    batch = Batch(np.zeros(2), [0])
    seen = []

    @exercise("98.1")
    def fields(attempt):
        seen.append(attempt(batch))

    def attempt(b):
        b.obs[0] = 1
        return b.action, type(b).__name__

    assert verdict("98.1", attempt) == "98.1: right."
    assert seen == [([0], "Batch")]
    assert batch.obs[0] == 0


def test_a_tensor_is_copied_by_its_own_means():
    class Tensor:
        def __init__(self, value):
            self.value = value

        def detach(self):
            raise AssertionError("the gradient must stay")

        def clone(self):
            return Tensor(self.value)

    tensor = Tensor(1)

    @exercise("98.1")
    def cloned(attempt):
        attempt(tensor)

    def attempt(t):
        t.value = 2
        return t

    assert verdict("98.1", attempt) == "98.1: right."
    assert tensor.value == 1


def test_a_class_is_given_as_it_is():
    @exercise("98.1")
    def subclass(attempt):
        if not issubclass(attempt, list):
            raise NotYet("It is no list.")

    assert verdict("98.1", type("Mine", (list,), {})) == "98.1: right."


# Ids and chapters


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """Writes a module of checkers that only its number leads to."""
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(tmp_path)])

    def write(number, text):
        (tmp_path / f"ch{number}.py").write_text(text)
        monkeypatch.delitem(answers.importlib.sys.modules, f"{answers.PACKAGE}.ch{number}", False)

    return write


CHAPTER = """
from companion.course.answers import NotYet, exercise

@exercise("97.10")
def ten(attempt):
    pass

@exercise("97.2")
def two(attempt):
    raise NotYet("Never.")
"""


def test_a_chapters_checkers_are_found_by_its_number(chapter):
    chapter("97", CHAPTER)
    assert verdict("97.2", 1) == "97.2: not yet. Never."
    assert known("97") == ["97.2", "97.10"]


def test_an_unknown_id_is_told_the_known_ones(chapter):
    chapter("97", CHAPTER)
    assert verdict("97.3", 1) == ("97.3: there is no such exercise; chapter 97 has 97.2, 97.10.")
    assert verdict("96.1", 1) == "96.1: there is no such exercise; chapter 96 has none."


@pytest.mark.parametrize("wrong", ["3.1", "03", "03.1.2", "", 3.1, None, ["03.1"]])
def test_what_is_no_id_is_said_to_be_none(wrong):
    assert (
        verdict(wrong, 1) == f"{wrong}: there is no such exercise; an id looks like '03.1'.".strip()
    )


def test_checkers_that_cannot_be_loaded_are_said_to_be(chapter):
    chapter("97", "import nothing_of_this_name\n")
    assert verdict("97.1", 1) == (
        "97.1: its checker could not be loaded"
        " (ModuleNotFoundError: No module named 'nothing_of_this_name')."
    )
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        known("97")


def test_an_id_has_one_checker():
    @exercise("98.1")
    def first(attempt):
        pass

    exercise("98.1")(first)  # its module is loaded again
    with pytest.raises(ValueError, match=r"98\.1 has two checkers"):

        @exercise("98.1")
        def second(attempt):
            pass


@pytest.mark.parametrize("wrong", ["3.1", "03", "03.x"])
def test_a_checker_needs_an_id(wrong):
    with pytest.raises(ValueError, match=r"looks like '03\.1'"):
        exercise(wrong)


def test_asking_for_a_checker_imports_no_framework():
    import subprocess
    import sys

    program = (
        "import sys; from companion.course.answers import check; check('98.1', 1);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'tensorflow', 'jupytext', 'grimp')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
