"""From files of interactions and items to a split that nothing leaks through."""

from dualtower_trainer.data.activity_filter import FilterConfig, FilterReport, filter_users
from dualtower_trainer.data.complete_journey import CompleteJourneyOptions, import_complete_journey
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions
from dualtower_trainer.data.description import data_report, describe
from dualtower_trainer.data.file_import import FileOptions, import_files
from dualtower_trainer.data.hashes import data_hashes
from dualtower_trainer.data.heldout import Heldout
from dualtower_trainer.data.leakage import Check, check_leakage
from dualtower_trainer.data.load import load_dataset
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.splitting import Split, split

__all__ = [
    "Catalogue",
    "Check",
    "CompleteJourneyOptions",
    "Dataset",
    "FileOptions",
    "FilterConfig",
    "FilterReport",
    "Heldout",
    "Interactions",
    "Split",
    "SplitConfig",
    "check_leakage",
    "data_hashes",
    "data_report",
    "describe",
    "filter_users",
    "import_complete_journey",
    "import_files",
    "load_dataset",
    "split",
]
