"""Contrastive tuning of the BERT itself, before the towers are trained. See the README.

texts + pairs ─► batches of like length ─► BERT, twice the same ─► InfoNCE ─► a new BERT folder
"""

from dualtower_trainer.finetune.distil import distil_into
from dualtower_trainer.finetune.plan import Plan, make_plan
from dualtower_trainer.finetune.run import finetune
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["FinetuneConfig", "Plan", "distil_into", "finetune", "make_plan"]
