"""What a model says of itself: the signature `describe`, asked of a model on disk."""

from __future__ import annotations

from dataclasses import asdict

from dualtower_export.gate import Gate
from dualtower_export.serving_models import Description
from dualtower_export.serving_session import ServedModel

__all__ = ["ask", "check_describe"]


def ask(model: ServedModel) -> dict[str, str | int]:
    """The answer of a loaded model, plain values; nothing is sent, as a client does it."""
    values = {name: value[0] for name, value in model("describe").items()}
    return {
        name: value.decode() if isinstance(value, bytes) else int(value)
        for name, value in values.items()
    }


def check_describe(model: ServedModel, description: Description) -> Gate:
    """Gate: a loaded model says what it was written with."""
    said, wanted = ask(model), asdict(description)
    wrong = [
        f"{key} is {said.get(key)!r}, not {wanted[key]!r}"
        for key in wanted
        if said.get(key) != wanted[key]
    ]
    detail = "; ".join(wrong) or f"fingerprint {description.fingerprint[:12]}…, as in the manifest"
    return Gate(f"describe/{description.model}", not wrong, float(len(wrong)), 0.0, detail)
