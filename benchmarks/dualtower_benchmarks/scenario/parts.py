"""All parts that a scenario can have, in the order in which they are measured."""

from __future__ import annotations

from dualtower_benchmarks.client.case import ClientCase
from dualtower_benchmarks.client.figures import client_figures
from dualtower_benchmarks.client.session import ClientSession
from dualtower_benchmarks.client.table import client_blocks
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.events.figures import event_figures
from dualtower_benchmarks.events.session import EventsSession
from dualtower_benchmarks.events.table import event_blocks
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.figures import index_figures
from dualtower_benchmarks.index.session import IndexSession
from dualtower_benchmarks.index.table import index_blocks
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.figures import limit_figures
from dualtower_benchmarks.limit.session import LimitSession
from dualtower_benchmarks.limit.table import limit_blocks
from dualtower_benchmarks.mlperf.case import MlperfCase
from dualtower_benchmarks.mlperf.figures import mlperf_figures
from dualtower_benchmarks.mlperf.session import MlperfSession
from dualtower_benchmarks.mlperf.start import need_loadgen
from dualtower_benchmarks.mlperf.table import mlperf_blocks
from dualtower_benchmarks.scenario.part import Part
from dualtower_benchmarks.training.case import TrainingCase
from dualtower_benchmarks.training.figures import training_figures
from dualtower_benchmarks.training.session import TrainingSession
from dualtower_benchmarks.training.table import training_blocks

__all__ = ["PARTS"]

PARTS = (
    Part(
        "mlperf", "mlperf", MlperfCase, MlperfSession, mlperf_blocks, mlperf_figures, need_loadgen
    ),
    Part("limit", "limits", LimitCase, LimitSession, limit_blocks, limit_figures),
    Part("event", "events", EventCase, EventsSession, event_blocks, event_figures),
    Part(
        "index", "index", IndexCase, IndexSession, index_blocks, index_figures, needs_bundle=False
    ),
    Part(
        "train",
        "training",
        TrainingCase,
        TrainingSession,
        training_blocks,
        training_figures,
        needs_bundle=False,
    ),
    Part(
        "client",
        "clients",
        ClientCase,
        ClientSession,
        client_blocks,
        client_figures,
        needs_bundle=False,
    ),
)
