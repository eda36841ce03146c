"""`dualtower serve`: a bundle behind TensorFlow Serving's API, by whatever can serve it here."""

from __future__ import annotations

import json
import shlex
import signal
import tempfile
from pathlib import Path
from types import FrameType

import click

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import UnavailableError, UsageError
from dualtower.progress import say
from dualtower.server_compute import AIMS
from dualtower_serving import engines
from dualtower_serving.engines import Plan
from dualtower_serving.launch import READY_TIMEOUT_S, RunningServer, prepare, start

__all__ = ["serve"]


@click.command(epilog="\b\nExample:\n  dualtower serve demo/bundle --engine embedded --port 8500")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(engines.ENGINES),
    default="auto",
    show_default=True,
    help="tensorflow_model_server on PATH, the stock container, or this Python; auto takes the "
    "first that can run here.",
)
@click.option(
    "--port", default=8500, show_default=True, help="Where gRPC is answered; 0: a free one."
)
@click.option(
    "--rest-port",
    type=int,
    help="Where REST and Prometheus metrics are answered; 0: a free one. Default: the port after "
    "--port, 8501 beside 8500.",
)
@click.option("--no-rest", is_flag=True, help="gRPC alone.")
@click.option(
    "--batching/--no-batching",
    default=None,
    help="Let requests of different callers share a run [default: as the bundle's server.flags "
    "say; without them they do].",
)
@click.option(
    "--image", default=engines.DEFAULT_IMAGE, show_default=True, help="Image of the docker engine."
)
@click.option(
    "--aim",
    type=click.Choice(AIMS),
    default=AIMS[0],
    show_default=True,
    help="What the cores are spent on: many requests at once, by the bundle's own server.flags "
    "where it has them, or one as fast as can be (with --no-batching).",
)
@click.option(
    "--flag",
    "flags",
    multiple=True,
    metavar="--NAME=VALUE",
    help="A further flag of the model server; may be given several times.",
)
@click.option(
    "--ready-timeout-s",
    default=READY_TIMEOUT_S,
    show_default=True,
    help="How long loading and warm-up may take.",
)
@click.option("--logs", is_flag=True, help="Show what the server writes.")
@click.option("--dry-run", is_flag=True, help="Print the command and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def serve(
    bundle: Path,
    engine: str,
    port: int,
    rest_port: int | None,
    no_rest: bool,
    batching: bool | None,
    image: str,
    aim: str,
    flags: tuple[str, ...],
    ready_timeout_s: float,
    logs: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Serve a BUNDLE with TensorFlow Serving's gRPC and REST until Ctrl-C or SIGTERM.

    Prints the address once all three models answer; ask it with `dualtower recommend`.
    """
    opened = Bundle.open(bundle)
    rest = _rest_port(port, rest_port, no_rest=no_rest)
    if dry_run:
        _dry_run(opened, engine, port, rest, batching, image, aim, flags, as_json=as_json)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with start(
            opened,
            engine=engine,
            port=port,
            rest_port=rest,
            batching=batching,
            image=image,
            flags=flags,
            aim=aim,
            ready_timeout_s=ready_timeout_s,
            log=(lambda line: say(f"[server] {line}")) if logs else None,
            announce=_announce,
        ) as server:
            _print_ready(server, opened, as_json=as_json)
            while not server.wait(timeout_s=0.5):
                pass
            raise UnavailableError(server.why_it_ended())
    except KeyboardInterrupt:
        say("stopped")


def _dry_run(
    bundle: Bundle,
    engine: str,
    port: int,
    rest_port: int | None,
    batching: bool | None,
    image: str,
    aim: str,
    flags: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    with tempfile.TemporaryDirectory(prefix="dualtower-serve-") as runtime:
        plan, port, rest_port = prepare(
            bundle,
            engine=engine,
            port=port,
            rest_port=rest_port,
            batching=batching,
            image=image,
            flags=flags,
            aim=aim,
            runtime=Path(runtime),
        )
        say(f"# {plan.engine} would read this models.config:\n{bundle.models_config()}")
    facts = {"engine": plan.engine, "port": port, "rest_port": rest_port,
             "command": plan.command, "environment": dict(plan.environment)}  # fmt: skip
    click.echo(json.dumps(facts, indent=2) if as_json else shlex.join(plan.command))


def _rest_port(port: int, rest_port: int | None, *, no_rest: bool) -> int | None:
    if no_rest:
        if rest_port is not None:
            raise UsageError(f"--no-rest and --rest-port {rest_port} contradict each other")
        return None
    if rest_port is not None:
        return rest_port
    return port + 1 if port else 0


def _announce(plan: Plan) -> None:
    say(f"▸ engine {plan.engine}, {'batching' if plan.batching else 'no batching'}")
    say(f"  {shlex.join(plan.command)}")


def _print_ready(server: RunningServer, bundle: Bundle, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "address": server.address,
            "rest_address": server.rest_address,
            "engine": server.engine,
            "pid": server.pid,
            "fingerprint": bundle.fingerprint,
            "version": bundle.version,
        }
        click.echo(json.dumps(facts))
    else:
        click.echo(server.address)
    if server.rest_address:
        say(f"  REST at http://{server.rest_address}/v1/models/{MODELS[0]}")
    say(f"✓ serving version {bundle.version} of {bundle.fingerprint[:12]}; Ctrl-C stops it")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
