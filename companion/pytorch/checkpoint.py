"""Weights of a PyTorch model in the exchange format. Twin: companion/tensorflow/checkpoint.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from companion.core.checkpoint import check_weights, load, save

if TYPE_CHECKING:
    from companion.pytorch.recommend import NextBasketModel

__all__ = ["load", "load_into", "save", "weights_of"]


def weights_of(model: NextBasketModel) -> dict[str, np.ndarray]:
    """Copies of a model's weights: names free of any framework, kernels [in, out]."""
    return from_native(dict(model.named_parameters()))


@torch.no_grad()
def load_into(model: NextBasketModel, weights: Mapping[str, np.ndarray]) -> None:
    """Puts weights into a model; `weights_of` the other way round.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, {name: value.shape for name, value in weights_of(model).items()})
    bias = _swap_gates(weights["gru/bias"])  # [2, 3H]
    native = {
        "embedding.rows": weights["embedding/table"][1:],
        "encoder.gru.weight_ih_l0": _swap_gates(weights["gru/kernel"]).T,
        "encoder.gru.weight_hh_l0": _swap_gates(weights["gru/recurrent_kernel"]).T,
        "encoder.gru.bias_ih_l0": bias[0],
        "encoder.gru.bias_hh_l0": bias[1],
        "features.weight": weights["features/kernel"].T,
        "features.bias": weights["features/bias"],
        "projection.weight": weights["projection/kernel"].T,
        "projection.bias": weights["projection/bias"],
        "bias": weights["output/bias"],
    }
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.tensor(native[name]))


def from_native(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Weights, or their gradients, from PyTorch's names and layout to the exchange format."""
    native = {k: t.detach().cpu().numpy() for k, t in tensors.items()}
    both = np.stack([native["encoder.gru.bias_ih_l0"], native["encoder.gru.bias_hh_l0"]])
    weights = {
        "embedding/table": np.pad(native["embedding.rows"], [(1, 0), (0, 0)]),
        "gru/kernel": _swap_gates(native["encoder.gru.weight_ih_l0"].T),
        "gru/recurrent_kernel": _swap_gates(native["encoder.gru.weight_hh_l0"].T),
        "gru/bias": _swap_gates(both),
        "features/kernel": native["features.weight"].T,
        "features/bias": native["features.bias"],
        "projection/kernel": native["projection.weight"].T,
        "projection/bias": native["projection.bias"],
        "output/bias": native["bias"],
    }
    return {name: value.copy() for name, value in weights.items()}


def _swap_gates(gates: np.ndarray) -> np.ndarray:
    """Reset, update, candidate (PyTorch) <-> update, reset, candidate (exchange): [..., 3H]."""
    first, second, candidate = np.split(gates, 3, -1)
    return np.concatenate([second, first, candidate], -1)
