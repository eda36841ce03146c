"""Which settings of the closed form foresee the validation period best.

One at a time, each with the best of the ones before it: regularisation, sharpening, prior, trend.
The first value of a grid is the default, which another one must beat clearly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.closed_form.features import TextFeatures
from dualtower_trainer.closed_form.fit import ClosedForm, fit_closed_form
from dualtower_trainer.closed_form.trend import trend_scale
from dualtower_trainer.data import Split
from dualtower_trainer.validation import Look, Validation

_YOUNG = 0.025  # share of the log's span
_TRENDS = 5

__all__ = ["Choice", "choose_closed_form", "is_gain", "taken_matrix", "trend_of"]


@dataclass(frozen=True)
class Choice:
    """Settings that validation chose.

    Attributes:
        regularisation: λ.
        prior: strength of the prior beside one item.
        sharpening: of the comparison among known items.
        trends: each the half-life of the recent popularity as a share of the log's span, the
            power, and the freshness; their geometric mean is the trend. Empty where no trend helps
            by more than one standard error.
    """

    regularisation: float
    sharpening: float
    prior: float
    trends: tuple[tuple[float, float, float], ...] = ()


def taken_matrix(parts: Split) -> sparse.csr_matrix:
    """float32 [users, items], 1 where a user took an item in training."""
    log = parts.train
    ones = np.ones(len(log), np.float32)
    shape = (len(log.user_ids), len(parts.catalogue))
    return sparse.csr_matrix((ones, (log.users, log.items)), shape=shape)


def choose_closed_form(
    parts: Split,
    validation: Validation,
    features: TextFeatures,
    config: ClosedFormConfig,
    *,
    rank: int,
    history_items: int,
    id_residual: bool,
    trend: bool,
    tell: Callable[[str], None],
) -> tuple[ClosedForm, Choice, list[dict[str, Any]]]:
    """Fits on the inner training log and asks the validation users.

    Args:
        parts: the inner split.
        validation: its users.
        features: of all texts.
        config: the grids.
        rank: numbers of a vector.
        history_items: of a history are read.
        id_residual: whether items have numbers of their own.
        trend: whether a trend may be chosen.
        tell: gets a line for each thing tried.

    Returns:
        the best closed form, its settings, and what was tried with its metrics.
    """
    taken = taken_matrix(parts)
    history = _history_matrix(validation.histories, history_items, taken.shape[1])
    tried: list[dict[str, Any]] = []

    def ask(form: ClosedForm, choice: Choice) -> Look:
        look = validation.look(
            _scorer(form, history, choice.prior, trend_of(parts, config, choice), id_residual)
        )
        tried.append({**vars(choice), "value": look.value, **look.numbers()})
        return look

    def fitted(choice: Choice) -> tuple[Look, ClosedForm, Choice]:
        form = fit_closed_form(
            taken,
            features,
            rank=rank,
            regularisation=choice.regularisation,
            sharpening=choice.sharpening,
            text_pull=config.text_pull,
            ridge=config.ridge,
            max_items=config.max_items,
        )
        look = ask(form, choice)
        tell(f"  regularisation {choice.regularisation:g}, sharpening {choice.sharpening:g}: "
             f"{_line(look)}")  # fmt: skip
        return look, form, choice

    first = Choice(
        config.regularisation[0], config.sharpening[0] if id_residual else 0.0, config.prior[0]
    )
    best = fitted(first)
    for regularisation in config.regularisation[1:]:
        other = fitted(replace(first, regularisation=regularisation))
        best = other if _clearly_better(other[0], best[0]) else best
    for sharpening in config.sharpening[1:] if id_residual else ():
        other = fitted(replace(best[2], sharpening=sharpening))
        best = other if _clearly_better(other[0], best[0]) else best
    look, form, choice = best
    for prior in config.prior[1:]:
        candidate = replace(choice, prior=prior)
        asked = ask(form, candidate)
        if _clearly_better(asked, look):
            look, choice = asked, candidate
    tell(f"  prior {choice.prior:g}: {_line(look)}")
    if trend and len(set(parts.train.timestamps.tolist())) > 1:
        choice = _choose_trend(ask, form, choice, look, config, tell)
    return form, choice, tried


def _choose_trend(
    ask: Callable[[ClosedForm, Choice], Look],
    form: ClosedForm,
    choice: Choice,
    without: Look,
    config: ClosedFormConfig,
    tell: Callable[[str], None],
) -> Choice:
    asked = []
    for trend in itertools.product(config.half_lives, config.trend_powers, config.freshness):
        look = ask(form, replace(choice, trends=(trend,)))
        asked.append((float(np.nanmean(look.warm_value)), trend))
    asked.sort(reverse=True)
    # several near the top are as good as each other, and their mean is steadier than any
    chosen = replace(choice, trends=tuple(trend for _, trend in asked[:_TRENDS]))
    best = ask(form, chosen)
    if not is_gain(best.warm_value - without.warm_value, errors=1.0):
        tell("  no trend: none helps by more than one standard error")
        return choice
    half_life, power, freshness = chosen.trends[0]
    tell(f"  trend: half-life {half_life:g} of the log, power {power:g}, freshness {freshness:g} "
         f"and {len(chosen.trends) - 1} like it: {_line(best)}")  # fmt: skip
    return chosen


def trend_of(parts: Split, config: ClosedFormConfig, choice: Choice) -> np.ndarray:
    """The trend scale float32 [items] at the end of the training log."""
    log = parts.train
    now_s, first_s = int(log.timestamps.max()), int(log.timestamps.min())
    span_s = max(1, now_s - first_s)
    logarithm = np.zeros(len(parts.catalogue))
    for half_life, power, freshness in choice.trends:
        scale = trend_scale(
            log.items,
            log.timestamps,
            len(parts.catalogue),
            now_s=now_s,
            half_life_s=max(1.0, half_life * span_s),
            power=power,
            smoothing=config.trend_smoothing,
            freshness=freshness,
            young_s=max(1.0, _YOUNG * span_s),
        )
        logarithm += np.log(scale) / len(choice.trends)
    return np.exp(logarithm).astype(np.float32)


def is_gain(differences: np.ndarray, *, errors: float) -> bool:
    """Whether paired differences [users] are above 0 by more than so many standard errors."""
    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return False
    return bool(known.mean() > errors * known.std(ddof=1) / np.sqrt(len(known)))


def _clearly_better(look: Look, than: Look) -> bool:
    """By half a standard error at least, so that chance moves no setting from its default."""
    return is_gain(look.both - than.both, errors=0.5)


def _history_matrix(
    histories: Sequence[np.ndarray], history_items: int, n_items: int
) -> sparse.csr_matrix:
    recent = [history[:history_items] for history in histories]
    rows = np.repeat(np.arange(len(recent)), [len(history) for history in recent])
    columns = np.concatenate([*recent, np.empty(0, np.int32)])
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(recent), n_items))


def _scorer(
    form: ClosedForm, history: sparse.csr_matrix, prior: float, trend: np.ndarray, own: bool
) -> Callable[[np.ndarray], np.ndarray]:
    parts = form.parts(id_residual=own)
    people = form.people(parts, history, prior=prior)
    ranked = (parts[:, :-1] * trend[:, None]).T
    return lambda places: np.asarray(people[places] @ ranked, np.float32)


def _line(look: Look) -> str:
    numbers = look.numbers()
    warm = f"Recall@20 {numbers['validation_recall_at_20'] or 0:.4f}"
    warm += f", NDCG@20 {numbers['validation_ndcg_at_20'] or 0:.4f}"
    cold = numbers["validation_cold_recall_at_20"]
    return warm if cold is None else f"{warm}; unseen items {cold:.4f}"
