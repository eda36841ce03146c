"""Is this TensorFlow older than, or as old as, the server that a bundle is made for?"""

from __future__ import annotations

from dualtower.errors import UsageError

__all__ = ["check_target"]


def check_target(tensorflow: str, target: str, *, force: bool) -> None:
    """A server reads what an older TensorFlow wrote; the other way round is nobody's promise.

    Args:
        tensorflow: version of the TensorFlow that exports, such as 2.21.0.
        target: version of the server, such as 2.20.0.
        force: export nevertheless; the gates still hold every op and attribute to the target's.

    Raises:
        UsageError: TensorFlow is newer than the target.
    """
    if force or _minor(tensorflow) <= _minor(target):
        return
    raise UsageError(
        f"TensorFlow {tensorflow} is newer than TensorFlow Serving {target} "
        f"(export.target_serving), which may not read what it writes. Export with {target}, "
        "serve with a newer server and name that, or add --force-newer: then all that holds is "
        f"the check of every op and attribute against those of {target}"
    )


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
