"""The on-device recommender in a bundle: converted, asked for held-out users, and judged.

Its lists are compared with the float ranking of the whole catalogue, by the thresholds of the
variants. Of the two files the catalogue is asked together with the float32 user tower.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.edge.metadata import with_card
from dualtower.progress import say
from dualtower_export.config import ExportConfig
from dualtower_export.edge_cards import Identity, recommender_card
from dualtower_export.edge_forks import Forks
from dualtower_export.edge_inputs import USERS
from dualtower_export.edge_jobs import run_jobs
from dualtower_export.edge_recommender_worker import THREADS, RecommenderJob
from dualtower_export.fidelity import RankingChange, compare_rankings
from dualtower_export.gate_data import GateData
from dualtower_export.verdict import DO_NOT_SHIP, SHIP, ranking_reasons
from dualtower_trainer.checkpoint import Trained

__all__ = ["FORMS", "MeasuredRecommender", "convert_recommenders", "keep_what_ships"]

FORMS = ("recommender", "catalogue")


@dataclass(frozen=True)
class MeasuredRecommender:
    """One file beside the float ranking.

    Attributes:
        form: "recommender", or "catalogue" asked with the float32 user tower.
        variant: one of `config.RECOMMENDERS`.
        k: length of its list.
        size_bytes: with ids and metadata.
        gzip_bytes: the same compressed.
        score_error: largest difference of a score to the float score of the same item.
        ms: median time of a call by number of threads; of the two files both are in it.
        ranking: recall and overlap of its top ten.
    """

    form: str
    variant: str
    k: int
    size_bytes: int
    gzip_bytes: int
    score_error: float
    ms: dict[int, float]
    ranking: RankingChange

    @property
    def file(self) -> str:
        """Its place in a bundle."""
        return f"edge/{self.form}.{self.variant}.tflite"

    def as_json(self, reasons: list[str]) -> dict[str, Any]:
        """The entry of a manifest; `reasons` says why it does not ship."""
        ranking = asdict(self.ranking)
        return {
            "form": self.form,
            "variant": self.variant,
            "file": self.file,
            "k": self.k,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "score_error": self.score_error,
            "recall_at_10": _number(ranking["recall"]),
            "recall_at_10_float": _number(ranking["recall_float"]),
            "recall_at_10_loss_se": _number(ranking["loss_se"]),
            "overlap_at_10": ranking["overlap"],
            "users": ranking["users"],
            "ms_p50": {str(threads): value for threads, value in self.ms.items()},
            "verdict": DO_NOT_SHIP if reasons else SHIP,
            "reason": "; ".join(reasons),
        }


def convert_recommenders(
    trained: Trained,
    data: GateData,
    config: ExportConfig,
    identity: Identity,
    *,
    edge: Path,
    scratch: Path,
    forks: Forks,
) -> list[MeasuredRecommender]:
    """Writes `edge/recommender.VARIANT.tflite` and `edge/catalogue.VARIANT.tflite`, and asks them.

    `convert_variants` must have run: the histories lie in `scratch`, the user tower in `edge`.
    A catalogue beyond `config.edge_most_items` gets none.
    """
    items = len(trained.item_ids)
    if config.edge_recommenders and items > config.edge_most_items:
        say(
            f"  {items:,} items are more than export.edge_most_items, {config.edge_most_items:,}: "
            "no recommender for a phone"
        )
        return []
    k = min(config.edge_k, items)
    jobs = [
        RecommenderJob(
            run=str(trained.path.resolve()),
            variant=variant,
            k=k,
            inputs=str(scratch / USERS),
            user_tower=str(edge / "user_tower.float32.tflite"),
            one_file=str(edge / f"recommender.{variant}.tflite"),
            catalogue=str(edge / f"catalogue.{variant}.tflite"),
            answers=str(scratch / f"recommender.{variant}.npz"),
        )
        for variant in config.edge_recommenders
    ]
    run_jobs(jobs, scratch, at_once=config.jobs, forks=forks)
    float_scores = trained.embed_histories(data.histories) @ trained.vectors.T
    measured = []
    for job in jobs:
        with np.load(job.answers) as answers:
            for form in FORMS:
                path = edge / f"{form}.{job.variant}.tflite"
                card = recommender_card(identity, trained, form, job.variant, k)
                content = with_card(path.read_bytes(), card)
                path.write_bytes(content)
                error, ranking = _compare(
                    float_scores, answers[f"{form}.rows"], answers[f"{form}.scores"], trained, data
                )
                measured.append(
                    MeasuredRecommender(
                        form=form,
                        variant=job.variant,
                        k=k,
                        size_bytes=len(content),
                        gzip_bytes=len(gzip.compress(content, compresslevel=6, mtime=0)),
                        score_error=error,
                        ms={n: float(np.median(answers[f"{form}.ms.{n}"])) for n in THREADS},
                        ranking=ranking,
                    )
                )
    return measured


def keep_what_ships(
    measured: Sequence[MeasuredRecommender], config: ExportConfig, edge: Path
) -> list[dict[str, Any]]:
    """Removes the files of lists too far from float's; the manifest's entry of every one."""
    entries = []
    for one in measured:
        reasons = ranking_reasons(one.ranking, config)
        entries.append(one.as_json(reasons))
        if reasons:
            say(f"  {one.form}.{one.variant} does not ship: {'; '.join(reasons)}")
            (edge.parent / one.file).unlink()
    return entries


def _compare(
    float_scores: np.ndarray,
    rows: np.ndarray,
    scores: np.ndarray,
    trained: Trained,
    data: GateData,
) -> tuple[float, RankingChange]:
    """The largest error of a score, and the top ten beside float's.

    A history that is longer than the file reads is left out of both wholly.
    """
    before, after = float_scores.copy(), np.full_like(float_scores, -np.inf)
    users, places = np.nonzero(rows >= 0)
    said, listed = scores[users, places], rows[users, places]
    error = float(np.abs(said - float_scores[users, listed]).max(initial=0.0))
    after[users, listed] = said
    before[:, trained.blocked] = -np.inf
    for user, history in enumerate(data.histories):
        before[user, history] = after[user, history] = -np.inf
    return error, compare_rankings(before, after, data.targets)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
