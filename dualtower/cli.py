"""The `dualtower` command. Sub-commands load only when they are run.

`dualtower --help` therefore imports click and nothing else; the short helps below stand in for the
modules that are not loaded.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from collections.abc import Sequence

import click

from dualtower import __version__
from dualtower.errors import DualtowerError, UnavailableError

__all__ = ["COMMANDS", "main"]

# name: (module, attribute, short help), in the order of the road
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": (
        "dualtower_benchmarks.demo.cli", "demo", "Walk the whole road on real grocery data.",
    ),
    "data": ("dualtower_trainer.data.cli", "data", "Import and describe interactions and items."),
    "encoder": ("dualtower_trainer.encoder_cli", "encoder", "Fetch the BERT that reads texts."),
    "train": ("dualtower_trainer.cli", "train", "Train the two towers; resumes where it stopped."),
    "evaluate": ("dualtower_trainer.cli", "evaluate", "Rank the held-out future, with baselines."),
    "explain": (
        "dualtower_trainer.explain.cli", "explain", "Which history items and words drove a list.",
    ),
    "export": ("dualtower_export.cli", "export", "Write a gated, fingerprinted bundle."),
    "verify": ("dualtower_export.cli", "verify", "Check every byte of a bundle."),
    "push": ("dualtower_export.push_cli", "push", "Copy a bundle to where servers poll."),
    "serve": ("dualtower_serving.cli", "serve", "Serve a bundle with TensorFlow Serving's API."),
    "deploy": ("dualtower_serving.deploy.cli", "deploy", "Write what runs a bundle in production."),
    "rollout": (
        "dualtower_serving.rollout.cli", "rollout", "Replace a served pair, whole or not at all.",
    ),
    "status": (
        "dualtower_serving.watch.cli", "status", "What a server holds, and whether it is a pair.",
    ),
    "recommend": ("dualtower_clients.cli", "recommend", "Ask a server, or rank users of a run."),
    "embed": ("dualtower_clients.bulk.cli", "embed", "Vectors of whole files, by a server."),
    "predict": (
        "dualtower_clients.predict_cli", "predict", "Run any model of a server, JSON in and out.",
    ),
    "bench": ("dualtower_benchmarks.cli", "bench", "Measure the server and the edge files."),
    "report": (
        "dualtower_benchmarks.report.cli", "report", "One self-contained HTML page of all of it.",
    ),
}  # fmt: skip

# Commands with a second form, which these options call; the first form's help names it.
_SECOND_FORMS: dict[str, tuple[frozenset[str], str, str]] = {
    "recommend": (
        frozenset({
            "--run", "--bundle", "--edge", "--users", "--histories", "--candidates", "--items",
            "--data", "--out",
        }),
        "dualtower_export.recommend_cli", "recommend",
    ),
}  # fmt: skip

# an import that fails names the extra that brings it
_EXTRA_OF = {
    "dualtower_trainer": "train",
    "dualtower_export": "export",
    "dualtower_serving": "serve",
    "dualtower_benchmarks": "bench",
}


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # where it writes

_MODULE = "dualtower.module"  # of the command that runs, in the context


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        return _load(ctx, module, attribute)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError:
            if ctx.invoked_subcommand is None:
                raise
            with missing_extra(ctx.meta[_MODULE].partition(".")[0]):
                raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no such command {args[0]!r}{hint}")
        if args and args[0] in _SECOND_FORMS:
            options, module, attribute = _SECOND_FORMS[args[0]]
            if any(arg.partition("=")[0] in options for arg in args[1:]):
                return args[0], _load(ctx, module, attribute), args[1:]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _load(ctx: click.Context, module: str, attribute: str) -> click.Command:
    ctx.meta[_MODULE] = module
    with missing_extra(module.partition(".")[0]):
        command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


class missing_extra:
    """Turns the import error of an optional package into the command that installs it."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ModuleNotFoundError) or error.name is None:
            return
        if error.name.partition(".")[0].startswith("dualtower"):
            return
        extra = _EXTRA_OF.get(self._package, "all")
        raise UnavailableError(
            f"this command needs the package {error.name!r}, which is not installed; "
            f"run: pip install 'dualtower[{extra}]'"
        ) from error


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`dualtower COMMAND --help` has an example for each. Start with: dualtower demo --quick",
)
@click.version_option(__version__, prog_name="dualtower")
def cli() -> None:
    """From a log of clicks to a contrastive BERT dual tower that is live.

    Exit codes: 0 done, 1 a quality gate failed, 2 wrong use.
    """


def _give_up_stdout() -> None:
    """Drops what it still holds, on which the interpreter would fail again at its end."""
    with contextlib.suppress(OSError):
        sys.stdout.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: runs the command and maps our errors to exit codes."""
    try:
        outcome = cli.main(args=list(argv) if argv is not None else None, standalone_mode=False)
    except DualtowerError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _give_up_stdout()
        where = f" {error.filename}" if error.filename else ""
        click.echo(f"error: cannot write{where}: {error.strerror}; make room there", err=True)
        sys.exit(2)
    if isinstance(outcome, int):  # a command ended itself, as --help and Context.exit do
        sys.exit(outcome)
