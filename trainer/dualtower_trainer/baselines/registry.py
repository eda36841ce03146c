"""All baselines by name: what each is, what it can rank, and how its settings are chosen."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dualtower_trainer.baselines.adversarial_mf import AdversarialMF
from dualtower_trainer.baselines.bm25 import fit_bm25
from dualtower_trainer.baselines.closed_form_tower import choose_closed_form_tower
from dualtower_trainer.baselines.directau import DirectAU
from dualtower_trainer.baselines.ease import fit_ease
from dualtower_trainer.baselines.epochs import Model, best_epochs, train_epochs
from dualtower_trainer.baselines.factorisation import fit_als, fit_bpr
from dualtower_trainer.baselines.fold_in import answering_all
from dualtower_trainer.baselines.itemknn import fit_itemknn
from dualtower_trainer.baselines.neumf import NeuMF
from dualtower_trainer.baselines.popularity import fit_popularity, fit_recent_popularity
from dualtower_trainer.baselines.slim import fit_slim
from dualtower_trainer.baselines.text_similarity import fit_encoder, fit_tfidf
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.baselines.trend import Trend, with_trend
from dualtower_trainer.baselines.tuning import Tuning, best_setting
from dualtower_trainer.baselines.vbpr import Vbpr
from dualtower_trainer.baselines.xsimgcl import XSimGCL

__all__ = ["BASELINES", "CHEAP", "Baseline", "Fitted"]


@dataclass(frozen=True)
class Fitted:
    """A scorer, and what was chosen for it ("" when there was no choice)."""

    scorer: Scorer
    note: str = ""


@dataclass(frozen=True)
class Baseline:
    """One line of the table.

    Attributes:
        title: what a reader calls it.
        fit: chooses its settings and fits it.
        warm_only: it gives an item nobody took no score that means anything.
        cheap: it is fitted in seconds, and part of every evaluation.
        dense: it needs a dense matrix of items × items, 4 bytes each.
        package: what must be importable for it, "" where nothing more is needed.
        stands_for: the method that the source article names, under which no paper was found, and
            for which this published one stands; "" for none.
    """

    title: str
    fit: Callable[[Tuning], Fitted]
    warm_only: bool = True
    cheap: bool = False
    dense: bool = False
    package: str = ""
    stands_for: str = ""

    @property
    def installed(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None


def _plain(fit: Callable[[TrainingSet], Scorer]) -> Callable[[Tuning], Fitted]:
    return lambda tuning: Fitted(answering_all(fit(tuning.full), tuning.full))


def _tuned(
    fit: Callable[..., Scorer], grids: Mapping[str, Sequence[float]], *, seeded: bool = False
) -> Callable[[Tuning], Fitted]:
    """Fits with the best value of each knob in turn, the others at their first or best one."""

    def run(tuning: Tuning) -> Fitted:
        fixed = {"seed": tuning.seed} if seeded else {}
        chosen = {name: values[0] for name, values in grids.items()}
        for name, values in grids.items():
            settings = [{**chosen, name: value} for value in values]
            chosen = best_setting(settings, lambda data, knobs: fit(data, **knobs, **fixed), tuning)
        scorer = answering_all(fit(tuning.full, **chosen, **fixed), tuning.full)
        return Fitted(scorer, _said(chosen))

    return run


def _trained(make: Callable[[TrainingSet, int], Model], most: int) -> Callable[[Tuning], Fitted]:
    def run(tuning: Tuning) -> Fitted:
        epochs = best_epochs(make, tuning, most=most)
        scorer = train_epochs(make(tuning.full, tuning.seed), epochs)
        return Fitted(answering_all(scorer, tuning.full), f"{epochs} epochs")

    return run


def _ease(tuning: Tuning) -> Fitted:
    regularisation = _best_ease(tuning)
    scorer = fit_ease(tuning.full, regularisation=regularisation)
    return Fitted(answering_all(scorer, tuning.full), f"regularisation {regularisation:g}")


def _ease_trend(tuning: Tuning) -> Fitted:
    regularisation = _best_ease(tuning)
    base = fit_ease(tuning.train, regularisation=regularisation)
    trends = [Trend(28, 0)]
    trends += [Trend(days, power) for days in (14, 28, 56) for power in (0.25, 0.5, 0.75, 1.0)]
    trend = best_setting(
        trends, lambda data, setting: with_trend(base, setting.factors(data)), tuning
    )
    # the trend comes last, so that people without a history get what is popular and rising
    scorer = answering_all(fit_ease(tuning.full, regularisation=regularisation), tuning.full)
    return Fitted(
        with_trend(scorer, trend.factors(tuning.full)),
        f"regularisation {regularisation:g}, last {trend.window_days:g} days to the power "
        f"{trend.power:g}",
    )


def _best_ease(tuning: Tuning) -> float:
    return tuning.once(
        "ease",
        lambda: best_setting(
            (300.0, 1000.0, 3000.0),
            lambda data, value: fit_ease(data, regularisation=value),
            tuning,
        ),
    )


def _closed_form(tuning: Tuning) -> Fitted:
    return Fitted(*choose_closed_form_tower(tuning))


def _said(chosen: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in chosen.items())


BASELINES: dict[str, Baseline] = {
    "popularity": Baseline("popularity", _plain(fit_popularity), cheap=True),
    "recent_popularity": Baseline(
        "recent popularity",
        _tuned(fit_recent_popularity, {"half_life_days": (30.0, 3.0, 7.0, 14.0, 60.0, 120.0)}),
        cheap=True,
    ),
    "tfidf": Baseline("TF-IDF", _plain(fit_tfidf), warm_only=False, cheap=True),
    "bm25": Baseline(
        "BM25",
        _tuned(
            fit_bm25, {"k3": (8.0, 1.0, 64.0, 1000.0), "b": (0.75, 0.25), "k1": (1.2, 0.6, 2.4)}
        ),
        warm_only=False,
        cheap=True,
    ),
    "encoder": Baseline(
        "encoder, zero-shot",
        _tuned(fit_encoder, {"power": (2.0, 1.0, 4.0, 8.0)}),
        warm_only=False,
        cheap=True,
        dense=True,
    ),
    "itemknn": Baseline(
        "ItemKNN",
        _tuned(fit_itemknn, {"neighbours": (50, 20, 200), "shrink": (10.0, 0.0, 50.0)}),
        cheap=True,
        dense=True,
    ),
    "als": Baseline(
        "ALS",
        _tuned(
            fit_als,
            {"alpha": (10.0, 1.0, 3.0), "regularisation": (0.1, 1.0, 10.0), "factors": (64, 128)},
            seeded=True,
        ),
        package="implicit",
    ),
    "bpr": Baseline(
        "BPR",
        _tuned(fit_bpr, {"iterations": (100, 200), "regularisation": (0.01, 0.03)}, seeded=True),
        package="implicit",
    ),
    "ease": Baseline("EASE", _ease, cheap=True, dense=True, stands_for="SimReco"),
    "ease_trend": Baseline("EASE × trend", _ease_trend, cheap=True, dense=True),
    "closed_form": Baseline(
        "closed-form dual tower", _closed_form, warm_only=False, cheap=True, dense=True
    ),
    "slim": Baseline(
        "SLIM (Ning & Karypis 2011)",
        _tuned(fit_slim, {"l2": (50.0, 10.0, 200.0), "l1": (1.0, 0.1, 5.0)}),
        dense=True,
        stands_for="SimReco",
    ),
    "neumf": Baseline("NeuMF (He et al. 2017)", _trained(NeuMF, 8), stands_for="iDeepCF"),
    "directau": Baseline("DirectAU (Wang et al. 2022)", _trained(DirectAU, 12), stands_for="NCS"),
    "xsimgcl": Baseline("XSimGCL (Yu et al. 2023)", _trained(XSimGCL, 10), stands_for="NCS"),
    "amf": Baseline("AMF (He et al. 2018)", _trained(AdversarialMF, 30), stands_for="AdMF"),
    "vbpr": Baseline(
        "VBPR (He & McAuley 2016)", _trained(Vbpr, 20), warm_only=False, stands_for="MFMF"
    ),
}
CHEAP = tuple(name for name, baseline in BASELINES.items() if baseline.cheap)
