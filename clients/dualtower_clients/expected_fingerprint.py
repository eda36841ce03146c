"""--expect-fingerprint: the first digits of a fingerprint, as commands print them, or all of it."""

from __future__ import annotations

import string
from collections.abc import Sequence

import click

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients.recommender import Recommender
from dualtower_clients.settings import ChannelSettings

__all__ = ["expect_fingerprint_option", "whole_fingerprint"]

_DIGITS = 64
_LEAST_DIGITS = 12  # that commands print; two bundles share them once in 2^48


def _read(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    if given is None:
        return None
    digits = given.strip().lower()
    if not _LEAST_DIGITS <= len(digits) <= _DIGITS or not set(digits) <= set(string.hexdigits):
        raise UsageError(
            f"--expect-fingerprint takes {_LEAST_DIGITS} to {_DIGITS} hexadecimal digits, the "
            f"first ones or all, got {given!r}; `dualtower verify BUNDLE` prints those of a bundle"
        )
    return digits


expect_fingerprint_option = click.option(
    "--expect-fingerprint",
    metavar="HEX",
    callback=_read,
    help=f"Refuse a server that serves another bundle; the first {_LEAST_DIGITS} digits will do.",
)


def whole_fingerprint(
    expected: str | None,
    addresses: Sequence[str],
    *,
    timeout_s: float,
    settings: ChannelSettings,
    label: str | None = None,
    version: int | None = None,
    wait_s: float = 0.0,
) -> str | None:
    """All digits of what is expected: where only the first ones are given, the server says them.

    Args:
        expected: what the option says.
        addresses: and what follows, as `Recommender` takes it.

    Raises:
        BundleMismatch: the server has a fingerprint that begins otherwise.
    """
    if expected is None or len(expected) == _DIGITS:
        return expected
    with Recommender(
        addresses,
        timeout_s=timeout_s,
        wait_s=wait_s,
        label=label,
        version=version,
        settings=settings,
    ) as recommender:
        (found,) = {one.fingerprint for one in recommender.describe().values()}
    if not found.startswith(expected):
        raise BundleMismatch(
            expected=f"{expected}... (the caller's)",
            found=f"{found} (at the server)",
            where=", ".join(addresses),
            repair="serve the bundle that is expected with `dualtower serve BUNDLE`, "
            "or expect the one that is served",
        )
    return found
