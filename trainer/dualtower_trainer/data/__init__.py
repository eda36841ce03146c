"""From files of interactions and items to a split that nothing leaks through."""

from dualtower_trainer.data.complete_journey import CompleteJourneyOptions, import_complete_journey
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions
from dualtower_trainer.data.describe import describe
from dualtower_trainer.data.import_files import FileOptions, import_files
from dualtower_trainer.data.leakage import Check, check_leakage
from dualtower_trainer.data.load import load_dataset
from dualtower_trainer.data.split import Heldout, Split, split
from dualtower_trainer.data.split_config import SplitConfig

__all__ = [
    "Catalogue",
    "Check",
    "CompleteJourneyOptions",
    "Dataset",
    "FileOptions",
    "Heldout",
    "Interactions",
    "Split",
    "SplitConfig",
    "check_leakage",
    "describe",
    "import_complete_journey",
    "import_files",
    "load_dataset",
    "split",
]
