"""Heads on a person and an item, trained jointly with the towers. Section [heads]; see the README.

The modules with TensorFlow (`heads`, `formulas`, `judge`) are imported by name, so that labels and
metrics need numpy alone.
"""

from dualtower_trainer.heads.labels import Labels, SplitLabels, split_labels
from dualtower_trainer.heads.metrics import event_baseline, event_quality, rating_rmse
from dualtower_trainer.heads.rating_biases import RatingBiases

__all__ = [
    "Labels",
    "RatingBiases",
    "SplitLabels",
    "event_baseline",
    "event_quality",
    "rating_rmse",
    "split_labels",
]
