"""`dualtower deploy`: the files that run a bundle on the stock server, and watch it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dualtower.bundle import Bundle
from dualtower.progress import say
from dualtower_serving.deploy.files import Deployment, deployment
from dualtower_serving.deploy.output import Change, compare, write
from dualtower_serving.deploy.settings import MODEL_SOURCES, Settings

__all__ = ["deploy"]

_DEFAULT = Settings()


@click.command(
    epilog="\b\nExample:\n  dualtower deploy demo/bundle --out deploy --repository "
    "registry.example.com/shop/dualtower\n  cat deploy/README.md"
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--name",
    default=_DEFAULT.name,
    show_default=True,
    help="Of the Deployment, the Services and the scrape job.",
)
@click.option("--namespace", default="", help="Of Kubernetes; without it, kubectl -n says.")
@click.option(
    "--image",
    default=_DEFAULT.image,
    show_default=True,
    help="The stock image, by version; repository:tag@sha256:DIGEST pins every byte.",
)
@click.option(
    "--gpu-image", default="", help="Its sibling for GPUs. Default: the same tag with -gpu."
)
@click.option(
    "--image-tensorflow",
    default="",
    metavar="VERSION",
    help="The image's TensorFlow, where its tag does not tell.",
)
@click.option(
    "--models",
    type=click.Choice(MODEL_SOURCES),
    default=_DEFAULT.models,
    show_default=True,
    help="Where the models are: in the image, so that a pair is an image, or on a volume, where "
    "`dualtower rollout` changes the pair of running servers.",
)
@click.option(
    "--repository",
    default="",
    metavar="REGISTRY/NAME",
    help="Where the built image is pushed to. Default: NAME, for one machine.",
)
@click.option("--storage-class", default="", help="Of the volume. Default: the cluster's.")
@click.option("--cpus", default=_DEFAULT.cpus, show_default=True, help="Cores of a server.")
@click.option("--gpus", default=_DEFAULT.gpus, show_default=True, help="GPUs, of the GPU variant.")
@click.option("--min-replicas", default=_DEFAULT.min_replicas, show_default=True)
@click.option("--max-replicas", default=_DEFAULT.max_replicas, show_default=True)
@click.option(
    "--calls-in-flight",
    default=_DEFAULT.calls_in_flight,
    help="Calls being answered at a time at which a server counts as full. Default: four a core.",
)
@click.option(
    "--monitoring-namespace",
    default=_DEFAULT.monitoring_namespace,
    show_default=True,
    help="From where Prometheus may scrape.",
)
@click.option("--p99-ms", default=_DEFAULT.p99_ms, show_default=True, help="An alert fires above.")
@click.option(
    "--error-ratio",
    default=_DEFAULT.error_ratio,
    show_default=True,
    help="An alert fires above this share of failing calls.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write anew over an earlier deployment; files of your own in it stay.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def deploy(
    bundle: Path,
    out: Path,
    name: str,
    namespace: str,
    image: str,
    gpu_image: str,
    image_tensorflow: str,
    models: str,
    repository: str,
    storage_class: str,
    cpus: int,
    gpus: int,
    min_replicas: int,
    max_replicas: int,
    calls_in_flight: int,
    monitoring_namespace: str,
    p99_ms: float,
    error_ratio: float,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write what runs a BUNDLE on TensorFlow Serving's image: Docker, Kubernetes, KServe.

    Dockerfiles, a Compose file, Kubernetes manifests for CPUs and GPUs, a KServe InferenceService,
    a Grafana dashboard, alert rules, and a README with the commands. Nothing is built or applied.
    The image's TensorFlow is checked against the bundle's.
    """
    settings = Settings(
        name=name,
        namespace=namespace,
        image=image,
        gpu_image=gpu_image,
        image_tensorflow=image_tensorflow,
        models=models,
        repository=repository,
        storage_class=storage_class,
        cpus=cpus,
        gpus=gpus,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        calls_in_flight=calls_in_flight,
        monitoring_namespace=monitoring_namespace,
        p99_ms=p99_ms,
        error_ratio=error_ratio,
    )
    made = deployment(Bundle.open(bundle), settings, out=out)
    say(f"{settings.server_image}: {made.check}")
    change = compare(made, out) if dry_run else write(made, out, force=force)
    _report(made, change, out, dry_run=dry_run, as_json=as_json)  # fmt: skip


def _report(made: Deployment, change: Change, out: Path, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        facts = {
            "out": str(out),
            "state": change.state,
            "dry_run": dry_run,
            "bundle": {"version": made.pod.version, "fingerprint": made.pod.fingerprint},
            "image": str(made.pod.image),
            "gpu_image": str(made.pod.gpu_image) if made.pod.gpu_image else None,
            "base_image": str(made.pod.base),
            "check": made.check,
            "memory_mib": made.pod.needs.memory_mib,
            "files": list(made.files),
            "added": list(change.added),
            "changed": list(change.changed),
            "removed": list(change.removed),
            "edited": list(change.edited),
            "kept": list(change.kept),
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        for name in made.files:
            click.echo(str(out / name))
    if made.pod.gpu_image is None:
        say("no GPU variant: its image cannot be told from --image; name it with --gpu-image")
    for name in change.edited:
        say(f"replaced, though it was edited: {out / name}" if not dry_run else f"edited: {name}")
    if dry_run:
        say(f"{len(change.added)} new, {len(change.changed)} changed, {len(change.removed)} gone; "
            "nothing was written")  # fmt: skip
    elif change.state == "same":
        say(f"{out} is that already")
    else:
        say(f"✓ {len(made.files)} files; read {out / 'README.md'}")
