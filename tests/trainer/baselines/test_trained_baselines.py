"""Baselines that are trained: gradients against differences, and a planted taste to be found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from dualtower_trainer.baselines import BASELINES, Tuning
from dualtower_trainer.baselines.adversarial_mf import (
    AdversarialMF,
    AmfConfig,
    disturbance,
    ranking_gradients,
)
from dualtower_trainer.baselines.directau import alignment, uniformity
from dualtower_trainer.baselines.epochs import best_epochs
from dualtower_trainer.baselines.neumf import NeuMF, NeuMfConfig, logit_gradients, logits
from dualtower_trainer.baselines.unit_rows import through_length
from dualtower_trainer.baselines.vbpr import Vbpr, fused_content, vbpr_gradients

RANDOM = np.random.default_rng(4)


def slope_of(loss: Callable[[], float], values: np.ndarray, place: tuple[int, ...]) -> float:
    """The difference quotient of `loss` in one entry of `values`, which is put back."""
    before, step = values[place], 1e-6
    values[place] = before + step
    above = loss()
    values[place] = before - step
    below = loss()
    values[place] = before
    return (above - below) / (2 * step)


def places(values: np.ndarray) -> list[tuple[int, ...]]:
    flat = RANDOM.choice(values.size, min(4, values.size), replace=False)
    return [tuple(map(int, np.unravel_index(entry, values.shape))) for entry in flat]


def test_ranking_gradients() -> None:
    vectors = [RANDOM.normal(size=(5, 3)) for _ in range(3)]
    _, gradients = ranking_gradients(*vectors)
    for values, gradient in zip(vectors, gradients, strict=True):
        for place in places(values):
            found = slope_of(lambda: 5 * ranking_gradients(*vectors)[0], values, place)
            assert gradient[place] == pytest.approx(found, abs=1e-6)


def test_the_disturbance_is_the_worst_of_its_length() -> None:
    vectors = [RANDOM.normal(size=(1, 3)) for _ in range(3)]
    loss, gradients = ranking_gradients(*vectors)
    epsilon = 1e-3
    worst = ranking_gradients(vectors[0] + disturbance(gradients[0], epsilon), *vectors[1:])[0]
    for _ in range(200):
        other = RANDOM.normal(size=(1, 3))
        other *= epsilon / np.linalg.norm(other)
        assert ranking_gradients(vectors[0] + other, *vectors[1:])[0] <= worst + 1e-9
    assert worst > loss


@pytest.mark.parametrize("which", ["alignment", "uniformity"])
def test_directau_gradients_on_the_sphere(which: str) -> None:
    raw = RANDOM.normal(size=(6, 4))
    fixed = RANDOM.normal(size=(6, 4))

    def unit(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def loss() -> float:
        if which == "alignment":
            return alignment(unit(raw), unit(fixed))[0]
        return uniformity(unit(raw))[0]

    slope = (
        alignment(unit(raw), unit(fixed))[1] if which == "alignment" else uniformity(unit(raw))[1]
    )
    gradient = through_length(raw, slope)
    for place in places(raw):
        assert gradient[place] == pytest.approx(slope_of(loss, raw, place), abs=1e-5)


def test_uniformity_by_pairs() -> None:
    x = RANDOM.normal(size=(5, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(a, b) for a in range(5) for b in range(5) if a != b]
    mean = np.mean([np.exp(-2 * np.sum((x[a] - x[b]) ** 2)) for a, b in pairs])
    assert uniformity(x)[0] == pytest.approx(np.log(mean))
    assert uniformity(x[:1])[0] == 0


def test_vbpr_gradients() -> None:
    now = {
        "p": RANDOM.normal(size=(4, 3)), "theta": RANDOM.normal(size=(4, 2)),
        "q": RANDOM.normal(size=(8, 3)), "beta": RANDOM.normal(size=(8, 1)),
        "E": RANDOM.normal(size=(5, 2)), "b": RANDOM.normal(size=(5, 1)),
    }  # fmt: skip
    content = RANDOM.normal(size=(8, 5))
    _, gradients = vbpr_gradients(now, content)
    for name, values in now.items():
        for place in places(values):
            found = slope_of(lambda: 4 * vbpr_gradients(now, content)[0], values, place)
            assert gradients[name][place] == pytest.approx(found, abs=1e-6), name


def test_neumf_gradients() -> None:
    shapes = {
        "p": (4, 3), "q": (4, 3), "s": (4, 3), "t": (4, 3), "W1": (6, 5), "c1": (1, 5),
        "W2": (5, 2), "c2": (1, 2), "h": (5, 1), "d": (1, 1),
    }  # fmt: skip
    now = {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}
    labels = np.array([1.0, 0, 0, 1])

    def loss() -> float:
        found, _ = logits(now)
        return float(np.sum(np.logaddexp(0, found) - labels * found))

    found, hidden = logits(now)
    gradients = logit_gradients(now, hidden, 1 / (1 + np.exp(-found)) - labels)
    for name, values in now.items():
        for place in places(values):
            assert gradients[name][place] == pytest.approx(
                slope_of(loss, values, place), abs=1e-5
            ), name


def test_neumf_scores_are_its_logits(planted: Tuning) -> None:
    data = planted.full
    model = NeuMF(data, 0, NeuMfConfig(dim=4, hidden=(6, 3)))
    model.epoch()
    scores = model.scorer()([planted.validation.histories[7]], np.array([7]))[0]
    tables = {name: table.values for name, table in model._tables.items()}
    now = {**tables, "q": tables["q"], "t": tables["t"]}
    now |= {name: np.repeat(tables[name][[7]], data.n_items, axis=0) for name in ("p", "s")}
    np.testing.assert_allclose(scores + tables["d"][0, 0], logits(now)[0], atol=1e-5)


def random_recall(tuning: Tuning) -> float:
    random = np.random.default_rng(0)
    return tuning.recall(lambda histories, users: random.random((len(histories), 60)))


@pytest.mark.parametrize("name", ["ease", "slim", "itemknn", "als", "bpr", "neumf", "directau",
                                  "xsimgcl", "amf", "vbpr", "encoder"])  # fmt: skip
def test_a_planted_taste_is_found(planted: Tuning, name: str) -> None:
    baseline = BASELINES[name]
    if not baseline.installed:
        pytest.skip(f"{baseline.package} is not installed")
    fitted = baseline.fit(planted)
    popular = planted.recall(BASELINES["popularity"].fit(planted).scorer)
    found = planted.recall(fitted.scorer)
    assert found > popular + 0.05, f"{found} against popularity {popular}"
    assert popular > random_recall(planted) - 0.05

    again = baseline.fit(planted).scorer
    histories, users = planted.validation.histories[:3], planted.validation.users[:3]
    first = fitted.scorer(histories, users)
    assert first.dtype == np.float32
    assert first.shape == (3, 60)
    np.testing.assert_array_equal(first, again(histories, users), "same seed, same scores")


@pytest.mark.parametrize("name", ["als", "bpr", "neumf", "directau", "xsimgcl", "amf", "vbpr"])
def test_new_users_are_folded_in_by_their_history(planted: Tuning, name: str) -> None:
    """A copy of a known user under a code that training never saw gets a similar list."""
    baseline = BASELINES[name]
    if not baseline.installed:
        pytest.skip(f"{baseline.package} is not installed")
    scorer = baseline.fit(planted).scorer
    strangers = planted.recall(lambda histories, users: scorer(histories, np.full(len(users), -1)))
    popular = planted.recall(BASELINES["popularity"].fit(planted).scorer)
    assert strangers > popular


def test_vbpr_ranks_items_that_nobody_took(planted: Tuning) -> None:
    """Items 50 … 59: by content, a user's own kind comes first."""
    model = Vbpr(planted.full, 0)
    for _ in range(8):
        model.epoch()
    kinds = planted.full.content()
    scores = model.scorer()(planted.validation.histories, planted.validation.users)[:, 50:]
    profile = np.stack([kinds[history].mean(axis=0) for history in planted.validation.histories])
    wanted = profile @ kinds[50:].T
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(scores, wanted, strict=True)]
    assert np.mean(agreement) > 0.5


def test_vbpr_reads_vectors_of_another_modality_behind_the_text(planted: Tuning) -> None:
    """Each part around its mean and of length 1; an item without a vector has zeros there."""
    text, modal = RANDOM.normal(size=(60, 4)), RANDOM.normal(size=(60, 3))
    modal[7] = 0
    data = dataclasses.replace(planted.full, content=lambda: text, features=modal)
    found = fused_content(data)
    centred = text - text.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, :4], expected, atol=1e-6)
    others = np.delete(modal, 7, axis=0)
    expected = (others - others.mean(axis=0)) / np.linalg.norm(
        others - others.mean(axis=0), axis=1, keepdims=True
    )
    np.testing.assert_allclose(np.delete(found[:, 4:], 7, axis=0), expected, atol=1e-6)
    assert not found[7, 4:].any()


def test_vbpr_with_informative_features_beats_vbpr_without(planted: Tuning) -> None:
    """Texts say nothing; the features are the planted tastes, of items nobody took as well."""
    kinds = planted.full.content()
    noise = np.random.default_rng(5).normal(size=(60, 8)).astype(np.float32)
    blind = dataclasses.replace(planted.full, content=lambda: noise)
    agreement = {}
    for data in (blind, dataclasses.replace(blind, features=kinds)):
        model = Vbpr(data, 0)
        for _ in range(8):
            model.epoch()
        held = planted.validation
        scores = model.scorer()(held.histories, held.users)[:, 50:]
        likes = np.stack([kinds[history].mean(axis=0) for history in held.histories])
        pairs = zip(scores, likes @ kinds[50:].T, strict=True)
        agreement[data.features is not None] = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    assert agreement[True] > agreement[False] + 0.3


def test_without_weight_amf_is_bpr_and_with_it_it_is_not(planted: Tuning) -> None:
    def after(config: AmfConfig) -> np.ndarray:
        model = AdversarialMF(planted.full, 0, config)
        model.epoch()
        model.epoch()
        return model.scorer()(planted.validation.histories[:2], planted.validation.users[:2])

    plain = after(AmfConfig(weight=0))
    np.testing.assert_array_equal(plain, after(AmfConfig(weight=1, plain_epochs=2)))
    assert not np.allclose(plain, after(AmfConfig(weight=1, plain_epochs=1)))


def test_as_many_epochs_as_were_best(planted: Tuning) -> None:
    class Rising:
        """Ranks as popularity until its third pass, then like the best there is."""

        def __init__(self) -> None:
            self.passes = 0

        def epoch(self) -> float:
            self.passes += 1
            return 0.0

        def scorer(self):
            good = BASELINES["ease"].fit(planted).scorer
            poor = BASELINES["popularity"].fit(planted).scorer
            return good if self.passes == 3 else poor

    made: list[Rising] = []

    def make(data: object, seed: int) -> Rising:
        made.append(Rising())
        return made[-1]

    assert best_epochs(make, planted, most=20, patience=3) == 3
    assert made[0].passes == 6, "it stops when it has waited long enough"
