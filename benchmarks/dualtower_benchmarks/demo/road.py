"""The nine steps of the demo. Each reuses what an earlier run left and is still valid.

WORK/
  data/  run/  bundle/   bench.json   report.html   what the steps hand on
  demo.json              times, sizes and results of the last walk
"""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dualtower_serving
import dualtower_trainer  # noqa: F401  sets TensorFlow's environment before any module imports it
from dualtower.bundle import Bundle
from dualtower.bundle_verify import verify
from dualtower.config import load_section
from dualtower.errors import BundleError, DualtowerError, UnavailableError
from dualtower.files import exclusive_lock, remove_stale, write_text
from dualtower.progress import say
from dualtower_benchmarks.demo.households import choose_households
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.scenario.all_variants import of_bundle
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario
from dualtower_benchmarks.schema import read_results
from dualtower_export import ExportConfig, export_bundle
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.data import (
    CompleteJourneyOptions,
    import_complete_journey,
    load_dataset,
    split,
)
from dualtower_trainer.encoder_fetch import fetch
from dualtower_trainer.evaluate_run import EvaluateConfig, evaluate_run
from dualtower_trainer.train import RunConfig, train

__all__ = ["Walk", "walk"]


@dataclass(frozen=True)
class MeasureConfig:
    """Section [bench].

    Args:
        scenario: a shipped one by its name, or a path.
        overrides: as those of `dualtower bench run --set`.
    """

    scenario: str = "quick-look"
    overrides: tuple[str, ...] = ()


_SECTIONS = {
    "data": CompleteJourneyOptions,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "bench": MeasureConfig,
}
_HOUSEHOLDS = 3
_RECOMMENDED = 10
_RETRY = "Run the same command again to go on"


@dataclass(frozen=True)
class Walk:
    """How to walk: where to, with which settings, and what is told on the way."""

    work: Path
    config: Path
    overrides: Sequence[str] = ()
    quick: bool = False
    engine: str = "auto"
    command: str = "dualtower demo"
    timings_s: dict[str, float] = field(default_factory=dict)

    def section(self, name: str, schema: type) -> Any:
        """One section of the configuration."""
        return load_section(name, schema, path=self.config, overrides=self.overrides)

    def check(self) -> None:
        """Reads every section, so that a slip in the last step's does not cost the first ones.

        Raises:
            ConfigError: see `load_section`.
        """
        load_run_config(self.config, self.overrides)
        for name, schema in _SECTIONS.items():
            self.section(name, schema)
        self.scenario()

    def scenario(self) -> Scenario:
        """What is measured.

        Raises:
            ConfigError, UsageError: see `read_scenario`.
        """
        config = self.section("bench", MeasureConfig)
        overrides = [f"sweep.engine={self.engine}", *config.overrides]
        return read_scenario(config.scenario, overrides=overrides, quick=self.quick)


def walk(options: Walk, tell: Callable[[str, Mapping[str, Any]], None]) -> dict[str, Any]:
    """Walks the road and writes WORK/demo.json.

    Args:
        options: see `Walk`.
        tell: is given each step's name and result as soon as it is there.

    Returns:
        The content of demo.json.
    """
    options.check()
    work = options.work
    with exclusive_lock(work / ".lock"):
        remove_stale(work)
        data, run, bundle_path = work / "data", work / "run", work / "bundle"
        with _timed(options, "1 data"):
            tell("data", _data(options, data))
        with _timed(options, "2 encoder"):
            config = _encoder(load_run_config(options.config, options.overrides))
        with _timed(options, "3 train"):
            tell("train", train(data, run, config, overwrite=True))
        with _timed(options, "4 evaluate"):
            evaluation = evaluate_run(run, options.section("evaluate", EvaluateConfig), data)
            tell("evaluate", evaluation)
        with _timed(options, "5 export"):
            bundle = _export(options, run, bundle_path, data)
            tell("export", {"bundle": bundle})
        with _timed(options, "6 serve"):
            serving = dualtower_serving.start(bundle, engine=options.engine, port=0)
        with serving as server:
            say(f"  {server.engine} serves {bundle.fingerprint[:12]}… at {server.address}")
            with _timed(options, "7 ask"):
                asked = _ask(run, data, bundle, server.address)
                tell("ask", asked)
            engine = server.engine
        bench = work / "bench.json"
        with _timed(options, "8 measure"):
            tell("measure", _measure(options, bundle, bench))
        with _timed(options, "9 report"):
            written = write_report([bench], run=run, bundle=bundle_path, out=work / "report.html")
        result = {
            "fingerprint": bundle.fingerprint,
            "engine": engine,
            "timings_s": options.timings_s,
            "peak_memory_bytes": _peak_memory_bytes(),
            "asked": asked,
            "report": str(Path(written.path).resolve()),
            "findings": list(written.findings),
        }
        write_text(work / "demo.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return result


def _data(options: Walk, data: Path) -> dict[str, Any]:
    wanted = options.section("data", CompleteJourneyOptions)
    report = _read_json(data / "import_report.json")
    if report.get("options") == dataclasses.asdict(wanted) and _loads(data):
        say(f"  {data} holds these data already; reused")
    else:
        report = import_complete_journey(data, wanted, overwrite=data.exists())
    parts = split(load_dataset(data), load_run_config(options.config, options.overrides).split)
    return {"import": report, "split": parts.report}


def _loads(data: Path) -> bool:
    try:
        load_dataset(data)
    except DualtowerError as error:
        say(f"  {data} cannot be used ({error}); importing again")
        return False
    return True


def _encoder(config: RunConfig) -> RunConfig:
    """Fetches the encoder that `config` names, or falls back to the tiny one and says so."""
    if config.encoder.name != "minilm":
        say(f"  encoder {config.encoder.name}: no download is needed")
        return config
    try:
        say(f"  minilm is in {fetch('minilm')}")
    except UnavailableError as error:
        say(f"  {error}")
        say('  going on with the "tiny" encoder, made from the item texts; expect weaker results')
        return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, name="tiny"))
    return config


def _export(options: Walk, run: Path, out: Path, data: Path) -> Bundle:
    config = options.section("export", ExportConfig)
    if out.exists() and (reason := _outdated(out, run)):
        say(f"  the old bundle is replaced: {reason}")
        shutil.rmtree(out)
    return export_bundle(run, out, config, data=data, command=options.command)


def _outdated(out: Path, run: Path) -> str | None:
    """Why the bundle of an earlier walk cannot be kept, or None."""
    try:
        bundle = Bundle.open(out)
        if bundle.manifest["space"]["weights_sha256"] != load_trained(run).weights_sha256:
            return "the towers were trained anew"
        problems = verify(out)
    except BundleError as error:
        return str(error)
    return f"it is damaged, {problems[0]}" if problems else None


def _ask(run: Path, data: Path, bundle: Bundle, address: str) -> dict[str, Any]:
    trained = load_trained(run)
    test = split(load_dataset(data), trained.split).test
    households = choose_households(trained, test, _HOUSEHOLDS)
    request = {"k": _RECOMMENDED, "households": households}
    done = subprocess.run(
        [sys.executable, "-m", "dualtower_benchmarks.demo.ask", address, bundle.fingerprint],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise UnavailableError(f"the client failed: {done.stderr.strip()[-800:]}. {_RETRY}")
    reply = json.loads(done.stdout)
    texts = dict(zip(trained.item_ids, trained.texts, strict=True))
    asked = []
    for household, answer in zip(households, reply["answers"], strict=True):
        later = set(household["later"])
        asked.append(
            {
                "user_id": household["user_id"],
                "bought": household["history"][:5],
                "later_count": len(later),
                "elapsed_ms": answer["elapsed_ms"],
                "recommended": [
                    {
                        "item_id": item_id,
                        "text": str(texts[item_id]),
                        "score": score,
                        "bought_later": item_id in later,
                    }
                    for item_id, score in zip(answer["item_ids"], answer["scores"], strict=True)
                ],
            }
        )
    return {"households": asked, "tensorflow_loaded": reply["tensorflow_loaded"]}


def _measure(options: Walk, bundle: Bundle, out: Path) -> Mapping[str, Any]:
    scenario = options.scenario()
    if out.exists():
        try:
            before = read_results(out).document
        except DualtowerError as error:
            say(f"  {error}; measuring again")
        else:
            same = before["bundle"]["fingerprint"] == bundle.fingerprint
            wanted = json.loads(json.dumps(of_bundle(scenario, bundle).as_json()))
            if same and before["scenario"] == wanted:
                say(f"  {out} measured this bundle with these settings already; reused")
                return before
    # points of a walk that was killed may be of another bundle
    shutil.rmtree(out.with_name(f"{out.name}.partial"), ignore_errors=True)
    return run_scenario(scenario, bundle.path, out=out, command=options.command)


@contextmanager
def _timed(options: Walk, name: str) -> Iterator[None]:
    begin_ns = time.monotonic_ns()
    say(f"\n━━ {name}")
    yield
    elapsed_s = (time.monotonic_ns() - begin_ns) / 1e9
    options.timings_s[name] = round(elapsed_s, 2)
    say(f"━━ {name}: {elapsed_s:.1f} s")


def _peak_memory_bytes() -> int:
    """Largest resident set of this process or of any that it waited for (Linux: in KiB)."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) * 1024


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
