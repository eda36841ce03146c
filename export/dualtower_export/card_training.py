"""The part of `model_card.md` that tells how the towers came to be, from the manifest's fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["training_section"]

_METRICS = (
    ("validation_recall_at_20", "Recall@20 of known items"),
    ("validation_cold_recall_at_20", "Recall@20 of hidden items"),
)


def training_section(fields: Mapping[str, Any]) -> str:
    """The section in Markdown.

    Args:
        fields: of the manifest.
    """
    lines = [_vector(fields["space"]["dim"]), _wide(fields["wide"])]
    lines += _facts(fields["training"])
    return "## How it was made\n" + "\n".join(f"- {line}" for line in lines)


def _vector(dim: int) -> str:
    return (
        f"An item's {dim} numbers are {dim - 2} of taste, which are compared; one of weight, how "
        "much the item says about whoever took it; and one that fills up to length 1."
    )


def _wide(wide: Mapping[str, Any]) -> str:
    grams = wide["pieces"] + wide["pairs"]
    if not grams:
        return "There is no wide part: texts are placed by BERT alone."
    return (
        f"Beside BERT a wide part adds a row for each of {wide['pieces']} word pieces and "
        f"{wide['pairs']} pairs of neighbours: a table of {_megabytes(wide['table_bytes'])} and "
        f"lookup tables of {_megabytes(wide['lookup_bytes'])} in float32 and int32."
    )


def _facts(training: Mapping[str, Any]) -> Iterator[str]:
    if kept := training.get("kept"):
        start, chosen = (training.get(name) or {} for name in ("start", "chosen"))
        changes = [
            f"{title} {start[key]:.4f} at the start, {chosen[key]:.4f} as kept"
            for key, title in _METRICS
            if start.get(key) is not None and chosen.get(key) is not None
        ]
        how = "the closed form"
        if kept != "closed form":
            how = f"contrastive training of {training.get('best_step', '?')} steps"
        numbers = f" ({'; '.join(changes)})" if changes else ""
        yield f"Validation kept {how}{numbers}; everything was then fitted once more."
    form = training.get("closed_form") or {}
    if form.get("regularisation"):
        settings = [
            f"{name.replace('_', ' ')} {value:g}"
            for name, value in form.items()
            if value and name != "trends"
        ]
        yield f"Closed form: {', '.join([*settings, _trend(form)])}."
    if (scale := training.get("cold_scale")) is not None:
        yield f"Items that training never saw are scored {scale:.3g} times as high as by text."
    if (elapsed_s := training.get("elapsed_s")) is not None:
        yield f"Training took {elapsed_s:.0f} s."


def _trend(form: Mapping[str, Any]) -> str:
    if not form["trends"]:
        return "no trend"
    half_life, power, freshness = form["trends"][0]
    others = len(form["trends"]) - 1
    return (
        f"a trend of power {power:g} with a half-life of {half_life:.1%} of the log and freshness "
        f"{freshness:g}" + (f", averaged with {others} like it" if others else "")
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB"
