"""Graphs of items, what is drawn from them, and the references: by hand and by brute force."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import csgraph

from companion.core.seeding import generator
from companion.recommenders import graph_samples as samples
from companion.recommenders import item_graph
from companion.recommenders.graph_config import (
    CoPurchaseConfig,
    GraphSAGEConfig,
    LightGCNConfig,
    starting_graph_weights,
)
from companion.recommenders.interactions import interactions

# Item 4 is bought alone, item 5 never.
BASKETS = [[0, 1], [0, 1, 2], [0, 2], [3], [2, 3], [4], [0, 1]]
CHAIN = [[0, 1, 0, 0], [1, 0, 2, 0], [0, 2, 0, 0], [0, 0, 0, 0]]  # node 3 is isolated


def baskets(lists=BASKETS, items=6):
    rows = [row for row, basket in enumerate(lists) for _ in basket]
    columns = [item for basket in lists for item in basket]
    log = interactions([0] * len(rows), columns, (1, items), sessions=rows)
    return item_graph.baskets_of(log)


def csr(table):
    return sparse.csr_array(np.array(table, float))


def random_graph(seed=0, nodes=30, share=0.1):
    """Symmetric, with weights, isolated nodes among them."""
    rng = generator(seed, "graph")
    upper = np.triu(rng.integers(1, 5, (nodes, nodes)) * (rng.random((nodes, nodes)) < share), 1)
    upper[:, ::7] = upper[::7] = 0
    return csr(upper + upper.T)


# --- co-purchase ---------------------------------------------------------------------------------


def test_counts_by_hand():
    graph = item_graph.co_purchase(baskets()).toarray()
    expected = np.zeros((6, 6))
    for (i, j), count in {(0, 1): 3, (0, 2): 2, (1, 2): 1, (2, 3): 1}.items():
        expected[i, j] = expected[j, i] = count
    np.testing.assert_array_equal(graph, expected)


def test_each_session_is_a_basket_and_an_item_counts_once_in_it():
    log = interactions([0, 0, 0, 1], [1, 1, 2, 2], (2, 3), sessions=[0, 0, 0, 2])
    held = item_graph.baskets_of(log)
    np.testing.assert_array_equal(held.toarray(), [[0, 1, 1], [0, 0, 0], [0, 0, 1]])
    graph = item_graph.co_purchase(sparse.csr_array(held * 5)).toarray()  # five of each
    np.testing.assert_array_equal(graph, [[0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_the_threshold_drops_rare_pairs():
    graph = item_graph.co_purchase(baskets(), CoPurchaseConfig(threshold=2))
    assert graph.nnz == 4
    assert (graph[0, 1], graph[2, 0], graph[1, 2]) == (3, 2, 0)


def test_ppmi_by_hand():
    """Seven baskets; n = 4, 3, 3, 2, 1, 0."""
    graph = item_graph.co_purchase(baskets(), CoPurchaseConfig(weight="ppmi")).toarray()
    assert graph[0, 1] == graph[1, 0] == pytest.approx(math.log(3 * 7 / (4 * 3)))
    assert graph[0, 2] == pytest.approx(math.log(2 * 7 / (4 * 3)))
    assert graph[2, 3] == pytest.approx(math.log(7 / (3 * 2)))
    assert graph[1, 2] == 0  # 7 / 9: less often than by chance
    assert not graph[4:].any()


def test_an_empty_basket_is_no_basket():
    one = item_graph.co_purchase(baskets(), CoPurchaseConfig(weight="ppmi"))
    more = sparse.csr_array(sparse.vstack([baskets(), csr(np.zeros((9, 6)))]))
    other = item_graph.co_purchase(more, CoPurchaseConfig(weight="ppmi"))
    np.testing.assert_array_equal(one.toarray(), other.toarray())


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=12))
def test_counts_and_ppmi_are_those_of_a_plain_count(lists):
    pairs, own = Counter(), Counter()
    for basket in lists:
        own.update(basket)
        pairs.update(itertools.permutations(sorted(basket), 2))
    held = baskets([sorted(basket) for basket in lists])
    counts = item_graph.co_purchase(held)
    ppmi = item_graph.co_purchase(held, CoPurchaseConfig(weight="ppmi"))
    for i, j in itertools.product(range(6), repeat=2):
        assert counts[i, j] == pairs[i, j]
        wanted = math.log(pairs[i, j] * len(lists) / (own[i] * own[j])) if pairs[i, j] else 0
        assert ppmi[i, j] == pytest.approx(max(wanted, 0), abs=1e-12)
    assert (ppmi.data > 0).all()


def test_an_edge_stays_where_one_end_chose_it():
    """Each item's strongest: 0-1, 1-0, 2-0, 3-2. Item 2 is chosen by 3, item 0 by two."""
    graph = item_graph.co_purchase(baskets(), CoPurchaseConfig(neighbours=1)).toarray()
    expected = np.zeros((6, 6))
    expected[0, 1] = expected[1, 0] = 3
    expected[0, 2] = expected[2, 0] = 2
    expected[2, 3] = expected[3, 2] = 1
    np.testing.assert_array_equal(graph, expected)


@pytest.mark.parametrize("weight", ["count", "ppmi"])
def test_few_neighbours_are_the_strongest_and_the_graph_is_symmetric(weight):
    rng = generator(0, "baskets")
    held = csr(rng.random((80, 20)) < 0.2)
    every = item_graph.co_purchase(held, CoPurchaseConfig(weight=weight)).toarray()
    few = item_graph.co_purchase(held, CoPurchaseConfig(weight=weight, neighbours=3)).toarray()
    np.testing.assert_array_equal(few, few.T)
    best = np.zeros((20, 20), bool)
    for row, weights in enumerate(every):
        best[row, np.argsort(-weights, kind="stable")[:3]] = True
    np.testing.assert_array_equal(few, np.where(best | best.T, every, 0))


# --- user-item graph and normalisations ----------------------------------------------------------


def test_users_and_items_in_one_graph():
    owned = csr([[1, 2, 0], [0, 3, 0]])
    graph = item_graph.bipartite(owned).toarray()
    np.testing.assert_array_equal(graph[:2, 2:], owned.toarray())
    np.testing.assert_array_equal(graph[2:, :2], owned.toarray().T)
    assert graph.shape == (5, 5)
    assert not graph[:2, :2].any()
    assert not graph[2:, 2:].any()


def test_normalisations_by_hand():
    """Degrees 1, 3, 2, 0."""
    one, two = 1 / 3**0.5, 2 / 6**0.5
    symmetric = [[0, one, 0, 0], [one, 0, two, 0], [0, two, 0, 0], [0] * 4]
    rows = [[0, 1, 0, 0], [1 / 3, 0, 2 / 3, 0], [0, 1, 0, 0], [0] * 4]
    np.testing.assert_allclose(item_graph.normalise_symmetric(csr(CHAIN)).toarray(), symmetric)
    np.testing.assert_allclose(item_graph.normalise_rows(csr(CHAIN)).toarray(), rows)


def test_the_symmetric_one_is_what_scipy_takes_from_its_laplacian():
    graph = random_graph()
    alone = graph.sum(1) == 0
    assert 0 < alone.sum() < 30
    laplacian = csgraph.laplacian(graph, normed=True).toarray()
    wanted = np.diag(~alone) - laplacian  # SciPy has 0 on the diagonal of an isolated node
    found = item_graph.normalise_symmetric(graph).toarray()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert np.abs(np.linalg.eigvalsh(found)).max() == pytest.approx(1)


@given(st.integers(0, 100))
def test_rows_sum_to_one_or_to_zero(seed):
    graph = random_graph(seed)
    total = item_graph.normalise_rows(graph).sum(1)
    np.testing.assert_allclose(total, graph.sum(1) > 0)
    assert np.isfinite(item_graph.normalise_symmetric(graph).data).all()


def test_a_normalisation_leaves_the_graph_as_it_was():
    graph = csr(CHAIN)
    item_graph.normalise_symmetric(graph)
    item_graph.normalise_rows(graph)
    np.testing.assert_array_equal(graph.toarray(), CHAIN)


def test_a_graph_without_any_edge():
    empty = csr(np.zeros((3, 3)))
    for normalise in (item_graph.normalise_symmetric, item_graph.normalise_rows):
        assert normalise(empty).nnz == 0
    stored = sparse.csr_array((np.zeros(1), ([0], [1])), shape=(3, 3))  # a 0 is no edge
    assert item_graph.normalise_rows(stored).nnz == 0
    assert item_graph.co_purchase(csr(np.eye(3)), CoPurchaseConfig("ppmi", 1, 2)).nnz == 0
    assert item_graph.co_purchase(csr(np.zeros((2, 3))), CoPurchaseConfig("ppmi")).nnz == 0


def test_bad_graphs_are_named():
    rows, both = item_graph.normalise_rows, item_graph.normalise_symmetric
    with pytest.raises(ValueError, match=r"a graph must be \[N, N\]; got \(2, 3\)"):
        rows(csr(np.ones((2, 3))))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"weight from 1 to 0 must be .* got {bad}"):
            rows(csr([[0, 1], [bad, 0]]))
    with pytest.raises(ValueError, match=r"weight 1.0 from 0 to 1, but 2.0 from 1 to 0"):
        both(csr([[0, 1], [2, 0]]))


# --- drawn ---------------------------------------------------------------------------------------


def test_enough_neighbours_are_drawn_without_replacement():
    graph = csr(np.ones((6, 6)) - np.eye(6))
    hop = samples.sample_neighbours(graph, [0, 3, 3], 5, generator(0, "draw"))
    assert hop.mask.all()
    for node, drawn in zip([0, 3, 3], hop.nodes, strict=True):
        assert sorted(drawn) == [n for n in range(6) if n != node]
    few = samples.sample_neighbours(graph, np.full(200, 2), 3, generator(0, "draw"))
    assert all(len(set(row)) == 3 for row in few.nodes.tolist())


def test_too_few_neighbours_are_drawn_with_replacement():
    hop = samples.sample_neighbours(csr(CHAIN), np.full(200, 1), 3, generator(0, "draw"))
    assert hop.nodes.shape == (200, 3)
    assert hop.mask.all()
    assert {tuple(row) for row in hop.nodes.tolist()} == set(itertools.product([0, 2], repeat=3))


def test_an_isolated_node_has_no_neighbour():
    hop = samples.sample_neighbours(csr(CHAIN), [3, 0, 3], 2, generator(0, "draw"))
    assert hop.mask.tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert hop.nodes.tolist() == [[0, 0], [1, 1], [0, 0]]
    none = samples.sample_neighbours(csr(np.zeros((2, 2))), [0, 1], 2, generator(0, "draw"))
    assert not none.mask.any()
    stored = sparse.csr_array(([0.0, 1.0], ([0, 0], [1, 2])), shape=(3, 3))
    assert samples.sample_neighbours(stored, [0], 4, generator(0, "a")).nodes.tolist() == [[2] * 4]


@pytest.mark.parametrize("count", [2, 7])  # below the degree, and above it
def test_each_neighbour_has_the_same_chance_whatever_its_weight(count):
    graph = csr([[0, 1, 9, 1, 1], *np.zeros((4, 5))])
    hop = samples.sample_neighbours(graph, np.zeros(4_000, int), count, generator(1, "draw"))
    share = np.bincount(hop.nodes.ravel(), minlength=5) / hop.nodes.size
    assert share[0] == 0
    spread = (0.25 * 0.75 / hop.nodes.size) ** 0.5
    np.testing.assert_allclose(share[1:], 0.25, atol=5 * spread)


def test_hops_follow_edges_and_what_follows_an_absent_node_is_absent():
    graph, nodes = random_graph(2), np.arange(30)
    hops = samples.sample_hops(graph, nodes, (3, 4), generator(0, "hops"))
    assert [hop.nodes.shape for hop in hops] == [(30,), (30, 3), (30, 3, 4)]
    assert hops[0].mask.all()
    np.testing.assert_array_equal(hops[0].nodes, nodes)
    alone = graph.sum(1) == 0
    np.testing.assert_array_equal(hops[1].mask, ~alone[:, None] & np.ones(3, bool))
    np.testing.assert_array_equal(hops[2].mask, hops[1].mask[..., None] & np.ones(4, bool))
    for near, far in itertools.pairwise(hops):
        start = np.broadcast_to(near.nodes[..., None], far.nodes.shape)
        assert (graph.toarray()[start, far.nodes][far.mask] > 0).all()
        assert (far.nodes[~far.mask] == 0).all()


def test_absence_does_not_end():
    """Node 0 has neighbours; it stands, as a filler, for those of the isolated node 3."""
    hops = samples.sample_hops(csr(CHAIN), [3], (2, 2, 2), generator(0, "hops"))
    assert not any(hop.mask.any() for hop in hops[1:])


def test_one_seed_gives_one_draw():
    def draw(seed):
        rng = generator(seed, "draw")
        hop = samples.sample_neighbours(random_graph(), np.arange(30), 5, rng)
        pairs = samples.draw_pairs(random_graph(), 50, rng)
        return np.concatenate(
            [hop.nodes.ravel(), *pairs, samples.draw_nodes(random_graph(), (9,), rng)]
        )

    np.testing.assert_array_equal(draw(0), draw(0))
    assert (draw(0) != draw(1)).any()


def test_pairs_are_edges_each_with_the_same_chance():
    one, other = samples.draw_pairs(csr(CHAIN), 4_000, generator(0, "pairs"))
    share = {edge: n / 4_000 for edge, n in Counter(zip(one, other, strict=True)).items()}
    assert set(share) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert max(abs(value - 0.25) for value in share.values()) < 5 * (0.25 * 0.75 / 4_000) ** 0.5


def test_nodes_are_drawn_by_degree_to_the_power_of_three_quarters():
    """Degrees 3, 1, 1, 1, 0."""
    star = np.zeros((5, 5))
    star[0, 1:4] = star[1:4, 0] = [1, 8, 1]
    drawn = samples.draw_nodes(csr(star), (4_000, 3), generator(0, "nodes"))
    assert drawn.shape == (4_000, 3)
    chance = np.array([3**0.75, 1, 1, 1, 0]) / (3**0.75 + 3)
    share = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    np.testing.assert_allclose(share, chance, atol=5 * (0.25 / drawn.size) ** 0.5)
    assert share[4] == 0


def test_bad_draws_are_named():
    rng = generator(0, "bad")
    with pytest.raises(ValueError, match="count must be 1 or more; got 0"):
        samples.sample_neighbours(csr(CHAIN), [0], 0, rng)
    with pytest.raises(ValueError, match=r"place 1 holds node 4, outside 0\.\.3"):
        samples.sample_neighbours(csr(CHAIN), [0, 4], 1, rng)
    with pytest.raises(ValueError, match="place 0 holds node -1"):
        samples.sample_hops(csr(CHAIN), [-1], (1,), rng)
    with pytest.raises(ValueError, match="nodes must be whole numbers; got float64"):
        samples.sample_neighbours(csr(CHAIN), [0.5], 1, rng)
    empty = csr(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no edge to draw"):
        samples.draw_pairs(empty, 3, rng)
    with pytest.raises(ValueError, match="no edge: no node can be drawn"):
        samples.draw_nodes(empty, (3,), rng)


# --- references and settings ---------------------------------------------------------------------


def test_propagation_by_hand():
    """Two nodes that are joined change places at each step; the third is isolated."""
    graph = item_graph.normalise_symmetric(csr([[0, 3, 0], [3, 0, 0], [0, 0, 0]]))
    start = np.array([[1.0, 0], [0, 2], [4, 8]])
    one = item_graph.light_propagation_reference(graph, start, 1)
    np.testing.assert_allclose(one, [[0.5, 1], [0.5, 1], [2, 4]])
    three = item_graph.light_propagation_reference(graph, start, 3)
    np.testing.assert_allclose(three, [[0.5, 1], [0.5, 1], [1, 2]])
    np.testing.assert_array_equal(item_graph.light_propagation_reference(graph, start, 0), start)


def test_the_loss_of_neighbours_by_hand():
    three = math.log(3)  # sigmoid of ln 3 is 3/4
    neighbours, one = item_graph.neighbour_loss_reference, np.array([[1.0, 1], [0, 2]])
    near, far = np.array([[0.0, 3], [9, 1]]), np.zeros((2, 3, 2))  # products 3 and 2
    expected = (math.log1p(math.exp(-3)) + math.log1p(math.exp(-2))) / 2 + 3 * math.log(2)
    assert neighbours(one, near, far) == pytest.approx(expected)
    far[:, 1] = [[-three / 2, -three / 2], [5, -three / 2]]  # products -ln 3
    expected += math.log(4 / 3) - math.log(2)
    assert neighbours(one, near, far) == pytest.approx(expected)
    assert neighbours(one * 1_000, -one, far * 0) == pytest.approx(3_000 + 3 * math.log(2))


def test_the_aggregator_by_hand():
    kernel = np.array([[1.0, 0], [0, 1], [10, 0], [0, 10]])  # own + 10 times the mean
    found = item_graph.mean_aggregator_reference(np.ones((1, 2)), np.array([[2, 3]]), kernel)
    np.testing.assert_array_equal(found, [[21, 31]])


def test_starting_weights_are_those_of_the_seed():
    shapes = {"aggregators/0/kernel": (50, 20), "items": (60, 30), "users": (60, 30)}
    weights = starting_graph_weights(shapes, 0)
    assert {name: value.shape for name, value in weights.items()} == shapes
    assert all(value.dtype == np.float32 for value in weights.values())
    for name in ("items", "users"):
        assert weights[name].std() == pytest.approx(0.1, rel=0.1)
    assert (weights["items"] != weights["users"]).any()
    kernel = weights["aggregators/0/kernel"]
    assert 0.9 / 50**0.5 < np.abs(kernel).max() <= 1 / 50**0.5
    np.testing.assert_array_equal(kernel, starting_graph_weights(shapes, 0)["aggregators/0/kernel"])
    assert (starting_graph_weights(shapes, 1)["items"] != weights["items"]).all()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: CoPurchaseConfig(weight="pmi"), "weight must be one of"),
        (lambda: CoPurchaseConfig(threshold=0), "threshold must be 1 or more; got 0"),
        (lambda: CoPurchaseConfig(neighbours=0), "neighbours must be 1 or more; got 0"),
        (lambda: LightGCNConfig(size=0), "size must be 1 or more; got 0"),
        (lambda: LightGCNConfig(layers=-1), "layers must be 0 or more; got -1"),
        (lambda: LightGCNConfig(l2=-1e-4), "l2 must be 0 or more and finite; got -0.0001"),
        (lambda: LightGCNConfig(l2=math.inf), "l2 must be 0 or more and finite; got inf"),
        (lambda: LightGCNConfig(l2=math.nan), "l2 must be 0 or more and finite; got nan"),
        (lambda: GraphSAGEConfig(0), "num_features must be 1 or more; got 0"),
        (lambda: GraphSAGEConfig(3, ()), r"sizes must be one or more numbers from 1; got \(\)"),
        (lambda: GraphSAGEConfig(3, [4, 0]), r"sizes must be .* got \(4, 0\)"),
    ],
)
def test_bad_settings_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()
