"""Graphs of items without a framework: who stands next to whom, and NumPy references.

A graph is its adjacency matrix A, sparse, [N, N]: A[i, j] > 0 is the weight of the edge from i to
j, and what is not stored is no edge. A node without an edge is isolated; its degree is 0. Every
function here gives such a node zeros, never 0 / 0. What is drawn from a graph: graph_samples.py.

Letters: S baskets, U users, I items, N nodes, B pairs of a batch, K negatives, D and H sizes of a
vector, F features, L layers.
"""

import numpy as np
from scipy import sparse

from companion.recommenders.graph_config import CoPurchaseConfig
from companion.recommenders.interactions import Interactions, once
from companion.recommenders.sparse_rows import largest_per_row, only, row_of_each


def baskets_of(log: Interactions) -> sparse.csr_array:
    """1 where a basket holds an item; each session of the log is a basket. [S, I] sparse"""
    return once((log.sessions, log.items), (int(log.sessions.max()) + 1, log.shape[1]))


def co_purchase(
    baskets: sparse.csr_array, config: CoPurchaseConfig | None = None
) -> sparse.csr_array:
    """Joins items that were bought together. [I, I] sparse, symmetric, without a diagonal

    C[i, j] counts the baskets with both i and j, n_i those with i, S those with any item.

        count    A[i, j] = C[i, j]
        ppmi     A[i, j] = max(0, log(C[i, j] S / (n_i n_j)))

    Counts favour what is popular; positive pointwise mutual information asks how much more often
    two items meet than by chance, and favours what is rare: a threshold goes well with it. Of
    `neighbours`, an edge stays where one of its ends chose it, so that an item which many chose
    has more of them. Of equal weights, the lower item is kept.

    Church and Hanks, "Word association norms, mutual information, and lexicography" (1990);
    Bullinaria and Levy, "Extracting semantic representations from word co-occurrence statistics"
    (2007).

    Args:
        baskets: [S, I] sparse, from `baskets_of`; how many of an item were bought does not count.
        config: None for the defaults.
    """
    config = config or CoPurchaseConfig()
    held = once(baskets.nonzero(), baskets.shape)  # [S, I]
    every = sparse.csr_array(held.T @ held)  # [I, I]
    own = every.diagonal()  # [I], n
    apart = row_of_each(every) != every.indices
    graph = only(every, apart & (every.data >= config.threshold))
    if config.weight == "ppmi":
        filled = np.count_nonzero(np.diff(held.indptr))  # S
        chance = own[row_of_each(graph)] * own[graph.indices] / max(filled, 1)
        graph.data = np.log(graph.data / chance)
        graph = only(graph, graph.data > 0)
    if config.neighbours is not None:
        chosen = largest_per_row(graph, config.neighbours)
        graph = sparse.csr_array(chosen.maximum(chosen.T))
    return graph


def bipartite(owned: sparse.csr_array) -> sparse.csr_array:
    """Users and items as nodes of one graph: [[0, R], [R^T, 0]]. [U, I] -> [U + I, U + I]

    User u is node u, item i is node U + i. No user is joined with a user, no item with an item.

    Args:
        owned: [U, I] sparse, R: 1, or another weight above 0, where a user had an item.
    """
    return sparse.csr_array(sparse.block_array([[None, owned], [owned.T, None]]))


def normalise_symmetric(adjacency: sparse.csr_array) -> sparse.csr_array:
    """D^-1/2 A D^-1/2 with D = diag(row sums of A): A[i, j] / sqrt(d_i d_j). [N, N] sparse

    An isolated node has a row and a column of zeros. Kipf and Welling, "Semi-supervised
    classification with graph convolutional networks" (2017), here without edges to oneself.

    Args:
        adjacency: [N, N] sparse and symmetric, 0 or more.

    Raises:
        ValueError: it is not square or not symmetric, or a weight is below 0 or not finite.
    """
    graph = checked_graph(adjacency)
    other = sparse.coo_array(graph != graph.T)
    if other.nnz:
        i, j = int(other.row[0]), int(other.col[0])
        raise ValueError(
            f"the graph is not symmetric: weight {graph[i, j]} from {i} to {j}, "
            f"but {graph[j, i]} from {j} to {i}"
        )
    scale = _inverse(np.sqrt(graph.sum(1)))  # [N]
    graph.data *= scale[row_of_each(graph)] * scale[graph.indices]
    return graph


def normalise_rows(adjacency: sparse.csr_array) -> sparse.csr_array:
    """D^-1 A with D = diag(row sums of A): times vectors, it is the neighbours' mean. [N, N] sparse

    An isolated node has a row of zeros; every other row sums to 1.

    Args:
        adjacency: [N, N] sparse, 0 or more.

    Raises:
        ValueError: it is not square, or a weight is below 0 or not finite.
    """
    graph = checked_graph(adjacency)
    graph.data *= _inverse(graph.sum(1))[row_of_each(graph)]
    return graph


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / value; 0 where the value is 0. [N]"""
    return np.divide(1.0, values, out=np.zeros(len(values)), where=values > 0)


def checked_graph(adjacency: sparse.csr_array) -> sparse.csr_array:
    """A copy in float64, without stored zeros, its rows in order of the columns. [N, N] sparse

    Raises:
        ValueError: it is not square, or a weight is below 0 or not finite.
    """
    graph = sparse.csr_array(adjacency, dtype=np.float64, copy=True)
    if graph.shape[0] != graph.shape[1]:
        raise ValueError(f"a graph must be [N, N]; got {graph.shape}")
    wrong = ~((graph.data >= 0) & (graph.data < np.inf))
    if wrong.any():
        edge = int(wrong.argmax())
        place = f"from {row_of_each(graph)[edge]} to {graph.indices[edge]}"
        raise ValueError(f"the weight {place} must be 0 or more and finite; got {graph.data[edge]}")
    graph.sum_duplicates()
    graph.eliminate_zeros()
    return graph


def light_propagation_reference(
    graph: sparse.csr_array, vectors: np.ndarray, layers: int
) -> np.ndarray:
    """LightGCN's propagation in NumPy, which both frameworks must match. [N, D] -> [N, D]

        e[l + 1] = G e[l],   result = (e[0] + ... + e[L]) / (L + 1)

    He et al., "LightGCN: simplifying and powering graph convolution network for recommendation"
    (2020), with alpha = 1 / (L + 1). Of an isolated node, e[0] / (L + 1) is left.

    Args:
        graph: [N, N] sparse, G, from `normalise_symmetric`.
        vectors: [N, D], e[0].
        layers: L.
    """
    steps = [vectors.astype(np.float64)]
    for _ in range(layers):
        steps.append(graph @ steps[-1])
    total: np.ndarray = np.sum(steps, 0)
    return total / (layers + 1)


def neighbour_loss_reference(own: np.ndarray, near: np.ndarray, far: np.ndarray) -> float:
    """The loss in NumPy, which both frameworks must match.

        loss = mean over the pairs of
               -log sigmoid(own . near) - sum over k of log sigmoid(-own . far[k])

    Hamilton et al., "Inductive representation learning on large graphs" (2017), equation 1; with
    Q draws, its Q times the expectation is this sum.

    Args:
        own: [B, H] vectors of nodes.
        near: [B, H] vectors of a neighbour of each.
        far: [B, K, H] vectors of K drawn nodes for each.
    """
    wide = own.astype(np.float64)
    positive = np.einsum("bh,bh->b", wide, near)
    negative = np.einsum("bh,bkh->bk", wide, far)
    return float((np.logaddexp(0, -positive) + np.logaddexp(0, negative).sum(-1)).mean())


def mean_aggregator_reference(own: np.ndarray, near: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """One layer of GraphSAGE before its ReLU and its norm: concat(own, mean) W. [..., H]

    Hamilton et al. (2017), algorithm 1, lines 4 and 5.

    Args:
        own: [..., F] vectors of nodes.
        near: [..., F] means of their neighbours' vectors; zeros for an isolated node.
        kernel: [2F, H].
    """
    joined: np.ndarray = np.concatenate([own, near], -1).astype(np.float64)
    return joined @ kernel
