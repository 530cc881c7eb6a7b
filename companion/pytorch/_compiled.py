"""Several updates of a network in one call of torch.compile.

The compiler wants a function without side effects: weights and moments in, new ones out. The
gradient comes from `torch.func`, the step of Adam is written out. The first call takes from ten
seconds to a minute.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from companion.pytorch._flat import BETA1, BETA2, FlatAdam, views
from companion.rl.dqn import DQNConfig
from companion.rl.replay import Batch


def compiled_updates(
    network: nn.Module, flat: tuple[Tensor, Tensor], adam: FlatAdam, loss: Any, config: DQNConfig
) -> Callable[[list[Batch[Tensor]]], Tensor]:
    """A function that makes one update for each batch and returns the TD errors, [K, B].

    Args:
        network: gives the shapes.
        flat: all weights of the online and of the target network, [W] each.
        adam: its moments and its count of steps are moved on.
        loss: (online, target, batch, config) -> the loss, and the TD errors.
        config: settings.
    """
    weights, target = flat
    skeleton = network.to("meta")  # shapes without numbers

    def values(weights: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda obs: functional_call(skeleton, views(weights, skeleton), (obs,))

    def of_weights(weights: Tensor, target: Tensor, batch: Batch[Tensor]) -> tuple[Tensor, Tensor]:
        return loss(values(weights), values(target), batch, config)

    def updates(
        batches: list[Batch[Tensor]], target: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, ...]:
        errors = []
        steps, weights, first, second = state
        for batch in batches:
            gradient, error = grad(of_weights, has_aux=True)(weights, target, batch)
            errors.append(error)
            steps = steps + 1
            weights, first, second = adam_step(weights, first, second, gradient, steps, config)
        return torch.stack(errors), steps, weights, first, second

    run = torch.compile(updates, dynamic=False, fullgraph=True)

    @torch.no_grad()
    def update(batches: list[Batch[Tensor]]) -> Tensor:
        old = [adam.steps, weights, *adam.moments.values()]
        errors, *new = run(batches, target, old)
        for into, value in zip(old, new, strict=True):
            into.copy_(value)
        return errors

    return update


def adam_step(
    weights: Tensor, first: Tensor, second: Tensor, g: Tensor, steps: Tensor, config: DQNConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """g <- g min(1, c / |g|);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2

    w <- w - a (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
    """
    if config.max_gradient_norm is not None:
        norm = g.square().sum().sqrt()
        g = g * (config.max_gradient_norm / (norm + 1e-6)).clamp(max=1.0)
    first = BETA1 * first + (1 - BETA1) * g
    second = BETA2 * second + (1 - BETA2) * g.square()
    rate = config.learning_rate / (1 - BETA1**steps)
    size = (second / (1 - BETA2**steps)).sqrt() + config.adam_epsilon
    return weights - rate * first / size, first, second
