"""A scenario: a TOML file with the points of a run, as sweeps over lists of values.

    [scenario]
    title = "The item tower behind a server"
    repeats = 3                       # of everything; the spread between them is the noise

    [[sweep]]
    driver = "grpc"
    batch_rows = [1, 16]              # any key of `Case` takes a value or a list of values
    loop = "closed"
    concurrency = [1, 4]

    [[sweep]]
    driver = "grpc"
    batch_rows = [1, 16]
    rate_share = [0.5, 0.8]           # of the best closed loop of the same subject

    [[mlperf]]                        # runs of MLPerf LoadGen, any key of `MlperfCase`
    driver = "grpc"
    scenario = ["Server", "Offline"]

Beside sweeps a scenario has the tables of `parts.PARTS`.

A name without a path is one of the shipped scenarios.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.config import build, parse_override, read_toml
from dualtower.errors import ConfigError, UsageError
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.corners import corners
from dualtower_benchmarks.scenario.part import PartCase
from dualtower_benchmarks.scenario.parts import PARTS
from dualtower_benchmarks.scenario.settings import ScenarioSettings

__all__ = ["Scenario", "read_scenario", "scenario_path", "shipped_scenarios"]

_FOLDER = Path(__file__).parent.parent / "scenarios"


@dataclass(frozen=True)
class Scenario:
    """A read scenario.

    Args:
        cases: of one repeat, in the order of measuring; no two are equal.
        parts: the entries of its other tables by the table's name, after the cases.
    """

    name: str
    settings: ScenarioSettings
    cases: tuple[Case, ...]
    parts: Mapping[str, tuple[PartCase, ...]] = dataclasses.field(default_factory=dict)

    @property
    def entries(self) -> tuple[PartCase, ...]:
        """Those of all parts."""
        return tuple(itertools.chain.from_iterable(self.parts.values()))

    @property
    def expected_s(self) -> float:
        """Of pure load: what it takes at least."""
        each = sum(case.load_s for case in (*self.cases, *self.entries))
        return each * self.settings.repeats

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "settings": dataclasses.asdict(self.settings),
            "cases": [case.as_json() for case in self.cases],
            **{name: [case.as_json() for case in cases] for name, cases in self.parts.items()},
        }


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def scenario_path(name: str | Path) -> Path:
    """Where a scenario lies: that of a shipped one by its name; a path stays as it is.

    Raises:
        UsageError: no scenario of that name is shipped.
    """
    path = Path(name)
    if path.suffix or path.name != str(name):
        return path
    path = _FOLDER / f"{name}.toml"
    if not path.is_file():
        raise UsageError(
            f"no scenario {str(name)!r}; there are {', '.join(shipped_scenarios())}, "
            "or give the path of a .toml"
        )
    return path


def read_scenario(
    name: str | Path, *, overrides: Sequence[str] = (), quick: bool = False
) -> Scenario:
    """A scenario by the name of a shipped one, or by its path.

    Args:
        overrides: `scenario.key=value` for the settings, `sweep.key=value` for every sweep,
            `mlperf.key=value` for every table [[mlperf]], and so on.
        quick: keeps the corners of each sweep, half a second or less a point, and one attempt.

    Raises:
        UsageError: there is no such file.
        ConfigError: it is no scenario, or a value of it cannot be.
    """
    path = scenario_path(name)
    tables = read_toml(path)
    allowed = ["scenario", "sweep", *(part.table for part in PARTS)]
    if unknown := sorted(set(tables) - set(allowed)):
        lists = ", ".join(f"[[{name}]]" for name in allowed[1:])
        raise ConfigError(f"{path} has {unknown[0]!r}; a scenario has [scenario] and {lists}")
    changed = _overridden(allowed, overrides)
    if quick:
        tables = {**tables, "sweep": list(map(corners, tables.get("sweep", [])))}
        tables["scenario"] = {**tables.get("scenario", {}), "attempts": 1, "repeats": 1}
    cases: tuple[Case, ...] = _all(Case, "sweep", tables, changed, path)
    found = {
        part.table: _all(part.case, part.table, tables, changed, path)
        for part in PARTS
        if part.table in tables
    }
    parts = {table: entries for table, entries in found.items() if entries}
    if not cases and not parts:
        lists = ", ".join(f"[[{name}]]" for name in allowed[1:])
        raise ConfigError(f"{path} has none of {lists}, so there is nothing to measure")
    settings = {**tables.get("scenario", {}), **changed["scenario"]}
    built = build(ScenarioSettings, settings, f"[scenario] in {path}")
    return Scenario(path.stem, built, cases, parts)


def _all(
    kind: type[Any],
    name: str,
    tables: Mapping[str, Any],
    changed: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> tuple[Any, ...]:
    """The cases of all tables [[name]], no two of them equal."""
    sweeps = tables.get(name, [])
    if not isinstance(sweeps, list) or not all(isinstance(one, Mapping) for one in sweeps):
        raise ConfigError(f"{path}: sweeps are written as [[{name}]]")
    cases: dict[str, Any] = {}
    for number, sweep in enumerate(sweeps, start=1):
        where = f"[[{name}]] {number} in {path}"
        for case in _expanded(kind, {**sweep, **changed[name]}, where):
            cases.setdefault(case.key, case)
    return tuple(cases.values())


def _expanded(kind: type[Any], sweep: Mapping[str, Any], where: str) -> list[Any]:
    lists = [value if isinstance(value, list) else [value] for value in sweep.values()]
    for key, values in zip(sweep, lists, strict=True):
        if not values:
            raise ConfigError(f"{where}: {key} is an empty list, so there is nothing to measure")
    return [
        build(kind, dict(zip(sweep, values, strict=True)), where)
        for values in itertools.product(*lists)
    ]


def _overridden(allowed: Sequence[str], overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    changed: dict[str, dict[str, Any]] = {name: {} for name in allowed}
    for override in overrides:
        section, key, value = parse_override(override)
        if section not in changed:
            takes = ", ".join(f"{name}.key=value" for name in allowed)
            raise ConfigError(f"--set takes {takes}; got {override!r}")
        changed[section][key] = value
    return changed
