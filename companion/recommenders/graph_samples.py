"""What is drawn from a graph to learn from it: neighbours, edges, and nodes as negatives.

Letters: N nodes, B of a batch, K drawn for each, L layers. Graphs are adjacency matrices as in
item_graph.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.recommenders.sparse_rows import only, row_of_each

DISTORTION = 0.75  # of degrees, where negatives are drawn


class Hop(NamedTuple):
    """Nodes at one distance from those of a batch.

    Attributes:
        nodes: [B] at distance 0, [B, K1] at 1, [B, K1, K2] at 2, ...; 0 where there is none.
        mask: of the same shape, False where there is none.
    """

    nodes: np.ndarray
    mask: np.ndarray


def sample_neighbours(
    adjacency: sparse.csr_array, nodes: npt.ArrayLike, count: int, rng: np.random.Generator
) -> Hop:
    """K neighbours of each node, each neighbour with the same chance. [...] -> [..., K]

    Without replacement where a node has K or more, with replacement where it has fewer: Hamilton
    et al., "Inductive representation learning on large graphs" (2017). An isolated node has none:
    its mask is False. Weights have no influence on the draw, except that 0 is no edge.

    Args:
        adjacency: [N, N] sparse; row i holds the neighbours of i.
        nodes: [...] in [0, N).
        count: K.
        rng: of the draw.

    Raises:
        ValueError: count is below 1, or a node is outside the graph.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more; got {count}")
    shape, flat = np.shape(nodes), _checked_nodes(nodes, adjacency.shape[0])
    rows = adjacency[flat]  # [M, N], M the product of [...]
    rows = only(rows, rows.data != 0)
    order = np.lexsort((rng.random(rows.nnz), row_of_each(rows)))  # shuffles each row
    listed = np.append(rows.indices[order], 0)  # the neighbours of all, and a 0 for none
    degree = np.diff(rows.indptr)[:, None]  # [M, 1]
    again = rng.integers(0, np.maximum(degree, 1), size=(len(flat), count))  # [M, K]
    place = rows.indptr[:-1, None] + np.where(degree >= count, np.arange(count), again)  # [M, K]
    there = np.repeat(degree > 0, count, 1)  # [M, K]
    drawn = listed[np.where(there, place, rows.nnz)].astype(np.int64)  # [M, K]
    return Hop(drawn.reshape(*shape, count), there.reshape(*shape, count))


def _checked_nodes(nodes: npt.ArrayLike, size: int) -> np.ndarray:
    """Nodes in one row. [M] int64"""
    flat = np.asarray(nodes).ravel()
    if flat.size and flat.dtype.kind not in "iu":
        raise ValueError(f"nodes must be whole numbers; got {flat.dtype}")
    outside = (flat < 0) | (flat >= size)
    if outside.any():
        place = int(outside.argmax())
        raise ValueError(f"place {place} holds node {flat[place]}, outside 0..{size - 1}")
    return flat.astype(np.int64)


def sample_hops(
    adjacency: sparse.csr_array,
    nodes: npt.ArrayLike,
    fan_out: Sequence[int],
    rng: np.random.Generator,
) -> list[Hop]:
    """A batch, its neighbours, their neighbours, ...: what L layers of GraphSAGE read.

    Args:
        adjacency: [N, N] sparse; row i holds the neighbours of i.
        nodes: [B] in [0, N), or another shape, which then stands in the place of B.
        fan_out: (K1, ..., KL), how many are drawn at each distance; the paper takes (25, 10).
        rng: of the draw.

    Returns:
        L + 1 hops: [B], [B, K1], [B, K1, K2], ... What follows an absent node is absent.

    Raises:
        ValueError: as in `sample_neighbours`.
    """
    first = np.asarray(nodes)
    hops = [Hop(first, np.ones(first.shape, bool))]
    for count in fan_out:
        near = sample_neighbours(adjacency, hops[-1].nodes, count, rng)
        there = near.mask & hops[-1].mask[..., None]
        hops.append(Hop(np.where(there, near.nodes, 0), there))
    return hops


def draw_pairs(
    adjacency: sparse.csr_array, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of B edges, each edge with the same chance: [B] and [B].

    They are walks of one step, where Hamilton et al. (2017) walk up to five.

    Raises:
        ValueError: there is no edge.
    """
    graph = only(adjacency, adjacency.data != 0)
    if graph.nnz == 0:
        raise ValueError("the graph has no edge to draw")
    edge = rng.integers(graph.nnz, size=count)  # [B]
    return row_of_each(graph)[edge], graph.indices[edge].astype(np.int64)


def draw_nodes(
    adjacency: sparse.csr_array, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Nodes with a chance that grows with their degree, degree^0.75: negatives. [...]

    Mikolov et al., "Distributed representations of words and phrases and their compositionality"
    (2013), section 2.2; a node may be drawn that is a neighbour. An isolated node never is.

    Raises:
        ValueError: there is no edge.
    """
    rows = row_of_each(adjacency)[adjacency.data != 0]
    if len(rows) == 0:
        raise ValueError("the graph has no edge: no node can be drawn by its degree")
    chance = np.bincount(rows, minlength=adjacency.shape[0]) ** DISTORTION  # [N]
    return rng.choice(len(chance), size=shape, p=chance / chance.sum())
