"""Building notebooks from a chapter's source, and telling which are not up to date."""

import os
import subprocess
import sys

import pytest
from nbformat.v4 import new_output
from test_course_project import CHAPTER, make_project

from companion.core.paths import ROOT
from companion.course import build, state
from companion.course.chapter import BuildError, blank_solution, build_notebook
from companion.course.include import IncludeError, source_of
from companion.course.project import read, write


@pytest.fixture
def project(tmp_path, monkeypatch):
    return make_project(tmp_path, monkeypatch)


def edition(project, framework="pytorch", solved=False):
    return next(e for e in project.editions() if (e.framework, e.solved) == (framework, solved))


def built(project, chapter=CHAPTER, framework="pytorch", solved=False):
    target = edition(project, framework, solved)
    target.source.write_text(chapter, encoding="utf-8")
    return build_notebook(target, project.root)


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def test_untagged_cells_go_to_both_and_tagged_cells_to_one(project):
    for framework, other in (("pytorch", "tensorflow"), ("tensorflow", "pytorch")):
        text = "\n".join(sources(built(project, framework=framework)))
        assert f"from shopkit.{framework}.encoders" in text
        assert other not in text
        assert "print('café 商品 ✓'" in text


def test_markdown_cells_are_chosen_too(project):
    chapter = '# %% [markdown] tags=["tensorflow"]\n# text\n'
    assert sources(built(project, chapter)) == []
    assert sources(built(project, chapter, "tensorflow")) == ["text"]


def test_solution_cells_and_lines_are_in_the_solved_edition_alone(project):
    unsolved, solved = sources(built(project)), sources(built(project, solved=True))
    assert unsolved[-1] == "def answer(x):\n    # Write your code here.\n    ..."
    assert solved[-2:] == ["def answer(x):\n    # solution\n    return x + 1", "answer(1)"]


@pytest.mark.parametrize(
    ("text", "stub"),
    [
        ("x = ...\n# solution\nx = 1\ny = 2", "x = ...\n# Write your code here."),
        (
            "class A:\n    def f(self):\n        # solution\n        return 1\n\nA().f()",
            "class A:\n    def f(self):\n        # Write your code here.\n        ...\n\nA().f()",
        ),
        ("x = 1  # solution of the equation", "x = 1  # solution of the equation"),
    ],
)
def test_the_stub_is_python(text, stub):
    assert blank_solution(text) == stub
    compile(stub, "stub", "exec")


def test_a_hash_sign_in_prose_is_no_solution(project):
    chapter = "# %% [markdown]\n# one\n#\n# # solution\n# two\n"
    assert sources(built(project, chapter)) == ["one\n\n# solution\ntwo"]


def test_include_shows_the_source_with_its_decorators(project):
    chapter = '# %% tags=["include"]\n# shopkit.{framework}.encoders: double\n'
    assert sources(built(project, chapter, "tensorflow")) == [
        '@cache\ndef double(x):\n    """Twice x, in tensorflow (×2)."""\n    return 2 * x  # [B]'
    ]


def test_include_takes_several_lines_and_dotted_names(project):
    lines = "# shopkit.core: scale\n\n# shopkit.{framework}.encoders: Encoder.name\n"
    chapter = f'# %% tags=["include"]\n{lines}'
    assert sources(built(project, chapter)) == [
        'def scale(x):\n    return 10 * x\n\n\n@staticmethod\ndef name():\n    return "pytorch"'
    ]


def test_include_finds_classes_constants_and_packages(project):
    (project.root / "shopkit" / "__init__.py").write_text("SIZE: int = 4\nclass A:\n    x = 1\n")
    assert source_of("shopkit.pytorch.encoders", "LIMIT", project.root) == "LIMIT = 3"
    assert source_of("shopkit", "SIZE", project.root) == "SIZE: int = 4"
    assert source_of("shopkit", "A", project.root) == "class A:\n    x = 1"


def test_include_takes_the_definition_that_counts(project):
    (project.root / "shopkit" / "core.py").write_text("def f():\n    1\n\n\ndef f():\n    2\n")
    assert source_of("shopkit.core", "f", project.root) == "def f():\n    2"


def test_include_imports_nothing(project):
    (project.root / "shopkit" / "core.py").write_text("raise SystemExit\ndef f(): pass\n")
    assert source_of("shopkit.core", "f", project.root) == "def f(): pass"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("# shopkit.{framework}.encoders: GRU", "shopkit.pytorch.encoders has no 'GRU'"),
        ("# shopkit.core: scale.deeper", "shopkit.core has no 'scale.deeper'"),
        ("# shopkit.rl: f", "there is no module shopkit.rl"),
        ("# shopkit.core scale", "'# shopkit.core scale' is not of the form"),
        ("", "an include cell needs a line"),
    ],
)
def test_a_reference_to_nothing_names_chapter_cell_and_name(project, line, message):
    chapter = f'# %% [markdown]\n# text\n\n# %% tags=["include"]\n{line}\n'
    with pytest.raises(BuildError, match=f"^03_topic.py cell 2: .*{message}"):
        built(project, chapter)


def test_include_error_is_a_lookup_error(project):
    with pytest.raises(IncludeError):
        source_of("shopkit.core", "nothing", project.root)


def test_a_misspelt_tag_is_an_error_and_not_a_cell_for_everyone(project):
    with pytest.raises(BuildError, match="cell 1: unknown tag 'pytroch'"):
        built(project, '# %% tags=["pytroch"]\nx = 1\n')


@pytest.mark.parametrize("code", ["x = (", "%matplotlib inline", "!ls"])
def test_a_cell_that_is_not_python_is_an_error(project, code):
    with pytest.raises(BuildError, match=r"03_topic\.py cell 1: "):
        built(project, f"# %%\n{code}\n")


def test_a_comment_that_looks_like_a_shell_command_stays_a_comment(project):
    chapter = "# %%\n# copy the weights\n# ls\n# %time\n"
    assert sources(built(project, chapter)) == ["# copy the weights\n# ls\n# %time"]


def test_tags_for_the_build_go_and_tags_for_other_tools_stay(project):
    chapter = '# %% tags=["pytorch", "nbval-check-output", "parameters"] collapsed=true\nx = 1\n'
    assert built(project, chapter).cells[0].metadata == {
        "tags": ["nbval-check-output", "parameters"]
    }
    assert built(project, "# %%\nx = 1\n").cells[0].metadata == {}


def test_metadata_is_the_kernel_that_everybody_has_and_nothing_of_jupytext(project):
    header = (
        "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: x\n#     name: conda-x\n# ---\n\n"
    )
    for chapter in (CHAPTER, header + CHAPTER):
        metadata = built(project, chapter).metadata
        assert set(metadata) == {"kernelspec", "language_info"}
        assert metadata["kernelspec"]["name"] == "python3"
        assert metadata["kernelspec"]["display_name"] == "Python 3"
        assert metadata["language_info"] == {"name": "python"}


def test_ids_are_unique_and_move_only_with_their_text(project):
    chapter = "# %%\nx = 1\n\n# %%\nx = 1\n\n# %% [markdown]\n# x = 1\n\n# %%\ny = 2\n"
    ids = [cell.id for cell in built(project, chapter).cells]
    assert len(set(ids)) == 4
    assert [cell.id for cell in built(project, chapter).cells] == ids
    inserted = [
        c.id for c in built(project, chapter.replace("# %%\ny", "# %%\nz = 3\n\n# %%\ny")).cells
    ]
    assert [inserted[i] for i in (0, 1, 2, 4)] == ids
    removed = [cell.id for cell in built(project, chapter.removeprefix("# %%\nx = 1\n\n")).cells]
    assert removed == [ids[0], *ids[2:]]
    changed = [cell.id for cell in built(project, chapter.replace("y = 2", "y = 3")).cells]
    assert changed[:3] == ids[:3]
    assert changed[3] != ids[3]


def run(project, *arguments):
    return build.main(arguments, project)


def test_building_twice_gives_the_same_bytes(project):
    assert run(project) == 0
    first = [path.read_bytes() for path in project.stored()]
    assert len(first) == 4
    for path in project.stored():
        path.unlink()
    run(project)
    assert [path.read_bytes() for path in project.stored()] == first


def test_a_second_build_writes_nothing(project, capsys):
    run(project)
    times = [path.stat().st_mtime_ns for path in project.stored()]
    capsys.readouterr()
    assert run(project) == 0
    assert [path.stat().st_mtime_ns for path in project.stored()] == times
    assert capsys.readouterr().out == "4 notebooks, all up to date\n"


def pretend_to_execute(project, fingerprint=None):
    """Stores what an execution stores, without a kernel."""
    for edition_, notebook, _ in list(build.survey(project)):
        owner = build.Owner(edition_.framework, "03")
        notebook.cells[-1].outputs = []
        code = next(c for c in notebook.cells if c.cell_type == "code")
        code.execution_count = 1
        memory = notebook.metadata["companion"]
        memory["fingerprint"] = fingerprint or build.Fingerprints(project).of(notebook, owner)
        memory["outputs"] = state.outputs_hash(notebook)
        write(edition_.target, notebook)


def lines(project, capsys, code=1):
    capsys.readouterr()
    assert run(project, "--check") == code
    return capsys.readouterr().out.splitlines()


def test_check_is_content_with_what_is_built_and_executed(project, capsys):
    pretend_to_execute(project)
    assert lines(project, capsys, code=0) == ["4 notebooks, all up to date"]


def test_check_lists_what_is_missing_and_writes_nothing(project, capsys):
    found = lines(project, capsys)
    assert found[0] == "notebooks/pytorch/03_topic.ipynb is missing; run 'make notebooks'"
    assert len(found) == 4
    assert project.stored() == []


def test_check_lists_what_was_never_executed(project, capsys):
    run(project)
    found = lines(project, capsys)
    assert len(found) == 4
    assert all("was never executed; run 'make notebooks'" in line for line in found)


def test_check_lists_what_is_stale_and_the_build_mends_that_alone(project, capsys):
    pretend_to_execute(project)
    before = {path: path.read_bytes() for path in project.stored()}
    source = edition(project).source
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("import Encoder", "import Encoder as E", 1), encoding="utf-8")
    assert lines(project, capsys) == [
        "notebooks/pytorch/03_topic.ipynb is stale: its source changed; run 'make notebooks'",
        "notebooks/pytorch/solutions/03_topic.ipynb is stale: its source changed;"
        " run 'make notebooks'",
    ]
    run(project)
    kept = [path for path in project.stored() if path.read_bytes() == before[path]]
    assert [path.relative_to(project.notebooks).parts[0] for path in kept] == ["tensorflow"] * 2
    changed = read(edition(project).target)
    assert "fingerprint" not in changed.metadata["companion"]
    assert all(c.execution_count is None for c in changed.cells if c.cell_type == "code")


def test_a_changed_include_makes_a_notebook_stale(project, capsys):
    pretend_to_execute(project)
    module = project.root / "shopkit" / "pytorch" / "encoders.py"
    code = module.read_text(encoding="utf-8").replace("Twice x", "Two times x")
    module.write_text(code, encoding="utf-8")
    assert [line.split(";")[0] for line in lines(project, capsys)] == [
        f"notebooks/pytorch/{folder}03_topic.ipynb is stale: its source changed"
        for folder in ("", "solutions/")
    ]


def edit(project, change):
    path = edition(project).target
    notebook = read(path)
    change(notebook)
    write(path, notebook)


def swap_first_and_last(notebook):
    notebook.cells[0], notebook.cells[-1] = notebook.cells[-1], notebook.cells[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: n.cells[1].update(source="SEED = 7"), "was edited by hand in cell 2"),
        (lambda n: n.cells[0].update(id="other"), "was edited by hand in cell 1"),
        (lambda n: n.cells.pop(), "was edited by hand"),
        (swap_first_and_last, "was edited by hand"),
        (lambda n: n.cells[0].metadata.update(collapsed=True), "was edited by hand"),
        (lambda n: n.metadata.kernelspec.update(name="conda-x"), "was edited by hand"),
        (lambda n: n.metadata.pop("companion"), "was edited by hand"),
        (
            lambda n: n.cells[1].update(outputs=[new_output("stream", text="0.9")]),
            "has outputs that were edited, or stored by another program",
        ),
        (
            lambda n: n.cells[1].update(execution_count=9),
            "has outputs that were edited, or stored by another program",
        ),
    ],
)
def test_check_finds_a_hand_in_it_and_the_build_mends_it(project, capsys, change, said):
    pretend_to_execute(project)
    edit(project, change)
    assert lines(project, capsys) == [
        f"notebooks/pytorch/03_topic.ipynb {said}; run 'make notebooks'"
    ]
    assert run(project) == 0
    assert capsys.readouterr().out == f"notebooks/pytorch/03_topic.ipynb {said}: built\n"
    assert lines(project, capsys)[0].endswith("was never executed; run 'make notebooks'")


@pytest.mark.parametrize("content", [b"<<<<<<< HEAD", b"\xff\xfe"])
def test_a_file_that_is_no_notebook_is_mended(project, capsys, content):
    pretend_to_execute(project)
    edition(project).target.write_bytes(content)
    assert lines(project, capsys) == [
        "notebooks/pytorch/03_topic.ipynb is not a readable notebook; run 'make notebooks'"
    ]
    run(project)
    assert len(read(edition(project).target).cells) == 6


def test_check_lists_what_ran_against_other_code_and_the_build_keeps_its_outputs(project, capsys):
    pretend_to_execute(project, fingerprint="of long ago")
    found = lines(project, capsys)
    assert len(found) == 4
    assert all("was executed against other code; run 'make notebooks'" in line for line in found)
    before = [path.read_bytes() for path in project.stored()]
    run(project)
    assert [path.read_bytes() for path in project.stored()] == before


def test_check_lists_notebooks_without_a_source_and_sources_without_a_notebook(project, capsys):
    pretend_to_execute(project)
    stray = project.notebooks / "pytorch" / "99_old.ipynb"
    stray.write_bytes(edition(project).target.read_bytes())
    (project.notebooks / "src" / "topic.py").write_text("# %%\nx = 1\n")
    assert lines(project, capsys) == [
        "notebooks/src/topic.py is not named NN_topic.py; no notebook is built from it",
        "notebooks/pytorch/99_old.ipynb has no source in notebooks/src;"
        " add one or delete the notebook",
    ]
    run(project)
    assert stray.exists()


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_chapter_that_cannot_be_built_is_named(project, capsys, arguments):
    source = edition(project).source
    source.write_text('# %% tags=["include"]\n# shopkit.core: nothing\n')
    assert run(project, *arguments) == 1
    assert capsys.readouterr().out == (
        "notebooks/src/03_topic.py cell 1: shopkit.core has no 'nothing'\n"
    )


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("课程 ü", {"LC_ALL": "C"}),
        ("folder", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),  # true ASCII
    ],
)
def test_builds_under_any_locale_in_a_folder_of_any_name(tmp_path, monkeypatch, name, locale):
    folder = tmp_path / name
    project = make_project(folder, monkeypatch)
    program = (
        "import os, sys; from pathlib import Path; from companion.course import build, project;"
        "p = project.Project(Path(os.environ['FOLDER']), 'shopkit');"
        "sys.exit(build.main([], p) or build.main([], p))"
    )
    paths = {"FOLDER": str(folder), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, "-c", program]
    environment = {**os.environ, **locale, **paths}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == "4 notebooks, all up to date"
    assert read(edition(project).target).cells[0].source == (
        "# 3 · Vergleich “naïve” 推荐\n**Question.** What comes next?"
    )
