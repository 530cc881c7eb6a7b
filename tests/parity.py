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
