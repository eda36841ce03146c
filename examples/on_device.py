"""What an app does on a phone, in Python: recommendations from the edge files alone.

    python examples/on_device.py demo/bundle/edge dynamic_int8

Reads nothing but the folder `edge/` of a bundle, and needs numpy, ai-edge-litert and, for a text
that the catalogue does not hold, tokenizers.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import BertWordPieceTokenizer


class OnDevice:
    """The two towers and the catalogue of one `edge/` folder."""

    def __init__(self, folder: Path, variant: str) -> None:
        self.facts = json.loads((folder / "edge.json").read_text(encoding="utf-8"))
        self.item_ids = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
        vectors = np.fromfile(folder / "item_vectors.float16", "<f2")
        self.vectors = vectors.reshape(len(self.item_ids), -1).astype(np.float32)
        self.row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        self.user_tower = Interpreter(str(folder / f"user_tower.{variant}.tflite"))
        self.item_tower = Interpreter(str(folder / f"item_tower.{variant}.tflite"))
        self.tokenizer = BertWordPieceTokenizer(
            str(folder / "vocab.txt"), lowercase=self.facts["lowercase"]
        )
        self.tokenizer.enable_truncation(self.facts["item_tokens"])
        self.tokenizer.enable_padding(length=self.facts["item_tokens"])

    def embed_text(self, text: str) -> np.ndarray:
        """The vector [dim] of an item that the catalogue does not hold."""
        encoded = self.tokenizer.encode(text)
        ids = np.array([encoded.ids], np.int32)
        mask = np.array([encoded.attention_mask], np.int32)
        return run(self.item_tower, ids=ids, mask=mask)[0]

    def recommend(self, history: list[np.ndarray], seen: list[int], k: int) -> list[str]:
        """The best `k` ids for item vectors, most recent first; never a `seen` or blocked row."""
        items = np.zeros((1, self.facts["history_items"], self.facts["dim"]), np.float32)
        mask = np.zeros(items.shape[:2], np.float32)
        recent = history[: self.facts["history_items"]]
        if recent:
            items[0, : len(recent)] = recent
            mask[0, : len(recent)] = 1
        scores = self.vectors @ run(self.user_tower, items=items, mask=mask)[0]
        scores[[*seen, *self.facts["blocked_rows"]]] = -np.inf
        return [self.item_ids[row] for row in np.argsort(-scores, kind="stable")[:k]]


def run(interpreter: Interpreter, **inputs: np.ndarray) -> np.ndarray:
    """The only output of a file's only signature."""
    (output,) = interpreter.get_signature_runner()(**inputs).values()
    return output


def main(folder: str, variant: str = "dynamic_int8") -> None:
    """Prints ten recommendations for the first three items of the catalogue and a new text."""
    device = OnDevice(Path(folder), variant)
    seen = [0, 1, 2]
    history = [device.embed_text("organic oat milk, barista edition"), *device.vectors[seen]]
    print("\n".join(device.recommend(history, seen, k=10)))


if __name__ == "__main__":
    main(*sys.argv[1:])
