"""The process that counts: one SavedModel, and calls that are counted as they are asked for.

It speaks lines of JSON as `peer` says. The first line names `path` and `signature`, answered by the
names of the inputs; each further one names a file of encoded Predict requests, answered by the sums
over all of them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Serves the protocol until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the count is the same, and the card stays free
    from dualtower_benchmarks.roofline.traced_run import SavedGraph

    graph: SavedGraph | None = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if graph is None:
                import tensorflow_text  # noqa: F401  registers the tokeniser's ops

                graph = SavedGraph(Path(order["path"]), order["signature"])
                answer: dict[str, Any] = {"inputs": graph.inputs}
            else:
                answer = _counted(graph, Path(order["requests"]))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _counted(graph: Any, path: Path) -> dict[str, Any]:
    from dualtower_benchmarks.roofline.requests_file import read_requests

    total = None
    for feeds in read_requests(path):
        count = graph.count({name: feeds[name] for name in graph.inputs})
        total = count if total is None else total + count
    assert total is not None
    answer: dict[str, Any] = total.as_json()
    return answer


if __name__ == "__main__":
    main()
