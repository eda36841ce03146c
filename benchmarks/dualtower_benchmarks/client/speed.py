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
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from dualtower.errors import UnavailableError
from dualtower.progress import say, step
from dualtower_benchmarks.client.case import ClientCase
from dualtower_benchmarks.peer import Peer

__all__ = ["measure_clients", "requirements_of"]

_Turns = dict[str, list[float]]  # of each side, microseconds

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


def measure_clients(case: ClientCase, *, seed: int) -> list[dict[str, Any]]:
    """Rows of three kinds: codec, a way to or from bytes; start, an import; installed, a side.

    Raises:
        UnavailableError: TensorFlow or its serving API are not installed, or do not load.
    """
    installed = {side: _installed(name) for side, name in _DISTRIBUTIONS.items()}
    return [
        *({"kind": "codec", **row} for row in _codec(case, seed)),
        *({"kind": "start", "side": side, **row} for side, row in _starts(case).items()),
        *({"kind": "installed", "side": side, **row} for side, row in installed.items() if row),
    ]


def _codec(case: ClientCase, seed: int) -> list[dict[str, Any]]:
    command = (sys.executable, "-m", "dualtower_benchmarks.client.worker")
    job = {**case.as_json(), "seed": seed}
    with step("codec"), Peer("the codecs' process", command, job, threads=1) as peer:
        turns = {name: _compared(peer, name, case) for name in peer.facts["cases"]}
    versions = {"versions": peer.facts["ready"]}
    return [{**_row(name, of), **versions} for name, of in {**turns, **_round_trips(turns)}.items()]


def _compared(peer: Peer, name: str, case: ClientCase) -> _Turns:
    turns: _Turns = {side: [] for side in _SIDES}
    for number in range(case.rounds + 1):
        for side in _SIDES:
            answer = peer.ask({"case": name, "side": side, "calls": case.calls})
            if number:  # the first turn warms both up
                turns[side].append(statistics.median(answer["elapsed_ns"]) / 1e3)
    return turns


def _row(name: str, turns: _Turns) -> dict[str, Any]:
    ratios = [theirs / ours for ours, theirs in zip(*turns.values(), strict=True)]
    return {
        "case": name,
        **{f"{side}_us": _span(of) for side, of in turns.items()},
        "ratio": _span(ratios),
    }


def _span(values: Sequence[float]) -> dict[str, float]:
    """The median of the turns, the smallest and the largest."""
    return {"value": statistics.median(values), "low": min(values), "high": max(values)}


def _round_trips(by_case: Mapping[str, _Turns]) -> dict[str, _Turns]:
    """To bytes or a message and back again, as one."""
    found = {}
    for kind in ("float32", "strings"):
        for there, back, name in (
            ("to bytes", "from bytes", "bytes"),
            ("to a message", "from a message", "a message"),
        ):
            out, home = by_case[f"{kind} {there}"], by_case[f"{kind} {back}"]
            found[f"{kind} to {name} and back"] = {
                side: [a + b for a, b in zip(out[side], home[side], strict=True)] for side in _SIDES
            }
    return found


def _starts(case: ClientCase) -> dict[str, Any]:
    turns: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _IMPORTS}
    with step("import, in fresh interpreters"):
        for number in range(case.starts + 1):
            for kind, imports in _IMPORTS.items():
                begun = _start(kind, imports)
                if number:  # the first one reads the files from the disk
                    turns[kind].append(begun)
    return {
        kind: {
            "import_s": _span([one["import_s"] for one in taken]),
            "cpu_s": statistics.median(one["cpu_s"] for one in taken),
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
