"""A BERT of two blocks and eight numbers a token, its files, and its forward pass in NumPy."""

import json

import numpy as np
import safetensors.numpy
from scipy.special import erf

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "dog",
    "food",
    "##s",
    "cat",
    "fresh",
    "milk",
    "狗",
    "a",
]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "intermediate_size": 12,
    "layer_norm_eps": 0.01,  # large, so that it matters
    "max_position_embeddings": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": len(WORDS),
}
SENTENCE = {"max_seq_length": 7}
TEXTS = [
    "dog food",
    "",
    "cat",
    "fresh milk a cat",
    "foods",
    "dog dog dog dog dog dog dog",
    "狗",
    "x",
]


def published(seed=0, config=CONFIG):
    """Random weights by the published names; kernels [out, in]."""
    rng = np.random.default_rng(seed)
    size, wide = config["hidden_size"], config["intermediate_size"]
    tables = {
        "word": config["vocab_size"],
        "position": config["max_position_embeddings"],
        "token_type": 2,
    }
    shapes = {f"embeddings.{k}_embeddings.weight": (n, size) for k, n in tables.items()}
    shapes |= _norm("embeddings.LayerNorm", size) | _dense("pooler.dense", size, size)
    for index in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{index}."
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _dense(f"{at}attention.{name}", size, size)
        shapes |= _norm(f"{at}attention.output.LayerNorm", size)
        shapes |= _dense(f"{at}intermediate.dense", wide, size)
        shapes |= _dense(f"{at}output.dense", size, wide)
        shapes |= _norm(f"{at}output.LayerNorm", size)
    return {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}


def _dense(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name, size):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def tokenizer(words=tuple(WORDS)):
    """A tokenizer as BERT's, with the cut and the padding that published files carry."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    known = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(list(words[:4]))
    made.enable_truncation(5)
    made.enable_padding(length=5)
    return made


def write(folder, *, weights=None, config=CONFIG, sentence=SENTENCE, **more):
    """The files of a model; `more` are further ones, by their names without the ending."""
    files = {"config": config, "sentence_bert_config": sentence, **more}
    for name, content in files.items():
        if content is not None:
            path = folder / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
    safetensors.numpy.save_file(weights or published(), folder / "model.safetensors")
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def reference(weights, tokens, config=CONFIG):
    """A vector [H] and the attention maps [L, M, T, T] of one text's tokens, without padding."""
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def dense(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return unit * w[f"{name}.weight"] + w[f"{name}.bias"]

    act = {"gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2, "relu": lambda x: x.clip(0)}
    table = "embeddings.{}_embeddings.weight"
    x = w[table.format("word")][tokens] + w[table.format("position")][: len(tokens)]
    x = norm("embeddings.LayerNorm", x + w[table.format("token_type")][0])  # [T, H]
    maps = []
    for index in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{index}."
        q, k, v = (dense(f"{at}attention.self.{part}", x) for part in ("query", "key", "value"))
        found, own = [], []
        for columns in np.split(np.arange(x.shape[1]), heads):
            scores = q[:, columns] @ k[:, columns].T / np.sqrt(len(columns))
            own.append(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
            found.append(own[-1] @ v[:, columns])
        maps.append(own)
        mixed = dense(f"{at}attention.output.dense", np.concatenate(found, -1))
        x = norm(f"{at}attention.output.LayerNorm", x + mixed)
        wide = act[config["hidden_act"]](dense(f"{at}intermediate.dense", x))
        x = norm(f"{at}output.LayerNorm", x + dense(f"{at}output.dense", wide))
    mean = x.mean(0)
    return mean / np.linalg.norm(mean), np.array(maps)
