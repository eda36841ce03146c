"""What the client costs beside the official way, `tensorflow-serving-api`, in one run.

    codec      ours and TensorFlow's functions in one process, in turns: the median over the turns
    start      import in fresh interpreters, in turns: seconds, CPU seconds, resident memory
    installed  bytes on the disk of what each way needs, as the installed metadata says

The first two are ratios of things that ran beside each other, so that what else the machine does
hits both. Seconds and megabytes are this machine's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from dualtower.errors import UnavailableError
from dualtower.progress import say, step
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.train_peer import TrainPeer

__all__ = ["ClientSpeed", "measure_clients", "requirements_of"]

_SIDES = ("client", "official")
_IMPORTS = {
    "python": "",
    "client": "import dualtower_clients",
    "official": "import tensorflow\n"
    "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
}
_START = """
import json, time
began_s, began_cpu_s = time.perf_counter(), time.process_time()
{imports}
took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
resident_bytes = None
try:
    with open("/proc/self/status") as stream:
        line = next(line for line in stream if line.startswith("VmRSS:"))
    resident_bytes = int(line.split()[1]) * 1024
except OSError:
    pass
print(json.dumps({{"import_s": took_s, "cpu_s": cpu_s, "resident_bytes": resident_bytes}}))
"""
_DISTRIBUTIONS = {"client": "dualtower", "official": "tensorflow-serving-api"}


@dataclass(frozen=True)
class ClientSpeed:
    """How it is measured.

    Attributes:
        rows: of the array of float32.
        dim: its other dimension.
        strings: of the list of strings.
        rounds: turns of each side.
        calls: in a turn.
        starts: interpreters of each kind.
        seed: of the numbers.
    """

    rows: int = 1024
    dim: int = 384
    strings: int = 1000
    rounds: int = 9
    calls: int = 40
    starts: int = 7
    seed: int = 0

    def quick(self) -> ClientSpeed:
        """The same on fewer turns."""
        return ClientSpeed(self.rows, self.dim, self.strings, 3, 8, 2, self.seed)


def measure_clients(speed: ClientSpeed) -> dict[str, Any]:
    """The document of a run: settings, machine, `codec`, `starts` and `installed`.

    Raises:
        UnavailableError: TensorFlow or its serving API are not installed, or do not load.
    """
    machine = machine_facts()
    return {
        "settings": asdict(speed),
        "machine": machine,
        **_codec(speed),
        "starts": _starts(speed),
        "installed": {side: _installed(name) for side, name in _DISTRIBUTIONS.items()},
    }


def _codec(speed: ClientSpeed) -> dict[str, Any]:
    command = (sys.executable, "-m", "dualtower_benchmarks.client_worker")
    job = asdict(speed)
    with step("codec"), TrainPeer("the codecs' process", command, job, threads=1) as peer:
        rows = [_compared(peer, case, speed) for case in peer.facts["cases"]]
    return {"engines": peer.facts["ready"], "codec": [*rows, *_round_trips(rows)]}


def _compared(peer: TrainPeer, case: str, speed: ClientSpeed) -> dict[str, Any]:
    turns: dict[str, list[float]] = {side: [] for side in _SIDES}
    for number in range(speed.rounds + 1):
        for side in _SIDES:
            answer = peer.ask({"case": case, "side": side, "calls": speed.calls})
            if number:  # the first turn warms both up
                turns[side].append(statistics.median(answer["elapsed_ns"]) / 1e3)
    return _row(case, turns)


def _row(case: str, turns: dict[str, list[float]]) -> dict[str, Any]:
    ratios = [theirs / ours for ours, theirs in zip(*turns.values(), strict=True)]
    return {
        "case": case,
        "client_us": statistics.median(turns["client"]),
        "official_us": statistics.median(turns["official"]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "turns_us": turns,
    }


def _round_trips(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """To bytes or a message and back again, as one."""
    by_case = {row["case"]: row["turns_us"] for row in rows}
    found = []
    for kind in ("float32", "strings"):
        for there, back, name in (
            ("to bytes", "from bytes", "bytes"),
            ("to a message", "from a message", "a message"),
        ):
            out, home = by_case[f"{kind} {there}"], by_case[f"{kind} {back}"]
            turns = {
                side: [a + b for a, b in zip(out[side], home[side], strict=True)] for side in _SIDES
            }
            found.append(_row(f"{kind} to {name} and back", turns))
    return found


def _starts(speed: ClientSpeed) -> dict[str, Any]:
    turns: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _IMPORTS}
    with step("import, in fresh interpreters"):
        for number in range(speed.starts + 1):
            for kind, imports in _IMPORTS.items():
                begun = _start(kind, imports)
                if number:  # the first one reads the files from the disk
                    turns[kind].append(begun)
    return {
        kind: {key: statistics.median(one[key] for one in taken) for key in ("import_s", "cpu_s")}
        | {
            "import_s_range": [f(one["import_s"] for one in taken) for f in (min, max)],
            "resident_bytes": _largest(one["resident_bytes"] for one in taken),
        }
        for kind, taken in turns.items()
    }


def _start(kind: str, imports: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _START.format(imports=imports)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UnavailableError(f"the {kind} side cannot be imported: {last[0]}")
    begun: dict[str, Any] = json.loads(done.stdout)
    return begun


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _installed(name: str) -> dict[str, Any] | None:
    """Distributions and their bytes; None where `name` is not installed."""
    try:
        names = requirements_of(name)
    except metadata.PackageNotFoundError:
        say(f"{name} is not installed; its size is left out")
        return None
    sizes = {found: _size_bytes(found) for found in sorted(names)}
    return {"distributions": sizes, "total_bytes": sum(sizes.values())}


def requirements_of(name: str) -> set[str]:
    """A distribution and all that it needs without extras, by their names.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    under_way = [canonicalize_name(name)]
    while under_way:
        one = under_way.pop()
        if one in found:
            continue
        found.add(one)
        needed = [Requirement(text) for text in metadata.requires(one) or ()]
        under_way += [
            canonicalize_name(needs.name)
            for needs in needed
            if needs.marker is None or needs.marker.evaluate({"extra": ""})
        ]
    return found


def _size_bytes(name: str) -> int:
    """Of the files of a distribution, compiled ones left out: pip writes those anew."""
    total = 0
    for file in metadata.files(name) or ():
        path = file.locate()
        if not str(file).endswith(".pyc") and path.is_file():  # type: ignore[attr-defined]
            total += path.stat().st_size  # type: ignore[attr-defined]
    return total
