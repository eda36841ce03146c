"""What belongs together, what does not, and batches that hold no contradiction. See the README.

Numpy only. Every choice is a function of (seed, step) or (seed, refresh), so that a resumed
training draws what an uninterrupted one would have drawn.
"""

from dualtower_trainer.pairs.accidental import accidental_hits
from dualtower_trainer.pairs.co_occurrence import co_consumption
from dualtower_trainer.pairs.diverse_batches import DiverseBatches, PairBatch
from dualtower_trainer.pairs.hard_mining import HardNegatives, hard_negatives
from dualtower_trainer.pairs.mined import SOURCES, Pairs
from dualtower_trainer.pairs.miner import HardNegativeConfig, HardNegativeMiner
from dualtower_trainer.pairs.mining import MiningOptions, mine_positives
from dualtower_trainer.pairs.near_duplicates import near_duplicate_groups
from dualtower_trainer.pairs.queue import EmbeddingQueue

__all__ = [
    "SOURCES",
    "DiverseBatches",
    "EmbeddingQueue",
    "HardNegativeConfig",
    "HardNegativeMiner",
    "HardNegatives",
    "MiningOptions",
    "PairBatch",
    "Pairs",
    "accidental_hits",
    "co_consumption",
    "hard_negatives",
    "mine_positives",
    "near_duplicate_groups",
]
