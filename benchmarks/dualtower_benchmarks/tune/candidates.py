"""Settings of a server that are worth a try, the most promising first.

Only what changes nothing for callers: `max_batch_size` stays, since it is also the most rows of one
request and of a warm-up record; so do `allowed_batch_sizes`, whose last must equal it, and the
padding of inputs. Smaller runs are had by splitting (`max_execution_batch_size`), which keeps large
requests possible; it is left out where sizes are padded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import text_format

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower_clients.proto import server_config_pb2
from dualtower_serving.bundle_flags import OwnFlags

__all__ = ["OFF", "PRESENT", "Candidate", "candidates_of"]

PRESENT, OFF = "present", "off"
INTRA, INTER = "--tensorflow_intra_op_parallelism", "--tensorflow_inter_op_parallelism"
_MAX_BATCH_SIZE, _MAX_ENQUEUED = 1000, 10  # TensorFlow Serving's
_DEFAULTS = {
    "max_batch_size": _MAX_BATCH_SIZE,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": _MAX_ENQUEUED,
}
_EXECUTION_ROWS = (8, 32)
_ENQUEUED = 100

Parameters = server_config_pb2.BatchingParameters


@dataclass(frozen=True)
class Candidate:
    """One setting.

    Args:
        name: what differs from the present setting, in words.
        batching: text of a batching.config; PRESENT for the bundle's own file as it is; OFF.
        flags: of the model server, beside the bundle's own; they win over those.
    """

    name: str
    batching: str = PRESENT
    flags: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether it is the bundle as it is."""
        return self.batching == PRESENT and not self.flags


def candidates_of(bundle: Bundle, own: OwnFlags, *, cores: int, slo_ms: float) -> list[Candidate]:
    """The present setting, then what could be better.

    Args:
        own: how the bundle is served as it is.
        cores: that the server may use.
        slo_ms: no batch waits longer than a tenth of it.

    Raises:
        BundleError: the bundle's batching.config cannot be read.
    """
    present = _parameters(bundle)
    as_is = _effective(present) if own.batching else OFF
    found: dict[tuple[str, tuple[str, ...]], Candidate] = {}
    for name, tried, flags in _tried(present, cores=cores, slo_ms=slo_ms):
        effective = OFF if tried is None else _effective(tried)
        batching = OFF if tried is None else _text(tried)
        one = Candidate(
            name,
            PRESENT if effective == as_is else batching,
            tuple(flag for flag in flags if flag not in own.flags),
        )
        if not one.present:
            found.setdefault((effective, one.flags), one)
    return [Candidate(PRESENT), *found.values()]


def _tried(
    present: Parameters, *, cores: int, slo_ms: float
) -> Iterator[tuple[str, Parameters | None, tuple[str, ...]]]:
    """Name, batching (None: off) and flags; doubles and the present setting among them."""
    threads, timeout, every_core = "num_batch_threads", "batch_timeout_micros", f"{INTRA}={cores}"
    for micros in (0, 1000, round(slo_ms * 100)):
        yield f"{timeout} {micros}", _with(present, timeout, micros), ()
    one_thread = _with(present, threads, 1)
    yield f"1 batch thread, {cores} threads an op", one_thread, (every_core,)
    yield f"{2 * cores} batch threads", _with(present, threads, 2 * cores), ()
    yield "batching off", None, ()
    most = present.max_batch_size.value or _MAX_BATCH_SIZE
    if not present.allowed_batch_sizes and not present.enable_large_batch_splitting.value:
        for rows in _EXECUTION_ROWS:
            if rows < most:
                split = _with(present, "max_execution_batch_size", rows)
                split.enable_large_batch_splitting.value = True
                yield f"at most {rows} rows a run", split, ()
    yield "1 batch thread", one_thread, ()
    yield f"{cores} threads an op", present, (every_core,)
    yield "1 op at a time", present, (f"{INTER}=1",)
    yield f"batching off, {cores} threads an op", None, (every_core,)
    if (present.max_enqueued_batches.value or _MAX_ENQUEUED) < _ENQUEUED:
        yield (
            f"max_enqueued_batches {_ENQUEUED}",
            _with(present, "max_enqueued_batches", _ENQUEUED),
            (),
        )


def _with(parameters: Parameters, field: str, value: int) -> Parameters:
    changed = Parameters()
    changed.CopyFrom(parameters)
    getattr(changed, field).value = value
    return changed


def _effective(parameters: Parameters) -> str:
    """The text with the server's defaults where nothing is said: equal settings, equal texts."""
    filled = Parameters()
    filled.CopyFrom(parameters)
    for field, value in _DEFAULTS.items():
        if not filled.HasField(field):
            getattr(filled, field).value = value
    return _text(filled)


def _parameters(bundle: Bundle) -> Parameters:
    path, found = bundle.serving_path / "batching.config", Parameters()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), found)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the bundle again") from error
    return found


def _text(parameters: Parameters) -> str:
    return str(text_format.MessageToString(parameters))
