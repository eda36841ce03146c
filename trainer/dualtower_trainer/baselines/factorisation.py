"""ALS and BPR by the `implicit` library, which the extra `bench` brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualtower_trainer.baselines.fold_in import factor_scorer
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix

__all__ = ["fit_als", "fit_bpr"]


def fit_als(
    data: TrainingSet,
    *,
    factors: int = 64,
    regularisation: float = 0.1,
    alpha: float = 10.0,
    iterations: int = 15,
    seed: int = 0,
) -> Scorer:
    """Weighted matrix factorisation by alternating least squares.

    Hu, Koren & Volinsky 2008, https://doi.org/10.1109/ICDM.2008.22. Everybody is folded in: the
    user factors are solved anew from the history, which for a known user equals a last half step.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # BLAS threads on top of the library's own crawl
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularisation,
            alpha=alpha,
            iterations=iterations,
            random_state=seed,
            num_threads=1,
        )
        model.fit(data.matrix, show_progress=False)

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        found = history_matrix(histories, data.n_items)
        solved = model.recalculate_user(np.arange(len(histories)), found)
        return np.asarray(solved @ model.item_factors.T, np.float32)

    return score


def fit_bpr(
    data: TrainingSet,
    *,
    factors: int = 64,
    regularisation: float = 0.01,
    learning_rate: float = 0.05,
    iterations: int = 100,
    seed: int = 0,
) -> Scorer:
    """Bayesian personalised ranking, Rendle et al. 2009, https://arxiv.org/abs/1205.2618.

    One thread, since several race and then no two runs agree.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=factors,
        regularization=regularisation,
        learning_rate=learning_rate,
        iterations=iterations,
        random_state=seed,
        num_threads=1,
    )
    model.fit(data.matrix, show_progress=False)
    # the last column of the user factors is 1, of the item factors the item bias
    return factor_scorer(data, model.user_factors, model.item_factors)
