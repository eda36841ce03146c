"""Why a model server did not start, read from its last lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["explain"]

_SHOWN_LINES = 15
_OP = re.compile(r"Op type not registered '(\w+)'")


def explain(engine: str, exit_code: int | None, lines: Sequence[str], *, port: int) -> str:
    """One sentence with what to do, then the last lines of the log.

    Args:
        engine: binary, docker or embedded.
        exit_code: of the server; negative for a signal, None while it still runs.
        lines: its log.
        port: the port it should have opened.
    """
    text = "\n".join(lines)
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:]) or "    (it wrote no log)"
    return f"{_reason(engine, exit_code, text, port)}\n  its last lines:\n{shown}"


def _reason(engine: str, exit_code: int | None, text: str, port: int) -> str:
    lowered = text.lower()
    if "address already in use" in lowered or "port is already allocated" in lowered:
        return f"port {port} was taken meanwhile; choose another with --port, or --port 0"
    missing = _OP.search(text)
    if missing:
        return (
            f"this {engine} server does not know the op {missing[1]} that the bundle needs: its "
            "TensorFlow is another one than the bundle's; use --engine embedded, or a newer server"
        )
    if exit_code in (-9, 137):
        return "the server was killed, most likely for want of memory; free some and try again"
    if "unable to find image" in lowered or "pull access denied" in lowered:
        return "the container image cannot be fetched; load it, name another with --image, " \
            "or use --engine embedded"  # fmt: skip
    if exit_code is None:
        return f"the {engine} server did not become ready in time"
    return f"the {engine} server ended with exit code {exit_code} before it was ready"
