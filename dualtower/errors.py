"""The errors that a user of dualtower can meet, each with the exit code of the command line.

    DualtowerError                 2
    ├─ UsageError                  2   an argument, an option or a file given by the user is wrong
    │  ├─ ConfigError              2   a configuration file or a --set override
    │  └─ DataError                2   interactions, items or texts that cannot be used
    ├─ UnavailableError            2   a package index, a server, an extra or disk space is missing
    ├─ GateFailed                  1   a quality gate said no; nothing was published
    └─ BundleError                 2   a folder that is no whole bundle
       └─ BundleMismatch           2   two parts that belong to different bundles

Every message says what came, what is allowed, and what to run.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = [
    "BundleError",
    "BundleMismatch",
    "ConfigError",
    "DataError",
    "DualtowerError",
    "GateFailed",
    "UnavailableError",
    "UsageError",
]


class DualtowerError(Exception):
    """The root: anything that dualtower reports on purpose."""

    exit_code = 2


class UsageError(DualtowerError):
    """The caller gave something that cannot be used."""


class ConfigError(UsageError):
    """A configuration file or an override does not fit its schema."""


class DataError(UsageError):
    """Interactions, items or texts that cannot be used."""


class UnavailableError(DualtowerError):
    """Something outside is missing: an index, a server, an optional package, space on the disk."""


class GateFailed(DualtowerError):
    """A quality gate said no. Nothing was published."""

    exit_code = 1


class BundleError(DualtowerError):
    """A folder that is no bundle, or no longer a whole one."""


class BundleMismatch(BundleError):
    """Two parts that belong to different bundles were brought together."""

    def __init__(self, *, expected: str, found: str, where: str, repair: str) -> None:
        super().__init__(
            f"fingerprints differ at {where}: expected {expected}, found {found}; {repair}"
        )
        self.expected = expected
        self.found = found
        self.where = where
        self.repair = repair

    def __reduce__(self) -> tuple[Any, ...]:
        """As other exceptions, but of keywords: an error comes back from a worker's process."""
        again = functools.partial(
            type(self),
            expected=self.expected,
            found=self.found,
            where=self.where,
            repair=self.repair,
        )
        return again, (), self.__dict__
