"""Seeds, devices, threads and silence. TensorFlow fixes much once, so new processes test it."""

import importlib.util
import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from companion.core.runtime import Runtime, choose_device, silent_stderr

FRAMEWORKS = ["pytorch", "tensorflow"]
VARIABLES = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OMP_NUM_THREADS", "KERAS_BACKEND")


def twin(framework):
    library = "torch" if framework == "pytorch" else framework
    if importlib.util.find_spec(library) is None:  # not imported: the package does that first
        pytest.skip(f"{library} is not installed")
    return importlib.import_module(f"companion.{framework}")


def run(code, **variables):
    """A new Python, without the variables that the Makefile sets; its output."""
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES} | variables
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_one_line_says_where_it_runs():
    runtime = Runtime("PyTorch", "2.13.0", "CPU", 1, 0, device_note="no GPU found")
    assert str(runtime) == "PyTorch 2.13.0 on CPU (no GPU found), 1 thread, seed 0"
    runtime = Runtime("TensorFlow", "2.21.0", "H100", 2, 3, thread_note="1 asked for")
    assert str(runtime) == "TensorFlow 2.21.0 on H100, 2 threads (1 asked for), seed 3"


def test_the_device_is_chosen_and_explained():
    assert choose_device("auto", None) == ("CPU", "no GPU found")
    assert choose_device("auto", "H100") == ("H100", "")
    assert choose_device("gpu", "H100") == ("H100", "")
    assert choose_device("cpu", "H100") == ("CPU", "as asked")
    with pytest.raises(RuntimeError, match="no GPU found"):
        choose_device("gpu", None)
    with pytest.raises(ValueError, match="Apple"):
        choose_device("mps", None)
    with pytest.raises(ValueError, match="'tpu'"):
        choose_device("tpu", None)


def test_stderr_is_silent_and_always_comes_back(capfd):
    def fail():
        with silent_stderr():
            os.write(2, b"hidden")
            raise OSError("seen by the caller")

    with pytest.raises(OSError, match="seen by the caller"):
        fail()
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_setup_twice_is_the_same(framework, capfd):
    setup = twin(framework).setup
    with warnings.catch_warnings():
        first, second = setup(0), setup(0)
    assert first == second
    written = capfd.readouterr()
    assert written.out == f"{first}\n{first}\n"
    assert written.err == ""


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**32}, {"seed": 0, "threads": 0}])
def test_settings_out_of_range_are_refused(framework, wrong):
    with pytest.raises(ValueError, match="must be"):
        twin(framework).setup(**wrong)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_setup_seeds_the_framework(framework):
    module = twin(framework)
    with warnings.catch_warnings():
        tables = []
        for seed in (5, 5, 6):
            module.setup(seed)
            table = module.ItemEmbedding(4, 2).table()
            tables.append(np.asarray(table.detach() if framework == "pytorch" else table))
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0][1:] != tables[2][1:]).all()


def test_a_runtime_warning_in_the_package_is_an_error():
    code = """
    import warnings
    from companion.core.runtime import strict_warnings
    strict_warnings(); strict_warnings()
    line = compile("warnings.warn('0 / 0', RuntimeWarning)", "x", "exec")
    exec(line, {"__name__": "elsewhere", "warnings": warnings})
    try:
        exec(line, {"__name__": "companion.metrics", "warnings": warnings})
    except RuntimeWarning:
        print("error")
    """
    assert run(code).stdout == "error\n"


TRAIN = """
    import numpy as np
    from companion.{framework} import NextBasketLearner, setup
    from companion.recommenders.next_basket import NextBasketBatch, NextBasketConfig
    setup(0)
    items = np.full((2, 3, 1), 2, np.int32)
    batch = NextBasketBatch(items, np.zeros((2, 1), np.float32), items)
    for seed in range(6):  # TensorFlow would warn of the fifth
        learner = NextBasketLearner(NextBasketConfig(), num_items=5, num_features=1, seed=seed)
        learner.scores(batch)
    learner.update(batch)
    import sys
    assert {other!r} not in sys.modules
"""


@pytest.mark.parametrize(
    ("framework", "other"), [("pytorch", "tensorflow"), ("tensorflow", "torch")]
)
def test_a_twin_runs_without_a_line_on_stderr_and_without_the_other(framework, other):
    twin(framework)
    done = run(TRAIN.format(framework=framework, other=other))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert " on " in done.stdout


def test_tensorflow_says_so_when_the_threads_are_fixed_already():
    twin("tensorflow")
    code = """
    from companion.tensorflow import setup
    setup(0, 2); setup(0, 1); setup(0, 2)
    import keras
    print(keras.config.backend())
    """
    done = run(code, KERAS_BACKEND="torch")  # what the shell says of Keras does not count
    first, second, third, backend = done.stdout.splitlines()
    assert backend == "tensorflow"
    assert first == third
    assert ", 2 threads, " in first
    assert ", 2 threads (1 asked for; restart Python to change it), " in second
    assert done.stderr == ""


def test_tensorflow_in_use_before_the_package_is_tolerated():
    twin("tensorflow")
    code = """
    import tensorflow as tf
    tf.zeros(1) + 1
    from companion.tensorflow import setup
    print(setup(0, 1).framework)
    """
    done = run(code)
    assert done.stdout.endswith("TensorFlow\n"), done.stderr


def test_keras_on_another_backend_is_a_clear_error():
    twin("tensorflow")
    twin("pytorch")
    done = run("import keras; import companion.tensorflow", KERAS_BACKEND="torch")
    assert "Keras already runs on another backend" in done.stderr


def test_memory_growth_is_set_once_and_refusal_is_tolerated(monkeypatch):
    """There is no GPU on most machines, so TensorFlow's answers are played here (TF-05)."""
    twin("tensorflow")
    import tensorflow as tf

    from companion.tensorflow import start

    asked = []

    def refuse(gpu, value):
        asked.append((gpu, value))
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    gpu = object()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    importlib.reload(start)
    assert asked == [(gpu, True)]
