"""Shares of copies for the points of a run that called a SavedModel on a GPU, a process a batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtower_benchmarks.scenario.subject import GPU

__all__ = ["copies_of"]

_CALLS = 200
_TIMEOUT_S = 600


def copies_of(rows: Sequence[Mapping[str, Any]], bundle_path: Path) -> list[dict[str, Any]]:
    """What `transfer_worker` found for each batch of these rows; none ran on a GPU: an empty list.

    A batch that could not be traced has `absent`, the reason.
    """
    batches = {
        row["batch_rows"]
        for row in rows
        if row["driver"] == "saved_model" and row["device_found"] == GPU
    }
    return [{"batch_rows": batch, **_traced(bundle_path, batch)} for batch in sorted(batches)]


def _traced(bundle_path: Path, batch_rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "dualtower_benchmarks.devices.transfer_worker"]
    try:
        done = subprocess.run(
            [*command, str(bundle_path), str(batch_rows), str(_CALLS)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"absent": f"the trace took longer than {_TIMEOUT_S} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"absent": f"the trace failed: {last[0]}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
