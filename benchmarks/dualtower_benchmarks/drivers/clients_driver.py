"""A server as an application meets it: `dualtower_clients` with its retries and its balancing.

A job: as that of `grpc`, and optionally `addresses`, replicas that are balanced; `who`, to say
which of them answered. All threads share one `ServingClient`, as those of an application do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.drivers.served import DEADLINE_S, address_of
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import Inputs, Workload, check_answer, encoded
from dualtower_clients import ClientError, Recommender, ServingClient

__all__ = ["ClientsDriver", "open"]


class ClientsDriver:
    """Requests of one model over one client, which is its own connection.

    Args:
        who: the status of an answer names the address that gave it.
        facts: of the requests.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        model: str,
        inputs: Sequence[Inputs],
        *,
        deadline_s: float,
        who: bool,
        facts: Mapping[str, Any],
    ) -> None:
        self._addresses, self._model, self._inputs = list(addresses), model, inputs
        self._deadline_s, self._who, self._facts = deadline_s, who, facts
        self._client = ServingClient(self._addresses, timeout_s=deadline_s)

    def connect(self) -> ClientsDriver:
        return self

    def call(self, index: int) -> str:
        try:
            answer = self._client.predict(self._model, self._inputs[index % len(self._inputs)])
        except ClientError as error:
            return type(error).__name__
        return f"{OK} {answer.address}" if self._who else OK

    def check(self) -> None:
        request = encoded(self._model, self._inputs[0])
        rows = len(next(iter(self._inputs[0].values())))
        for address in self._addresses:
            with GrpcTarget(address, [request], deadline_s=self._deadline_s) as target:
                check_answer(self._model, rows, target.first_answer())

    def facts(self) -> dict[str, Any]:
        # a server does not say on what it runs
        return {"device": "unknown", "addresses": self._addresses, **self._facts}

    def close(self) -> None:
        self._client.close()


def open(job: Mapping[str, Any]) -> ClientsDriver:
    """Prepares the requests of a job.

    Raises:
        NotHere: the server was given without its address of gRPC.
        BundleMismatch: a server has another bundle.
        UnavailableError: one does not answer.
    """
    addresses = job.get("addresses") or [address_of(job, "address", "--address")]
    bundle, model = Bundle.open(Path(job["bundle"])), job["model"]
    workload = Workload.of_job(bundle, job)
    for address in addresses:
        with Recommender(address, expect_fingerprint=bundle.fingerprint) as client:
            width = client.describe()[model].history_items
    inputs = workload.inputs(model, job["batch_rows"], history_width=width)
    return ClientsDriver(
        addresses,
        model,
        inputs,
        deadline_s=job.get("deadline_s", DEADLINE_S),
        who=bool(job.get("who")),
        facts=workload.facts(inputs),
    )
