"""The same cases on the CPU and on a GPU, and what each takes in power and money.

A case is compared with the one that differs in its device alone. Without a GPU its column says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import DASH, count, number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import client_words, count_words, legend_below
from dualtower_benchmarks.report.svg import MARKERS, SERIES, Panel, draw, log_ticks
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.schema.labels import load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["device_panels", "devices_table", "energy_table"]

_SAME = ("driver", "model", "variant", "precision", "xla", "batch_rows", "tokens", "concurrency",
         "engine", "batching", "flags")  # fmt: skip
_COLUMNS = (
    ("device_power_w", "power, W", 1.0),
    ("energy_j_per_1000_queries", "J per 1,000 queries", 1.0),
    ("energy_j_per_1000_rows", "J per 1,000 rows", 1.0),
    ("gpu_utilisation", "GPU in use, %", 100.0),
    ("gpu_memory_bytes", "GPU memory, GB", 1e-9),
    ("cpu_cores_server", "cores, server", 1.0),
    ("cpu_cores_generator", "cores, generator", 1.0),
    ("cost_per_million", "cost per million rows", 1.0),
)


@dataclass(frozen=True)
class Pair:
    """Two cases that differ in their device; one may not have been measured."""

    cpu: Measured | None
    gpu: Measured | None
    gpu_reason: str = ""

    @property
    def any(self) -> Measured:
        found = self.cpu or self.gpu
        assert found is not None
        return found

    @property
    def ratio(self) -> float | None:
        """Rows a second on the GPU over those on the CPU."""
        if self.cpu is None or self.gpu is None:
            return None
        ours, theirs = self.gpu.value("rows_per_s"), self.cpu.value("rows_per_s")
        return ours / theirs if ours and theirs else None


def _pairs(run: Run) -> Iterator[Pair]:
    """Closed loops of models in process, the CPU's with the GPU's."""
    absent = {_key(case): str(case["reason"]) for case in run.document["absent"]
              if case["device"] == "GPU"}  # fmt: skip
    found: dict[tuple[Any, ...], dict[str, Measured]] = {}
    for case in run.of("closed"):
        if case.rows and case["device_found"] in ("CPU", "GPU"):
            found.setdefault(_key(case), {})[case["device_found"]] = case
    for key, by_device in found.items():
        cpu, gpu = by_device.get("CPU"), by_device.get("GPU")
        if gpu is not None or key in absent:
            yield Pair(cpu, gpu, absent.get(key, ""))


def _key(case: Any) -> tuple[Any, ...]:
    return tuple(case[name] for name in _SAME if case["driver"] in ("grpc", "rest") or name not in
                 ("engine", "batching", "flags"))  # fmt: skip


def devices_table(run: Run) -> Table | None:
    """Rows a second and p50 on both, and their ratio; None where nothing was asked of a GPU."""
    pairs = list(_pairs(run))
    if not pairs:
        return None
    return Table(
        f"Rows a second in closed loops, p50 beside them; {run.hardware}",
        ("what", "rows", "load", "CPU", "GPU", "GPU over CPU", "n"),
        [
            (
                run.labels(pair.any),
                str(pair.any["batch_rows"]),
                load_words(pair.any, None),
                _rate(pair.cpu, "not measured"),
                _rate(pair.gpu, pair.gpu_reason or "not measured"),
                number(pair.ratio),
                " / ".join(count(one.n) if one else DASH for one in (pair.cpu, pair.gpu)),
            )
            for pair in pairs
        ],
        prose=frozenset({"load"}),
    )


def device_panels(run: Run) -> list[Panel]:
    """Rows a second over the batch, both devices, for each number of clients that has both."""
    by_clients: dict[int, list[Pair]] = {}
    for pair in _pairs(run):
        if pair.ratio is not None:
            by_clients.setdefault(pair.any["concurrency"], []).append(pair)
    return [
        _panel(run, pairs, clients)
        for clients, pairs in by_clients.items()
        if len({pair.any["batch_rows"] for pair in pairs}) > 1
    ]


def _panel(run: Run, pairs: Sequence[Pair], clients: int) -> Panel:
    lines: dict[str, list[Measured]] = {}
    for pair in pairs:
        for case in (pair.cpu, pair.gpu):
            assert case is not None
            lines.setdefault(run.labels(case), []).append(case)
    labels = list(lines)
    height_in = 3.9 + 0.24 * len(labels)

    def paint(axes: Axes) -> None:
        for place, (label, cases) in enumerate(lines.items()):
            order = sorted(cases, key=lambda case: int(case["batch_rows"]))
            axes.plot(
                [case["batch_rows"] for case in order],
                [case.value("rows_per_s") or 0.0 for case in order],
                color=SERIES[place % len(SERIES)],
                marker=MARKERS[place // len(SERIES) % len(MARKERS)],
                label=label,
            )
        axes.set_xlabel("rows of a request")
        axes.set_ylabel("rows a second")
        axes.margins(0.1)
        log_ticks(axes, "x", "y")
        legend_below(axes, ["x" * 40], height_in=height_in)

    cases = [case for of_line in lines.values() for case in of_line]
    words = "; ".join(
        f"{run.labels(case)} batch {case['batch_rows']}: {number(case.value('rows_per_s'))}"
        for case in cases
    )
    return draw(
        f"devices-{run.mark}-{clients}",
        paint,
        title=f"CPU and GPU, {clients} client{'s' if clients > 1 else ''}",
        alt=f"Rows a second over the batch: {words}",
        caption=(
            f"Closed loop, offered load: {client_words(cases)}. {count_words(cases)}. "
            f"{run.hardware}."
        ),
        height_in=height_in,
    )


def energy_table(run: Run) -> Table | None:
    """Power, energy, utilisation, cores and cost of each case, as far as they could be read."""
    known = [one for one in _COLUMNS if any(_values(case, one[0]) for case in run.cases)]
    if not known:
        return None
    reasons = {
        f"{key}: {reason}"
        for case in run.cases
        for row in case.rows
        for key, reason in (row.get("not_known") or {}).items()
        if key in {name for name, _, _ in _COLUMNS}
    }
    currency = run.document["scenario"]["settings"]["currency"]
    return Table(
        "Power, energy, cores and cost, medians of the repeats",
        (
            "what", "load", "rows", "rows/s", "n",
            *(f"{head}, {currency}" if name == "cost_per_million" else head
              for name, head, _ in known),
        ),
        [
            (
                run.labels(case),
                load_words(case, case.offered_qps),
                str(case["batch_rows"]),
                number(case.value("rows_per_s")),
                count(case.n),
                *(_known(case, name, factor) for name, _, factor in known),
            )
            for case in run.cases
            if case.rows
        ],
        prose=frozenset({"load"}),
        notes=[f"Not known: {reason}." for reason in sorted(reasons)],
    )  # fmt: skip


def _values(case: Measured, name: str) -> list[float]:
    return case.values(name) if all(name in row for row in case.rows) else []


def _known(case: Measured, name: str, factor: float) -> str:
    values = sorted(_values(case, name))
    return number(factor * values[(len(values) - 1) // 2]) if values else DASH


def _rate(case: Measured | None, otherwise: str) -> Cell | str:
    if case is None:
        return otherwise
    return Cell(number(case.value("rows_per_s")), f"p50 {number(case.value('p50_ms'))} ms")
