"""All weights of a small network in one array: one call where there was one for each layer."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from companion.core.checkpoint import check_weights, unflatten

BETA1, BETA2 = 0.9, 0.999  # of Adam: Kingma and Ba (2015)


def flatten(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Moves a model's parameters, and their gradients, into one array each.

    The parameters stay what they were, as views: whoever changes the array changes the model.

    Returns:
        The weights and the gradients, [W] each, in the order of `model.parameters()`.
    """
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])  # [W]
    gradients = torch.zeros_like(flat)
    weights, slopes = views(flat, model), views(gradients, model)
    for name, p in model.named_parameters():
        p.data, p.grad = weights[name], slopes[name]
    return flat, gradients


def views(flat: Tensor, model: nn.Module) -> dict[str, Tensor]:
    """[W] -> its pieces in the shapes and under the names of the parameters; shared memory."""
    parameters = dict(model.named_parameters())
    pieces = flat.split([p.numel() for p in parameters.values()])
    shaped = (piece.view_as(p) for piece, p in zip(pieces, parameters.values(), strict=True))
    return dict(zip(parameters, shaped, strict=True))


def named_views(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """[W] -> views by name, kernels [in, out]; PyTorch keeps them as [out, in]."""
    native = {name: shape[::-1] for name, shape in shapes.items()}
    return {name: value.T for name, value in unflatten(flat, native).items()}


def named(flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """[W] -> copies by name, kernels [in, out]."""
    return {name: value.copy() for name, value in named_views(flat.cpu().numpy(), shapes).items()}


@torch.no_grad()
def assign(
    flat: Tensor, weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Takes over what `named` gave.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, shapes)
    flat.copy_(torch.tensor(np.concatenate([weights[name].T.ravel() for name in shapes])))


class FlatAdam:
    """Adam over one array, by PyTorch's fused kernel; the gradient's length is limited before.

    Args:
        weights: [W], changed in place.
        gradients: [W].
        learning_rate: the step's size.
        epsilon: added to the root of the second moment.
        max_norm: the longest gradient that is used whole, or None.
    """

    def __init__(
        self,
        weights: Tensor,
        gradients: Tensor,
        *,
        learning_rate: float,
        epsilon: float,
        max_norm: float | None,
    ):
        self._weights, self._gradients, self._max_norm = weights, gradients, max_norm
        self._rate, self._epsilon = learning_rate, epsilon
        self.steps = torch.zeros((), device=weights.device)
        self.moments = {"first": torch.zeros_like(weights), "second": torch.zeros_like(weights)}

    @torch.no_grad()
    def step(self) -> None:
        """One step from the gradients as they stand."""
        if self._max_norm is not None:
            norm = torch.linalg.vector_norm(self._gradients)
            self._gradients.mul_((self._max_norm / (norm + 1e-6)).clamp(max=1.0))
        adam(  # the function: the class around it takes nearly as long as the step
            [self._weights],
            [self._gradients],
            [self.moments["first"]],
            [self.moments["second"]],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=self._rate,
            weight_decay=0.0,
            eps=self._epsilon,
            maximize=False,
        )
