"""How much of a call on a GPU goes into copies between host and device, out of a profiler's trace.

`tf.profiler` writes an XSpace (`*.xplane.pb`): a plane a card, named /device:GPU:0, with a line a
stream. A copy is an event whose name says so (MemcpyH2D, MemcpyD2H; MemcpyD2D stays on the card).
Copies may lie beside kernels on other streams, so what counts is time that is covered, and how much
of it no kernel hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.drivers.driver import NotHere

__all__ = ["Activity", "Transfers", "activities_of", "read_trace", "transfers_of"]

_TO_DEVICE = ("memcpyh2d", "memcpyhtod", "memcpy htod")
_TO_HOST = ("memcpyd2h", "memcpydtoh", "memcpy dtoh")
_CARD = "/device:gpu"
_DETAILS = "memcpy_details"


@dataclass(frozen=True)
class Activity:
    """What a stream of a card did for a while.

    Args:
        details: of a copy, such as "kind_src:pageable kind_dst:device size:4096 dest:0".
    """

    name: str
    start_us: float
    length_us: float
    details: str = ""

    @property
    def end_us(self) -> float:
        return self.start_us + self.length_us

    @property
    def size_bytes(self) -> int | None:
        """Of a copy; None: the profiler does not tell."""
        for part in self.details.replace(",", " ").split():
            name, _, value = part.partition(":")
            if name in ("size", "num_bytes") and value.isdigit():
                return int(value)
        return None


@dataclass(frozen=True)
class Transfers:
    """Of a trace, in microseconds that are covered; overlaps count once.

    Args:
        to_device_us, to_host_us: copies by their direction.
        compute_us: everything else that the card did.
        busy_us: copies and the rest together.
        exposed_us: copies while nothing else ran on the card.
        to_device_bytes, to_host_bytes: where the events tell; None: they do not.
    """

    to_device_us: float
    to_host_us: float
    compute_us: float
    busy_us: float
    exposed_us: float
    to_device_bytes: int | None
    to_host_bytes: int | None

    def as_json(self, calls_us: float) -> dict[str, Any]:
        """Shares of the time that the calls took.

        Args:
            calls_us: of all calls in the trace, by the clock of the caller.
        """
        return {
            "to_device_share": self.to_device_us / calls_us,
            "to_host_share": self.to_host_us / calls_us,
            "copies_share": (self.to_device_us + self.to_host_us) / calls_us,
            "copies_exposed_share": self.exposed_us / calls_us,
            "compute_share": self.compute_us / calls_us,
            "idle_share": max(0.0, 1 - self.busy_us / calls_us),
            "to_device_bytes": self.to_device_bytes,
            "to_host_bytes": self.to_host_bytes,
        }


def read_trace(folder: Path) -> list[Activity]:
    """What the cards did, by the newest trace below a profiler's log folder.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    paths = sorted(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime_ns)
    if not paths:
        raise UsageError(f"{folder} holds no *.xplane.pb; was the profiler stopped?")
    try:
        space = xplane_pb2.XSpace.FromString(paths[-1].read_bytes())
    except (OSError, DecodeError) as error:
        raise UsageError(f"{paths[-1]} is no trace ({error})") from error
    return list(activities_of(space))


def activities_of(space: Any) -> Iterator[Activity]:
    """Events on the streams of the cards of an XSpace; its summaries by op are left out."""
    for plane in space.planes:
        if not plane.name.lower().startswith(_CARD):
            continue
        names = {key: entry.name for key, entry in plane.event_metadata.items()}
        texts = {key: entry.name for key, entry in plane.stat_metadata.items()}
        for line in plane.lines:
            if not line.name.lower().startswith("stream"):
                continue
            for event in line.events:
                details = [
                    stat.str_value or texts.get(stat.ref_value, "")
                    for stat in event.stats
                    if texts.get(stat.metadata_id) == _DETAILS
                ]
                yield Activity(
                    names.get(event.metadata_id, ""),
                    line.timestamp_ns / 1e3 + event.offset_ps / 1e6,
                    event.duration_ps / 1e6,
                    details[0] if details else "",
                )


def transfers_of(activities: Sequence[Activity]) -> Transfers:
    """Copies and everything else of a card.

    Raises:
        NotHere: nothing ran on a card.
    """
    if not activities:
        raise NotHere("no GPU here: the trace has no event of one")
    kinds: dict[str, list[Activity]] = {"in": [], "out": [], "rest": []}
    for activity in activities:
        kinds[_kind(activity.name)].append(activity)
    compute_us, busy_us = _covered(kinds["rest"]), _covered(activities)
    return Transfers(
        _covered(kinds["in"]),
        _covered(kinds["out"]),
        compute_us,
        busy_us,
        busy_us - compute_us,
        _sizes(kinds["in"]),
        _sizes(kinds["out"]),
    )


def _sizes(copies: Sequence[Activity]) -> int | None:
    sizes = [size for copy in copies if (size := copy.size_bytes) is not None]
    return sum(sizes) if len(sizes) == len(copies) else None


def _kind(name: str) -> str:
    lower = name.lower()
    if any(word in lower for word in _TO_DEVICE):
        return "in"
    return "out" if any(word in lower for word in _TO_HOST) else "rest"


def _covered(activities: Iterable[Activity]) -> float:
    """Length of the union of their times."""
    total, end = 0.0, float("-inf")
    for activity in sorted(activities, key=lambda one: one.start_us):
        total += max(0.0, activity.end_us - max(activity.start_us, end))
        end = max(end, activity.end_us)
    return total
