"""Vectors of users and items from a graph, in PyTorch. Twin: companion/tensorflow/graph.py.

Graphs, normalisations and the references in NumPy: companion/recommenders/item_graph.py. What is
drawn to learn from: companion/recommenders/graph_samples.py, and collaborative_batches.py for
LightGCN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from companion.pytorch.collaborative import bpr_loss
from companion.pytorch.encoders import masked_mean
from companion.recommenders.graph_config import GraphSAGEConfig, LightGCNConfig
from companion.recommenders.graph_samples import Hop
from companion.recommenders.item_graph import bipartite, normalise_symmetric

SparseMatrix = Tensor  # by one name in both frameworks


def sparse_matrix(matrix: sparse.csr_array) -> SparseMatrix:
    """A matrix of SciPy as one of the framework, float32, its places in order. [M, N]"""
    places = matrix.sorted_indices().tocoo()
    index = np.stack([places.row, places.col]).astype(np.int64)  # [2, nnz]
    values = torch.tensor(places.data, dtype=torch.float32)
    found = torch.sparse_coo_tensor(
        torch.tensor(index), values, tuple(places.shape), check_invariants=True
    )
    return found.coalesce()


def light_propagation(graph: SparseMatrix, vectors: Tensor, layers: int) -> Tensor:
    """The mean of vectors and of what L steps along the graph make of them. [N, D] -> [N, D]

        e[l + 1] = G e[l],   result = (e[0] + ... + e[L]) / (L + 1)

    Nothing is learnt on the way: no weights, no ReLU, no edge from a node to itself. Of an
    isolated node, e[0] / (L + 1) is left: its direction stays.

    He et al., "LightGCN: simplifying and powering graph convolution network for recommendation"
    (2020).

    Args:
        graph: [N, N], G, normalised on both sides.
        vectors: [N, D], e[0].
        layers: L.
    """
    total = vectors
    for _ in range(layers):
        vectors = torch.sparse.mm(graph, vectors)  # [N, D]
        total = total + vectors
    return total / (layers + 1)


def neighbour_loss(own: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Mean of -log sigmoid(own . near) - sum over k of log sigmoid(-own . far[k]). One number

    Neighbours are to be alike, others not: Hamilton et al., "Inductive representation learning on
    large graphs" (2017), equation 1.

    Args:
        own: [B, H] vectors of nodes.
        near: [B, H] vectors of a neighbour of each, from `draw_pairs`.
        far: [B, K, H] vectors of K nodes for each, from `draw_nodes`.
    """
    positive = (own * near).sum(-1)  # [B]
    negative = (own[:, None] * far).sum(-1)  # [B, K]
    return (F.softplus(-positive) + F.softplus(negative).sum(-1)).mean()


class LightGCN(nn.Module):
    """Users and items as nodes of one graph; a score is the product of their vectors.

    Each node has a vector of its own, which `light_propagation` mixes with those around it. He et
    al. (2020). A user or an item without an edge keeps its own direction, and the gradients stay
    finite.

    Args:
        config: settings.
        owned: [U, I] sparse; 1, or another weight above 0, where a user had an item.

    Raises:
        ValueError: a weight is below 0 or not finite.
    """

    graph: Tensor

    def __init__(self, config: LightGCNConfig, owned: sparse.csr_array):
        super().__init__()
        self.config = config
        users, items = owned.shape
        self.users = nn.Parameter(torch.randn(users, config.size) * 0.1)  # [U, D]
        self.items = nn.Parameter(torch.randn(items, config.size) * 0.1)  # [I, D]
        graph = sparse_matrix(normalise_symmetric(bipartite(owned)))
        self.register_buffer("graph", graph, persistent=False)  # [U + I, U + I]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """The vectors of all after propagation: users [U, D], items [I, D]."""
        own = torch.cat([self.users, self.items])  # [U + I, D]
        mixed = light_propagation(self.graph, own, self.config.layers)
        return mixed[: len(self.users)], mixed[len(self.users) :]

    def forward(self, users: Tensor) -> Tensor:
        """Scores of all items: [B] -> [B, I]."""
        mine, items = self.vectors()
        return mine[users.long()] @ items.T

    def batch_loss(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """BPR, and l2 times half the mean squares of the batch's own vectors. One number

            loss = bpr_loss + l2 / 2 * mean over the batch of |u|^2 + |i|^2 + |j|^2

        u, i and j are the vectors before propagation, the only weights that there are. The
        arguments are those of a `PairBatch`.

        Args:
            users: [B].
            items: [B] that they had, i.
            negatives: [B, K] items that they did not have, j; the paper takes K = 1.
        """
        u, i, j = users.long(), items.long(), negatives.long()
        of_users, of_items = self.vectors()
        mine = of_users[u]  # [B, D]
        had = (mine * of_items[i]).sum(-1)  # [B]
        had_not = (mine[:, None] * of_items[j]).sum(-1)  # [B, K]
        own = (self.users[u], self.items[i], self.items[j])  # [B, D], [B, D], [B, K, D]
        squares = torch.stack([(part**2).sum(-1).mean() for part in own]).sum()
        return bpr_loss(had, had_not) + self.config.l2 / 2 * squares


class MeanAggregator(nn.Module):
    """One layer of GraphSAGE: a node's own vector beside its neighbours' mean, to length 1.

        h = relu(concat(own, near) W),   result = h / |h|

    A vector of zeros stays one, with a finite gradient. Hamilton et al. (2017), algorithm 1.

    Args:
        inputs: F.
        outputs: H.
        linear: leaves out the ReLU, as after the last layer: behind it, no two vectors could have
            a product below 0.
    """

    def __init__(self, inputs: int, outputs: int, linear: bool = False):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(2 * inputs, outputs))  # [2F, H]
        nn.init.xavier_uniform_(self.kernel)
        self.linear = linear

    def forward(self, own: Tensor, near: Tensor) -> Tensor:
        """[..., F] and the neighbours' means [..., F] -> [..., H]."""
        h = torch.cat([own, near], -1) @ self.kernel  # [..., H]
        h = h if self.linear else F.relu(h)
        # The bound stands inside the root: its gradient at 0 is finite.
        return h * (h**2).sum(-1, keepdim=True).clamp(min=1e-12).rsqrt()


class GraphSAGE(nn.Module):
    """Items' vectors from their features and those of their neighbours: also for a new item.

    No item has weights of its own. An isolated item has its own part, and zeros in the place of
    its neighbours' mean. Hamilton et al., "Inductive representation learning on large graphs"
    (2017), with the mean aggregator.

    Args:
        config: settings.
    """

    def __init__(self, config: GraphSAGEConfig):
        super().__init__()
        self.config = config
        inputs, last = (config.num_features, *config.sizes), len(config.sizes) - 1
        layers = [
            MeanAggregator(inputs[layer], size, layer == last)
            for layer, size in enumerate(config.sizes)
        ]
        self.aggregators: Any = nn.ModuleList(layers)

    def forward(self, features: Tensor, hops: Sequence[Hop]) -> Tensor:
        """Vectors of a batch from drawn neighbours: [N, F], L + 1 hops -> [B, H] of length 1.

        Args:
            features: [N, F] of all nodes.
            hops: from `sample_hops`, with one count for each layer; of nodes [B], or of any shape.

        Raises:
            ValueError: there are more hops or fewer.
        """
        if len(hops) != len(self.aggregators) + 1:
            layers = len(self.aggregators)
            raise ValueError(f"{layers} layers read {layers + 1} hops; got {len(hops)}")
        states = [features[torch.as_tensor(hop.nodes, device=features.device)] for hop in hops]
        masks = [torch.as_tensor(hop.mask, device=features.device) for hop in hops[1:]]
        for aggregator in self.aggregators:
            near = [masked_mean(*pair) for pair in zip(states[1:], masks, strict=False)]
            states = [aggregator(*pair) for pair in zip(states[:-1], near, strict=True)]
        return states[0]

    def whole(self, features: Tensor, graph: SparseMatrix) -> Tensor:
        """Vectors of all nodes from all neighbours, nothing drawn: [N, F] -> [N, H] of length 1.

        Args:
            features: [N, F].
            graph: [N, N] from `normalise_rows`: times vectors, it is the neighbours' mean. Weights
                of edges count here, where `sample_neighbours` draws all with the same chance.
        """
        h = features
        for aggregator in self.aggregators:
            h = aggregator(h, torch.sparse.mm(graph, h))  # [N, H]
        return h
