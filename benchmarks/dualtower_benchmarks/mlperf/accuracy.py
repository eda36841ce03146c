"""LoadGen's accuracy run: each sample of the library once, answers in its log, no clock.

The answers are embeddings, and the reference is the SavedModel in process in float32 on the CPU, on
the same texts by a run of its own. What counts is the smallest cosine between the two: an average
over the library would hide the text that a form gets wrong.

Only drivers whose clients can `embed(index)` have one: grpc, saved_model and litert.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import Driver, NotHere
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS
from dualtower_benchmarks.mlperf.case import MlperfCase
from dualtower_benchmarks.mlperf.sut import Sample

__all__ = ["ACCURACY", "accuracy_row", "read_embeddings", "run_accuracy"]

ACCURACY = "mlperf_log_accuracy.json"
_Floats = npt.NDArray[np.float32]


def run_accuracy(
    loadgen: Any, driver: Driver, case: MlperfCase, settings: Any, log: Any
) -> dict[str, Any]:
    """Asks for every sample once and leaves the embeddings in LoadGen's log.

    Args:
        loadgen: the module; `settings` and `log` are of its classes.

    Returns:
        `failed` by name, `answered`, `facts`.

    Raises:
        NotHere: clients of the driver give no embeddings.
    """
    client: Any = driver.connect()
    if not hasattr(client, "embed"):
        raise NotHere(f"clients of {case.driver} give no embeddings, so they cannot be compared")
    statuses: Counter[str] = Counter()

    def issue(samples: Sequence[Sample]) -> None:
        for sample in samples:
            try:
                found = np.ascontiguousarray(client.embed(sample.index), dtype=np.float32)
                statuses["OK"] += 1
            except Exception as error:  # LoadGen's thread cannot be thrown at
                found = np.zeros(0, dtype=np.float32)
                statuses[type(error).__name__] += 1
            response = loadgen.QuerySampleResponse(sample.id, found.ctypes.data, found.nbytes)
            loadgen.QuerySamplesComplete([response])

    library = loadgen.ConstructQSL(
        DISTINCT_REQUESTS, DISTINCT_REQUESTS, lambda _: None, lambda _: None
    )
    system = loadgen.ConstructSUT(issue, lambda: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, log)
    finally:
        loadgen.DestroySUT(system)
        loadgen.DestroyQSL(library)
    return {
        "failed": {name: n for name, n in statuses.items() if name != "OK"},
        "answered": statuses["OK"],
        "facts": driver.facts(),
    }


def read_embeddings(folder: Path) -> dict[int, _Floats]:
    """The answers of an accuracy run by sample: float32, flat.

    Raises:
        UnavailableError: there is no log, or it was cut off.
    """
    path = folder / ACCURACY
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            int(entry["qsl_idx"]): np.frombuffer(bytes.fromhex(entry["data"]), dtype="<f4")
            for entry in entries
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{path} holds no accuracy run ({error}); run it again") from error


def accuracy_row(
    case: MlperfCase,
    found: Mapping[int, _Floats],
    reference: Mapping[int, _Floats],
    ran: Mapping[str, Any],
    *,
    dim: int,
    repeat: int,
    log_folder: str,
) -> dict[str, Any]:
    """The comparison as a row; `valid` only with every sample answered alike."""
    missing = [index for index in reference if len(found.get(index, ())) != len(reference[index])]
    cosines = np.concatenate(
        [
            _cosines(found[index], reference[index], dim)
            for index in reference
            if index not in missing
        ]
        or [np.zeros(0)]
    )
    lowest = float(cosines.min()) if len(cosines) else None
    reasons = []
    if missing:
        names = ", ".join(f"{name} {n}" for name, n in sorted(ran["failed"].items()))
        reasons.append(
            f"{len(missing)} of {len(reference)} samples have no embedding of the reference's "
            f"size{f' ({names})' if names else ''}"
        )
    if lowest is not None and not lowest >= case.cosine_floor:
        reasons.append(f"the smallest cosine is {lowest:.4f}, below {case.cosine_floor:g}")
    return {
        "key": case.key,
        "repeat": repeat,
        **case.as_json(),
        "device_found": ran["facts"].get("device", "unknown"),
        "valid": not reasons,
        "reasons": reasons,
        "reference": "saved_model, float32, CPU",
        "samples": len(reference),
        "rows": len(cosines),
        "cosine_min": lowest,
        "failed": dict(ran["failed"]),
        "log_folder": log_folder,
        "facts": dict(ran["facts"]),
    }


def _cosines(left: _Floats, right: _Floats, dim: int) -> npt.NDArray[np.float64]:
    """float64 [rows] of two flat [rows · dim]; NaN or a vector of zeros has cosine -1."""
    one, two = (side.astype(np.float64).reshape(-1, dim) for side in (left, right))
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        cosine = np.sum(one * two, axis=1) / norms
    return np.where(np.isfinite(cosine), cosine, -1.0)
