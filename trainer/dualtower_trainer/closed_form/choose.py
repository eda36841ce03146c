"""Which settings of the closed form foresee the validation period best.

One at a time, each with the best of the ones before it: regularisation, prior, trend. The first
value of a grid is the default, which another one must beat clearly.
"""

from __future__ import annotations

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

__all__ = ["Choice", "choose_closed_form", "is_gain", "taken_matrix", "trend_of"]


@dataclass(frozen=True)
class Choice:
    """Settings that validation chose.

    Attributes:
        regularisation: λ.
        prior: strength of the prior beside one item.
        half_life: of the recent popularity, as a share of the log's span.
        trend_power: 0 where no trend helps by more than one standard error.
    """

    regularisation: float
    prior: float
    half_life: float
    trend_power: float


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

    best: tuple[Look, ClosedForm, Choice] | None = None
    for regularisation in config.regularisation:
        form = fit_closed_form(
            taken,
            features,
            rank=rank,
            regularisation=regularisation,
            text_pull=config.text_pull,
            ridge=config.ridge,
            max_items=config.max_items,
        )
        choice = Choice(regularisation, config.prior[0], config.half_lives[0], 0.0)
        look = ask(form, choice)
        tell(f"  regularisation {regularisation:g}: {_line(look)}")
        if best is None or _clearly_better(look, best[0]):
            best = look, form, choice
    assert best is not None
    look, form, choice = best
    for prior in config.prior[1:]:
        candidate = replace(choice, prior=prior)
        other = ask(form, candidate)
        if _clearly_better(other, look):
            look, choice = other, candidate
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
    best, chosen = without, choice
    for half_life in config.half_lives:
        for power in config.trend_powers:
            candidate = replace(choice, half_life=half_life, trend_power=power)
            look = ask(form, candidate)
            if np.nanmean(look.warm_value) > np.nanmean(best.warm_value):
                best, chosen = look, candidate
    if not is_gain(best.warm_value - without.warm_value, errors=1.0):
        tell("  no trend: none helps by more than one standard error")
        return choice
    tell(f"  trend: half-life {chosen.half_life:g} of the log, power {chosen.trend_power:g}: "
         f"{_line(best)}")  # fmt: skip
    return chosen


def trend_of(parts: Split, config: ClosedFormConfig, choice: Choice) -> np.ndarray:
    """The trend scale float32 [items] at the end of the training log."""
    log = parts.train
    now_s, first_s = int(log.timestamps.max()), int(log.timestamps.min())
    return trend_scale(
        log.items,
        log.timestamps,
        len(parts.catalogue),
        now_s=now_s,
        half_life_s=max(1.0, choice.half_life * (now_s - first_s)),
        power=choice.trend_power,
        smoothing=config.trend_smoothing,
    )


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
    values = form.person_values(parts)
    ranked = (parts[:, :-1] * trend[:, None]).T
    lengths = np.sqrt(1 + np.asarray(history.sum(axis=1)))

    def scores(places: np.ndarray) -> np.ndarray:
        people = history[places] @ values / lengths[places] + prior * form.crowd
        return np.asarray(people @ ranked, np.float32)

    return scores


def _line(look: Look) -> str:
    numbers = look.numbers()
    warm = f"Recall@20 {numbers['validation_recall_at_20'] or 0:.4f}"
    warm += f", NDCG@20 {numbers['validation_ndcg_at_20'] or 0:.4f}"
    cold = numbers["validation_cold_recall_at_20"]
    return warm if cold is None else f"{warm}; unseen items {cold:.4f}"
