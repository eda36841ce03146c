"""The saved_model driver: all models, and what TensorFlow cannot do is absent with its reason.

One process opens one driver after the other: TensorFlow is imported once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dualtower.bundle import Bundle

pytestmark = pytest.mark.slow

JOBS: dict[str, dict[str, Any]] = {
    "item": {"model": "item_tower"},
    "user": {"model": "user_tower"},
    "recommender": {"model": "recommender"},
    "lengths": {"model": "item_tower", "tokens": "6"},
    "no signature": {"model": "item_tower", "variant": "from_tokens"},
    "strings alone": {"model": "recommender", "variant": "from_tokens"},
    "wrong signature": {"model": "item_tower", "variant": "describe"},
    "bfloat16": {"model": "item_tower", "precision": "bfloat16"},
    "float16": {"model": "item_tower", "precision": "float16"},
    "gpu": {"model": "item_tower", "device": "GPU"},
}
SCRIPT = """
import json, sys
from dualtower.errors import DualtowerError
from dualtower_benchmarks.drivers.opening import open_driver
found = {}
for name, job in json.loads(sys.stdin.read()).items():
    try:
        driver = open_driver(job)
        driver.check()
        answer = driver.connect().answer(0)
        found[name] = {
            "facts": driver.facts(),
            "shapes": {key: list(value.shape) for key, value in answer.items()},
        }
    except DualtowerError as error:
        found[name] = {"error": str(error), "kind": type(error).__name__}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def opened(small_bundle: Bundle) -> dict[str, dict[str, Any]]:
    shared = {"driver": "saved_model", "bundle": str(small_bundle.path), "batch_rows": 3}
    jobs = {name: {**shared, **job} for name, job in JOBS.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(jobs), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_model_answers_each_row(opened: dict[str, dict[str, Any]]) -> None:
    assert opened["item"]["shapes"] == opened["user"]["shapes"] == {"embedding": [3, 4]}
    assert opened["recommender"]["shapes"] == {"item_ids": [3, 8], "scores": [3, 8]}
    for name in ("item", "user", "recommender"):
        facts = opened[name]["facts"]
        assert (facts["device"], facts["placed_on"]) == ("CPU", "CPU:0")
        assert (facts["compute_dtype"], facts["xla"]) == ("float32", False)
        assert facts["signature"] == "serving_default"
    assert opened["lengths"]["facts"]["pieces_max"] == 6


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("no signature", "NotHere", "has no signature from_tokens"),
        ("strings alone", "NotHere", "the recommender takes strings alone"),
        ("wrong signature", "UsageError", "got 'describe'"),
        # its only product is of tables, so there is nothing to rewrite
        ("bfloat16", "NotHere", "rewrote nothing of this graph to bfloat16"),
        ("float16", "NotHere", "no loaded graph to float16 on the CPU; export the bundle with"),
    ],
)
def test_what_cannot_be_says_why(
    name: str, kind: str, reason: str, opened: dict[str, dict[str, Any]]
) -> None:
    assert opened[name]["kind"] == kind
    assert reason in opened[name]["error"]


def test_a_gpu_is_used_or_absent(opened: dict[str, dict[str, Any]]) -> None:
    found = opened["gpu"]
    if "error" in found:
        assert (found["kind"], found["error"]) == ("NotHere", "no GPU here")
    else:
        assert found["facts"]["placed_on"].startswith("GPU")
