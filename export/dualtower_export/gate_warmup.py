"""Gate: the warm-up file replays through the written model, as the server will do it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dualtower_export.contract import SIGNATURES
from dualtower_export.gate import Gate
from dualtower_export.length_buckets import bucket_of
from dualtower_export.serving_session import ServedModel
from dualtower_export.warmup import MAX_RECORDS, Request

__all__ = ["check_warmup"]


def check_warmup(
    name: str,
    model: ServedModel,
    requests: list[Request],
    batch_sizes: tuple[int, ...],
    buckets: tuple[int, ...],
    longest: Callable[[Request], int],
) -> Gate:
    """Runs every record of a warm-up file.

    A failing record fails the load on the server, so each must run and give numbers. Every size of
    a batch must be there for every batched signature, with every bucket of lengths where BERT runs.

    Args:
        name: of the model.
        model: loaded.
        requests: what `warmup.read_requests` found in its file.
        batch_sizes: those that the server forms.
        buckets: those that the graph pads to.
        longest: word pieces of the longest text that BERT reads of a request, 0 for none.
    """
    complaint = ""
    try:
        for request in requests:
            complaint = complaint or _nan_in(
                request.signature, model(request.signature, **request.inputs)
            )
    except (tf.errors.OpError, KeyError, ValueError) as error:
        complaint = f"a record fails: {str(error).splitlines()[0]}"
    complaint = complaint or _not_covered(name, requests, batch_sizes, buckets, longest)
    if not complaint and len(requests) > MAX_RECORDS:
        complaint = f"{len(requests)} records, the server reads {MAX_RECORDS}"
    signatures = ", ".join(key for key in SIGNATURES[name] if key != "describe")
    detail = (
        f"{len(requests)} records replayed: {signatures} at {list(batch_sizes)} rows, "
        f"longest texts of {list(buckets)} word pieces"
    )
    return Gate(
        f"warmup/{name}",
        not complaint,
        float(len(requests)),
        float(MAX_RECORDS),
        complaint or detail,
    )


def _not_covered(
    name: str,
    requests: list[Request],
    batch_sizes: tuple[int, ...],
    buckets: tuple[int, ...],
    longest: Callable[[Request], int],
) -> str:
    """What the file lacks or has too much of, "" where it fits the server's shapes."""
    found: dict[str, set[tuple[int, int]]] = {
        key: set() for key in SIGNATURES[name] if key != "describe"
    }
    for request in requests:
        if request.signature in found:
            pieces = longest(request)
            bucket = bucket_of(pieces, buckets) if pieces else 0
            rows = {len(value) for value in request.inputs.values()}
            found[request.signature].update((size, bucket) for size in rows)
    for key, shapes in found.items():
        read = (0,) if key == "from_item_ids" else buckets
        wanted = {(size, bucket) for size in batch_sizes for bucket in read}
        if shapes != wanted:
            size, end = min(shapes ^ wanted)
            lacks = "lacks" if (size, end) in wanted else "has, against the settings,"
            text = f" with a longest text of {end} word pieces" if end else ""
            return f"not every batch size and length is covered: {key} {lacks} {size} rows{text}"
    return ""


def _nan_in(signature: str, outputs: dict[str, np.ndarray]) -> str:
    for name, value in outputs.items():
        if value.dtype == np.float32 and np.isnan(value).any():
            return f"{signature} gives NaN for {name}"
    return ""
