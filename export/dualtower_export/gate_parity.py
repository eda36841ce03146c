"""Gate: a written SavedModel, loaded again, says what the trainer's towers say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.config import ExportConfig
from dualtower_export.fidelity import cosines, largest_error, taste
from dualtower_export.gate import Gate
from dualtower_export.reference import Reference
from dualtower_export.serving_session import ServedModel
from dualtower_export.warmup import token_rows

__all__ = ["check_item_tower", "check_user_tower", "user_histories"]

_TOKEN_ITEMS = 3  # items of a history from tokens: each costs two runs of BERT


def check_item_tower(
    model: ServedModel,
    reference: Reference,
    tokenizer: Tokenizer,
    texts: list[str],
    config: ExportConfig,
) -> Iterator[Gate]:
    """Parity of both signatures of an item tower on real texts, the empty one among them."""
    if config.compute_dtype != "float32":
        config = replace(config, parity_error=config.half_error, parity_cosine=config.half_cosine)
    texts = [*texts, ""]
    wanted = reference.items(texts)
    found = model("serving_default", text=np.array(texts, object))
    yield _parity("item_tower.serving_default", wanted, found, config)
    ids, mask = tokenizer(texts)
    found = model("from_tokens", ids=ids, mask=mask)
    yield _parity("item_tower.from_tokens", wanted, found, config)


def check_user_tower(
    model: ServedModel,
    reference: Reference,
    tokenizer: Tokenizer,
    texts: list[list[str]],
    item_ids: list[list[str]],
    config: ExportConfig,
) -> Iterator[Gate]:
    """Parity of the three signatures of a user tower; see `user_histories`."""
    found = model("serving_default", history=np.array(texts, object))
    yield _parity("user_tower.serving_default", reference.users_of_texts(texts), found, config)
    found = model("from_item_ids", item_ids=np.array(item_ids, object))
    yield _parity("user_tower.from_item_ids", reference.users_of_item_ids(item_ids), found, config)
    short = [[text for text in history if text][:_TOKEN_ITEMS] for history in texts]
    found = model("from_tokens", **token_rows(short, _TOKEN_ITEMS, tokenizer))
    wanted = reference.users_of_encoded_texts(short)
    yield _parity("user_tower.from_tokens", wanted, found, config)


def user_histories(
    histories: list[np.ndarray], item_ids: np.ndarray, texts: np.ndarray
) -> tuple[list[list[str]], list[list[str]]]:
    """Real histories as texts and as ids, made hard: rectangular lists of one width.

    Every third has an unknown entry, every second a repeat and a pad in between; the last is empty.
    """
    text_rows: list[list[str]] = []
    id_rows: list[list[str]] = []
    for place, history in enumerate(histories):
        for rows, values in ((text_rows, texts), (id_rows, item_ids)):
            row = [str(value) for value in values[history]]
            if place % 3 == 0:
                row.insert(1, f"{row[0]} unknown")
            if place % 2 == 0:
                row[2:2] = ["", row[0]]
            rows.append(row)
    for rows in (text_rows, id_rows):
        rows.append([])
        width = max(map(len, rows))
        rows[:] = [[*row, *[""] * (width - len(row))] for row in rows]
    return text_rows, id_rows


def _parity(
    name: str, wanted: np.ndarray, answer: dict[str, np.ndarray], config: ExportConfig
) -> Gate:
    found = answer["embedding"]
    error = largest_error(wanted, found)
    if not np.isfinite(error):
        shapes = f"{list(found.shape)}, the trainer's {list(wanted.shape)}"
        return Gate(f"parity/{name}", False, None, config.parity_error, f"not finite, or {shapes}")
    cosine = float(cosines(taste(wanted), taste(found)).min())
    passed = error <= config.parity_error and cosine >= config.parity_cosine
    detail = (
        f"largest error {error:.1e} (at most {config.parity_error:.0e}), smallest cosine of "
        f"tastes {cosine:.7f} (at least {config.parity_cosine}) over {len(wanted)} rows"
    )
    return Gate(f"parity/{name}", passed, error, config.parity_error, detail)
