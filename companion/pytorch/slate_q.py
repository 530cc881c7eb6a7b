"""SlateQ in PyTorch: a loss for `DQNLearner`. Twin: companion/tensorflow/slate_q.py."""

from functools import partial

import torch
from torch import Tensor

from companion.pytorch.dqn import Loss, QNetwork, td_loss
from companion.rl.replay import Batch
from companion.rl.slate_q import PageModel

Odds = tuple[Tensor, Tensor]  # of a click on each item [B, M] and of no click [B], up to a factor


def page_odds(utility: Tensor, mask: Tensor) -> Odds:
    """e^u and 1, both divided by the largest: no overflow. An item that is not allowed has 0.

    Odds below e^-80 of the largest count as that, so that no page's sum is 0 in float32.
    """
    top = torch.where(mask, utility, 0.0).amax(-1).clamp(min=0.0)  # [B]
    weight = (utility - top[:, None]).clamp(min=-80.0).exp()  # [B, M]
    return torch.where(mask, weight, 0.0), (-top).clamp(min=-80.0).exp()


def page_values(q: Tensor, odds: Odds, pages: Tensor, factors: Tensor) -> Tensor:
    """Q(s, A) = sum over j in A of p(j | s, A) Q(s, j) + p(none | s, A) Q(s, none).

    [B, M + 1], odds, [B, K] items of the pages, [K] factors of their places -> [B]
    """
    weight, one = odds
    clicked = weight.gather(-1, pages) * factors  # [B, K]
    total = (clicked * q.gather(-1, pages)).sum(-1) + one * q[:, -1]  # [B]
    return total / (clicked.sum(-1) + one)


def best_pages(q: Tensor, odds: Odds, mask: Tensor, model: PageModel) -> Tensor:
    """The K items with the largest Q(s, A), the largest factor's first: `envs.best_slate`. [B, K]

    It begins with the K largest values. Each round is one of Dinkelbach's, and a page is given up
    for a better one only. Where clicks are rare, three rounds are exact; where nearly every page
    is clicked, six are, but for a few rows in ten thousand.
    """
    factors = q.new_tensor(model.falling)  # [K]
    weight, value = odds[0], torch.where(mask, q[:, :-1], -torch.inf)  # [B, M]
    pages = value.topk(model.slate_size).indices  # [B, K], the largest first
    worth = page_values(q, odds, pages, factors)  # [B]
    for _ in range(model.rounds):
        gain = torch.where(mask, weight * (q[:, :-1] - worth[:, None]), -torch.inf)  # [B, M]
        found = gain.topk(model.slate_size).indices  # [B, K]
        reached = page_values(q, odds, found, factors)  # [B]
        pages = torch.where((reached > worth)[:, None], found, pages)
        worth = torch.maximum(worth, reached)
    return pages


@torch.no_grad()
def slate_target(
    online: QNetwork, target: QNetwork, batch: Batch[Tensor], double: bool, *, model: PageModel
) -> Tensor:
    """y = r + gamma^n max over pages A of Q_target(s', A), and y = r where s' is terminal.

    The page is the best by Q_target or, with `double`, by Q_online. Where fewer than K items may be
    shown, it holds those alone. Returns [B] from a batch of tensors; it has no gradient.
    """
    q_next = target(batch.next_obs)  # [B, M + 1]
    chooser = online(batch.next_obs) if double else q_next  # [B, M + 1]
    utility = batch.next_obs[:, model.first : model.first + model.num_items]  # [B, M]
    mask = torch.ones_like(utility, dtype=torch.bool)
    if batch.next_mask is not None:
        mask = batch.next_mask[:, : model.num_items]
    odds = page_odds(utility, mask)
    factors = utility.new_tensor(model.falling)  # [K]
    future = page_values(q_next, odds, best_pages(chooser, odds, mask, model), factors)  # [B]
    return batch.reward + batch.discount * torch.where(batch.terminated, 0.0, future)


def slate_td_loss(model: PageModel) -> Loss:
    """A loss for `DQNLearner` with M + 1 actions, the last of them no click. Ie et al. (2019).

    The weighted mean of (y - Q(s, a))^2, or of Huber's loss of it, where a is what was clicked.

    Args:
        model: how a page is clicked.
    """
    return partial(td_loss, aim=partial(slate_target, model=model))
