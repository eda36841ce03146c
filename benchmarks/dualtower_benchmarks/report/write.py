"""Puts the page together and writes it, whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from dualtower.files import write_text
from dualtower_benchmarks.numerals import moment
from dualtower_benchmarks.report.findings import findings
from dualtower_benchmarks.report.inputs import Inputs, read_inputs
from dualtower_benchmarks.report.sections import sections_of

__all__ = ["Written", "write_report"]


@dataclass(frozen=True)
class Written:
    """A report on disk: its opening sentences, and what it had to leave out."""

    path: str
    size_bytes: int
    findings: Sequence[str]
    missing: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def write_report(
    *,
    run: Path | None,
    bundle: Path | None,
    bench: Path | None,
    out: Path,
    topk: Path | None = None,
) -> Written:
    """One HTML file of a run, its bundle and their measurements; each may be None.

    Raises:
        UsageError: nothing to report, or a given file is missing or broken.
        BundleMismatch: the measurements are of another bundle.
    """
    inputs = read_inputs(run=run, bundle=bundle, bench=bench, topk=topk)
    sentences = findings(inputs)
    sections = sections_of(inputs)
    page = _template().render(
        facts=_facts(inputs), findings=sentences, sections=sections, css=_read("page.css")
    )
    write_text(out, page)
    return Written(
        path=str(out),
        size_bytes=len(page.encode()),
        findings=sentences,
        missing=[f"{section.title}: {section.missing}" for section in sections if section.missing],
    )


def _facts(inputs: Inputs) -> list[tuple[str, str]]:
    """What the page is about, in a line."""
    facts = []
    if inputs.bundle is not None:
        facts += [
            ("bundle", f"{inputs.bundle['fingerprint'][:12]} version {inputs.bundle['version']}"),
            ("exported", moment(str(inputs.bundle.get("created", "not recorded")))),
        ]
    if inputs.bench is not None:
        if inputs.bundle is None:
            facts.append(("bundle", str(inputs.bench["bundle"]["fingerprint"])[:12]))
        facts.append(("measured", moment(str(inputs.bench["created"]))))
    return facts


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_read("page.html.j2"))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
