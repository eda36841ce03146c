"""XSimGCL: propagation and losses against dense numpy, and what it finds in a planted log."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.baselines import BASELINES, TrainingSet, Tuning
from dualtower_trainer.baselines.graph import inverse_roots, normalised_graph
from dualtower_trainer.baselines.xsimgcl import XSimGCL, XSimGclConfig, info_nce

RANDOM = np.random.default_rng(6)


def dense_graph(data: TrainingSet) -> np.ndarray:
    """D^-1/2 A D^-1/2 in float64, by the definition; nodes without edges are rows of zeros."""
    users, items = data.matrix.shape
    adjacency = np.zeros((users + items, users + items))
    for user, item in zip(data.log.users, data.log.items, strict=True):
        adjacency[user, users + item] = adjacency[users + item, user] = 1
    degrees = adjacency.sum(axis=1)
    found = np.zeros_like(adjacency)
    for a, b in zip(*np.nonzero(adjacency), strict=True):
        found[a, b] = 1 / np.sqrt(degrees[a] * degrees[b])
    return found


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_the_graph_is_the_symmetrically_normalised_log(tiny: TrainingSet) -> None:
    graph = normalised_graph(tiny.matrix)
    assert graph.dtype == np.float32
    np.testing.assert_allclose(graph.toarray(), dense_graph(tiny), atol=1e-7)
    of_users, of_items = inverse_roots(tiny.matrix)
    np.testing.assert_allclose(of_users, [3**-0.5, 2**-0.5, 2**-0.5, 0, 2**-0.5], rtol=1e-6)
    assert of_items[4] == 0, "an item that nobody took has no edge"


def test_layers_are_powers_of_the_graph_and_noise_keeps_the_signs(tiny: TrainingSet) -> None:
    model = XSimGCL(tiny, 0, XSimGclConfig(dim=3, layers=3))
    start, graph = model._table.values.astype(np.float64), dense_graph(tiny)
    for power, layer in enumerate(model.layers(), start=1):
        np.testing.assert_allclose(layer, np.linalg.matrix_power(graph, power) @ start, atol=1e-6)
    clean, noisy = model.layers()[0], model.layers(noise=0.3)[0]
    moved = noisy - clean
    connected = np.flatnonzero(graph.any(axis=1))
    np.testing.assert_allclose(np.linalg.norm(moved[connected], axis=1), 0.3, rtol=1e-5)
    assert (moved * clean >= 0).all(), "no vector leaves its orthant"
    assert not noisy[3].any(), "who has no edge has nothing to disturb"


def test_info_nce_is_the_plain_formula_and_its_gradients_are_its_slopes() -> None:
    a, b, temperature = unit(RANDOM.normal(size=(6, 4))), unit(RANDOM.normal(size=(6, 4))), 0.3

    def plain() -> float:
        similarity = np.exp(a @ b.T / temperature)
        return float(np.mean([-np.log(similarity[n, n] / similarity[n].sum()) for n in range(6)]))

    loss, to_a, to_b = info_nce(a, b, temperature=temperature)
    assert loss == pytest.approx(plain())
    for values, gradient in ((a, to_a), (b, to_b)):
        for place in ((0, 1), (2, 3), (5, 0)):
            before, step = values[place], 1e-6
            values[place] = before + step
            above = plain()
            values[place] = before - step
            below = plain()
            values[place] = before
            assert gradient[place] == pytest.approx((above - below) / (2 * step), abs=1e-6)


def test_the_whole_gradient_is_the_slope_of_the_whole_loss(tiny: TrainingSet) -> None:
    """Through contrast, ranking, the mean of the layers and the graph, in plain float64."""
    config = XSimGclConfig(dim=4, layers=3, contrast_layer=2, weight=0.7, temperature=0.5)
    model = XSimGCL(tiny, 1, config)
    graph, n_users = dense_graph(tiny), 5
    users, items, others = np.array([0, 1, 0, 4]), np.array([0, 3, 2, 2]), np.array([3, 0, 3, 1])
    nodes = np.concatenate([users, n_users + items, n_users + others])

    def whole(table: np.ndarray) -> float:
        layers = [np.linalg.matrix_power(graph, power) @ table for power in (1, 2, 3)]
        mean = sum(layers) / 3
        u, i, j = mean[users], mean[n_users + items], mean[n_users + others]
        loss = np.mean(np.log1p(np.exp(-np.sum(u * (i - j), axis=1))))
        for group in ([0, 1, 4], [5, 7, 8]):
            logits = unit(mean[group]) @ unit(layers[1][group]).T / 0.5
            loss += 0.7 * np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
        return float(loss)

    start = model._table.values.astype(np.float64)
    loss, to_mean, to_layer = model._loss(nodes, model.layers())
    assert loss == pytest.approx(whole(start), rel=1e-5)
    slope = model.backward(to_mean, to_layer)
    for place in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[place] = 1e-5
        expected = (whole(start + step) - whole(start - step)) / 2e-5
        assert slope[place] == pytest.approx(expected, abs=2e-4 * float(np.abs(slope).max()))


def test_a_stranger_with_the_same_history_gets_the_same_list(planted: Tuning) -> None:
    """The fold-in is what the graph itself makes of a person, up to a length."""
    model = XSimGCL(planted.full, 0)
    model.epoch()
    scorer, histories = model.scorer(), planted.validation.histories[:20]
    known = scorer(histories, np.arange(20))
    strange = scorer(histories, np.full(20, -1))
    for ours, theirs in zip(known, strange, strict=True):
        factor = (ours @ theirs) / (theirs @ theirs)
        assert factor > 0
        np.testing.assert_allclose(ours, factor * theirs, atol=1e-4 * np.abs(ours).max())


def test_contrast_changes_what_is_learned(planted: Tuning) -> None:
    found = []
    for weight in (0.0, 0.2):
        model = XSimGCL(planted.full, 0, XSimGclConfig(weight=weight))
        model.epoch()
        found.append(model.scorer()(planted.validation.histories[:3], np.arange(3)))
    assert not np.allclose(*found)


def test_it_is_a_row_for_the_articles_contrastive_method() -> None:
    assert [name for name, row in BASELINES.items() if row.stands_for == "NCS"] == [
        "directau",
        "xsimgcl",
    ]


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="contrast_layer must be from 1 to layers = 2, got 3"):
        XSimGclConfig(contrast_layer=3)
