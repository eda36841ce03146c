"""`dualtower rollout`: the steps as commands."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from dualtower.bundle import Bundle
from dualtower.command_options import with_options
from dualtower_clients.connection_options import settings_options
from dualtower_clients.settings import DEFAULT_SETTINGS, ChannelSettings
from dualtower_serving.rollout import texts
from dualtower_serving.rollout.load_step import load
from dualtower_serving.rollout.overview import overview
from dualtower_serving.rollout.promote_step import promote
from dualtower_serving.rollout.prune_step import prune
from dualtower_serving.rollout.push_step import push
from dualtower_serving.rollout.rollback_step import rollback
from dualtower_serving.rollout.session import Outcome, Patience, Session, opened
from dualtower_serving.rollout.shadow.report import Limits
from dualtower_serving.rollout.shadow_step import LEAST_REQUESTS, shadow
from dualtower_serving.rollout.state import STABLE
from dualtower_serving.rollout.sync_step import sync
from dualtower_serving.rollout.target import Target
from dualtower_serving.rollout.unload_step import unload

__all__ = ["rollout"]

F = TypeVar("F", bound=Callable[..., Any])
_LIMITS = Limits()

_SERVERS = click.option(
    "--server", "servers", multiple=True, metavar="HOST:PORT",
    help="gRPC address of a server; once for each replica.  [default: as at the last load]",
)  # fmt: skip
_SERVED = with_options(
    click.option(
        "--server-root", default="", metavar="PATH",
        help="Where the servers see TARGET, such as /models in a container.  [default: TARGET]",
    ),
    click.option(
        "--base-config", type=click.Path(path_type=Path), metavar="FILE",
        help="The servers' --model_config_file; models in it that are not the pair's are kept.",
    ),
    click.option(
        "--no-other-models", is_flag=True, help="The servers hold nothing but the pair.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Work:
    """What all steps are given: where they work, on which servers, and how they report."""

    target: Target
    as_json: bool
    dry_run: bool = False
    patience: Patience = field(default_factory=Patience)
    settings: ChannelSettings = DEFAULT_SETTINGS

    def session(self, step: str) -> AbstractContextManager[Session]:
        """For one step."""
        return opened(
            self.target,
            step,
            patience=self.patience,
            settings=self.settings,
            dry_run=self.dry_run,
        )

    def show(self, outcome: Outcome) -> None:
        """What a step did."""
        if self.as_json:
            click.echo(texts.as_json(outcome, dry_run=self.dry_run))
        else:
            click.echo(texts.of_outcome(outcome))


_PLACE = with_options(
    click.argument("target"),
    click.option(
        "--state", type=click.Path(path_type=Path), metavar="FOLDER",
        help="Where journal and lock lie.  [default: TARGET/rollout; needed where TARGET is a URL]",
    ),
    click.option("--json", "as_json", is_flag=True, help="The result as JSON."),
)  # fmt: skip
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_PATIENCE = with_options(
    click.option(
        "--load-timeout-s", default=Patience.load_s, show_default=True, type=click.FloatRange(0),
        help="How long a version may load and warm up.",
    ),
    click.option(
        "--call-timeout-s", default=Patience.call_s, show_default=True, type=click.FloatRange(0.1),
        help="Deadline of a single call.",
    ),
)  # fmt: skip


def _on_files(command: F) -> F:
    """TARGET, and options of steps that change files alone; the command gets them as `work`."""

    @functools.wraps(command)
    def with_work(
        target: str, state: Path | None, as_json: bool, dry_run: bool, **others: Any
    ) -> Any:
        return command(work=_Work(Target.at(target, state), as_json, dry_run), **others)

    return with_options(_PLACE, _DRY_RUN)(with_work)  # type: ignore[return-value]


def _on_servers(command: F) -> F:
    """TARGET, and options of steps that talk to servers; the command gets them as `work`."""

    @functools.wraps(command)
    def with_work(
        target: str,
        state: Path | None,
        as_json: bool,
        dry_run: bool,
        load_timeout_s: float,
        call_timeout_s: float,
        settings: ChannelSettings,
        **others: Any,
    ) -> Any:
        patience = Patience(load_timeout_s, call_timeout_s)
        work = _Work(Target.at(target, state), as_json, dry_run, patience, settings)
        return command(work=work, **others)

    return with_options(_PLACE, _DRY_RUN, _PATIENCE, settings_options)(with_work)  # type: ignore[return-value]


def _version(text: str) -> Callable[[F], F]:
    return click.option("--version", type=click.IntRange(1), metavar="N", help=text)


@click.group()
def rollout() -> None:
    """Replace a served pair by a new one: both towers and the recommender, or none of them.

    \b
      push      copy a bundle to where the servers read
      load      have the servers load it beside what answers now
      shadow    ask both the same requests; gates judge how they differ
      promote   move the label `stable` (or another) of all models at once
      rollback  the previous pair again, in one command
      unload, prune   give memory back; remove old files
      sync      servers that started anew get what the journal says

    Clients ask for the label: `Recommender(address, label="stable")`. A step that was killed is run
    again and goes on. Two operators at once are kept apart. The journal lies in TARGET/rollout, and
    so does models.config, which the servers are to be started with, together with
    --allow_version_labels_for_unavailable_models.

    \b
    Example:
      dualtower rollout push bundle-2 /srv/models
      dualtower rollout load /srv/models --server localhost:8500 --no-other-models
      dualtower rollout shadow /srv/models --requests recorded.jsonl
      dualtower rollout promote /srv/models
      dualtower rollout rollback /srv/models
    """


@rollout.command("push")
@click.argument("bundle", type=click.Path(path_type=Path))
@_SERVED
@_on_files
def push_command(
    bundle: Path,
    server_root: str,
    base_config: Path | None,
    no_other_models: bool,
    work: _Work,
) -> None:
    """Copy BUNDLE to TARGET: complete, verified, saved_model.pb of the user tower last.

    As `dualtower push` does it. The bundle's version has to be a free one at TARGET. The first pair
    also gives a models.config for servers that are yet to start.

    \b
    Example:
      dualtower rollout push bundle-2 /srv/models
    """
    opened_bundle = Bundle.open(bundle)
    with work.session("push") as session:
        outcome = push(session, opened_bundle, root=server_root, others=base_config,
                       no_others=no_other_models)  # fmt: skip
    work.show(outcome)


@rollout.command("load")
@with_options(_version("Which pair.  [default: the newest at TARGET]"), _SERVERS, _SERVED)
@_on_servers
def load_command(
    version: int | None,
    servers: Sequence[str],
    server_root: str,
    base_config: Path | None,
    no_other_models: bool,
    work: _Work,
) -> None:
    """Have all servers load a pair from TARGET, and wait until each of its models answers.

    No label moves. A pair that fails is taken out again, and the server's reason is told. The first
    load also takes over what the servers hold already, and labels it.

    \b
    Example:
      dualtower rollout load /srv/models --server a:8500 --server b:8500 --no-other-models
    """
    with work.session("load") as session:
        outcome = load(session, version=version, servers=servers, root=server_root,
                       others=base_config, no_others=no_other_models)  # fmt: skip
    work.show(outcome)


def _limit(name: str, text: str, default: float | None) -> Callable[[F], F]:
    return click.option(f"--{name}", type=float, default=default, show_default=True, help=text)


@rollout.command("shadow")
@with_options(
    _version("Which loaded pair.  [default: the newest that is not stable]"),
    click.option(
        "--requests", type=click.Path(path_type=Path), metavar="FILE",
        help="Recorded requests, a JSON object a line.  [default: those the bundle carries]",
    ),
    click.option("--count", default=200, show_default=True, type=click.IntRange(LEAST_REQUESTS),
                 help="How many are asked."),
    click.option("--seed", default=0, show_default=True, help="Which of them."),
    click.option("--server", metavar="HOST:PORT", help="Which replica.  [default: the first]"),
    _limit("max-error-rate", "Errors per call.", _LIMITS.error_rate),
    _limit("max-p50-ratio", "New median latency over the old.", _LIMITS.p50_ratio),
    _limit("max-p95-ratio", "The same of the 95th percentile.", _LIMITS.p95_ratio),
    _limit("min-overlap", "Mean share of the first ten that both recommend.", _LIMITS.overlap),
    _limit("min-item-agreement", "Rank correlation of the items' similarities.",
           _LIMITS.item_agreement),
    _limit("min-user-agreement", "The same of the users'.", _LIMITS.user_agreement),
    _limit("min-item-neighbours", "Share of nearest items in common.", _LIMITS.item_neighbours),
)  # fmt: skip
@_on_servers
def shadow_command(
    version: int | None,
    requests: Path | None,
    count: int,
    seed: int,
    server: str | None,
    max_error_rate: float,
    max_p50_ratio: float,
    max_p95_ratio: float,
    min_overlap: float,
    min_item_agreement: float,
    min_user_agreement: float,
    min_item_neighbours: float | None,
    work: _Work,
) -> None:
    """Ask the stable pair and a loaded one the same requests; exit 1 when a gate fails.

    Measured are errors, latency, the overlap of the lists, and how far both spaces agree on which
    items (and people) are alike. The cosine between an old and a new vector is not: in another
    space it means nothing. The defaults stop a broken pair, not one that is different on purpose.

    \b
    Example:
      dualtower rollout shadow /srv/models --requests recorded.jsonl --min-overlap 0.5
    """
    limits = Limits(max_error_rate, max_p50_ratio, max_p95_ratio, min_overlap, min_item_agreement,
                    min_user_agreement, min_item_neighbours)  # fmt: skip
    with work.session("shadow") as session:
        outcome, report = shadow(session, version=version, requests=requests, count=count,
                                 seed=seed, server=server, limits=limits)  # fmt: skip
    if report is not None and not work.as_json:
        click.echo(texts.of_report(report))
    work.show(outcome)
    if report is not None and report.failures:
        sys.exit(1)


@rollout.command("promote")
@with_options(
    _version("Which loaded pair.  [default: the one that is newer than the stable one]"),
    click.option("--label", default=STABLE, show_default=True, metavar="NAME",
                 help="Which label; `canary` makes a trial that `rollback` ends."),
    click.option("--skip-shadow", metavar="REASON",
                 help="Why no passed shadow run is needed; goes into the journal."),
    click.option("--undo-on-failure", is_flag=True,
                 help="Put the label back on all servers where one of them fails."),
)  # fmt: skip
@_on_servers
def promote_command(
    version: int | None,
    label: str,
    skip_shadow: str | None,
    undo_on_failure: bool,
    work: _Work,
) -> None:
    """Move a label of all three models to a loaded pair, in one message to each server.

    `stable` needs a passed shadow run of this very pair against the one that is stable now.

    \b
    Example:
      dualtower rollout promote /srv/models --label canary
      dualtower rollout promote /srv/models
    """
    with work.session("promote") as session:
        outcome = promote(session, version=version, label=label, skip_shadow=skip_shadow,
                          undo_on_failure=undo_on_failure)  # fmt: skip
    work.show(outcome)


@rollout.command("rollback")
@with_options(
    click.option("--to", type=click.IntRange(1), metavar="N",
                 help="Which pair.  [default: the one that was stable before]"),
)  # fmt: skip
@_on_servers
def rollback_command(
    to: int | None,
    work: _Work,
) -> None:
    """Make the previous pair stable again, also where the new one has died.

    It ends a canary's trial, or undoes the last promotion; given twice, it goes back no further.
    Servers that do not answer hold up no other; exit 1 then names them.

    \b
    Example:
      dualtower rollout rollback /srv/models
    """
    with work.session("rollback") as session:
        outcome = rollback(session, to=to)
    work.show(outcome)


@rollout.command("unload")
@click.option("--also-previous", is_flag=True,
              help="Also the pair that rollback leads to; it then has to load first.")  # fmt: skip
@_on_servers
@click.argument("versions", nargs=-1, required=True, type=click.IntRange(1))
def unload_command(
    versions: Sequence[int],
    also_previous: bool,
    work: _Work,
) -> None:
    """Take VERSIONS that no label leads to out of the servers' memory. Their files stay.

    \b
    Example:
      dualtower rollout unload /srv/models 1 2
    """
    with work.session("unload") as session:
        outcome = unload(session, versions, also_previous=also_previous)
    work.show(outcome)


@rollout.command("prune")
@click.option("--keep", default=2, show_default=True, type=click.IntRange(0),
              help="So many of the newest pairs stay in any case.")  # fmt: skip
@click.option("--version", "versions", multiple=True, type=click.IntRange(1), metavar="N",
              help="Exactly this pair; may be given several times.")  # fmt: skip
@_on_servers
def prune_command(
    keep: int,
    versions: Sequence[int],
    work: _Work,
) -> None:
    """Remove the files of old pairs that no label leads to and no server holds.

    \b
    Example:
      dualtower rollout prune /srv/models --keep 3 --dry-run
    """
    with work.session("prune") as session:
        outcome = prune(session, keep=keep, versions=versions)
    work.show(outcome)


@rollout.command("sync")
@_SERVERS
@_on_servers
def sync_command(
    servers: Sequence[str],
    work: _Work,
) -> None:
    """Give servers that started anew, or are new, the versions and labels of the journal.

    With --server: those are all servers of the rollout from now on.

    \b
    Example:
      dualtower rollout sync /srv/models
      dualtower rollout sync /srv/models --server a:8500 --server c:8500
    """
    with work.session("sync") as session:
        outcome = sync(session, servers=servers)
    work.show(outcome)


@rollout.command("status")
@click.option("--offline", is_flag=True, help="Only read the journal; ask no server.")
@_on_servers
def status_command(offline: bool, work: _Work) -> None:
    """Show where a rollout stands; exit 1 when a server is not in line, or a step is unfinished.

    \b
    Example:
      dualtower rollout status /srv/models
    """
    with replace(work, dry_run=True).session("status") as session:
        found = overview(session, ask_servers=not offline)
    click.echo(json.dumps(found, indent=2) if work.as_json else texts.of_overview(found))
    if not found["in_line"]:
        sys.exit(1)
