"""What the tests of the user encoders share."""

import importlib

import numpy as np
from parity import array, load, tensor
from scipy.special import erf

from companion.recommenders.encoder_config import TransformerConfig, bert4rec, sasrec

H, T = 6, 5
LENGTHS = np.array([5, 3, 1, 0])  # of the users' histories; the last has none
SMALL = {"size": H, "heads": 2, "feed_forward": 7, "max_length": T + 1, "dropout": 0.0}
KINDS = {
    "sasrec": sasrec(**SMALL),
    "bert4rec": bert4rec(**SMALL),
    "gelu before": TransformerConfig(**SMALL, activation="gelu", causal=False, norm_epsilon=0.1),
    "relu behind": TransformerConfig(**SMALL, norm_first=False, norm_epsilon=1e-5),
}


def of(twin, module):
    """A module of one framework's package."""
    return load(twin.__name__.rsplit(".", 1)[1], f".{module}")


def is_torch(twin):
    return twin.__name__.endswith("pytorch")


def busy(twin, model, seed=3, scale=0.5):
    """Weights without a zero among them, so that each of them matters; the model gets them."""
    rng, names = np.random.default_rng(seed), of(twin, "named_weights")
    weights = {
        name: rng.normal(name.endswith("gamma"), scale, value.shape).astype(np.float32)
        for name, value in names.get_weights(model).items()
    }
    for name, value in weights.items():
        if name.endswith("table"):
            value[0] = 0
    names.set_weights(model, weights)
    return weights


def histories(size=H, seed=0):
    """Vectors [B, T, D] and their mask [B, T]."""
    x = np.random.default_rng(seed).normal(size=(len(LENGTHS), T, size)).astype(np.float32)
    return x, np.arange(T) < LENGTHS[:, None]


def call(twin, function, *arrays):
    """NumPy in, NumPy out."""
    return array(function(*(tensor(twin, each) for each in arrays)))


def mean_square(twin, value):
    """A loss that every number of the value takes part in."""
    if is_torch(twin):
        return (value**2).mean()
    tf = importlib.import_module("tensorflow")
    return tf.reduce_mean(value**2)


def gradients(twin, model, function, *arrays):
    """Of the mean square of function(arrays) by the model's weights."""
    given = [tensor(twin, each) for each in arrays]
    names = of(twin, "named_weights")
    return names.gradients(model, lambda: mean_square(twin, function(*given)))


def compiled(twin, function, whole=True):
    if is_torch(twin):
        torch = importlib.import_module("torch")
        return torch.compile(function, backend="aot_eager", fullgraph=whole, dynamic=False)
    return importlib.import_module("tensorflow").function(function)


def part(weights, path):
    start = f"{path}/"
    return {name[len(start) :]: v for name, v in weights.items() if name.startswith(start)}


# --- the same in plain NumPy, for one user without padding ---------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def affine(x, weights):
    return x @ weights["kernel"] + weights["bias"]


def norm(x, weights, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return centred / scale * weights["gamma"] + weights["beta"]


def lstm_reference(x, weights):
    """[T, D] -> [T, H], event by event."""
    size = len(weights["bias"]) // 4
    h, c, states = np.zeros(size), np.zeros(size), []
    for event in x:
        total = event @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
        i, f, n, o = np.split(total, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states).reshape(-1, size)


def gru_reference(x, weights):
    """[T, D] -> [T, H], event by event."""
    size = weights["bias"].shape[1] // 3
    state, states = np.zeros(size), []
    for event in x:
        a = np.split(event @ weights["kernel"] + weights["bias"][0], 3)
        b = np.split(state @ weights["recurrent_kernel"] + weights["bias"][1], 3)
        z, r = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        state = (1 - z) * np.tanh(a[2] + r * b[2]) + z * state
        states.append(state)
    return np.array(states).reshape(-1, size)


def attention_reference(x, weights, config):
    """[T, H] -> [T, H] and the maps [M, T, T]; head by head, place by place."""
    size = config.size // config.heads
    query, key, value = (affine(x, part(weights, n)) for n in ("query", "key", "value"))
    out, maps = np.zeros_like(query), np.zeros((config.heads, len(x), len(x)))
    for head in range(config.heads):
        own = slice(head * size, (head + 1) * size)
        for place in range(len(x)):
            seen = place + 1 if config.causal else len(x)
            scores = key[:seen, own] @ query[place, own] / np.sqrt(size)
            weight = np.exp(scores) / np.exp(scores).sum()
            maps[head, place, :seen] = weight
            out[place, own] = weight @ value[:seen, own]
    return affine(out, part(weights, "out")), maps


def transformer_reference(x, weights, config):
    """[T, H] -> [T, H] and the maps [L, M, T, T]."""

    def normal(v, name):
        return norm(v, part(weights, name), config.norm_epsilon)

    x, maps = x.astype(np.float64) + weights["position"][: len(x)], []
    x = x if config.norm_first else normal(x, "norm")
    for index in range(config.layers):
        block = part(weights, f"blocks/{index}")
        first, second = (f"blocks/{index}/{n}_norm" for n in ("attention", "feed"))
        read = normal(x, first) if config.norm_first else x
        found, weight = attention_reference(read, part(block, "attention"), config)
        maps.append(weight)
        x = x + found if config.norm_first else normal(x + found, first)
        wide = affine(normal(x, second) if config.norm_first else x, part(block, "wide"))
        gelu = wide * (1 + erf(wide / np.sqrt(2))) / 2
        act = gelu if config.activation == "gelu" else np.maximum(wide, 0)
        narrow = affine(act, part(block, "narrow"))
        x = x + narrow if config.norm_first else normal(x + narrow, second)
    return normal(x, "norm") if config.norm_first else x, np.array(maps)


def text_cnn_reference(tokens, weights, config):
    """Tokens without padding -> [H]."""
    table, found = weights["embedding/table"], []
    for index, width in enumerate(config.widths):
        kernel = part(weights, f"convolutions/{index}")
        x = np.concatenate([table[tokens], np.zeros((width - 1, table.shape[1]))])
        best = np.zeros(config.filters)
        for start in range(len(tokens)):
            window = x[start : start + width]  # [w, D]
            best = np.maximum(
                best, np.einsum("wd,wdf->f", window, kernel["kernel"]) + kernel["bias"]
            )
        found.append(best)
    return affine(np.concatenate(found), part(weights, "dense"))
