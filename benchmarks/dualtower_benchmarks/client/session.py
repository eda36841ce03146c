"""The client's measurements that a scenario asks for. No bundle is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dualtower.progress import Bar
from dualtower_benchmarks.client.case import ClientCase
from dualtower_benchmarks.client.speed import measure_clients
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.part import Place

__all__ = ["ClientSession"]


@dataclass
class ClientSession:
    """The measurements of a scenario.

    Args:
        rows: of every repeat, each of one `kind`: codec, start or installed.
    """

    cases: Sequence[ClientCase]
    place: Place
    rows: list[dict[str, Any]] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Measures every case once."""
        for case in self.cases:
            kept = self.place.store.read(repeat, case.key)
            if kept is None:
                facts = {"key": case.key, "repeat": repeat, **case.as_json()}
                with self.place.pace.around(repeat, case.key):
                    found = measure_clients(case, seed=self.place.settings.seed)
                kept = [{**facts, **row} for row in found], []
                self.place.store.write(repeat, case.key, *kept)
                progress.advance(load_s(case), note=case.words)
            else:
                progress.skip(load_s(case))
            self.rows += kept[0]

    def document(self) -> dict[str, Any]:
        """What goes into the results as `clients`."""
        kinds = {"codec": "codec", "starts": "start", "installed": "installed"}
        return {
            name: [
                {key: value for key, value in row.items() if key != "kind"}
                for row in self.rows
                if row["kind"] == kind
            ]
            for name, kind in kinds.items()
        }
