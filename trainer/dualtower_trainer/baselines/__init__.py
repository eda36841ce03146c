"""What a dual tower has to beat, on the same split and in the same table.

`BASELINES` holds all of them by name. Each chooses its settings on the validation users and is then
fitted on everything before the future that it is asked for; see `Tuning`.
"""

from dualtower_trainer.baselines.registry import BASELINES, CHEAP, Baseline, Fitted
from dualtower_trainer.baselines.training_set import (
    Scorer,
    TrainingSet,
    history_matrix,
    interaction_matrix,
)
from dualtower_trainer.baselines.tuning import Tuning, best_setting

__all__ = [
    "BASELINES",
    "CHEAP",
    "Baseline",
    "Fitted",
    "Scorer",
    "TrainingSet",
    "Tuning",
    "best_setting",
    "history_matrix",
    "interaction_matrix",
]
