"""How strongly unseen items are scaled, so that they get their share of the lists."""

from __future__ import annotations

import numpy as np

from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.closed_form.cold_share import cold_scale_for_share
from dualtower_trainer.data import Split
from dualtower_trainer.learner import Learner
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.towers import fit_into_ball
from dualtower_trainer.user_logs import rows_by_user

__all__ = ["cold_scale"]

_FEWEST_COLD = 20


def cold_scale(
    learner: Learner, parts: Split, trend: np.ndarray, config: RunConfig, *, share: float | None
) -> float:
    """The scale at which unseen items get their share of the lists of training users.

    Args:
        learner: whose towers are asked.
        parts: whose catalogue and training users.
        trend: float32 [items].
        config: the wanted share, relative to the share of the catalogue.
        share: used as it is where the catalogue has too few unseen items to measure; None then
            gives 1.
    """
    blocked = parts.catalogue.blocked
    cold = ~learner.known & ~blocked
    if cold.sum() < max(_FEWEST_COLD, 0.01 * len(cold)) or not learner.known.any():
        return 1.0 if share is None else share
    logs = rows_by_user(parts.train)
    if len(logs) > config.train.validation_users:
        chosen = np.linspace(0, len(logs) - 1, config.train.validation_users).astype(int)
        logs = [logs[place] for place in np.unique(chosen)]
    own = learner.parts()
    tastes = own[:, :-1] * trend[:, None]
    people = embed_histories(learner.user_tower, fit_into_ball(own), logs, config.model)[:, :-2]
    base = people @ tastes.T
    base[:, blocked] = -np.inf
    for row, history in zip(base, logs, strict=True):
        row[history] = -np.inf

    def scores(scale: float) -> np.ndarray:
        scaled = base.copy()
        scaled[:, cold] *= scale
        return scaled

    wanted = cold.sum() / (~blocked).sum() * config.closed_form.cold_list_share
    return cold_scale_for_share(scores, cold, share=min(float(wanted), 1.0))
