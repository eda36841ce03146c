"""The closed-form dual tower: what can be had of a pair of towers by linear algebra alone.

    log + text features ─► item-item weights ─► symmetric factors ─► text map ─► trend, cold share

It is where contrastive training starts, and a baseline of its own.
"""

from dualtower_trainer.closed_form.cold_share import cold_scale_for_share, share_of_cold
from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.closed_form.factors import ItemFactors, factorise
from dualtower_trainer.closed_form.features import TextFeatures
from dualtower_trainer.closed_form.fit import ClosedForm, fit_closed_form
from dualtower_trainer.closed_form.item_weights import precision_matrix
from dualtower_trainer.closed_form.text_map import TextMap, fit_text_map
from dualtower_trainer.closed_form.trend import trend_scale

__all__ = [
    "ClosedForm",
    "ClosedFormConfig",
    "ItemFactors",
    "TextFeatures",
    "TextMap",
    "cold_scale_for_share",
    "factorise",
    "fit_closed_form",
    "fit_text_map",
    "precision_matrix",
    "share_of_cold",
    "trend_scale",
]
