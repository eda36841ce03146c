"""`dualtower push`. TensorFlow is imported for URLs alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dualtower.push import Pushed, push_to_folder

__all__ = ["push"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("target")
@click.option("--dry-run", is_flag=True, help="List what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def push(bundle: Path, target: str, dry_run: bool, as_json: bool) -> None:
    """Copy BUNDLE to TARGET, from where TensorFlow Serving loads it.

    TARGET is a folder, or a URL of any file system that TensorFlow knows: gs://BUCKET/MODELS;
    s3:// and others with tensorflow-io. The models go to TARGET/MODEL/VERSION, everything else to
    TARGET/bundles/FINGERPRINT/VERSION. A damaged bundle is refused, and so is a version that
    belongs to another one. Every file is read back. A push that was killed goes on where it
    stopped; one that is complete is left as it is.

    \b
    Example:
      dualtower push bundle /srv/models
      dualtower push bundle gs://shop/models --dry-run
    """
    done = (_push_to_url if "://" in target else push_to_folder)(bundle, target, dry_run=dry_run)
    click.echo(_json(done, dry_run) if as_json else _text(done, dry_run))


def _push_to_url(bundle: Path, target: str, *, dry_run: bool) -> Pushed:
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_export.push import push_bundle

    return push_bundle(bundle, target, dry_run=dry_run)


def _json(done: Pushed, dry_run: bool) -> str:
    return json.dumps(
        {
            "target": done.target,
            "fingerprint": done.fingerprint,
            "version": done.version,
            "written": not dry_run,
            "files": [
                {"path": path, "size_bytes": size_bytes, "action": action}
                for action, files in (("write", done.written), ("keep", done.kept))
                for path, size_bytes in files.items()
            ],
            "server_config": done.server_config,
            "newest_version": done.newest_version,
        },
        indent=2,
    )


def _text(done: Pushed, dry_run: bool) -> str:
    size_mb = sum(done.written.values()) / 1e6
    lines = [
        f"target       {done.target}",
        f"fingerprint  {done.fingerprint}",
        f"version      {done.version}",
        f"{'would write ' if dry_run else 'written     '} {len(done.written)} files, "
        f"{size_mb:.1f} MB",
        f"there        {len(done.kept)} files, {sum(done.kept.values()) / 1e6:.1f} MB",
    ]
    if dry_run:
        lines += ["", *(f"{size:>12,}  {path}" for path, size in done.written.items())]
        return "\n".join(lines)
    if done.newest_version > done.version:
        lines.append(
            f"note         the target has version {done.newest_version} too: a server of the "
            "latest version serves that one"
        )
    return "\n".join([*lines, "", f"a server's --model_config_file={done.server_config}"])
