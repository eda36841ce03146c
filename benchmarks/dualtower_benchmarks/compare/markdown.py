"""A comparison for a pull request: what changed on top, the rest folded away."""

from __future__ import annotations

from dualtower_benchmarks.compare.cells import HEAD, NUMBERS, Line, facts, lines, only, summary
from dualtower_benchmarks.compare.verdicts import (
    NOISE_NOT_KNOWN,
    WITHIN_NOISE,
    WORSE,
    Comparison,
)
from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import number

__all__ = ["comparison_markdown"]

_FOLDED = (NOISE_NOT_KNOWN, WITHIN_NOISE)


def comparison_markdown(comparison: Comparison) -> str:
    """GitHub's Markdown."""
    worse = len(comparison.of(WORSE))
    name = comparison.b.results.name
    title = f"### {name}: {worse} worse" if worse else f"### {name}: no regression"
    found = list(lines(comparison))
    parts = [title, summary(comparison)]
    parts += [f"> {said}" for said in facts(comparison)]
    if loud := [line for line in found if line.verdict not in _FOLDED]:
        parts.append(_table(loud))
    for verdict in _FOLDED:
        if quiet := [line for line in found if line.verdict == verdict]:
            parts.append(
                f"<details><summary>{verdict} ({len(quiet)})</summary>\n\n{_table(quiet)}\n\n"
                "</details>"
            )
    parts += ["\n".join(f"- {said}" for said in only(comparison))] if only(comparison) else []
    return "\n\n".join([*parts, _where(comparison)])


def _table(found: list[Line]) -> str:
    rule = ["--:" if name in NUMBERS else "---" for name in HEAD]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (HEAD, rule, *map(_full, found)))


def _full(line: Line) -> tuple[str, ...]:
    cells = tuple(cell.replace("|", "\\|") for cell in line.cells)
    return (f"**{cells[0]}**", *cells[1:]) if line.verdict == WORSE else cells


def _where(comparison: Comparison) -> str:
    machine = comparison.b.document["machine"]
    a, b = (side.document["machine"]["git_commit"] or "?" for side in (comparison.a, comparison.b))
    return (
        f"A {a[:12]}, B {b[:12]}; {cpu_words(machine)}, "
        f"{machine['usable_cores']} cores, load before "
        f"{number(comparison.a.document['machine']['load_average_1_min_before'])} and "
        f"{number(machine['load_average_1_min_before'])}."
    )
