"""A model of Hugging Face by its name, through their library `transformers`, which is optional."""

import importlib
from pathlib import Path
from typing import Any

from companion.data.fetch import DataMissing
from companion.data.minilm import TOKENIZER, SentenceModel, folder_reader, model_of

FILES = ("*.json", "1_Pooling/*.json", "vocab.txt", "model.safetensors")  # no code, no pickle


def read_hub(name: str) -> SentenceModel:
    """A BERT model by name, such as "sentence-transformers/all-MiniLM-L12-v2", or from a folder.

    The files are fetched once and kept where Hugging Face keeps them. `transformers` makes the
    tokenizer, also where the model brings only a list of words. Nothing of the model is run.

    Args:
        name: of the model, or a folder with its files.

    Raises:
        ImportError: `transformers` is missing.
        companion.data.fetch.DataMissing: there is no such model or file, or no network.
        ValueError: it is not a BERT model with a mean over tokens.
    """
    tokenizers, hub = _library("transformers").AutoTokenizer, _library("huggingface_hub")
    try:
        folder = name if Path(name).is_dir() else hub.snapshot_download(name, allow_patterns=FILES)
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataMissing(f"the model {name} cannot be had: {first}") from None
    read_file = folder_reader(Path(folder))

    def read(file: str) -> bytes:
        if file != TOKENIZER:
            return read_file(file)
        try:
            made = tokenizers.from_pretrained(str(folder), trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise DataMissing(f"{name} has no tokenizer that can be read: {error}") from None
        return str(made.backend_tokenizer.to_str()).encode()

    return model_of(read)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        sentence = f"a model by name needs the library {name}: pip install transformers"
        raise ImportError(sentence) from None
