"""One batch through the graph: who is still waiting, the run, and each caller's answer.

Called by a batch thread, without any lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from dualtower_serving.embedded import batch_tensors
from dualtower_serving.embedded.batch_queue import Piece, Request
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Answer", "Graph", "answers_of", "refusals", "still_wanted"]

_log = logging.getLogger(__name__)

_NS_PER_MS = 1_000_000

Answer = tuple[Request, "list[NDArray[Any]] | StatusError"]


class Graph(Protocol):
    """What runs; see `servable.Servable.run`."""

    def run(
        self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str], *, timeout_ms: int = 0
    ) -> list[NDArray[Any]]:
        """Computes tensors of the graph; blocking, from any thread."""


def still_wanted(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces to run: not those whose caller has gone, or of which another piece has failed."""
    return [piece for piece in pieces if not piece.request.future.done()]


def refusals(requests: Iterable[Request]) -> list[Answer]:
    """Answers for requests that have waited too long."""
    text = "Run() timeout exceeded while waiting in batching queue"
    return [(request, StatusError(Code.RESOURCE_EXHAUSTED, text)) for request in requests]


def answers_of(
    pieces: Sequence[Piece],
    inputs: Sequence[str],
    outputs: Sequence[str],
    graph: Graph,
    settings: BatchingSettings,
    now_ns: int,
    *,
    ran: Callable[[int, int], None],
) -> list[Answer]:
    """Runs the pieces together; an error is everybody's.

    Args:
        pieces: at least one.
        inputs: names of their feeds.
        outputs: names of what is fetched.
        graph: what runs them.
        settings: allowed sizes and padding.
        now_ns: for what is left of the deadlines.
        ran: told of the rows of the run, without and with padding.

    Returns:
        Answers for the requests of which nothing is left to run.
    """
    timeout_ms = _timeout_ms(pieces, now_ns)
    rows = sum(piece.rows for piece in pieces)
    try:
        if rows == 0:  # a request alone, as without batching: nothing to pad, to cut, to check
            ran(0, 0)
            alone = {name: pieces[0].feed(name) for name in inputs}
            return _finished(pieces[0], graph.run(alone, outputs, timeout_ms=timeout_ms), outputs)
        padded_rows = batch_tensors.allowed_rows(rows, settings.allowed_batch_sizes)
        feeds = {
            name: batch_tensors.merge(
                name,
                [piece.feed(name) for piece in pieces],
                padded_rows,
                variable_lengths=settings.pad_variable_length_inputs,
            )
            for name in inputs
        }
        ran(rows, padded_rows)
        values = graph.run(feeds, outputs, timeout_ms=timeout_ms)
        parts = batch_tensors.split(values, [piece.rows for piece in pieces], padded_rows)
        return [
            answer
            for piece, part in zip(pieces, parts, strict=True)
            for answer in _finished(piece, part, outputs)
        ]
    except StatusError as error:
        return _to_all(pieces, error.code, error.message)
    except MemoryError as error:
        return _to_all(pieces, Code.RESOURCE_EXHAUSTED, f"no memory for a batch: {error}")
    except Exception as error:  # the thread must live, and the callers learn of it
        _log.exception("a batch failed")
        return _to_all(pieces, Code.INTERNAL, f"a batch failed: {error!r}")


def _timeout_ms(pieces: Sequence[Piece], now_ns: int) -> int:
    """The largest time left, at least 1; 0 (none) where one request has no deadline."""
    last_ns = now_ns
    for piece in pieces:
        if piece.request.deadline_ns is None:
            return 0
        last_ns = max(last_ns, piece.request.deadline_ns)
    return max(1, -((now_ns - last_ns) // _NS_PER_MS))


def _finished(piece: Piece, part: list[NDArray[Any]], outputs: Sequence[str]) -> list[Answer]:
    """The answer of a request, once all its pieces have run; outputs in the order it asked for."""
    request = piece.request
    if len(request.pieces) > 1:
        request.parts[piece.index] = part
        if len(request.parts) < len(request.pieces):
            return []
        try:
            part = batch_tensors.join([request.parts[at] for at in range(len(request.pieces))])
        except StatusError as error:  # of this request only
            return [(request, error)]
    if tuple(request.fetches) != tuple(outputs):
        by_name = dict(zip(outputs, part, strict=True))
        part = [by_name[name] for name in request.fetches]
    return [(request, part)]


def _to_all(pieces: Sequence[Piece], code: int, message: str) -> list[Answer]:
    """An error each: an exception that several tasks raise gathers their tracebacks."""
    return [(piece.request, StatusError(code, message)) for piece in pieces]
