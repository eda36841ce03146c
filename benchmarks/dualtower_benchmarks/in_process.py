"""The item tower's SavedModel without a server, on the CPU and on a GPU where TensorFlow sees one.

Each device is measured in a process of its own (`in_process_worker`): TensorFlow decides on its
first import which devices it uses, and this process must stay free for generating load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.bundle import Bundle
from dualtower.errors import UnavailableError
from dualtower_benchmarks.machine import NO_GPU
from dualtower_benchmarks.points import Points, Subject
from dualtower_benchmarks.samples import Samples
from dualtower_benchmarks.settings import SIGNATURES, BenchConfig
from dualtower_benchmarks.workload import DISTINCT_REQUESTS, Workload

__all__ = ["DEVICES", "measure_in_process"]

DEVICES = ("CPU", "GPU")
_MODEL = "item_tower"
_START_S = 300.0  # for TensorFlow's import and the load of the model, on a slow disk


def measure_in_process(
    bundle: Bundle, workload: Workload, points: Points
) -> dict[str, dict[str, Any] | str]:
    """Adds a point per device and batch.

    Returns:
        per device of DEVICES what TensorFlow said of it, or "no GPU".

    Raises:
        UnavailableError: the model cannot be run.
    """
    found: dict[str, dict[str, Any] | str] = {}
    for device in DEVICES:
        if device == "GPU" and not found["CPU"]["gpus"]:  # type: ignore[index]
            found[device] = NO_GPU
            continue
        found[device] = _measure(device, bundle, workload, points)
    return found


def _measure(device: str, bundle: Bundle, workload: Workload, points: Points) -> dict[str, Any]:
    config = points.config
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as folder:
        job = _job(device, bundle, workload, config) | {"out": str(Path(folder, "raw.npz"))}
        facts = _run(job, config)
        with np.load(job["out"]) as raw:
            for batch_rows in config.batches:
                sent_ns, done_ns = raw[f"sent_{batch_rows}"], raw[f"done_{batch_rows}"]
                status = np.full(len(sent_ns), "OK")
                subject = Subject(
                    part="in_process",
                    model=_MODEL,
                    signature=SIGNATURES[_MODEL],
                    device=device,
                    batch_rows=batch_rows,
                )
                points.closed(subject, Samples(sent_ns, sent_ns, done_ns, status), clients=1)
    return facts


def _job(device: str, bundle: Bundle, workload: Workload, config: BenchConfig) -> dict[str, Any]:
    return {
        "device": device,
        "saved_model": str(bundle.model_path(_MODEL) / str(bundle.version)),
        "signature": SIGNATURES[_MODEL],
        "batches": {
            str(batch_rows): [
                block.tolist()
                for block in np.split(
                    workload.texts[workload.item_rows(DISTINCT_REQUESTS * batch_rows)],
                    DISTINCT_REQUESTS,
                )
            ]
            for batch_rows in config.batches
        },
        "duration_s": config.in_process_s,
        "warmup_s": config.warmup_s,
    }


def _run(job: Mapping[str, Any], config: BenchConfig) -> dict[str, Any]:
    measuring_s = len(config.batches) * (config.in_process_s + config.warmup_s + 60.0)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dualtower_benchmarks.in_process_worker"],
            input=json.dumps(job),
            env={"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1", **os.environ},
            capture_output=True,
            text=True,
            timeout=_START_S + measuring_s,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"{job['saved_model']} gave no result on the {job['device']} in {error.timeout:.0f} s"
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UnavailableError(
            f"{job['saved_model']} cannot be measured on the {job['device']} ({last[0]}); "
            "check the bundle with `dualtower verify`, TensorFlow with "
            "`pip install 'dualtower[export]'`"
        )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts
