"""Reading and writing notebooks; `make_project` also serves the other tests of the course."""

import json

import nbformat
import pytest

from companion.course.project import Project, Unreadable, read, speak_any_alphabet, write

CHAPTER = """\
# %% [markdown]
# # 3 · Vergleich “naïve” 推荐
# **Question.** What comes next?

# %% tags=["parameters"]
SEED = 0

# %% tags=["pytorch"]
from functools import cache

from shopkit.pytorch.encoders import Encoder

# %% tags=["tensorflow"]
from functools import cache

from shopkit.tensorflow.encoders import Encoder

# %% tags=["include"]
# shopkit.{framework}.encoders: double

# %%
# copy the weights, then print them
print('café 商品 ✓', Encoder().encode(2))

# %%
def answer(x):
    # solution
    return x + 1

# %% tags=["solution"]
answer(1)
"""

TWIN = '''\
"""Encoders of {framework}."""

from functools import cache

from shopkit.core import scale

LIMIT = 3


@cache
def double(x):
    """Twice x, in {framework} (×2)."""
    return 2 * x  # [B]


class Encoder:
    """Encodes."""

    @staticmethod
    def name():
        return "{framework}"

    def encode(self, x):
        return scale(x)
'''


def make_project(root, monkeypatch, chapter=CHAPTER):
    """A folder with one chapter and a package `shopkit` that kernels can import."""
    for framework in ("pytorch", "tensorflow"):
        folder = root / "shopkit" / framework
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        code = TWIN.format(framework=framework)
        (folder / "encoders.py").write_text(code, encoding="utf-8")
    (root / "shopkit" / "__init__.py").write_text('"""A package."""\n')
    (root / "shopkit" / "core.py").write_text("def scale(x):\n    return 10 * x\n")
    sources = root / "notebooks" / "src"
    sources.mkdir(parents=True)
    (sources / "03_topic.py").write_text(chapter, encoding="utf-8")
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("PYTHONPATH", str(root))
    return Project(root, "shopkit")


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(text, id=f"c{i}") for i, text in enumerate(sources)]
    return nbformat.v4.new_notebook(cells=cells)


def test_editions_are_four_for_each_chapter(tmp_path, monkeypatch):
    project = make_project(tmp_path, monkeypatch)
    assert [project.name(edition.target) for edition in project.editions()] == [
        "notebooks/pytorch/03_topic.ipynb",
        "notebooks/pytorch/solutions/03_topic.ipynb",
        "notebooks/tensorflow/03_topic.ipynb",
        "notebooks/tensorflow/solutions/03_topic.ipynb",
    ]


def test_checkpoints_of_jupyter_are_no_notebooks(tmp_path):
    for folder in ("pytorch", "pytorch/.ipynb_checkpoints"):
        write(tmp_path / "notebooks" / folder / "03_topic.ipynb", notebook("x = 1"))
    stored = Project(tmp_path).stored()
    assert stored == [tmp_path / "notebooks" / "pytorch" / "03_topic.ipynb"]


def test_text_of_any_alphabet_comes_back_unchanged(tmp_path):
    path = tmp_path / "课程 ü" / "a.ipynb"
    write(path, notebook("print('café 商品 ✓ “naïve”')"))
    assert read(path).cells[0].source == "print('café 商品 ✓ “naïve”')"
    assert "商品" in path.read_bytes().decode("utf-8")
    assert b"\r" not in path.read_bytes()


def test_reading_and_writing_twice_gives_the_same_bytes(tmp_path):
    path = tmp_path / "a.ipynb"
    write(path, notebook("x = 1\ny = 2", "x"))
    first = path.read_bytes()
    write(path, read(path))
    assert path.read_bytes() == first


def test_reading_invents_no_ids(tmp_path):
    path = tmp_path / "a.ipynb"
    write(path, notebook("x = 1"))
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["cells"][0]["id"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert "id" not in read(path).cells[0]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.ipynb"
    write(path, notebook("x = 1"))
    before = path.read_bytes()
    broken = notebook("x = 2")
    broken.cells[0].outputs = [{"output_type": "nonsense"}]
    with pytest.raises(nbformat.ValidationError):
        write(path, broken)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


def test_an_interrupted_write_leaves_no_part(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.ipynb", notebook("x = 1"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "<<<<<<< HEAD",
        '{"cells": [{}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        '{"cells": [{"cell_type": "code", "source": "", "metadata": {}}], "metadata": {},'
        ' "nbformat": 4, "nbformat_minor": 5}',
        '{"cells": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}',
    ],
)
def test_what_is_no_notebook_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(Unreadable, match="not a notebook"):
        read(path)


def test_printing_does_not_fail_on_an_alphabet_that_the_terminal_lacks(monkeypatch, tmp_path):
    with (tmp_path / "terminal").open("w+", encoding="ascii") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        speak_any_alphabet()
        print("课程")
    assert (tmp_path / "terminal").read_text() == "\\u8bfe\\u7a0b\n"
