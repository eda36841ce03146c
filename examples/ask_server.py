"""Asks a running server for recommendations: a whole client, without TensorFlow.

dualtower serve demo/bundle --port 8500
python examples/ask_server.py localhost:8500
"""

import sys

from dualtower_clients import Recommender

HISTORY = [  # most recent first; texts that the catalogue does not know are read by BERT
    "mainstream white bread, baked bread/buns/rolls, private brand, 20 oz",
    "organic oat milk, barista edition",
]


def main(address: str) -> None:
    """Prints ten recommendations, then what the server says it is."""
    with Recommender(address, timeout_s=2.0) as recommender:
        best = recommender.recommend(HISTORY, k=10)
        for item_id, score in zip(best.item_ids, best.scores, strict=True):
            print(f"{score:.3f}  {item_id}")
        print(f"bundle {best.fingerprint[:12]}, version {best.version}, {best.elapsed_ms:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
