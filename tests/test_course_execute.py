"""Running notebooks: what is stored, what is run again, and what is said when it fails."""

import ast
import re

import pytest
from nbformat.v4 import new_output
from test_course_project import CHAPTER, make_project, notebook

from companion.course import build, execute
from companion.course.fingerprint import Fingerprints, Owner, code_fingerprint, imported_names
from companion.course.kernel import Failure, Limits
from companion.course.kernel import run as run_cells
from companion.course.project import read
from companion.course.tidy import tidy

PYTORCH = Owner("pytorch", "03")


@pytest.fixture
def project(tmp_path, monkeypatch):
    # Bytecode of a module that is rewritten within a second, at the same length, would be stale.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return make_project(tmp_path, monkeypatch)


# What a notebook's fingerprint depends on


def modules(project, source, owner=PYTORCH):
    return Fingerprints(project).modules(notebook(source), owner)


def test_imports_are_found_in_every_form():
    source = "import a.b as c\nfrom d import e\ndef f():\n    from g.h import (i, j)\n"
    assert imported_names(notebook(source)) == {"a.b", "d", "d.e", "g.h", "g.h.i", "g.h.j"}


def test_modules_count_with_what_they_import_and_the_packages_around_them(project):
    assert modules(project, "from shopkit.pytorch.encoders import Encoder") == {
        "shopkit",
        "shopkit.core",
        "shopkit.pytorch",
        "shopkit.pytorch.encoders",
    }
    assert "shopkit.pytorch.encoders" in modules(project, "from shopkit.pytorch import encoders")
    assert modules(project, "import numpy") == set()


def test_what_only_a_type_checker_imports_does_not_count(project):
    code = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shopkit.pytorch.encoders\n"
    )
    (project.root / "shopkit" / "core.py").write_text(code)
    assert modules(project, "import shopkit.core") == {"shopkit", "shopkit.core"}


@pytest.mark.parametrize(
    ("framework", "other"), [("pytorch", "tensorflow"), ("tensorflow", "pytorch")]
)
def test_an_edition_never_depends_on_the_other_framework(project, framework, other):
    lazy = "def f():\n    import shopkit.pytorch.encoders\n    import shopkit.tensorflow.encoders\n"
    (project.root / "shopkit" / "core.py").write_text(lazy)
    found = modules(project, "import shopkit.core", Owner(framework, "03"))
    assert f"shopkit.{framework}.encoders" in found
    assert not any(other in name for name in found)


def test_a_chapters_own_checkers_count_once_it_checks(project):
    folder = project.root / "shopkit" / "course"
    (folder / "exercises").mkdir(parents=True)
    for name in ("__init__", "answers", "exercises/__init__", "exercises/ch03", "exercises/ch04"):
        (folder / f"{name}.py").write_text("")
    found = modules(project, "from shopkit.course.answers import check")
    assert "shopkit.course.exercises.ch03" in found
    assert "shopkit.course.exercises.ch04" not in found
    assert "shopkit.course.exercises.ch03" not in modules(project, "import shopkit.core")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('def f(x):\n    """One."""\n    return x\n', "def f(x):\n    return x\n", True),
        ('"""Module."""\nx = 1\n', '"""Other."""\nx = 1  # why\n', True),
        ('class A:\n    """Only this."""\n', 'class A:\n    """Only that."""\n', True),
        ("x = [1,\n     2]\n", "x = [1, 2]\n", True),
        ("x = 1\n", "x = 2\n", False),
        ("x = 1\n", "x = True\n", False),
        ("x = None\n", "x = []\n", False),
        ("x = 'text'\n", "x = 'other'\n", False),
        ("def f(x): return x\n", "def f(x=1): return x\n", False),
        ("if a:\n    b\n", "if a:\n    pass\nb\n", False),
        ("f(a, b)\n", "f([a, b])\n", False),
    ],
)
def test_a_fingerprint_is_of_what_code_does_and_not_of_what_it_says(tmp_path, before, after, same):
    for name, code in (("a.py", before), ("b.py", after)):
        (tmp_path / name).write_text(code)
    equal = code_fingerprint(tmp_path / "a.py") == code_fingerprint(tmp_path / "b.py")
    assert equal is same


def test_a_fingerprint_does_not_depend_on_the_python_version(tmp_path):
    (tmp_path / "a.py").write_text(
        "@d\ndef f(x: int, *, y=None) -> str:\n    return f'{x!r:>{y}}'\n"
    )
    assert code_fingerprint(tmp_path / "a.py").startswith("7b06ecbabdd6518d")


def test_an_empty_part_that_some_python_puts_into_a_formatted_string_counts_not(
    tmp_path, monkeypatch
):
    (tmp_path / "a.py").write_text("f'{x}'\n")
    expected = code_fingerprint(tmp_path / "a.py")
    tree = ast.parse("f'{x}'\n")
    tree.body[0].value.values.append(ast.Constant(""))
    monkeypatch.setattr("companion.course.fingerprint.ast.parse", lambda text: tree)
    assert code_fingerprint(tmp_path / "a.py") == expected


# Execution


def test_what_differs_from_run_to_run_is_tidied_away():
    before, after = notebook("x", "", "x"), notebook("x", "", "x")
    before.cells[2].metadata = {"tags": ["raises-exception"]}
    image = {"image/png": {"width": 300}, "needs_background": "light"}
    after.metadata["widgets"] = {}
    first, _, last = after.cells
    first.execution_count, last.execution_count = 17, 21
    first.metadata["execution"] = {"iopub.execute_input": "2024-01-01"}
    first.outputs = [
        new_output("stream", name="stderr", text="\n\x1b[31mold\x1b[0m flag\nmore\n"),
        new_output("execute_result", execution_count=17, metadata=image),
    ]
    frames = ["Cell In[21], line 1", "File ~/a.py:1, in f()", "\x1b[31mE\x1b[0m: text"]
    last.outputs = [new_output("error", ename="E", evalue="text", traceback=frames)]
    assert tidy(after, before) == ["cell 1 wrote to stderr: old flag"]
    assert after.metadata == before.metadata
    assert [cell.metadata for cell in after.cells] == [cell.metadata for cell in before.cells]
    assert [cell.execution_count for cell in after.cells] == [1, None, 2]
    (result,) = first.outputs
    assert result.execution_count == 1
    assert result.metadata == {"image/png": {"width": 300}}
    assert last.outputs[0].traceback == ["Cell In[21], line 1", "E: text"]


def prepared(project, chapter=CHAPTER):
    """The built notebook of the unsolved PyTorch edition."""
    edition = project.editions()[0]
    edition.source.write_text(chapter, encoding="utf-8")
    build.build(project)
    return edition


def run(project, *arguments):
    return execute.main(arguments or ["pytorch/03"], project)


NOISY = """\
# %%
import os, sys, warnings
print("café 商品 ✓", flush=True)
print("100%|###|", file=sys.stderr, flush=True)
warnings.warn("old flag")
print("loss", 0.5)

# %%

# %% tags=["raises-exception"]
from shopkit.core import scale
scale(None)

# %%
os.path.basename(os.getcwd())
"""


def test_what_is_stored_is_the_same_on_every_machine(project, capsys):
    edition = prepared(project, NOISY)
    before = read(edition.target)
    assert run(project) == 0
    after = read(edition.target)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert [cell.metadata for cell in after.cells] == [cell.metadata for cell in before.cells]
    first, empty, failing, last = after.cells
    assert [output.output_type for output in first.outputs] == ["stream"]
    assert first.outputs[0].text == "café 商品 ✓\nloss 0.5\n"
    assert [c.execution_count for c in after.cells] == [1, None, 2, 3]
    assert last.outputs[0].execution_count == 3
    assert last.outputs[0].data["text/plain"] == "'pytorch'"
    traceback = "\n".join(failing.outputs[0].traceback)
    assert "TypeError" in traceback
    assert "\x1b" not in traceback
    assert str(project.root) not in traceback
    memory = after.metadata.pop("companion")
    assert after.metadata == {k: v for k, v in before.metadata.items() if k != "companion"}
    assert set(memory) == {"inputs", "fingerprint", "outputs", "seconds"}
    assert isinstance(memory["seconds"], int)
    assert re.fullmatch(
        r"notebooks/pytorch/03_topic\.ipynb: \d+\.\d s; cell 1 wrote to stderr: 100%\|###\|\n",
        capsys.readouterr().out,
    )


def test_only_what_needs_it_runs(project, capsys):
    edition = prepared(project)
    assert run(project) == 0
    stored = edition.target.read_bytes()
    capsys.readouterr()
    assert run(project) == 0
    assert capsys.readouterr().out == ""
    core = project.root / "shopkit" / "core.py"
    core.write_text('def scale(x):\n    """Ten times x."""\n    return 10 * x\n')
    assert run(project) == 0
    assert edition.target.read_bytes() == stored
    core.write_text("def scale(x):\n    return 11 * x\n")
    assert run(project) == 0
    assert read(edition.target).cells[4].outputs[0].text == "café 商品 ✓ 22\n"
    assert build.problems(project) == [
        f"notebooks/{name}/03_topic.ipynb was never executed; run 'make notebooks'"
        for name in ("pytorch/solutions", "tensorflow", "tensorflow/solutions")
    ]


def test_running_again_by_force_stores_the_same_bytes(project, monkeypatch):
    monkeypatch.setattr(execute, "perf_counter", lambda: 0.0)
    edition = prepared(project)
    assert run(project) == 0
    stored = edition.target.read_bytes()
    time = edition.target.stat().st_mtime_ns
    assert run(project, "--force", "pytorch/03") == 0
    assert edition.target.stat().st_mtime_ns > time
    assert edition.target.read_bytes() == stored


def test_a_failure_names_notebook_cell_and_error_and_changes_nothing(project, capsys):
    edition = prepared(project, '# %%\nprint(1)\n\n# %% tags=["pytorch"]\nraise KeyError("q")\n')
    before = edition.target.read_bytes()
    assert run(project, "pytorch/03", "tensorflow/03") == 1
    out = capsys.readouterr().out
    assert out.startswith("notebooks/pytorch/03_topic.ipynb cell 2 failed: KeyError: 'q'\n")
    assert edition.target.read_bytes() == before
    assert [p.name for p in edition.target.parent.iterdir() if p.is_file()] == ["03_topic.ipynb"]
    assert "notebooks/tensorflow/03_topic.ipynb: " in out


def failure(tmp_path, limits, *sources):
    with pytest.raises(Failure) as caught:
        run_cells(notebook(*sources), tmp_path, "shopkit", limits)
    return str(caught.value)


def test_a_dead_kernel_gives_one_sentence(tmp_path):
    said = failure(tmp_path, Limits(), "print(1)", "import os\nos._exit(137)", "print('never')")
    assert said == "cell 2 ended the kernel; it may have run out of memory"


def test_an_endless_cell_is_ended_and_named(tmp_path):
    said = failure(tmp_path, Limits(cell=0.5, notebook=9), "x = 1", "while True:\n    pass")
    assert said == "cell 2 took more than 0.5 s"


def test_many_short_cells_are_ended_by_the_notebooks_budget(tmp_path):
    sleep = "import time\ntime.sleep(0.8)"
    said = failure(tmp_path, Limits(cell=5, notebook=2.5), *[sleep] * 20)
    assert re.fullmatch(r"cell [1-4] was running when the notebook's 2\.5 s were over", said)


def test_a_last_cell_that_ends_too_late_fails_too(tmp_path, monkeypatch):
    times = iter([0.0] + [1.0] * 6 + [300.0] * 9)
    monkeypatch.setattr("companion.course.kernel.monotonic", lambda: next(times))
    monkeypatch.setattr(
        "companion.course.kernel._Clock.timeout", lambda self, cell: self.left and 60.0
    )
    said = failure(tmp_path, Limits(), *["1"] * 7)
    assert said == "took more than 240 s; its last cell is 7"


@pytest.mark.parametrize("kind", ["RuntimeWarning", "FutureWarning"])
def test_a_warning_of_our_own_is_an_error(tmp_path, monkeypatch, kind):
    make_project(tmp_path, monkeypatch)
    code = f"import warnings\ndef scale(x):\n    warnings.warn('nan', {kind})\n    return x\n"
    (tmp_path / "shopkit" / "core.py").write_text(code)
    called = "from shopkit.core import scale\nscale(1)"
    assert f"cell 1 failed: {kind}: nan" in failure(tmp_path, Limits(), called)
    typed = f"import warnings\nwarnings.warn('nan', {kind})"
    assert f"cell 1 failed: {kind}: nan" in failure(tmp_path, Limits(), typed)


def test_a_warning_of_a_library_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, kind in (("alib", "FutureWarning"), ("shopkit_too", "RuntimeWarning")):
        code = f"import warnings\nwarnings.warn('dated', {kind})\n"
        (tmp_path / f"{name}.py").write_text(code)
    nb = notebook("import alib, shopkit_too\nprint('loss', 0.5)")
    run_cells(nb, tmp_path, "shopkit", Limits())
    notes = tidy(nb, notebook("import alib, shopkit_too\nprint('loss', 0.5)"))
    assert "FutureWarning: dated" in notes[0]
    assert [output.text for output in nb.cells[0].outputs] == ["loss 0.5\n"]


def test_a_stale_notebook_is_not_run(project, capsys):
    edition = prepared(project)
    before = edition.target.read_bytes()
    edition.source.write_text("# %%\nx = 1\n")
    assert run(project) == 1
    assert capsys.readouterr().out == (
        "notebooks/pytorch/03_topic.ipynb is stale: its source changed;"
        " run 'python -m companion.course.build' first\n"
    )
    assert edition.target.read_bytes() == before


@pytest.mark.parametrize(
    ("names", "count"),
    [
        ([], 4),
        (["03"], 4),
        (["03_topic"], 4),
        (["pytorch/"], 2),
        (["tensorflow/solutions/03"], 1),
        (["notebooks/pytorch/03_topic.ipynb"], 1),
        (["pytorch/03", "tensorflow/03"], 2),
    ],
)
def test_names_choose_notebooks(project, names, count):
    assert len(execute.chosen(project, names)) == count


def test_a_name_of_nothing_is_said(project, capsys):
    assert run(project, "04_other") == 2
    assert capsys.readouterr().out == "no notebook is named 04_other\n"


def test_a_chapter_that_cannot_be_built_is_said(project, capsys):
    project.editions()[0].source.write_text("# %%\nx = (\n")
    assert run(project) == 1
    assert capsys.readouterr().out.startswith("notebooks/src/03_topic.py cell 1: ")
