"""What the tests of both twins share."""

import importlib
import importlib.util

import numpy as np
import pytest

FRAMEWORKS = ["pytorch", "tensorflow"]


def load(framework, module=""):
    library = "torch" if framework == "pytorch" else framework
    if importlib.util.find_spec(library) is None:  # not imported: the package does that first
        pytest.skip(f"{library} is not installed")
    return importlib.import_module(f"companion.{framework}{module}")


def tensor(twin, array):
    if twin.__name__.endswith("pytorch"):
        return importlib.import_module("torch").tensor(array)
    return importlib.import_module("tensorflow").constant(array)


def array(value):
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def assert_same(one, other, atol=1e-5):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=atol, err_msg=name)


def assert_slopes(gradients, weights, loss, *, places=1, step=1e-5, atol=2e-4):
    """Each gradient is the slope of a NumPy loss, by differences in float64.

    At `places` random places of each array; `loss` takes all weights.
    """
    rng = np.random.default_rng(0)
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    assert gradients.keys() == wide.keys()
    for name, value in wide.items():
        for _ in range(places):
            place = tuple(rng.integers(size) for size in value.shape)
            ends = []
            for change in (step, -step):
                moved = value.copy()
                moved[place] += change
                ends.append(loss({**wide, name: moved}))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert gradients[name][place] == pytest.approx(slope, abs=atol), name
