"""Our side of `bench topk`: the searches of a SavedModel in a session. See `train_peer`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_trainer.quiet_tensorflow import import_tensorflow

__all__ = ["main"]


def main() -> None:
    """Writes the SavedModel where it is not there yet, then answers what it is asked."""
    job = json.loads(sys.stdin.readline())
    import_tensorflow()
    import tensorflow as tf

    from dualtower_benchmarks.topk_catalogue import Catalogue
    from dualtower_benchmarks.topk_model import write_searches
    from dualtower_export.serving_session import open_model

    folder = Path(job["folder"])
    read = {name: np.load(folder / f"{name}.npy") for name in ("vectors", "users", "seen")}
    if not (folder / "model").exists():
        write_searches(
            Catalogue(**read), folder / "model",
            k=job["k"], lists=job["lists"], probes=job["probes"],
        )  # fmt: skip
    users, seen = read["users"], read["seen"]
    del read
    with open_model(folder / "model") as model:
        _answer({"ready": f"tensorflow {tf.__version__}"})
        for line in sys.stdin:
            asked = json.loads(line)
            wall_ns, cpu_ns, rows = [], [], []
            for begin in asked["begins"]:
                some = slice(begin, begin + asked["batch"])
                excluded = np.stack(
                    [np.repeat(np.arange(len(seen[some])), seen.shape[1]), seen[some].reshape(-1)],
                    axis=1,
                ).astype(np.int32)
                wall, cpu = time.perf_counter_ns(), time.process_time_ns()
                found = model(asked["engine"], users=users[some], excluded=excluded)
                cpu_ns.append(time.process_time_ns() - cpu)
                wall_ns.append(time.perf_counter_ns() - wall)
                if asked["rows"]:
                    rows += [[int(item) for item in row if item] for row in found["item_ids"]]
            _answer({"wall_ns": wall_ns, "cpu_ns": cpu_ns, "rows": rows})


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
