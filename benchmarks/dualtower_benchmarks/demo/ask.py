"""The demo's client: a process of its own that imports no TensorFlow.

python -m dualtower_benchmarks.demo.ask ADDRESS FINGERPRINT < households.json > answers.json
"""

from __future__ import annotations

import json
import sys

from dualtower_clients import Recommender

__all__ = ["main"]


def main() -> None:
    """Asks for every household on stdin; writes the answers as JSON."""
    address, fingerprint = sys.argv[1:]
    request = json.load(sys.stdin)
    answers = []
    with Recommender(address, expect_fingerprint=fingerprint, wait_s=30.0) as recommender:
        for household in request["households"]:
            best = recommender.recommend(household["history"], k=request["k"])
            answers.append(
                {
                    "item_ids": [str(item_id) for item_id in best.item_ids],
                    "scores": [float(score) for score in best.scores],
                    "elapsed_ms": best.elapsed_ms,
                }
            )
    json.dump({"answers": answers, "tensorflow_loaded": "tensorflow" in sys.modules}, sys.stdout)


if __name__ == "__main__":
    main()
