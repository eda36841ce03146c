"""A real gRPC server on loopback with a stall on demand; result files for the report."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from dualtower.bundle import Bundle


class EchoServer:
    """Answers with the request's own bytes after `service_s`; request `stall_at` takes longer."""

    METHOD = "/test.Echo/Call"

    def __init__(self, *, service_s: float = 0.0, stall_at: int = -1, stall_s: float = 0.0) -> None:
        self._service_s, self._stall_at, self._stall_s = service_s, stall_at, stall_s
        self._lock, self.received = threading.Lock(), 0
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Call": handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait()

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            number, self.received = self.received, self.received + 1
        if request == b"refuse":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "asked to refuse")
        time.sleep(self._stall_s if number == self._stall_at else self._service_s)
        return request


@pytest.fixture
def echo_server() -> Iterator[type[EchoServer]]:
    """The class, so that a test sets its times; what it starts is stopped."""
    started: list[EchoServer] = []

    class Tracked(EchoServer):
        def __init__(self, **times: float) -> None:
            super().__init__(**times)  # type: ignore[arg-type]
            started.append(self)

    yield Tracked
    for server in started:
        server.stop()


@dataclass(frozen=True)
class ReportFiles:
    """A run folder and a bundle, written in the layout of the real ones."""

    run: Path
    bundle: Path

    def change(self, path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
        """Doctors one JSON file."""
        document = json.loads(path.read_text())
        edit(document)
        path.write_text(json.dumps(document))


@pytest.fixture
def report_files(tmp_path: Path) -> ReportFiles:
    files = ReportFiles(tmp_path / "run", tmp_path / "bundle")
    files.run.mkdir()
    files.bundle.mkdir()
    for name, document in (
        ("training", _training()), ("evaluation", _evaluation()), ("data_report", _data_report()),
    ):  # fmt: skip
        (files.run / f"{name}.json").write_text(json.dumps(document))
    (files.bundle / "bundle.json").write_text(json.dumps(_manifest()))
    return files


def _training() -> dict[str, Any]:
    history = [
        {
            "step": step,
            "epoch": step / 400,
            "loss": 5.2 * 0.9985**step + 2.9,
            "validation_recall_at_20": 0.14 * (1 - 0.997**step) if step % 100 == 0 else None,
            "validation_ndcg_at_20": 0.11 * (1 - 0.997**step) if step % 100 == 0 else None,
            "validation_cold_recall_at_20": 0.4 + step / 8e4 if step % 100 == 0 else None,
            "temperature": 0.07 - 0.00001 * step,
            "learning_rate": 1e-3,
        }
        for step in range(0, 1601, 20)
    ]
    return {
        "history": history, "wall_s": 143.2, "elapsed_s": 201.5, "examples": 512_340,
        "stopped": "no better validation for 3 evaluations",
        "kept": "contrastive", "best_step": 800,
        "closed_form": {"regularisation": 300.0, "prior": 0.1, "half_life": 0.1,
                        "trend_power": 0.0},
        "start": {"validation_recall_at_20": 0.1312, "validation_cold_recall_at_20": 0.4},
        "chosen": {"validation_recall_at_20": 0.1344, "validation_cold_recall_at_20": 0.42},
        "command": "dualtower train data --out run --config demo.toml",
    }  # fmt: skip


TITLES = {
    "dualtower": "dualtower",
    "popularity": "popularity",
    "tfidf": "TF-IDF",
    "itemknn": "ItemKNN",
    "ease": "EASE",
}


def _evaluation() -> dict[str, Any]:
    def paired_to(reference: str, values: dict[str, float], method: str) -> dict[str, Any]:
        if method == reference:
            return {}
        value = values[reference] - values[method]
        gap = {"value": value, "se": 0.003, "users": 1651}
        gap |= {"low": value - 0.006, "high": value + 0.006, "p": 0.01}
        return {"reference_minus_this_recall_at_20": gap}

    def methods(values: dict[str, float], se: float) -> list[dict[str, Any]]:
        return [
            {
                "method": method,
                "title": TITLES[method],
                **{
                    key: {"value": value * factor, "se": se, "users": 1651}
                    for key, factor in (
                        ("recall_at_10", 0.7), ("recall_at_20", 1.0), ("ndcg_at_10", 0.75),
                        ("ndcg_at_20", 0.88), ("mrr", 0.9), ("recall_at_20_head", 1.4),
                        ("recall_at_20_tail", 0.4),
                    )
                },
                "stands_for": "SimReco" if method == "ease" else "",
                "recall_at_20_by_history": {
                    "0": {"value": None, "se": None, "users": 0},
                    "1": {"value": value * 0.5, "se": 0.05, "users": 7},
                    "2": {"value": value * 0.8, "se": 0.02, "users": 44},
                    "3–5": {"value": value, "se": 0.01, "users": 1600},
                },
                "coverage_at_20": 0.31,
                "gini_at_20": 0.82,
                "head_share_of_lists": 0.63,
                "cold_share_of_lists": 0.152 if se == 0.009 else 0.0,
                **paired_to("dualtower", values, method),
            }
            for method, value in values.items()
        ]  # fmt: skip

    warm = {
        "dualtower": 0.134,
        "popularity": 0.051,
        "tfidf": 0.086,
        "itemknn": 0.106,
        "ease": 0.128,
    }
    return {
        "split": {"users": 1651},
        "warm": {"users": 1651, "candidates": 3545, "methods": methods(warm, 0.0045)},
        "cold": {
            "users": 960,
            "candidates": 552,
            "methods": methods({"dualtower": 0.412, "tfidf": 0.401}, 0.012),
        },
        "cold_in_full": {
            "users": 960,
            "candidates": 4097,
            "methods": methods({"dualtower": 0.168, "tfidf": 0.190, "popularity": 0.0}, 0.009),
            "random": {"recall_at_20": {"value": 0.0049, "se": 0.0002}},
        },
    }


def _data_report() -> dict[str, Any]:
    segment = {
        "rows": 84_021,
        "merged_repeat_rows": 20_113,
        "dropped_targets": {"bought_before": 30_220, "item_not_in_train": 812, "blocked_item": 0},
        "dropped_users": {"short_history": 12, "no_target": 31},
        "users": 1651,
        "warm_targets": 22_108,
        "cold_targets": 4_102,
    }
    return {
        "first": "2017-01-01T00:00:00+00:00",
        "validation_start": "2017-11-05T00:00:00+00:00",
        "test_start": "2017-12-03T00:00:00+00:00",
        "last": "2017-12-31T23:59:00+00:00",
        "interactions": 1_202_113,
        "unknown_item_interactions": 0,
        "users": 2469,
        "items": {"catalogue": 4097, "cold": 552, "warm": 3545, "not_in_train": 40, "blocked": 0},
        "train": {
            "rows_before_validation": 1_002_113,
            "dropped_cold_rows": 140_223,
            "merged_repeat_rows": 461_020,
            "interactions": 400_870,
            "users": 2469,
        },
        "validation": segment,
        "test": segment,
    }


FINGERPRINT = "0123456789abcdef" * 4


def _manifest() -> dict[str, Any]:
    def variant(tower: str, name: str, mb: float, cosine: float, recall: float) -> dict[str, Any]:
        ship = cosine > 0.98
        return {
            "tower": tower,
            "variant": name,
            "file": f"edge/{tower}.{name}.tflite",
            "size_bytes": int(mb * 1e6),
            "gzip_bytes": int(mb * 0.9e6),
            "cosine_mean": cosine,
            "cosine_min": cosine - 0.01,
            "recall_at_10": recall,
            "recall_at_10_float": 0.094,
            "recall_at_10_loss_se": 0.0004,
            "ndcg_at_10": recall,
            "ndcg_at_10_float": 0.094,
            "ndcg_at_10_loss_se": 0.0004,
            "overlap_at_10": cosine,
            "users": 476,
            "ms_p50": {"1": mb / 9, "2": mb / 15},
            "times_float32": {"1": 1.0, "2": 1.0},
            "ops": 297,
            "delegated_ops": 259,
            "partitions": 2,
            "peak_memory_bytes": int(mb * 1.1e6),
            "verdict": "ship" if ship else "do not ship",
            "reason": "" if ship else "cosine 0.9712 is below 0.985",
        }

    return {
        "schema_version": 1,
        "fingerprint": FINGERPRINT,
        "version": 1,
        "space": {"dim": 128},
        "files": {},
        "created": "2026-11-30T10:00:00+00:00",
        "command": "dualtower export run --out bundle",
        "versions": {"python": "3.11.7", "tensorflow": "2.21.0"},
        "catalogue": {"items": 4097, "warm": 3545, "blocked": 0},
        "gates": [
            {"name": "reload parity", "passed": True, "value": 1.2e-7, "threshold": 1e-4,
             "detail": "128 texts, 64 users"},
            {"name": "warm-up replay", "passed": True, "value": 18, "threshold": 18, "detail": ""},
            {"name": "retrieval", "passed": True, "value": 1.0, "threshold": 1.0,
             "detail": "identical to brute force"},
        ],
        "variants": [
            variant("item_tower", "float32", 89.6, 1.0, 0.094),
            variant("item_tower", "float16", 44.8, 1.0, 0.094),
            variant("item_tower", "dynamic_int8", 22.8, 0.9971, 0.0935),
            variant("user_tower", "float32", 1.1, 1.0, 0.094),
            variant("user_tower", "float16", 0.6, 1.0, 0.094),
            variant("user_tower", "dynamic_int8", 0.3, 0.9712, 0.081),
        ],
    }  # fmt: skip


@pytest.fixture(scope="session")
def small_bundle(made_by_script: Callable[..., Path]) -> Bundle:
    """Three tiny SavedModels that a real server serves, two tiny TFLite files, a catalogue."""
    script = Path(__file__).with_name("small_bundle.py")
    return Bundle.open(made_by_script("small-bundle", script))
