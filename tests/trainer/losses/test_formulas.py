"""The smaller losses, each against its formula written out in numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dualtower_trainer.losses import (
    LossConfig,
    alignment,
    cut_vectors,
    direct_au,
    info_nce,
    make_loss,
    matryoshka,
    pairwise_bce,
    pairwise_cosine,
    propensity_weights,
    triplet,
    uniformity,
)


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    values = random.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_pairwise_forms() -> None:
    random = np.random.default_rng(0)
    scores, weights = random.uniform(-1, 1, (4, 6)), random.random((4, 6))
    labels = random.choice([-1.0, 1.0], (4, 6))
    cosine = pairwise_cosine(scores, labels, weights)
    assert float(cosine) == pytest.approx(-np.average(labels * scores, weights=weights))
    assert float(pairwise_cosine(labels, labels)) == pytest.approx(-1)
    chance = 1 / (1 + np.exp(-scores))
    entropy = -np.where(labels > 0, np.log(chance), np.log(1 - chance))
    bce = pairwise_bce(scores, labels, weights)
    assert float(bce) == pytest.approx(np.average(entropy, weights=weights))


@pytest.mark.parametrize("kind", ["pairwise", "bce"])
def test_labelled_objective_gives_each_side_half_and_negatives_their_share(kind, example) -> None:
    a = example.arguments()
    wanted = a["positive_mask"] * a["weights"]
    own = np.einsum("bd,btd->bt", a["users"], a["positives"])
    rest = a["users"] @ a["candidates"].T
    if kind == "bce":
        own, rest = np.log1p(np.exp(-own / 0.2)), np.log1p(np.exp(rest / 0.2))
    else:
        own = -own
    positive = np.average(own, weights=wanted)
    rows = [
        np.average(rest[row][keep], weights=np.exp(-a["log_expected_count"][keep]))
        for row, keep in enumerate(~a["accidental"])
    ]
    negative = np.average(rows, weights=wanted.sum(1))
    ours = make_loss(LossConfig(kind=kind))(**a)
    assert float(ours) == pytest.approx((positive + negative) / 2, rel=1e-9)


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
def test_triplet_by_a_loop(mining) -> None:
    random = np.random.default_rng(1)
    positive, negative = random.uniform(-1, 1, (5, 2)), random.uniform(-1, 1, (5, 8))
    positive[0] = -0.99  # nothing is below it
    excluded = random.random((5, 8)) < 0.3
    excluded[4] = True  # a row without negatives
    weights, mask = random.random((5, 2)), np.ones((5, 2))
    mask[2, 1] = 0
    total = 0.0
    for row, place in itertools.product(range(5), range(2)):
        rivals = negative[row][~excluded[row]]
        if not len(rivals):
            continue
        below = rivals[rivals < positive[row, place]]
        chosen = {
            "all": rivals,
            "hard": rivals.max(keepdims=True),
            "semi_hard": (below.max() if len(below) else rivals.min())[None],
        }[mining]
        hinge = np.maximum(0, 0.3 - positive[row, place] + chosen).mean()
        total += hinge * weights[row, place] * mask[row, place]
    ours = triplet(
        positive, negative, excluded, margin=0.3, mining=mining, positive_mask=mask, weights=weights
    )
    assert float(ours) == pytest.approx(total / (weights * mask).sum(), rel=1e-9)


def test_triplet_refuses_an_unknown_choice() -> None:
    with pytest.raises(ValueError, match="mining must be one of"):
        triplet(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1), bool), margin=1, mining="easy")


def test_alignment_and_uniformity() -> None:
    random = np.random.default_rng(2)
    users, items = unit(random, 7, 5), unit(random, 7, 5)
    weights = random.random(7)
    distances = ((users - items) ** 2).sum(1)
    assert float(alignment(users, items)) == pytest.approx(distances.mean())
    assert float(alignment(users, items, weights)) == pytest.approx(
        np.average(distances, weights=weights)
    )
    pairs = list(itertools.combinations(range(7), 2))
    kernel = [np.exp(-2 * ((users[i] - users[j]) ** 2).sum()) for i, j in pairs]
    assert float(uniformity(users)) == pytest.approx(np.log(np.mean(kernel)))
    products = [weights[i] * weights[j] for i, j in pairs]
    assert float(uniformity(users, weights)) == pytest.approx(
        np.log(np.average(kernel, weights=products))
    )


def test_uniformity_falls_with_spread_and_knows_no_direction() -> None:
    random = np.random.default_rng(3)
    spread = unit(random, 50, 6)
    rotation = np.linalg.qr(random.normal(size=(6, 6)))[0]
    assert float(uniformity(spread @ rotation)) == pytest.approx(float(uniformity(spread)))
    together = np.repeat(spread[:1], 50, 0)
    assert float(uniformity(together)) == pytest.approx(0, abs=1e-12)
    assert float(uniformity(spread)) < -1
    assert float(uniformity(spread[:1])) == 0


def test_direct_au_is_the_weighted_sum(example) -> None:
    a = example.arguments()
    factors = (a["positive_mask"] * a["weights"]).ravel()
    flat = a["positives"].reshape(-1, a["positives"].shape[-1])
    repeated = np.repeat(a["users"], a["positives"].shape[1], 0)
    expected = float(alignment(repeated, flat, factors)) + 0.7 / 2 * (
        float(uniformity(a["users"])) + float(uniformity(flat, factors))
    )
    ours = direct_au(
        a["users"], a["positives"], a["positive_mask"], uniformity_weight=0.7, weights=a["weights"]
    )
    assert float(ours) == pytest.approx(expected, rel=1e-9)


def test_matryoshka_sums_the_losses_of_renormalised_cuts() -> None:
    random = np.random.default_rng(4)
    users, items = unit(random, 6, 16), unit(random, 6, 16)

    def loss(u, i):
        return info_nce(u, i, temperature=0.1)

    def cut(vectors: np.ndarray, dim: int) -> np.ndarray:
        return vectors[:, :dim] / np.linalg.norm(vectors[:, :dim], axis=1, keepdims=True)

    expected = sum(
        weight * float(loss(cut(users, dim), cut(items, dim)))
        for dim, weight in ((4, 0.5), (8, 1.0), (16, 2.0))
    )
    ours = matryoshka(loss, [users, items], [4, 8, 16], [0.5, 1.0, 2.0])
    assert float(ours) == pytest.approx(expected, rel=1e-9)
    whole = matryoshka(loss, [users, items], [16])
    assert float(whole) == pytest.approx(float(loss(users, items)), rel=1e-9)
    np.testing.assert_allclose(cut_vectors(users, 4), cut(users, 4), rtol=1e-12)
    for wrong in ([], [17], [0]):
        with pytest.raises(ValueError, match="cuts must be"):
            matryoshka(loss, [users, items], wrong)
    with pytest.raises(ValueError, match="as many weights"):
        matryoshka(loss, [users, items], [4, 8], [1.0])


def test_propensity_weights_make_a_skewed_log_count_as_an_even_one() -> None:
    counts = np.array([1000, 100, 10, 1, 0])
    np.testing.assert_allclose(propensity_weights(counts, 0.0), np.ones(5))
    full = propensity_weights(counts[:4], 1.0, clip=1e6)
    np.testing.assert_allclose(full * counts[:4], np.full(4, counts.sum() / 4), rtol=1e-5)
    clipped = propensity_weights(counts, 0.5, clip=5)
    assert clipped[-1] == clipped[2] == pytest.approx(5 * clipped[0])
    assert clipped[1] / clipped[0] == pytest.approx(np.sqrt(10), rel=1e-5)
    assert clipped @ counts / counts.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(propensity_weights(np.zeros(3), 0.5), np.ones(3))
    for power, clip in ((1.1, 2), (-0.1, 2), (0.5, 0.9)):
        with pytest.raises(ValueError, match="must be"):
            propensity_weights(counts, power, clip)
    with pytest.raises(ValueError, match="none negative"):
        propensity_weights([-1, 2], 0.5)
