"""Several trainings of one recipe: means over seeds, and how far seeds scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dualtower_trainer.bootstrap import paired_bootstrap
from dualtower_trainer.evaluate import COMPARED, Outcome, without_nan
from dualtower_trainer.trial import Trial

__all__ = ["over_seeds"]


def over_seeds(
    trial: Trial,
    outcomes: Sequence[Mapping[str, Outcome]],
    results: Sequence[Mapping[str, Any]],
    *,
    ours: str,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The rows of the runs' evaluations, averaged over the runs.

    A metric becomes `value`, its mean over the runs, and `se`, the sample deviation over the runs /
    √runs: 0 for a baseline, which is the same in all of them. The differences to the other methods
    are bootstrapped over users from each user's mean over the runs.

    Args:
        trial: who was asked what.
        outcomes: of each run, by method.
        results: the summary of each run, by scope.
        ours: the method that differs between the runs.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `runs`, and by scope the layout of evaluation.json.
    """
    found: dict[str, Any] = {"runs": len(results)}
    for scope in trial.scopes:
        tables = [result[scope.name]["methods"] for result in results]
        rows = []
        for same in zip(*tables, strict=True):
            name = same[0]["method"]
            row = {
                key: _over_runs([entry[key] for entry in same])
                for key in same[0]
                if not key.startswith("reference_minus_this")
            }
            if name != ours:
                for metric in COMPARED:
                    mine, theirs = (
                        np.mean([run[who].values[scope.name][metric] for run in outcomes], axis=0)
                        for who in (ours, name)
                    )
                    row[f"reference_minus_this_{metric}"] = paired_bootstrap(
                        mine, theirs, draws, seed
                    ).as_dict()
            rows.append(row)
        found[scope.name] = {**results[0][scope.name], "methods": rows}
    answer: dict[str, Any] = without_nan(found)
    return answer


def _over_runs(entries: Sequence[Any]) -> Any:
    """Estimates to mean and error over the runs, plain numbers to their mean, text as it is."""
    if isinstance(entries[0], Mapping) and "value" in entries[0]:
        values = [entry["value"] for entry in entries]
        if any(value is None for value in values):
            return {**entries[0], "value": None, "se": None}
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        return {**entries[0], "value": float(np.mean(values)), "se": error}
    if isinstance(entries[0], Mapping):
        return {key: _over_runs([entry[key] for entry in entries]) for key in entries[0]}
    if isinstance(entries[0], (int, float)):
        return float(np.mean(entries))
    return entries[0]
