"""The sections of a configuration that `dualtower train` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dualtower_trainer.adversarial_config import AdversarialConfig
from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.data.activity_filter import FilterConfig
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.encoder import EncoderConfig
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.heads_config import HeadsConfig
from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.negatives_config import NegativesConfig
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.train_config import TrainConfig

__all__ = ["RUN_SECTIONS", "RunConfig"]

RUN_SECTIONS: dict[str, type] = {
    "split": SplitConfig,
    "filter": FilterConfig,
    "encoder": EncoderConfig,
    "finetune": FinetuneConfig,
    "model": TowerConfig,
    "closed_form": ClosedFormConfig,
    "loss": LossConfig,
    "negatives": NegativesConfig,
    "train": TrainConfig,
    "adversarial": AdversarialConfig,
    "heads": HeadsConfig,
}


@dataclass(frozen=True)
class RunConfig:
    """One instance of each section in RUN_SECTIONS."""

    split: SplitConfig = field(default_factory=SplitConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    model: TowerConfig = field(default_factory=TowerConfig)
    closed_form: ClosedFormConfig = field(default_factory=ClosedFormConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)

    def sections(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in RUN_SECTIONS}
