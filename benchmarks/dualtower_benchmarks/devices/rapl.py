"""Energy of the CPU by RAPL, the counters in /sys/class/powercap that only root may read.

`intel-rapl:0` is a package (its name also on AMD), `intel-rapl:0:2` its memory. Cores are a part of
their package and `psys` holds more than one, so neither is added to the sum. A virtual machine
seldom has any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtower_benchmarks.drivers.driver import NotHere

__all__ = ["ROOT", "Zone", "open_zones"]

ROOT = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Zone:
    """A counter of microjoules.

    Args:
        wraps_at_j: after which it begins anew; None: not readable.
    """

    name: str
    path: Path
    wraps_at_j: float | None

    def energy_j(self) -> float:
        """The counter.

        Raises:
            OSError: it cannot be read any more.
        """
        return int((self.path / "energy_uj").read_text()) / 1e6


def open_zones(root: Path = ROOT) -> list[Zone]:
    """Packages and their memory.

    Raises:
        NotHere: there are none, or they may not be read.
    """
    zones = [_zone(path) for path in sorted(root.glob("intel-rapl:*"))]
    counted = [zone for zone in zones if zone.name.startswith("package") or zone.name == "dram"]
    if not counted:
        raise NotHere("not readable: this machine shows no RAPL counters")
    _hold_readable(counted)
    return counted


def _hold_readable(zones: Sequence[Zone]) -> None:
    for zone in zones:
        try:
            zone.energy_j()
        except PermissionError as error:
            raise NotHere("not readable: RAPL counters need root") from error
        except (OSError, ValueError) as error:
            raise NotHere(f"not readable: RAPL counter {zone.name} ({error})") from error


def _zone(path: Path) -> Zone:
    try:
        wraps_at_j = int((path / "max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        wraps_at_j = None
    try:
        name = (path / "name").read_text().strip()
    except OSError:
        name = ""
    return Zone(name, path, wraps_at_j)
