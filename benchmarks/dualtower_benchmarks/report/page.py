"""Any page in this manner: sentences, sections, one file that loads nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from dualtower.files import write_text
from dualtower_benchmarks.report.section import Section

__all__ = ["Written", "write_page"]


@dataclass(frozen=True)
class Written:
    """A report on disk: its opening sentences, and what it had to leave out."""

    path: str
    size_bytes: int
    findings: Sequence[str]
    missing: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def write_page(
    out: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    findings: Sequence[str],
    sections: Sequence[Section],
) -> Written:
    """Writes a page, whole or not at all.

    Args:
        facts: what the page is about, in a line.
    """
    page = _template().render(
        title=title, facts=facts, findings=findings, sections=sections, css=_read("page.css")
    )
    write_text(out, page)
    return Written(
        path=str(out),
        size_bytes=len(page.encode()),
        findings=findings,
        missing=[f"{section.title}: {section.missing}" for section in sections if section.missing],
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_read("page.html.j2"))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
