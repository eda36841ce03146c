"""The `[export]` section of a configuration: what goes into a bundle, and what a gate demands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dualtower.server_entries import VERSION_POLICIES
from dualtower_export.index_codes import INDEX_DTYPES
from dualtower_export.op_list import SERVERS, TARGET
from dualtower_export.serving_form import COMPUTE_DTYPES

__all__ = ["ALL", "DEFAULT_VARIANTS", "INDEXES", "RECOMMENDERS", "VARIANTS", "ExportConfig"]

VARIANTS = (
    "float32", "float16", "dynamic_int8", "weight_only_int8", "embedding_int4", "full_int8",
    "int16x8", "naive_int8", "qat_int8", "pruned", "clustered",
)  # fmt: skip
DEFAULT_VARIANTS = ("float32", "float16", "dynamic_int8", "weight_only_int8", "full_int8")
ALL = "all"
RECOMMENDERS = ("int8", "float16")
INDEXES = ("exact", "ivf")
_LABEL = re.compile(r"[\w-]+", re.ASCII)
_SHARES = (
    "parity_cosine",
    "half_cosine",
    "variant_cosine_mean",
    "variant_cosine_min",
    "variant_overlap_at_10",
    "variant_recall_ratio",
    "variant_ndcg_ratio",
    "ivf_recall",
)
# The stock server refuses a version whose warm-up file holds more records.
_MAX_WARMUP_RECORDS = 1_000
_MAX_BATCH_SIZES = 50


@dataclass(frozen=True)
class ExportConfig:
    """Settings of one export; the defaults suit a catalogue of thousands on a small machine.

    Attributes:
        version: the integer that all three models of the pair share on the server.
        k_max: length of a recommendation list; cut to the size of the catalogue.
        index: how the recommender searches: `exact` reads every item, `ivf` the most promising
            lists of an inverted file, for catalogues of a million.
        index_dtype: float32, or codes in float16 or int8 that are read first; the best of them are
            scored again in float32, and an exact index stays exact.
        index_oversample: how many times k_max items are scored again.
        ivf_lists: lists of the inverted file; 0 takes twice the root of the items.
        ivf_probes: how many of them a request reads; more where too many items are excluded.
        ivf_recall: smallest share of the exact list that an inverted file finds on held-out users.
        variants: TFLite files to make of each tower; `float32` is the reference and must be there.
            `["all"]` makes every one.
        edge_tokens: further lengths of the item tower's input, as far as they are below the run's
            `max_tokens`; 0 is a file that takes any length. A shorter one cuts longer texts, and is
            judged as such.
        edge_tokens_variants: which variants get them.
        train_steps: steps of a variant that is trained: int8-aware, pruned or clustered.
        calibration_examples: texts and histories of the training period from which ranges are read
            and on which a variant is trained.
        edge_recommenders: formats of the catalogue in which a phone gets the whole recommender as
            TFLite files; none leaves it out.
        edge_k: length of its list; cut to the size of the catalogue.
        edge_most_items: a larger catalogue gets no recommender for a phone, whose file would take
            dim bytes an item in int8, and a conversion twenty times that.
        batch_sizes: numbers of rows that are warmed up; the last is the most rows of a batch.
        pad_batches: the server pads a batch to one of `batch_sizes`, as compiled graphs want it; a
            CPU computes the padding for nothing: without it 32 clients got 1.3 times the rows.
        length_buckets: numbers of word pieces to which the rows of a batch are padded, as far as
            they are below the run's `max_tokens`; none pads every batch to that.
        encoder_copies: copies of BERT's layers in the item tower; with 2, single texts and batches
            have one each, in the layout that suits them. The second costs a file and a server's
            memory the size of the layers (43 MB of MiniLM's 90).
        encoder_shards: threads of a server that work on one text side by side, each on some heads
            and neurons of every layer; cut to what divides the heads. It needs a server with
            `--tensorflow_intra_op_parallelism=1`, as `dualtower serve` starts it.
        compute_dtype: what BERT computes in on the item tower's server, float32, or bfloat16 or
            float16 for a GPU; float32 goes in and out. The two other models run BERT for unknown
            texts alone, in float32.
        half_error: parity_error of an item tower that computes in bfloat16 or float16.
        half_cosine: its parity_cosine.
        target_serving: version of the TensorFlow Serving that loads the bundle; every op and
            attribute of the models is held against its own.
        force_newer: export although TensorFlow is newer than that.
        version_policy: what `models.config` lets a server load, the `latest` version, or this
            `specific` one, until it is told of another.
        version_labels: names for this version in `labels.config`; none writes no such file.
        batch_timeout_us: how long an open batch waits for more requests.
        batch_threads: batches that the server runs at the same time; 0: one for each of its cores.
        max_enqueued_batches: of the largest size that wait in the server's queue; beyond it
            requests are refused. What waits longer than callers do is work thrown away.
        gate_users: held-out users on which rankings are compared.
        gate_texts: item texts on which embeddings are compared.
        parity_texts: item texts sent through the written SavedModels.
        parity_users: held-out histories sent through the written SavedModels.
        parity_error: largest absolute difference of a written signature to the trainer's towers.
        parity_cosine: smallest cosine of tastes of a written signature, and of float32, to those
            towers.
        variant_cosine_mean: smallest mean cosine of tastes of a TFLite variant to those towers.
        variant_cosine_min: the same on any single input.
        variant_overlap_at_10: smallest share of the float top ten that a variant keeps.
        variant_recall_ratio: smallest share of float's Recall@10 that a variant keeps; a shortfall
            within the noise of the users compared is forgiven.
        variant_ndcg_ratio: the same of NDCG@10.
        variant_latency_ratio: largest median time of a call with one thread, as a multiple of
            float32's in the same turns; 0 sets no bound. float32 itself is never judged by time.
        jobs: TFLite conversions that run at the same time, one thread each.
        seed: picks the users and texts of the gates.
        data_licence: a sentence for the model card; "" says that none was stated.
        encoder_licence: the same for the pretrained encoder.
    """

    version: int = 1
    k_max: int = 100
    index: str = "exact"
    index_dtype: str = "float32"
    index_oversample: int = 4
    ivf_lists: int = 0
    ivf_probes: int = 32
    ivf_recall: float = 0.95
    variants: tuple[str, ...] = DEFAULT_VARIANTS
    edge_tokens: tuple[int, ...] = ()
    edge_tokens_variants: tuple[str, ...] = ("dynamic_int8",)
    train_steps: int = 200
    calibration_examples: int = 500
    edge_recommenders: tuple[str, ...] = ("int8",)
    edge_k: int = 100
    edge_most_items: int = 200_000
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    pad_batches: bool = False
    length_buckets: tuple[int, ...] = (8, 12, 16, 24, 32, 64, 128, 256)
    encoder_copies: int = 2
    encoder_shards: int = 2
    compute_dtype: str = "float32"
    half_error: float = 0.005
    half_cosine: float = 0.999
    target_serving: str = TARGET
    force_newer: bool = False
    version_policy: str = "latest"
    version_labels: tuple[str, ...] = ("stable",)
    batch_timeout_us: int = 1_000
    batch_threads: int = 0
    max_enqueued_batches: int = 16
    gate_users: int = 500
    gate_texts: int = 1_000
    parity_texts: int = 128
    parity_users: int = 64
    parity_error: float = 1e-4
    parity_cosine: float = 0.9999
    variant_cosine_mean: float = 0.985
    variant_cosine_min: float = 0.9
    variant_overlap_at_10: float = 0.8
    variant_recall_ratio: float = 0.97
    variant_ndcg_ratio: float = 0.97
    variant_latency_ratio: float = 3.0
    jobs: int = 2
    seed: int = 0
    data_licence: str = ""
    encoder_licence: str = ""

    def __post_init__(self) -> None:
        for name in (
            "version", "k_max", "edge_most_items",
            "max_enqueued_batches", "gate_users", "gate_texts",
            "parity_texts", "parity_users", "jobs", "index_oversample", "ivf_probes",
            "calibration_examples", "train_steps", "encoder_shards",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.index not in INDEXES:
            raise ValueError(f"index must be one of {', '.join(INDEXES)}, got {self.index}")
        if self.index_dtype not in INDEX_DTYPES:
            allowed = ", ".join(INDEX_DTYPES)
            raise ValueError(f"index_dtype must be one of {allowed}, got {self.index_dtype}")
        if self.target_serving not in SERVERS:
            raise ValueError(
                f"target_serving must be one of {', '.join(SERVERS)}, whose ops are known, got "
                f"{self.target_serving}; op_registry.py says how a list is made for another"
            )
        if self.version_policy not in VERSION_POLICIES:
            allowed = ", ".join(VERSION_POLICIES)
            raise ValueError(f"version_policy must be one of {allowed}, got {self.version_policy}")
        labels = self.version_labels
        if len(set(labels)) < len(labels) or not all(map(_LABEL.fullmatch, labels)):
            raise ValueError(
                "version_labels must be distinct, of letters, digits, - and _; "
                f"got {', '.join(map(repr, labels))}"
            )
        if self.ivf_lists < 0:
            raise ValueError(f"ivf_lists must not be negative, got {self.ivf_lists}")
        for name in ("batch_timeout_us", "batch_threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.variants == (ALL,):
            object.__setattr__(self, "variants", VARIANTS)
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown or len(set(self.variants)) < len(self.variants):
            raise ValueError(
                f"variants must be distinct names of {', '.join(VARIANTS)}, or {ALL} alone; "
                f"got {', '.join(self.variants)}"
            )
        if "float32" not in self.variants:
            given = ", ".join(self.variants) or "none"
            raise ValueError(f"variants must hold float32, the reference; got {given}")
        if strange := [name for name in self.edge_tokens_variants if name not in VARIANTS]:
            raise ValueError(
                f"edge_tokens_variants must be names of {', '.join(VARIANTS)}; "
                f"got {', '.join(strange)}"
            )
        lengths = self.edge_tokens
        if len(set(lengths)) < len(lengths) or any(n < 0 or n == 1 for n in lengths):
            raise ValueError(
                f"edge_tokens must be distinct, each 0 for any length, or 2 and more; "
                f"got {list(lengths)}"
            )
        if self.variant_latency_ratio < 0:
            raise ValueError(
                f"variant_latency_ratio must not be negative, got {self.variant_latency_ratio}"
            )
        forms = self.edge_recommenders
        if not set(forms) <= set(RECOMMENDERS) or len(set(forms)) < len(forms):
            raise ValueError(
                f"edge_recommenders must be distinct names of {', '.join(RECOMMENDERS)}; "
                f"got {', '.join(forms)}"
            )
        if self.edge_k < 10:
            raise ValueError(
                f"edge_k must be at least 10, since a gate compares top tens; got {self.edge_k}"
            )
        sizes = self.batch_sizes
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"batch_sizes must rise from 1 or more, got {list(sizes)}")
        if len(sizes) > _MAX_BATCH_SIZES:
            raise ValueError(
                f"batch_sizes holds {len(sizes)} sizes, at most {_MAX_BATCH_SIZES} can be warmed up"
            )
        # of the user tower: describe, two signatures by size and bucket, one by size
        records = 1 + len(sizes) * (2 * len(self.length_buckets) + 3)
        if records > _MAX_WARMUP_RECORDS:
            raise ValueError(
                f"{len(sizes)} batch_sizes with {len(self.length_buckets)} length_buckets make "
                f"{records} warm-up records, the server reads {_MAX_WARMUP_RECORDS}; name fewer"
            )
        buckets = self.length_buckets
        if list(buckets) != sorted(set(buckets)) or any(bucket < 2 for bucket in buckets):
            raise ValueError(f"length_buckets must rise from 2 or more, got {list(buckets)}")
        if self.encoder_copies not in (1, 2):
            raise ValueError(f"encoder_copies must be 1 or 2, got {self.encoder_copies}")
        if self.compute_dtype not in COMPUTE_DTYPES:
            allowed = ", ".join(COMPUTE_DTYPES)
            raise ValueError(f"compute_dtype must be one of {allowed}, got {self.compute_dtype}")
        for name in ("parity_error", "half_error"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
