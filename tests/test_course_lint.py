"""Each rule of the course: a chapter that keeps them all, and one that breaks just this one."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from test_course_project import make_project

from companion.course import lint
from companion.course.project import Project
from companion.course.rules import outputs
from companion.course.rules.budget import count_words

PNG = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
STEP = "obs, reward, terminated, truncated, info = env.step(0)"
LOOP = f"""\
terminated = truncated = False
while not (terminated or truncated):
    {STEP}
    obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())"""


def prose(text="A sentence."):
    return new_markdown_cell(text)


def code(text, *tags, out=(), count=1):
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(text, metadata=metadata, outputs=list(out), execution_count=count)


def said(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def shown(data):
    return new_output("display_data", data=data)


def chapter():
    """A notebook in which every rule is kept. Cell 6 is an ordinary one, to be changed."""
    cells = [
        prose("# 3 · Title\n**Question.** Why?"),
        code("SEED = 0\nROUNDS = 10  # a report: 1000", "parameters"),
        code("import numpy as np\nimport gymnasium as gym\nsetup(SEED)"),
        code("rng = np.random.default_rng(SEED)\nenv = gym.make('CartPole-v1')"),
        prose(),
        code("x = rng.random()"),
        prose(),
        code("obs, info = env.reset(seed=SEED)\n" + LOOP),
        prose(),
        code("np.arange(3)", "nbval-check-output", out=[said("array([0, 1, 2])\n")]),
        prose(),
        code("plot()", out=[shown(PNG)]),
        prose("It rises."),
        code("check('03.1', f)", out=[said("03.1: not yet.\n")]),
        prose("## Summary\n- one"),
        code("record('regret', x)"),
        *[prose() for _ in range(10)],
    ]
    for number, cell in enumerate(cells):
        cell.id = f"c{number}"
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "companion": {"seconds": 12},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


@pytest.fixture
def found(tmp_path):
    """Lints a notebook and gives (cell, rule) of each finding."""

    def run(notebook, folder="pytorch"):
        path = tmp_path / folder / "03_topic.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
        return [(finding.cell, finding.rule) for finding in lint.lint(path)]

    return run


def changed(text, *tags, out=()):
    """The good chapter with another cell 6."""
    notebook = chapter()
    notebook.cells[5] = code(text, *tags, out=out)
    notebook.cells[5].id = "changed"
    return notebook


@pytest.mark.parametrize("folder", ["pytorch", "tensorflow", "pytorch/solutions"])
def test_a_good_chapter_has_no_findings(found, folder):
    assert found(chapter(), folder) == []


# Structure


def test_another_kernel_and_no_kernel_are_found(found):
    notebook = chapter()
    notebook.metadata["kernelspec"]["name"] = "conda-env-rlrec-py"
    assert found(notebook) == [(None, "kernel")]
    del notebook.metadata["kernelspec"]
    assert found(notebook) == [(None, "kernel")]


def test_missing_and_double_ids_are_found(found):
    notebook = chapter()
    notebook.cells[7].id = notebook.cells[3].id
    assert found(notebook) == [(8, "id")]
    del notebook.cells[7]["id"]
    assert found(notebook) == [(8, "id")]
    assert found(notebook, "pytorch/solutions") == [(8, "id")]


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_what_cannot_be_read_is_a_finding(tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    assert [finding.rule for finding in lint.lint(path)] == ["readable"]


# The budget


@pytest.mark.parametrize(("count", "rules"), [(24, ["cells"]), (25, []), (45, []), (46, ["cells"])])
def test_cells_are_25_to_45(found, count, rules):
    notebook = chapter()
    notebook.cells = (notebook.cells + [prose() for _ in range(30)])[:count]
    assert [rule for _, rule in found(notebook)] == rules


def test_words_are_at_most_1800(found):
    notebook = chapter()
    others = sum(count_words(c.source) for c in notebook.cells if c.cell_type == "markdown")
    notebook.cells[4].source += " word" * (1800 - others)
    assert found(notebook) == []
    notebook.cells[4].source += " more"
    assert found(notebook) == [(None, "words")]


def test_markup_is_not_counted_as_words():
    assert count_words("# The *one* | <details open> two </details> - x < 3") == 5


def test_a_cell_has_at_most_30_lines_and_blank_ones_are_free(found):
    assert found(changed("\n\n".join(["x = 1"] * 30))) == []
    assert found(changed("\n".join(["x = 1"] * 31))) == [(6, "cell-lines")]


def test_lines_of_code_are_at_most_160(found):
    notebook = chapter()
    others = sum(len(c.source.split("\n")) for c in notebook.cells if c.cell_type == "code")
    rest = 160 - others
    for number in range(17, 26, 2):
        lines = min(30, rest)
        rest -= lines
        notebook.cells[number] = code("\n".join(["x = 1"] * lines))
    assert rest == 0
    assert found(notebook) == []
    notebook.cells[5].source += "\ny = 1"
    assert found(notebook) == [(None, "lines")]


def test_a_file_has_at_most_150_kilobytes(found):
    image = {"image/png": "A" * 145_000, "text/plain": ""}
    notebook = chapter()
    notebook.cells[11].outputs = [shown(image)]
    assert found(notebook) == []
    image["image/png"] += "A" * 5_000
    notebook.cells[11].outputs = [shown(image)]
    assert found(notebook) == [(None, "bytes")]


def test_a_run_takes_at_most_40_seconds_and_has_been(found):
    notebook = chapter()
    for seconds, rules in ((40, []), (41, [(None, "seconds")])):
        notebook.metadata["companion"]["seconds"] = seconds
        assert found(notebook) == rules
    del notebook.metadata["companion"]
    assert found(notebook) == [(None, "seconds")]


def test_the_parameters_are_tagged_once(found):
    notebook = chapter()
    notebook.cells[5].metadata["tags"] = ["parameters"]
    assert found(notebook) == [(None, "parameters")]
    for number in (1, 5):
        notebook.cells[number].metadata.pop("tags")
    # Without its tag, the cell is also a code cell right before another.
    assert (None, "parameters") in found(notebook)


def test_the_parameters_have_at_most_8_lines(found):
    notebook = chapter()
    notebook.cells[1].source = "\n".join(f"A{i} = {i}" for i in range(8))
    assert found(notebook) == []
    notebook.cells[1].source += "\nB = 1"
    assert found(notebook) == [(2, "parameters")]


def test_prose_stands_between_code_cells(found):
    notebook = chapter()
    notebook.cells[6] = code("y = 1")
    assert found(notebook) == [(7, "prose"), (8, "prose")]


@pytest.mark.parametrize(
    ("source", "setup"),
    [
        ("import numpy as np\nfrom a import b\nsetup(SEED)", True),
        ("import numpy as np\nsetup(SEED)", True),
        ("import numpy as np\nx = 1\ny = 2", False),
        ("x = 1\nimport numpy as np", False),
        ("x = 1", False),
    ],
)
def test_cells_that_set_up_need_no_prose(found, source, setup):
    notebook = chapter()
    notebook.cells[6] = code(source)
    assert (found(notebook) == []) is setup


def test_the_budget_and_the_order_are_not_asked_of_solved_editions(found):
    notebook = chapter()
    notebook.cells = notebook.cells[3:6]
    del notebook.metadata["companion"]
    rules = {rule for _, rule in found(notebook)}
    assert rules == {
        *("cells", "seconds", "parameters", "title", "summary", "check", "record", "compared")
    }
    assert found(notebook, "pytorch/solutions") == []


# The order


@pytest.mark.parametrize(
    "first", [prose("3 · Title, Question"), prose("# 3 · Title"), code("# 3 Question")]
)
def test_the_first_cell_is_a_title_with_a_question(found, first):
    notebook = chapter()
    notebook.cells[0] = first
    assert found(notebook) == [(1, "title")]


def test_there_is_a_summary_an_exercise_a_result_and_a_compared_output(found):
    for number, source, rule in (
        (14, "In summary, nothing.", "summary"),
        (13, "checks = 1  # check('03.1', f)", "check"),
        (15, "a.record = 1", "record"),
    ):
        notebook = chapter()
        notebook.cells[number].source = source
        assert found(notebook) == [(None, rule)]
    notebook = chapter()
    notebook.cells[9].metadata.pop("tags")
    assert found(notebook) == [(None, "compared")]


@pytest.mark.parametrize("folder", ["pytorch", "pytorch/solutions"])
@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml"])
def test_a_sentence_reads_each_figure(found, folder, kind):
    notebook = chapter()
    notebook.cells[11].outputs = [shown({kind: "x"})]
    assert found(notebook, folder) == []
    notebook.cells[12] = code("import json")
    assert found(notebook, folder) == [(12, "figure")]


def test_a_figure_at_the_end_is_read_by_nothing(found):
    notebook = chapter()
    notebook.cells[-1] = code("plot()", out=[shown(PNG)])
    assert found(notebook) == [(26, "figure")]


# Outputs


@pytest.mark.parametrize("folder", ["pytorch", "pytorch/solutions"])
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("100%|##########| 3/3 [00:00<00:00, 999.99it/s]", "bar"),
        ("3it [00:01,  2.5it/s]", "bar"),
        ("10/10 ━━━━━━━━━━ 0s", "bar"),
        ("10/10 - 0s - 12ms/step", "bar"),
        ("epoch 1\repoch 2\n", "bar"),
        ("<function f at 0x7f3a2b1c>", "address"),
        ("0x7f3a2b1c4d5e", "address"),
        ("\x1b[31mred\x1b[0m", "ansi"),
        ("saved to /home/anna/model.npz", "path"),
        ("'/tmp/x'", "path"),
        ("C:\\Users\\anna", "path"),
        ("/Users/anna/course", "path"),
        ("File ~/course/a.py:3", "path"),
        (f"in {outputs.ROOT}", "path"),
    ],
)
def test_noise_in_an_output_is_found(found, folder, text, rule):
    assert found(changed("f()", out=[said(text)]), folder) == [(6, rule)]
    assert found(changed("f()", out=[shown({"text/html": text})]), folder) == [(6, rule)]
    error = new_output("error", ename="E", evalue="", traceback=[text])
    assert found(changed("f()", "raises-exception", out=[error]), folder) == [(6, rule)]


@pytest.mark.parametrize(
    "text",
    [
        "loss 0.5, 50 % | 3/3, 12 it",
        "windows\r\nline",
        "0xff",
        "GET /v1/recommend and data/sample/events.csv",
        "https://example.org/home/page",
        "<td>a</td><tmp></tmp/x>",
        "a ratio of 1/2 or 3 m/s",
    ],
)
def test_what_only_looks_like_noise_is_not(found, text):
    assert found(changed("f()", out=[said(text)])) == []


def test_stderr_is_never_stored(found):
    assert found(changed("f()", out=[said("old flag\n", "stderr")])) == [(6, "stderr")]


def test_the_case_of_a_bar_and_a_warning_on_stderr(found):
    bar = "100%|##########| 3/3 [00:00<00:00, 999.99it/s]\n"
    notebook = changed("f()", out=[said(bar, "stderr"), said("loss 0.5\n")])
    assert found(notebook) == [(6, "stderr"), (6, "bar")]


def test_a_widget_is_a_bar_too(found):
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}
    assert found(changed("f()", out=[shown(widget)])) == [(6, "bar")]


def test_a_compared_output_is_there_and_round(found):
    tag = "nbval-check-output"
    assert found(changed("x", tag, out=[said("0.548814 [1.25 3.]")])) == []
    assert found(changed("x", tag, out=[said("0.5488135039273248")])) == [(6, "digits")]
    assert found(changed("x", out=[said("0.5488135039273248")])) == []
    assert found(changed("x = 1", tag)) == [(6, "compared")]


def test_nothing_is_asked_of_outputs_before_the_first_run(found):
    notebook = changed("x = 1", "nbval-check-output")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    assert found(notebook) == []


# Code


@pytest.mark.parametrize("folder", ["pytorch", "pytorch/solutions"])
@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import gym", "import"),
        ("import gym.spaces as s", "import"),
        ("from gym import make", "import"),
        ("from gym.envs import registration", "import"),
        ("import recsim", "import"),
        ("from tf_agents.agents import dqn", "import"),
        ("import tf_keras", "import"),
        ("next_state, reward, done, info = env.step(0)", "four"),
        ("a, b, c, d = self.env.step(0)", "four"),
        ("obs, reward, terminated, _, info = env.step(0)", "truncated"),
        ("obs, reward, terminated, _truncated, _ = env.step(0)", "truncated"),
        ("obs, reward, terminated, *_ = env.step(0)", "truncated"),
        ("obs, *rest = env.step(0)", "truncated"),
        ("obs = env.step(0)[0]", "truncated"),
        (f"terminated = False\nwhile not terminated:\n    {STEP}", "truncated"),
        (f"for _ in range(9):\n    {STEP}", "truncated"),
        ("env.seed(0)", "env-seed"),
        ("train_env.seed(0)", "env-seed"),
        ("self.envs.seed([0])", "env-seed"),
        ("import os\nos.environ['TF_USE_LEGACY_KERAS'] = '1'", "legacy-keras"),
        ("%matplotlib inline", "python"),
        ("import tensorflow as tf", "framework"),
        ("from keras import layers", "framework"),
        ("from companion.tensorflow import dqn", "framework"),
        ("from companion import tensorflow", "framework"),
    ],
)
def test_code_of_another_day_is_found(found, folder, source, rule):
    assert found(changed(source), folder) == [(6, rule)]


@pytest.mark.parametrize(
    "source",
    [
        "import gymnasium as gym",
        "from gymnasium import make",
        "from companion.pytorch import dqn\nimport torch",
        STEP,
        LOOP,
        f"for _ in range(9):\n    {STEP}\n    if terminated or truncated:\n        break",
        "step = env.step(0)",
        "obs, reward, terminated, truncated, *rest = env.step(0)",
        "optimizer.step()",
        "loss, norm = learner.step(batch)",
        "env.action_space.seed(0)",
        "env.reset(seed=0)",
        "random.seed(0)",
    ],
)
def test_code_of_today_is_let_pass(found, source):
    assert found(changed(source)) == []


def test_the_tensorflow_edition_imports_no_torch(found):
    for source in ("import torch.nn as nn", "from companion.pytorch.dqn import td_loss"):
        assert found(changed(source), "tensorflow") == [(6, "framework")]
    source = "import tensorflow as tf\nimport keras\nfrom companion.tensorflow import dqn"
    assert found(changed(source), "tensorflow/solutions") == []


def test_a_line_may_be_wrong_on_purpose_and_its_neighbour_may_not(found):
    wrong = "obs, reward, done, info = env.step(0)"
    assert found(changed(f"{wrong}  # wrong on purpose: four values")) == []
    assert found(changed(f"x = 1  # wrong on purpose\n{wrong}")) == [(6, "four")]
    assert found(changed("np.random.rand()  # wrong on purpose")) == []


def test_the_case_of_a_loop_that_never_sees_truncated(found):
    source = (
        "obs, _ = env.reset(seed=0)\ndone, steps = False, 0\n"
        "while not done and steps < 1000:\n"
        "    obs, r, done, _, _ = env.step(env.action_space.sample())\n    steps += 1\nprint(steps)"
    )
    assert found(changed(source)) == [(6, "truncated")]


# Random numbers


@pytest.mark.parametrize("folder", ["pytorch", "pytorch/solutions"])
@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("np.random.rand()", "legacy-random"),
        ("np.random.seed(0)", "legacy-random"),
        ("np.random.RandomState(0)", "legacy-random"),
        ("import numpy\nnumpy.random.normal(size=3)", "legacy-random"),
        ("from numpy.random import rand as r\nr()", "legacy-random"),
        ("from numpy import random as npr\nnpr.shuffle(x)", "legacy-random"),
        ("np.random.default_rng()", "no-seed"),
        ("np.random.default_rng(None)", "no-seed"),
        ("np.random.default_rng(seed=None)", "no-seed"),
        ("from numpy.random import default_rng\ndefault_rng()", "no-seed"),
        ("np.random.Generator(np.random.PCG64())", "no-seed"),
        ("import random\nrandom.Random()", "no-seed"),
    ],
)
def test_a_random_number_without_a_seed_is_found_anywhere(found, folder, source, rule):
    assert found(changed(source), folder) == [(6, rule)]


@pytest.mark.parametrize(
    "source",
    [
        "np.random.default_rng(SEED).random()",
        "np.random.default_rng([0, 1])",
        "np.random.default_rng(seed=0)",
        "np.random.Generator(np.random.PCG64(1))",
        "def f(rng: np.random.Generator): return rng.random()",
        "import random\nrandom.random()",
        "import torch\ntorch.rand(3)",
    ],
)
def test_seeded_and_uncompared_random_numbers_are_let_pass(found, source):
    assert found(changed(source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.random()",
        "from random import choice\nchoice([1, 2])",
        "import torch\ntorch.randn(3)",
        "import torch\ntorch.multinomial(p, 1)",
        "env.action_space.sample()",
    ],
)
def test_shared_state_in_a_compared_cell_is_found(found, source):
    notebook = changed(source, "nbval-check-output", out=[said("1")])
    assert found(notebook) == [(6, "unseeded")]


def test_tensorflows_shared_state_in_a_compared_cell_is_found(found):
    for call in ("tf.random.normal([3])", "tf.keras.random.normal([3])"):
        source = f"import tensorflow as tf\n{call}"
        notebook = changed(source, "nbval-check-output", out=[said("1")])
        assert found(notebook, "tensorflow") == [(6, "unseeded")]
    source = "import keras\nkeras.random.normal([3], seed=1)"
    notebook = changed(source, "nbval-check-output", out=[said("1")])
    assert found(notebook, "tensorflow") == []


@pytest.mark.parametrize(
    "source",
    [
        "rng.random()",
        "np.random.default_rng(0).random().round(6)",
        "import torch\ntorch.manual_seed(0)\ntorch.rand(3)",
        "import torch\ntorch.rand(3, generator=g)",
        "import random\nrandom.seed(0)\nrandom.random()",
        "setup(SEED)\nenv.action_space.sample()",
    ],
)
def test_a_seed_on_the_page_makes_a_compared_cell_right(found, source):
    assert found(changed(source, "nbval-check-output", out=[said("0.548814")])) == []


def test_the_case_of_random_numbers_in_compared_outputs(found):
    notebook = changed("np.random.rand()", "nbval-check-output", out=[said("0.548814")])
    assert found(notebook) == [(6, "legacy-random"), (6, "unseeded")]


# The command


def test_the_command_names_file_cell_and_rule_and_fails(tmp_path, monkeypatch, capsys):
    project = make_project(tmp_path, monkeypatch)
    assert lint.main([], project) == 0
    assert capsys.readouterr().out == "0 notebooks, no findings\n"
    target = project.editions()[0].target
    target.parent.mkdir()
    target.write_text(json.dumps(changed("env.seed(0)")), encoding="utf-8")
    assert lint.main([], project) == 1
    assert capsys.readouterr().out == (
        "notebooks/pytorch/03_topic.ipynb cell 6:"
        " an environment has no seed method; use reset(seed=...) [env-seed]\n"
    )
    target.write_text(json.dumps(chapter()), encoding="utf-8")
    assert lint.main([], project) == 0
    assert lint.main([str(target)], Project(tmp_path / "elsewhere")) == 0
