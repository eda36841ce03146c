"""An encoder from TF Hub: the weights of its BERT are read into ours, and both are asked.

    hub:HANDLE ─► tensorflow_hub ─► folder ─► variables, vocabulary ─► our BERT
                                       └► its own answer ◄── at most 1e-4 apart ──┘

One BERT is trained, tuned, served and put on a phone, so a foreign graph is not kept. What a graph
does beyond its weights (the kind of GELU, the ε of LayerNorm) is tried, and what fits none of the
trials is refused.
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.bundle import sha256_of
from dualtower.edge.tokenizer import Tokenizer, read_vocab
from dualtower.errors import DataError, UsageError
from dualtower.progress import say
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.hub_weights import bert_config_of, bert_tensors_of

__all__ = ["LARGEST_ERROR", "encoder_of_hub", "is_hub_folder", "made_from"]

LARGEST_ERROR = 1e-4
_GRAPH = "saved_model.pb"
_ACTIVATIONS = ("gelu_new", "gelu")  # Model Garden's BERT has the first
_EPSILONS = (1e-12, 1e-6, 1e-5, 1e-3)
_PROBES, _PROBE_TOKENS = 4, 64


def is_hub_folder(folder: Path) -> bool:
    """Whether there is a SavedModel, which is what a TF Hub folder is."""
    return (folder / _GRAPH).is_file()


def made_from(folder: Path) -> str:
    """The text that says from which files of a TF Hub folder an encoder was read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    return json.dumps({"hub": hashes}, indent=2) + "\n"


def encoder_of_hub(folder: Path, max_tokens: int = 32) -> Encoder:
    """Reads a BERT in TF Hub's format (TF2 SavedModel, inputs and outputs by name).

    Its pooled output and the layer behind it are left out: an `Encoder` pools by the mean.

    Raises:
        DataError: no SavedModel of that kind, no vocabulary, fewer positions than `max_tokens`, or
            a graph that does something else with these weights than our BERT.
    """
    loaded = _load(folder)
    try:
        variables = _variables(loaded)
        tokenizer = _tokenizer(loaded, folder, max_tokens)
        trials = _trials(loaded, variables, tokenizer, folder)
        encoder, error = min(trials, key=lambda trial: trial[1])
        _refuse_difference(error)
    except UsageError as refusal:
        raise DataError(f"{folder}: {refusal}") from refusal
    config = encoder.config
    say(
        f"  {folder}: BERT of {config.num_hidden_layers} layers of {config.hidden_size} "
        f"({config.hidden_act}, ε {config.layer_norm_eps:g}, "
        f"{'lower-casing' if tokenizer.lowercase else 'cased'}); at most {error:.1e} from its graph"
    )
    return encoder


def _trials(
    loaded: Any, variables: Mapping[str, np.ndarray], tokenizer: Tokenizer, folder: Path
) -> Iterator[tuple[Encoder, float]]:
    """Our BERT in each setting, with its largest error; none behind one that is near enough."""
    ids, mask = _probes(bert_config_of(variables, hidden_act="gelu", layer_norm_eps=1e-12))
    wanted = _answer(loaded, ids, mask)
    for epsilon, activation in itertools.product(_EPSILONS, _ACTIVATIONS):
        config = bert_config_of(variables, hidden_act=activation, layer_norm_eps=epsilon)
        tensors = bert_tensors_of(config, variables)
        encoder = Encoder(folder=folder, config=config, tensors=tensors, tokenizer=tokenizer)
        found = encoder.model([ids, mask]).numpy()
        same = found.shape == wanted.shape and np.isfinite(wanted).all()
        error = float(np.abs(found - wanted).max()) if same else np.inf
        yield encoder, error
        if error <= LARGEST_ERROR / 10:  # two kinds of GELU lie further apart than that
            return


def _refuse_difference(error: float) -> None:
    if error <= LARGEST_ERROR:
        return
    tried = ", ".join(map(str, _EPSILONS))
    raise DataError(
        f"the mean of its sequence_output and that of our BERT with the same weights differ by "
        f"{error:.1e}, at most {LARGEST_ERROR:.0e} is allowed. Its graph does something that is "
        "not supported: an activation other than GELU, a LayerNorm before the layers, relative "
        f"positions, or an ε that is none of {tried}. Choose another BERT, or a Hugging Face folder"
    )


def _probes(config: BertConfig) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask of a few rows of many lengths, and of as many places as are likely."""
    random = np.random.default_rng(0)
    tokens = min(config.max_position_embeddings, _PROBE_TOKENS)
    ids = random.integers(config.vocab_size, size=(_PROBES, tokens)).astype(np.int32)
    lengths = np.linspace(tokens, 2, _PROBES).astype(int)
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int32)
    return ids * mask, mask


def _answer(loaded: Any, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The masked mean of the model's own `sequence_output`, float32 [n, hidden]."""
    import tensorflow as tf

    inputs = {
        "input_word_ids": tf.constant(ids),
        "input_mask": tf.constant(mask),
        "input_type_ids": tf.zeros_like(ids),
    }
    try:
        outputs = _called(loaded, inputs)
        states = np.asarray(outputs["sequence_output"], np.float32)
    except (TypeError, ValueError, KeyError, IndexError, tf.errors.OpError) as error:
        raise DataError(
            "it cannot be asked with input_word_ids, input_mask and input_type_ids for a "
            "sequence_output, as TF Hub's BERTs of version 3 and later can: "
            f"{_first_line(error)}"
        ) from error
    weights = mask[:, :, np.newaxis].astype(np.float32)
    return (states * weights).sum(axis=1) / weights.sum(axis=1)


def _called(loaded: Any, inputs: Mapping[str, Any]) -> Any:
    """What Keras has exported can be told that it is not in training; a plain module need not."""
    if "training" in inspect.signature(loaded.__call__).parameters:
        return loaded(inputs, training=False)
    return loaded(inputs)


def _load(folder: Path) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError) as error:
        raise DataError(
            f"{folder} cannot be loaded as a SavedModel ({_first_line(error)}); it may be "
            "truncated, or need ops of a package that is not imported"
        ) from error


def _variables(loaded: Any) -> dict[str, np.ndarray]:
    """The weights by name."""
    if not callable(loaded) or not hasattr(loaded, "variables"):
        raise DataError(
            "it is a SavedModel but no reusable one: it cannot be called, or does not say what its "
            "variables are; choose a TF2 model of TF Hub"
        )
    floats = [variable for variable in loaded.variables if variable.dtype.is_floating]
    return {variable.name.partition(":")[0]: variable.numpy() for variable in floats}


def _tokenizer(loaded: Any, folder: Path, max_tokens: int) -> Tokenizer:
    """Its vocabulary, and whether it lowers: as it says, else as its pieces look."""
    named = getattr(loaded, "vocab_file", None)
    files = sorted((folder / "assets").glob("*vocab*.txt"))
    if named is not None:
        files = [Path(named.asset_path.numpy().decode())]
    if len(files) != 1:
        raise DataError(
            "there must be one vocabulary, as the attribute vocab_file or as assets/vocab.txt; "
            f"there are {len(files)}"
        )
    vocab = read_vocab(files[0])
    says = getattr(loaded, "do_lower_case", None)
    if says is None:
        lowercase = all(piece.startswith("[") or piece == piece.lower() for piece in vocab)
    else:
        lowercase = bool(says.numpy() if hasattr(says, "numpy") else says)
    return Tokenizer.from_vocab(vocab, lowercase=lowercase, max_tokens=max_tokens)


def _first_line(error: Exception) -> str:
    """TensorFlow's errors go on with whole signatures."""
    return (str(error).splitlines() or [type(error).__name__])[0]
