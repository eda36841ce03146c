"""A bundle goes where servers poll: a folder, or an object store through `tf.io.gfile`.

How a push goes is `dualtower.push`; here is where it goes to.
"""

from __future__ import annotations

from pathlib import Path

from dualtower.errors import UsageError
from dualtower.push import Pushed, push_to_folder, push_to_store, whole_bundle
from dualtower_export.push_url import UrlStore, check_scheme, scheme_of, target_errors

__all__ = ["OBJECT_STORES", "RENAMING", "Pushed", "push_bundle"]

# where a folder gets its name in one step
RENAMING = frozenset({"file", "hdfs", "viewfs"})
# no folders to make, and an object appears whole
OBJECT_STORES = frozenset({"gs", "s3", "az", "oss"})


def push_bundle(
    path: Path, target: str, *, dry_run: bool = False, in_place: bool | None = None
) -> Pushed:
    """Copies a whole bundle to a target, or what is missing of it there.

    Args:
        path: the bundle.
        target: a folder, or a URL such as gs://bucket/models.
        dry_run: only say what would be written.
        in_place: write without staging, as on an object store; None: as the scheme needs it.

    Raises:
        BundleError: the bundle is damaged or none.
        UsageError: the version belongs to another bundle at the target, or the target holds it
            damaged.
        UnavailableError: the target cannot be reached or written.

    Example:
        push_bundle(Path("bundle"), "gs://shop/models").written
    """
    scheme = scheme_of(target)
    if not scheme and not in_place:
        return push_to_folder(Path(path), target, dry_run=dry_run)
    bundle = whole_bundle(Path(path))
    place = _normal(target)
    check_scheme(place)
    return push_to_store(
        UrlStore(folders=scheme not in OBJECT_STORES),
        bundle,
        place,
        dry_run=dry_run,
        in_place=scheme not in RENAMING if in_place is None else in_place,
        guard=target_errors(place),
    )


def _normal(target: str) -> str:
    """A URL, or a path, without slashes at the end."""
    scheme, rest = scheme_of(target), target.partition("://")[2]
    if not scheme:
        return target.rstrip("/")
    if not (place := rest.rstrip("/") if scheme == "file" else rest.strip("/")):
        raise UsageError(f"{target} names no place; give a URL such as {scheme}://bucket/models")
    return f"{scheme}://{place}"
