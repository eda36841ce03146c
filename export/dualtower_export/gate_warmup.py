"""Gate: the warm-up file replays through the written model, as the server will do it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dualtower_export.contract import SIGNATURES
from dualtower_export.gate import Gate
from dualtower_export.serving_session import ServedModel
from dualtower_export.warmup import MAX_RECORDS, Request

__all__ = ["check_warmup"]


def check_warmup(
    name: str, model: ServedModel, requests: list[Request], batch_sizes: tuple[int, ...]
) -> Gate:
    """Runs every record of a warm-up file.

    A failing record fails the load on the server, so each must run, give numbers, and all sizes of
    a batch must be there for every batched signature.

    Args:
        name: of the model.
        model: loaded.
        requests: what `warmup.read_requests` found in its file.
        batch_sizes: those that the server forms.
    """
    complaint = ""
    try:
        for request in requests:
            complaint = complaint or _nan_in(
                request.signature, model(request.signature, **request.inputs)
            )
    except (tf.errors.OpError, KeyError, ValueError) as error:
        complaint = f"a record fails: {str(error).splitlines()[0]}"
    sizes: dict[str, set[int]] = {key: set() for key in SIGNATURES[name] if key != "describe"}
    for request in requests:
        rows = {len(value) for value in request.inputs.values()}
        sizes.get(request.signature, set()).update(rows)
    lacking = [key for key, found in sizes.items() if found != set(batch_sizes)]
    if not complaint and lacking:
        complaint = f"not every batch size is covered: {', '.join(lacking)}"
    if not complaint and len(requests) > MAX_RECORDS:
        complaint = f"{len(requests)} records, the server reads {MAX_RECORDS}"
    detail = f"{len(requests)} records replayed: {', '.join(sorted(sizes))} at {list(batch_sizes)}"
    return Gate(
        f"warmup/{name}",
        not complaint,
        float(len(requests)),
        float(MAX_RECORDS),
        complaint or detail,
    )


def _nan_in(signature: str, outputs: dict[str, np.ndarray]) -> str:
    for name, value in outputs.items():
        if value.dtype == np.float32 and np.isnan(value).any():
            return f"{signature} gives NaN for {name}"
    return ""
