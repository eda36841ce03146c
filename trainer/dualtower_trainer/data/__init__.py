"""From files of interactions and items to a split that nothing leaks through."""

from dualtower_trainer.data.complete_journey import CompleteJourneyOptions, import_complete_journey
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions
from dualtower_trainer.data.load import load_dataset
from dualtower_trainer.data.split import Heldout, Split, SplitConfig, split

__all__ = [
    "Catalogue",
    "CompleteJourneyOptions",
    "Dataset",
    "Heldout",
    "Interactions",
    "Split",
    "SplitConfig",
    "import_complete_journey",
    "load_dataset",
    "split",
]
