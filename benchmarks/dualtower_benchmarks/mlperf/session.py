"""All runs of LoadGen that a scenario asks for, a log folder and a row each.

The logs stay beside the results, in `<stem>.mlperf/<repeat>-<scenario>-<driver>-<key>/`. A run that
was killed goes on with the next case.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower.files import make_folder
from dualtower.progress import Bar
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.mlperf.accuracy import accuracy_row, read_embeddings
from dualtower_benchmarks.mlperf.case import MlperfCase
from dualtower_benchmarks.mlperf.logs import read_outcome
from dualtower_benchmarks.mlperf.rows import row_of
from dualtower_benchmarks.mlperf.start import need_loadgen
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.jobs import Engine, job_of
from dualtower_benchmarks.scenario.loaded import LoadedSession

__all__ = ["MlperfSession"]


@dataclass
class MlperfSession(LoadedSession[MlperfCase]):
    """The runs of a scenario.

    Args:
        accuracy: rows of accuracy runs; `rows` has the others'.
    """

    accuracy: list[dict[str, Any]] = field(default_factory=list)

    def repeat(self, repeat: int, progress: Bar) -> None:
        try:
            need_loadgen()
        except NotHere as reason:
            self.miss(self.cases, str(reason), progress)
        else:
            super().repeat(repeat, progress)

    def document(self) -> dict[str, Any]:
        """What goes into the results as `mlperf`."""
        accuracy = {"accuracy": self.accuracy} if self.accuracy else {}
        return {"rows": self.rows, **accuracy, "absent": list(self.absent.values())}

    def measured(
        self,
        repeat: int,
        case: MlperfCase,
        process: LoadProcess,
        engine: Engine | None,
        progress: Bar,
        again: Callable[[], None],
    ) -> tuple[list[dict[str, Any]], list[Samples]]:
        row = self._ran(repeat, case, process, engine)
        progress.advance(load_s(case), note=case.words)
        return [row], []

    def keep(
        self, repeat: int, case: MlperfCase, rows: Sequence[dict[str, Any]], raw: Sequence[Samples]
    ) -> None:
        (self.accuracy if case.mode == "accuracy" else self.rows).extend(rows)

    def _ran(
        self, repeat: int, case: MlperfCase, process: LoadProcess, engine: Engine | None
    ) -> dict[str, Any]:
        what = "accuracy" if case.mode == "accuracy" else case.scenario
        name = f"{repeat}-{what}-{case.driver}-{case.key[:8]}"
        folder = self.place.out.with_name(f"{self.place.out.stem}.mlperf") / name
        if folder.exists():
            shutil.rmtree(folder)  # of a run that was killed, or of an earlier one of this name
        ran = self._asked(case, process, folder, repeat)
        log_folder = f"{folder.parent.name}/{name}"
        if case.mode == "accuracy":
            return accuracy_row(
                case,
                read_embeddings(folder),
                self._reference(case, folder / "reference", repeat),
                ran,
                dim=self.place.bundle.manifest["space"]["dim"],
                repeat=repeat,
                log_folder=log_folder,
            )
        return row_of(
            case,
            read_outcome(folder),
            ran,
            repeat=repeat,
            engine=engine.engine if engine else "",
            log_folder=log_folder,
        )

    def _asked(
        self, case: MlperfCase, process: LoadProcess, folder: Path, repeat: int
    ) -> Mapping[str, Any]:
        make_folder(folder)
        seed = self.place.settings.seed + 1000 * repeat
        order = {"mlperf": case.as_json(), "folder": str(folder.resolve()), "seed": seed}
        return process.ask(order)

    def _reference(self, case: MlperfCase, folder: Path, repeat: int) -> Mapping[int, Any]:
        plain = dataclasses.replace(
            case, driver="saved_model", variant="", precision="float32", device="CPU",
            threads=None, xla=False,
        )  # fmt: skip
        job = job_of(plain, self.place.bundle, self.place.settings, None)
        with LoadProcess(job) as process:
            self._asked(plain, process, folder, repeat)
        return read_embeddings(folder)
