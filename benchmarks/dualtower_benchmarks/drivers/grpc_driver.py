"""TensorFlow Serving over gRPC: any server at an address, asked as an application would.

A job: `driver` "grpc", `address`, `bundle` (whose catalogue gives the texts, and whose fingerprint
the server must have), `model`, `batch_rows`, and optionally `tokens`, `seed`, `history_texts`,
`deadline_s`, `who` (to say which version answered).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from dualtower.bundle import Bundle
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.drivers.served import DEADLINE_S, ServedDriver, address_of
from dualtower_benchmarks.load.workload import Workload, check_answer, encoded
from dualtower_clients import Recommender

__all__ = ["open"]


def open(job: Mapping[str, Any]) -> ServedDriver[GrpcTarget]:
    """Prepares the requests of a job.

    Raises:
        NotHere: the server was given without its address of gRPC.
        BundleMismatch: the server has another bundle.
        UnavailableError: it does not answer.
    """
    address, model = address_of(job, "address", "--address"), job["model"]
    bundle, batch_rows = Bundle.open(Path(job["bundle"])), job["batch_rows"]
    workload = Workload.of_job(bundle, job)
    with Recommender(address, expect_fingerprint=bundle.fingerprint) as client:
        width = client.describe()[model].history_items
    inputs = workload.inputs(model, batch_rows, history_width=width)
    requests = [encoded(model, named) for named in inputs]
    deadline_s = job.get("deadline_s", DEADLINE_S)
    return ServedDriver(
        lambda: GrpcTarget(address, requests, deadline_s=deadline_s, who=bool(job.get("who"))),
        lambda target: check_answer(model, batch_rows, target.first_answer()),
        {
            "grpc_version": grpc.__version__,
            "address": address,
            "request_bytes": len(requests[0]),
            **workload.facts(inputs),
        },
    )
