"""Weights of any model by name, in PyTorch. Twin: companion/tensorflow/named_weights.py.

A name is the path of attributes to a layer, then the array: "encoder/blocks/0/wide/kernel". The
arrays have one layout for both frameworks, which is Keras's: kernels [in, out], those of a
convolution [width, in, out]; a table has a row of zeros for padding. Gates: see
companion/core/checkpoint.py; those of an LSTM are input, forget, candidate, output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from companion.core.checkpoint import check_weights
from companion.pytorch.encoders import ItemEmbedding

Layer = nn.Module  # by one name in both frameworks


class _Layout(NamedTuple):
    """How one array of the exchange format is made from PyTorch's, and back."""

    name: str
    natives: tuple[str, ...]
    there: Callable[..., np.ndarray]
    back: Callable[[np.ndarray], tuple[np.ndarray, ...]]


def _swap_gates(gates: np.ndarray) -> np.ndarray:
    """Reset, update, candidate (PyTorch) <-> update, reset, candidate (exchange): [..., 3H]."""
    first, second, candidate = np.split(gates, 3, -1)
    return np.concatenate([second, first, candidate], -1)


def _plain(name: str, native: str) -> _Layout:
    return _Layout(name, (native,), lambda a: a, lambda a: (a,))


def _turned(name: str, native: str) -> _Layout:
    """All axes the other way round: [out, in] <-> [in, out]."""
    return _Layout(name, (native,), lambda a: a.T, lambda a: (a.T,))


def _gated(name: str, native: str) -> _Layout:
    return _Layout(name, (native,), lambda a: _swap_gates(a.T), lambda a: (_swap_gates(a).T,))


_DENSE = (_turned("kernel", "weight"), _plain("bias", "bias"))
_GRU_BIAS = _Layout(
    "bias",
    ("bias_ih_l0", "bias_hh_l0"),
    lambda *both: _swap_gates(np.stack(both)),
    lambda a: tuple(_swap_gates(a)),
)
_LAYOUTS: dict[type[nn.Module], tuple[_Layout, ...]] = {
    nn.Linear: _DENSE,
    nn.Conv1d: _DENSE,
    nn.LayerNorm: (_plain("gamma", "weight"), _plain("beta", "bias")),
    nn.LSTM: (
        _turned("kernel", "weight_ih_l0"),
        _turned("recurrent_kernel", "weight_hh_l0"),
        _plain("bias", "bias_ih_l0"),
    ),
    nn.GRU: (
        _gated("kernel", "weight_ih_l0"),
        _gated("recurrent_kernel", "weight_hh_l0"),
        _GRU_BIAS,
    ),
    ItemEmbedding: (
        _Layout("table", ("rows",), lambda a: np.pad(a, [(1, 0), (0, 0)]), lambda a: (a[1:],)),
    ),
}


def _arrays(model: nn.Module, path: str = "") -> Iterator[tuple[str, _Layout, list[nn.Parameter]]]:
    """Name, layout and parameters of each array."""
    for layout in _LAYOUTS.get(type(model), ()):
        native = [model.get_parameter(name) for name in layout.natives]
        yield path + layout.name, layout, native
    if type(model) in _LAYOUTS:
        return
    for name, parameter in model.named_parameters(recurse=False):
        yield path + name, _plain(name, name), [parameter]
    for name, part in model.named_children():
        yield from _arrays(part, f"{path}{name}/")


def get_weights(model: Layer) -> dict[str, np.ndarray]:
    """Copies of a model's weights in the exchange format, in order of their names."""
    return _named(model, {id(p): p for p in model.parameters()})


@torch.no_grad()
def set_weights(model: Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Puts weights into a model; `get_weights` the other way round.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, {name: value.shape for name, value in get_weights(model).items()})
    for name, layout, native in _arrays(model):
        for parameter, value in zip(native, layout.back(weights[name]), strict=True):
            parameter.copy_(torch.tensor(np.ascontiguousarray(value)))


def gradients(model: Layer, loss: Callable[[], Tensor]) -> dict[str, np.ndarray]:
    """The gradient of loss() by each weight, by the names of `get_weights`; 0 where it has none."""
    learnt = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss(), learnt, materialize_grads=True)
    return _named(model, {id(p): g for p, g in zip(learnt, found, strict=True)})


def _named(model: nn.Module, values: Mapping[int, Tensor]) -> dict[str, np.ndarray]:
    """Values of parameters, by their ids -> arrays in the exchange format."""
    found = {}
    for name, layout, native in _arrays(model):
        arrays = [values[id(p)].detach().cpu().numpy() for p in native]
        found[name] = layout.there(*arrays).copy()
    return dict(sorted(found.items()))
