"""Gate: the warm-up file replays through the written model, as the server will do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from dualtower_export.gate import Gate
from dualtower_export.quiet import quiet_tensorflow
from dualtower_export.warmup import FILE_NAME, MAX_RECORDS, Request, read_requests

__all__ = ["check_warmup"]


def check_warmup(model: str, folder: Path, batch_sizes: tuple[int, ...]) -> Gate:
    """Runs every record in a session over the SignatureDefs, not through Python functions.

    A failing record would fail the load on the server, so each must run, give finite numbers, and
    all sizes of a batch must be there for every batched signature.
    """
    requests = read_requests(folder / "assets.extra" / FILE_NAME)
    name = f"warmup/{model}"
    try:
        with quiet_tensorflow():
            complaint = _replay(folder, requests)
    except (tf.errors.OpError, KeyError, ValueError) as error:
        complaint = f"a record fails: {str(error).splitlines()[0]}"
    sizes: dict[str, set[int]] = {}
    for request in requests:
        rows = {len(value) for value in request.inputs.values()}
        sizes.setdefault(request.signature, set()).update(rows)
    sizes.pop("describe", None)
    lacking = [key for key, found in sizes.items() if found != set(batch_sizes)]
    if not complaint and (lacking or not sizes):
        complaint = f"not every batch size is covered: {', '.join(lacking) or 'no request'}"
    if not complaint and len(requests) > MAX_RECORDS:
        complaint = f"{len(requests)} records, the server reads {MAX_RECORDS}"
    detail = f"{len(requests)} records replayed: {', '.join(sorted(sizes))} at {list(batch_sizes)}"
    return Gate(name, not complaint, float(len(requests)), float(MAX_RECORDS), complaint or detail)


def _replay(folder: Path, requests: list[Request]) -> str:
    """What is wrong with an answer; "" when nothing is."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        for request in requests:
            signature = loaded.signature_def[request.signature]
            feeds = {signature.inputs[key].name: value for key, value in request.inputs.items()}
            outputs = {key: info.name for key, info in signature.outputs.items()}
            for key, value in session.run(outputs, feeds).items():
                if value.dtype == np.float32 and np.isnan(value).any():
                    return f"{request.signature} gives NaN for {key}"
    return ""
