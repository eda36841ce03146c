"""A request of the REST API in, its answer out; no sockets.

    path ─► route ─► body: JSON → message ─► service ─► message → JSON

Large bodies are decoded and encoded in a thread, so that other callers do not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from dualtower_clients import codec
from dualtower_clients.proto import examples_pb2, inference_pb2
from dualtower_serving.embedded import (
    prometheus_text,
    rest_examples,
    rest_inputs,
    rest_json,
    rest_outputs,
    rest_reports,
    rest_routes,
    rest_unpack,
)
from dualtower_serving.embedded.execution import Call
from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.rest_routes import Route
from dualtower_serving.embedded.rest_settings import RestSettings
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["RestAnswer", "RestApi", "RestRequest"]

_DEFAULT_SIGNATURE = "serving_default"
_GRACE_S = 1.0  # a run that does not stop is waited for no longer
_PACKED = 8  # what a compressed byte may stand for
_TIMED_OUT = "Timed out waiting for notification"
_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_ORIGIN = re.compile(r"https?://")
_NOT_FOUND = (
    b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
)

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class RestRequest:
    """A request as it came; names of headers in lower case."""

    verb: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | bytearray = b""


@dataclass(frozen=True)
class RestAnswer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class RestApi:
    """Answers requests; used on the event loop.

    Args:
        service: runs the models.
        settings: how to answer.
        metrics: what is counted, and what the metrics page shows.
        threads: decode and encode large bodies.
    """

    def __init__(
        self,
        service: ModelService,
        settings: RestSettings,
        metrics: Metrics,
        threads: Executor,
    ) -> None:
        self._service = service
        self._settings = settings
        self._metrics = metrics
        self._threads = threads
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def answer(self, request: RestRequest) -> RestAnswer:
        """Never raises but when it is cancelled: its caller is gone."""
        path = rest_routes.path_of(request.target)
        if path == self._settings.metrics_path:
            return RestAnswer(200, self._metrics.render(), prometheus_text.CONTENT_TYPE)
        if not rest_routes.is_api(path):
            return RestAnswer(404, _NOT_FOUND, "text/html")
        begin_ns = time.perf_counter_ns()
        code, body, asked = Code.CANCELLED, b"", Route("", "")
        self._metrics.begun("REST")
        try:
            if request.verb == "OPTIONS":
                _check_origin(request)
            else:
                asked = rest_routes.route(request.verb, path)
                if request.verb == "GET":
                    body = rest_reports.report(self._service, asked)
                else:
                    body = await self._call(asked, request)
            code = Code.OK
        except StatusError as error:
            code = error.code  # type: ignore[assignment]
            body = rest_outputs.error(error.message)
        except Exception:  # a bug or a machine out of memory must not end the server
            _log.exception("unexpected, answered as INTERNAL")
            code = Code.INTERNAL
            body = rest_outputs.error("internal error; the server's log has the reason")
        finally:
            self._metrics.ended("REST")
            # as in the stock server, reading of status and metadata counts, as the API ""
            api = asked.method if request.verb == "POST" else ""
            elapsed_ns = time.perf_counter_ns() - begin_ns
            self._metrics.requested(asked.model, api, "REST", code, elapsed_ns)
        headers = _CORS if self._settings.cors else {}
        return RestAnswer(_HTTP.get(code, 500), body, headers=headers)

    async def _in_time(self, call: Callable[[Call], Awaitable[T]], size_bytes: int) -> T:
        """What the service answers, or DEADLINE_EXCEEDED.

        As in the stock server the time is that of the run: it stops at its deadline by itself. The
        first run of a signature begins with preparations that do not count.
        """
        timeout_ms = self._settings.timeout_ms
        if timeout_ms <= 0:
            return await call(Call(None, "REST", size_bytes))
        deadline_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        task = asyncio.ensure_future(call(Call(deadline_ns, "REST", size_bytes)))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_ms / 1e3 + _GRACE_S)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            raise StatusError(Code.DEADLINE_EXCEEDED, _TIMED_OUT)
        try:
            return task.result()
        except StatusError as error:
            if error.code != Code.DEADLINE_EXCEEDED:
                raise
            raise StatusError(Code.DEADLINE_EXCEEDED, _TIMED_OUT) from error

    def _abandon(self, task: asyncio.Future[Any]) -> None:
        """Stops a call for which nobody waits; a run that has begun ends in its own time."""
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # nobody is left who wants to know

    async def _call(self, asked: Route, request: RestRequest) -> bytes:
        body = await self._unpacked(request)
        size = len(body)
        if asked.method == "predict":
            predict, by_row = await self._off_loop(size, self._predict_request, asked, body)
            predicted = await self._in_time(partial(self._service.predict, predict), size)
            return await self._off_loop(predicted.ByteSize(), _predicted, predicted, by_row)
        if asked.method == "classify":
            classify = examples_pb2.ClassificationRequest()
            await self._off_loop(size, self._fill_examples, classify, asked, body)
            classes = await self._in_time(partial(self._service.classify, classify), size)
            return rest_outputs.classifications(classes.result)
        regress = examples_pb2.RegressionRequest()
        await self._off_loop(size, self._fill_examples, regress, asked, body)
        values = await self._in_time(partial(self._service.regress, regress), size)
        return rest_outputs.regressions(values.result)

    async def _unpacked(self, request: RestRequest) -> bytes | bytearray:
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return request.body
        limit = self._settings.limits.body_bytes
        return await self._off_loop(
            len(request.body) * _PACKED, rest_unpack.unpack, request.body, encoding, limit
        )

    async def _off_loop(self, size_bytes: int, work: Callable[..., T], *arguments: Any) -> T:
        if size_bytes <= self._settings.limits.inline_body_bytes:
            return work(*arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)

    def _predict_request(
        self, asked: Route, body: bytes | bytearray
    ) -> tuple[inference_pb2.PredictRequest, bool]:
        request = inference_pb2.PredictRequest()
        asked.fill(request.model_spec)
        document = rest_json.parse(body, self._settings.limits)
        name = rest_inputs.signature_name_of(document)
        request.model_spec.signature_name = name
        with self._service.lease(request.model_spec) as lease:
            signature = lease.servable.signatures.get(name or _DEFAULT_SIGNATURE)
        if signature is None:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f'Serving signature name: "{name or _DEFAULT_SIGNATURE}" '
                "not found in signature def",
            )
        dtypes = {alias: int(info.dtype) for alias, info in signature.inputs.items()}
        arrays, by_row = rest_inputs.arrays_of(document, dtypes, name)
        for alias, array in arrays.items():
            request.inputs[alias].CopyFrom(codec.encode(array))
        return request, by_row

    def _fill_examples(
        self,
        request: examples_pb2.ClassificationRequest | examples_pb2.RegressionRequest,
        asked: Route,
        body: bytes | bytearray,
    ) -> None:
        asked.fill(request.model_spec)
        document = rest_json.parse(body, self._settings.limits)
        request.model_spec.signature_name = rest_inputs.signature_name_of(document)
        request.input.CopyFrom(rest_examples.input_of(document))


def _predicted(response: inference_pb2.PredictResponse, by_row: bool) -> bytes:
    arrays = {alias: codec.decode(response.outputs[alias]) for alias in sorted(response.outputs)}
    return rest_outputs.rows(arrays) if by_row else rest_outputs.columns(arrays)


def _check_origin(request: RestRequest) -> None:
    if not _ORIGIN.search(request.headers.get("origin", "")):
        raise StatusError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
