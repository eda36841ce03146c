"""What a model says of itself: the signature `describe`, asked of a model on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from dualtower_export.contract import DESCRIBE_INPUT
from dualtower_export.gate import Gate
from dualtower_export.serving_models import Description

__all__ = ["ask", "check_describe"]


def ask(signatures: Mapping[str, Any]) -> dict[str, str | int]:
    """The answer of a loaded model, plain values."""
    answer = signatures["describe"](**{DESCRIBE_INPUT: tf.constant([""])})
    values = {name: tensor.numpy()[0] for name, tensor in answer.items()}
    return {
        name: value.decode() if isinstance(value, bytes) else int(value)
        for name, value in values.items()
    }


def check_describe(signatures: Mapping[str, Any], description: Description) -> Gate:
    """Gate: a loaded model says what it was written with."""
    said, wanted = ask(signatures), asdict(description)
    wrong = [
        f"{key} is {said.get(key)!r}, not {wanted[key]!r}"
        for key in wanted
        if said.get(key) != wanted[key]
    ]
    detail = "; ".join(wrong) or f"fingerprint {description.fingerprint[:12]}…, as in the manifest"
    return Gate(f"describe/{description.model}", not wrong, float(len(wrong)), 0.0, detail)
