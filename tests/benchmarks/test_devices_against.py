"""GPU against CPU on rows whose cross-over is known by algebra."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dualtower_benchmarks.devices.against import (
    MixedDevices,
    against_as_json,
    crossover_text,
    crossovers,
    matches,
)
from dualtower_benchmarks.scenario.case import Case


def row(device: str, batch_rows: int, rows_per_s: float, **changes: Any) -> dict[str, Any]:
    case = Case(driver="saved_model", device=device, batch_rows=batch_rows, loop="closed")
    return {
        **case.as_json(), "device_found": device, "repeat": 0, "rows_per_s": rows_per_s,
        "n": 100, "void": None, "point": 3, **changes,
    }  # fmt: skip


def both(batches: Sequence[int], power: float, **changes: Any) -> list[dict[str, Any]]:
    """The CPU makes 1000 rows a second at any batch, the GPU 100 · batch ** power."""
    return [
        one
        for batch in batches
        for one in (
            row("CPU", batch, 1000.0, **changes),
            row("GPU", batch, 100.0 * batch**power, **changes),
        )
    ]


def test_a_power_law_crosses_where_algebra_says() -> None:
    # 100 b^0.8 = 1000 at b = 10^(1/0.8), whatever points lie around it
    (crossing,) = crossovers(matches(both([1, 4, 16, 64], 0.8)), "batch_rows")
    assert crossing.at == pytest.approx(10 ** (1 / 0.8))
    assert crossing.between == (16, 64)
    assert crossing.faster_before == "CPU"
    assert not crossing.decided  # one repeat tells nothing of its spread


def test_what_was_not_crossed_is_not_extrapolated() -> None:
    (crossing,) = crossovers(matches(both([1, 2, 4], 1.0)), "batch_rows")
    assert crossing.at is None
    document = {"points": both([1, 2, 4], 1.0), "absent": []}
    assert "not crossed within batch 1 to 4, the CPU is faster" in crossover_text(document)


def test_along_concurrency_and_with_intervals_of_the_repeats() -> None:
    rows = []
    for repeat, noise in enumerate((0.9, 1.0, 1.2)):
        for clients in (1, 8):
            load = {"concurrency": clients, "repeat": repeat}
            rows += [
                row("CPU", 4, 100.0, **load),
                row("GPU", 4, 100.0 * noise * (0.5 if clients == 1 else 2.0), **load),
            ]
    found = matches(rows)
    few, many = sorted(found, key=lambda match: match.case["concurrency"])
    assert (few.ratio, few.interval) == (0.5, pytest.approx((0.45, 0.6)))
    assert (many.ratio, many.interval) == (2.0, pytest.approx((1.8, 2.4)))
    (crossing,) = crossovers(found, "concurrency")
    assert crossing.at == pytest.approx(8**0.5)  # log 0.5 and log 2 are equally far from 0
    assert crossing.decided
    assert few.n == 600


def test_two_crossings_are_two() -> None:
    rows = [
        one
        for batch, ratio in ((1, 2.0), (2, 0.5), (4, 2.0))
        for one in (row("CPU", batch, 100.0), row("GPU", batch, 100.0 * ratio))
    ]
    found = crossovers(matches(rows), "batch_rows")
    assert [crossing.faster_before for crossing in found] == ["GPU", "CPU"]
    assert [crossing.at for crossing in found] == pytest.approx([2**0.5, 8**0.5])


def test_two_devices_mixed_up_are_an_error() -> None:
    rows = both([1, 4], 1.0)
    rows[1]["device_found"] = "CPU"
    with pytest.raises(MixedDevices, match="point 3 says GPU and was computed on CPU"):
        matches(rows)
    with pytest.raises(MixedDevices, match="says CPU and was computed on GPU"):
        matches([row("CPU", 1, 1.0, device_found="GPU")])


def test_void_rows_open_loops_and_other_cases_do_not_match() -> None:
    assert not matches([row("CPU", 1, 10.0), row("GPU", 1, 10.0, void="the card is shared")])
    assert not matches([row("CPU", 1, 10.0), row("GPU", 1, 10.0, precision="bfloat16")])
    assert not matches([row("CPU", 1, 10.0), row("GPU", 1, 10.0, repeat=1)])


def test_a_server_is_where_the_meter_found_it() -> None:
    server = {"driver": "grpc", "device_found": "unknown"}
    cpu = row("CPU", 1, 10.0, **server, device_metered="CPU")
    gpu = row("GPU", 1, 20.0, **server, device_metered="Some GPU GPU-1")
    assert matches([cpu, gpu])[0].ratio == 2.0
    assert not matches([cpu, {**gpu, "device_metered": None}])
    assert not matches([cpu, {**gpu, "device_metered": "CPU"}])


def test_no_gpu_here_is_what_the_text_says() -> None:
    absent = [{**Case(device="GPU", loop="closed").as_json(), "reason": "no GPU here"}]
    document = {"points": [row("CPU", 1, 10.0)], "absent": absent}
    assert crossover_text(document) == "GPU against CPU: no GPU here."
    document = {"points": [], "absent": [], "devices": {"cards": "no GPU here"}}
    assert crossover_text(document) == "GPU against CPU: no GPU here."


def test_the_json_has_all_of_it() -> None:
    document = {"points": both([1, 100], 1.0), "absent": []}
    found = json.loads(json.dumps(against_as_json(document)))
    assert found["crossovers"][0]["at"] == pytest.approx(10)
    assert [match["ratio"] for match in found["matches"]] == pytest.approx([0.1, 10])
    assert "from batch 10 on, between the measured 1 and 100" in found["text"]
