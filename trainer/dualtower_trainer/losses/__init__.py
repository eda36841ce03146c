"""What the towers are trained by: pure functions of unit vectors, and the estimates they need.

    vectors ──► scores = cosine / temperature ──► one of the losses ──► a scalar
                                                     ▲
            StreamingFrequency (logQ), propensity_weights, Temperature

`make_loss` turns section [loss] of a configuration into one callable; see `objective.Objective`.
"""

from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.losses.alignment import alignment, direct_au, uniformity
from dualtower_trainer.losses.cuts import cut_vectors, matryoshka
from dualtower_trainer.losses.frequency import StreamingFrequency
from dualtower_trainer.losses.in_batch import info_nce, info_nce_over_candidates
from dualtower_trainer.losses.objective import Objective, make_loss
from dualtower_trainer.losses.pairwise import pairwise_bce, pairwise_cosine
from dualtower_trainer.losses.propensity import propensity_weights
from dualtower_trainer.losses.sampled import linked_softmax, sampled_softmax
from dualtower_trainer.losses.temperature import Temperature
from dualtower_trainer.losses.triplets import triplet

__all__ = [
    "LossConfig",
    "Objective",
    "StreamingFrequency",
    "Temperature",
    "alignment",
    "cut_vectors",
    "direct_au",
    "info_nce",
    "info_nce_over_candidates",
    "linked_softmax",
    "make_loss",
    "matryoshka",
    "pairwise_bce",
    "pairwise_cosine",
    "propensity_weights",
    "sampled_softmax",
    "triplet",
    "uniformity",
]
