"""TensorFlow Serving over REST: JSON over HTTP connections that stay open.

A job: `driver` "rest", `rest_address`, `bundle` (whose catalogue gives the texts, and whose
fingerprint the server must have), `model`, `batch_rows`, and optionally `tokens`, `seed`,
`history_texts`, `deadline_s`.

Bodies are rows ("instances"), written beforehand; answers are read whole and not parsed under load.
"""

from __future__ import annotations

import http.client
import json
import platform
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, BundleMismatch, UnavailableError, UsageError
from dualtower_benchmarks.drivers.served import DEADLINE_S, ServedDriver, address_of
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import SIGNATURE, Workload

__all__ = ["RestTarget", "open"]

_HEADERS = {"Content-Type": "application/json"}


class RestTarget:
    """One connection to one model; it is made again after an error.

    Args:
        address: HOST:PORT.
        bodies: of the requests.
        deadline_s: of each wait for the server's next bytes.
    """

    def __init__(
        self, address: str, model: str, bodies: Sequence[bytes], *, deadline_s: float
    ) -> None:
        self._address, self._bodies = address, bodies
        self._path = f"/v1/models/{model}:predict"
        try:
            self._connection = http.client.HTTPConnection(address, timeout=deadline_s)
        except http.client.InvalidURL as error:
            raise UsageError(f"the REST address is HOST:PORT, got {address!r}") from error

    def call(self, index: int) -> str:
        """ "OK", the name of the HTTP status, or that of the error without one."""
        try:
            status, _ = self._exchange(self._bodies[index % len(self._bodies)])
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return type(error).__name__
        return OK if status == HTTPStatus.OK else _name_of(status)

    def answer(self, body: bytes) -> dict[str, Any]:
        """The parsed answer to a body.

        Raises:
            UnavailableError: the server refuses it, or is not there.
        """
        try:
            status, content = self._exchange(body)
            if status == HTTPStatus.OK:
                answer: dict[str, Any] = json.loads(content)
                return answer
            why = f"{_name_of(status)} {content[:300].decode(errors='replace')}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            why = f"{type(error).__name__} {error}"
        raise UnavailableError(
            f"http://{self._address}{self._path} does not answer the benchmark's request: {why}; "
            "look at the server's log"
        )

    def first_answer(self) -> dict[str, Any]:
        """The parsed answer to the first request."""
        return self.answer(self._bodies[0])

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path, body, _HEADERS)
        response = self._connection.getresponse()
        return response.status, response.read()


def open(job: Mapping[str, Any]) -> ServedDriver[RestTarget]:
    """Prepares the requests of a job.

    Raises:
        NotHere: the server was given without its address of REST.
        BundleMismatch: the server has another bundle.
        UnavailableError: it does not answer.
    """
    address, model = address_of(job, "rest_address", "--rest-address"), job["model"]
    bundle, batch_rows = Bundle.open(Path(job["bundle"])), job["batch_rows"]
    workload = Workload.of_job(bundle, job)
    deadline_s = job.get("deadline_s", DEADLINE_S)
    width = _history_items(address, model, bundle, deadline_s=deadline_s)
    inputs = workload.inputs(model, batch_rows, history_width=width)
    bodies = [_body(named) for named in inputs]
    return ServedDriver(
        lambda: RestTarget(address, model, bodies, deadline_s=deadline_s),
        lambda target: _check(model, batch_rows, target.first_answer()),
        {
            "http_client": f"http.client of Python {platform.python_version()}",
            "rest_address": address,
            "request_bytes": len(bodies[0]),
            **workload.facts(inputs),
        },
    )


def _check(model: str, batch_rows: int, answer: Mapping[str, Any]) -> None:
    """Holds that an answer has a row of numbers for every row."""
    rows = answer.get("predictions")
    values = _values(rows) if isinstance(rows, list) else None
    if values is None or len(values) != batch_rows or np.isnan(values).any():
        raise BundleError(
            f"{model} answered {batch_rows} rows with {str(answer)[:200]}; "
            "check the bundle: dualtower verify"
        )


def _history_items(address: str, model: str, bundle: Bundle, *, deadline_s: float) -> int:
    """The width of a history, of a server that has this bundle."""
    asked = json.dumps({"signature_name": "describe", "inputs": {"ask": [""]}}).encode()
    target = RestTarget(address, model, [asked], deadline_s=deadline_s)
    try:
        outputs = target.first_answer().get("outputs", {})
    finally:
        target.close()
    found = (outputs.get("fingerprint") or ["nothing"])[0]
    if found != bundle.fingerprint:
        raise BundleMismatch(
            expected=bundle.fingerprint,
            found=str(found),
            where=address,
            repair="serve this bundle with `dualtower serve BUNDLE`",
        )
    return int(outputs["history_items"][0])


def _body(inputs: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A row each: the value alone of one input, named values of several."""
    named = {name: values.tolist() for name, values in inputs.items()}
    if len(named) == 1:
        (rows,) = named.values()
    else:
        rows = [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
    body = {"signature_name": SIGNATURE, "instances": rows}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _values(rows: Sequence[Any]) -> npt.NDArray[np.float32] | None:
    """float32 [rows, n] of the predictions: an embedding, or the scores beside the ids."""
    try:
        numbers = [row["scores"] if isinstance(row, dict) else row for row in rows]
        values = np.array(numbers, np.float32)
    except (KeyError, TypeError, ValueError):
        return None
    return values if values.ndim == 2 else None


def _name_of(status: int) -> str:
    try:
        return HTTPStatus(status).name
    except ValueError:
        return f"HTTP_{status}"
