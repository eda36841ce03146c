"""`model_card.md`: what a bundle is, how good, and within which limits, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dualtower_export.card_training import training_section
from dualtower_export.card_variants import variants_section

__all__ = ["model_card"]

_Z95 = 1.96
_SCOPES = {
    "warm": "Known items: which of the items seen in training will a person take next?",
    "cold": "New items among themselves: which of the items never seen in training?",
    "cold_in_full": "New items in the full catalogue",
}
_METRICS = ("recall_at_10", "recall_at_20", "ndcg_at_10", "ndcg_at_20")
_SLICES = {
    "warm": ("recall_at_20_head", "recall_at_20_tail"),
    # Recall of new items can be bought by a constant added to their scores: show what was paid.
    "cold_in_full": ("cold_share_of_lists",),
}


def model_card(fingerprint: str, fields: Mapping[str, Any]) -> str:
    """The card in Markdown.

    Args:
        fingerprint: of the bundle.
        fields: of its manifest.
    """
    space, catalogue, encoder = fields["space"], fields["catalogue"], fields["encoder"]
    sections = [
        f"# Dual tower, version {fields['version']}",
        f"Fingerprint `{fingerprint}`, made {fields['created']}.",
        f"""## What it is
Two models that belong together. The item tower reads the text of an item with BERT
({encoder["layers"]} layers, {encoder["hidden"]} wide, {encoder["parameters"] / 1e6:.1f} M
parameters, {encoder["vocabulary"]} word pieces, at most {space["item_tokens"]} of them a text) and
gives {space["dim"]} numbers of unit length. The user tower reads the last {space["history_items"]}
items of a person, most recent first, and gives a vector in the same space. The dot product of the
two ranks the catalogue: {catalogue["items"]} items, of which {catalogue["warm"]} were seen in
training and {catalogue["blocked"]} are never recommended.""",
        _data(fields),
        _quality(fields["evaluation"]),
        training_section(fields),
        variants_section(fields["variants"], fields["compared_on"], _people(fields["compared_on"])),
        _recommenders(fields.get("recommenders", [])),
        _gates(fields["gates"]),
        f"""## Limits
- A text beyond {space["item_tokens"]} word pieces is cut; a history beyond
  {space["history_items"]} different items loses its oldest.
- An item that the catalogue lacks is known by its text alone, and cannot be recommended until the
  next export.
- It learned from what people did in one place and time: it repeats what was popular there, and says
  nothing about who a person is. Do not use it for decisions about people.
- Vectors are comparable only within one fingerprint.""",
        f"""## Licences
- Data: {fields["config"]["data_licence"] or "not stated; that of the data trained on applies"}
- Encoder: {fields["config"]["encoder_licence"] or "not stated; that of its weights applies"}
- Code: Apache-2.0""",
        _reproduction(fields),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _data(fields: Mapping[str, Any]) -> str:
    report = fields["data_report"]
    if not report:
        return "## Data\nThe run holds no report of its data."

    def said(part: str, key: str) -> Any:
        return report.get(part, {}).get(key, "?")

    facts = [
        f"{report.get('interactions', '?')} interactions of {report.get('users', '?')} people from "
        f"{report.get('first', '?')} to {report.get('last', '?')}.",
        f"Settings were chosen on what {said('validation', 'users')} people took"
        f"{_from(report, 'validation_start')}; the towers were then fitted on the "
        f"{said('full', 'interactions')} different pairs of a person and an item"
        + (" before the test period." if _has_test(fields) else " of the whole log."),
    ]
    if _has_test(fields):
        facts.append(
            f"Judged on what {said('test', 'users')} people took{_from(report, 'test_start')}."
        )
    else:
        facts.append(
            "Training held nothing out to judge by; a later log can: "
            "`dualtower evaluate RUN --interactions FILE`. If one was asked, its answer is below."
        )
    return "## Data\n" + "\n".join(facts)


def _has_test(fields: Mapping[str, Any]) -> bool:
    return bool(fields["compared_on"]["period"] == "test")


def _from(report: Mapping[str, Any], key: str) -> str:
    return f" from {report[key]} on" if report.get(key) else " and training had not seen"


def _quality(evaluation: Mapping[str, Any]) -> str:
    parts = ["## Quality"]
    if not evaluation:
        return "## Quality\nNot evaluated; run `dualtower evaluate RUN` and export again."
    parts.append("On people's held-out future, full catalogue, history removed; ± is the 95 % "
                 "interval over people.")  # fmt: skip
    for scope, question in _SCOPES.items():
        methods = evaluation.get(scope, {}).get("methods", [])
        columns = (*_METRICS, *_SLICES.get(scope, ()))
        names = [name for name in columns if any(name in method for method in methods)]
        if not methods or not names:
            continue
        rows = [
            [m.get("title", m["method"]), *(_interval(m.get(name)) for name in names)]
            for m in methods
        ]
        if chance := evaluation[scope].get("random"):
            rows.append(["random order", *(_interval(chance.get(name)) for name in names)])
        head = ["method", *(name.replace("_at_", "@").replace("_", " ") for name in names)]
        people = evaluation[scope].get("users", "?")
        parts.append(f"{question} ({people} people)\n\n{_table(head, rows)}")
        parts += _by_history(methods[0])
    return "\n\n".join(parts)


def _by_history(method: Mapping[str, Any]) -> list[str]:
    """Recall@20 of the first method by the length of a history; nothing where nobody has any."""
    found = method.get("recall_at_20_by_history") or {}
    known = {length: one for length, one in found.items() if one.get("users")}
    if not known:
        return []
    rows = [[length, str(one["users"]), _interval(one)] for length, one in known.items()]
    title = method.get("title", method["method"])
    return [f"{title} by items in the history\n\n{_table(['items', 'people', 'recall@20'], rows)}"]


def _recommenders(recommenders: Sequence[Mapping[str, Any]]) -> str:
    if not recommenders:
        return ""
    rows = [
        [
            "one file" if one["form"] == "recommender" else "catalogue, with a user tower",
            one["variant"],
            f"{one['size_bytes'] / 1e6:.2f} ({one['gzip_bytes'] / 1e6:.2f})",
            f"{_rounded(one['recall_at_10'])} ({_rounded(one['recall_at_10_float'])})",
            f"{one['overlap_at_10']:.3f}",
            " / ".join(f"{one['ms_p50'][threads]:.2f}" for threads in sorted(one["ms_p50"])),
            one["verdict"] + (f": {one['reason']}" if one["reason"] else ""),
        ]
        for one in recommenders
    ]
    head = ["recommender", "catalogue in", "MB (gzip)", "Recall@10 (float)", "overlap@10",
            "ms with 1 / 2 threads", "verdict"]  # fmt: skip
    return f"""## Recommender for a phone
A list of {recommenders[0]["k"]} over the whole catalogue, beside the float ranking of the same
people; the time is the median on the machine that exported.

{_table(head, rows)}"""


def _people(compared_on: Mapping[str, Any]) -> str:
    period = f"users of the {compared_on['period']} period, which training has"
    if compared_on["seen_in_training"]:
        return f"{period} seen: it compares formats, and does not say how good they are"
    return f"{period} not seen"


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    rows = [[gate["name"], gate["detail"]] for gate in gates]
    return f"## Gates\nAll passed.\n\n{_table(['gate', 'found'], rows)}"


def _reproduction(fields: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in sorted(fields["versions"].items()))
    return f"""## How to make it again
```
{fields["command"]}
```
With {versions}. `dualtower verify BUNDLE --deep` checks every byte, and asks the models."""


def _interval(metric: Any) -> str:
    if isinstance(metric, float):
        return f"{metric:.3f}"
    if not isinstance(metric, Mapping) or metric.get("value") is None:
        return "–"
    return f"{metric['value']:.4f} ± {_Z95 * (metric.get('se') or 0.0):.4f}"


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
