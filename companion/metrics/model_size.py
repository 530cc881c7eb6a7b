"""How large a model is: parameters, memory, and operations for one example.

A vector times a kernel [in, out] takes in * out multiplications and, with the bias, as many
additions: 2 in out operations. Activations, normalisations, softmaxes, means and looking up a row
are not counted; all together they are a small part.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

FLOAT32, FLOAT64 = 4, 8  # bytes of a number
ADAM = 4  # arrays as large as the weights: themselves, their gradient, Adam's two moments
ADAM_WITH_TARGET = 5  # and the copy that a target network is


@dataclass(frozen=True)
class ModelSize:
    """What a model holds, and what one example costs.

    Raises:
        ValueError: a number is below 0, or `copies` or `itemsize` below 1; it is named.
    """

    parameters: int  # numbers that learning changes
    operations: int  # multiplications and additions, from the example to the answer
    kept: int = 0  # numbers of each example that the backward pass needs, at least
    copies: int = ADAM  # arrays as large as the weights that training holds
    itemsize: int = FLOAT32  # bytes of a number

    def __post_init__(self) -> None:
        least = {"parameters": 0, "operations": 0, "kept": 0, "copies": 1, "itemsize": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be {lowest} or more; got {getattr(self, name)}")

    @property
    def memory(self) -> int:
        """Bytes of the weights alone: what is needed to use the model."""
        return self.parameters * self.itemsize

    def training_memory(self, batch_size: int = 0) -> int:
        """Bytes of weights, gradients and the optimiser's state, and of a batch's activations.

        Args:
            batch_size: examples whose activations are kept together; 0 leaves them out.

        Raises:
            ValueError: the batch size is below 0.
        """
        if batch_size < 0:
            raise ValueError(f"batch_size must be 0 or more; got {batch_size}")
        return self.copies * self.memory + batch_size * self.kept * self.itemsize


def size_of(
    shapes: Mapping[str, tuple[int, ...]],
    uses: Mapping[str, int] | None = None,
    *,
    copies: int = ADAM,
    itemsize: int = FLOAT32,
) -> ModelSize:
    """The size of a model from the shapes of its arrays.

    operations = 2 sum over kernels of uses * in * out; kept = sum over kernels of uses * in, since
    the gradient by a kernel needs its input.

    Args:
        shapes: by name; a kernel's name ends with "kernel", and its shape is [in, out].
        uses: name to how often an example is multiplied by this array; what is not named is used
            once if it is a kernel, else never. A recurrent kernel is used once for each step.
        copies: arrays as large as the weights that training holds.
        itemsize: bytes of a number.

    Raises:
        ValueError: an array that is used has not two axes or is not among the shapes; it is named.
    """
    times = {name: 1 for name in shapes if name.endswith("kernel")} | dict(uses or {})
    for name in times:
        if len(shapes.get(name, ())) != 2:
            raise ValueError(f"{name!r} must be among the shapes, and be [in, out]")
    return ModelSize(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        operations=sum(2 * count * math.prod(shapes[name]) for name, count in times.items()),
        kept=sum(count * shapes[name][0] for name, count in times.items()),
        copies=copies,
        itemsize=itemsize,
    )


@dataclass(frozen=True)
class Transformer:
    """The published configuration of a transformer: Vaswani et al. (2017), arXiv:1706.03762.

    Raises:
        ValueError: a number is out of its range, or the heads do not divide the width.
    """

    vocabulary: int  # V, rows of the table of word pieces
    positions: int  # P, rows of the table of places
    layers: int  # L
    width: int  # d
    inner: int  # f, width inside the feed-forward part
    heads: int  # a, which changes no count of parameters
    segments: int = 0  # S: BERT marks two sentences by 2 rows
    pooler: bool = False  # BERT's dense layer over the first word piece
    next_word: bool = False  # scores of all words at the end, with the table of words as the kernel

    def __post_init__(self) -> None:
        for name in ("vocabulary", "positions", "layers", "width", "inner", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if self.segments < 0:
            raise ValueError(f"segments must be 0 or more; got {self.segments}")
        if self.width % self.heads:
            raise ValueError(f"heads must divide the width {self.width}; got {self.heads}")


def transformer_parameters(config: Transformer) -> dict[str, int]:
    """Parameters of a transformer, part by part.

    "tables"     (V + P + S) d
    "attention"  L (4 d^2 + 4 d)      queries, keys, values and output, with their biases
    "inner"      L (2 d f + f + d)    two dense layers
    "norms"      (2 L + 1) 2 d        a scale and a shift, two in each layer and one outside
    "pooler"     d^2 + d              where there is one
    """
    d, f, layers = config.width, config.inner, config.layers
    return {
        "tables": (config.vocabulary + config.positions + config.segments) * d,
        "attention": layers * (4 * d**2 + 4 * d),
        "inner": layers * (2 * d * f + f + d),
        "norms": (2 * layers + 1) * 2 * d,
        "pooler": config.pooler * (d**2 + d),
    }


def transformer_size(config: Transformer, tokens: int) -> ModelSize:
    """Size of a transformer that reads a text of T word pieces.

    operations = L (T (8 d^2 + 4 d f) + 4 T^2 d), and 2 d^2 for a pooler, 2 T d V for the next word.
    4 T^2 d is attention itself: queries times keys, and weights times values. A look-up costs
    nothing, so the tables count as parameters alone.

    kept = L (T (6 d + f) + a T^2), at least: the inputs of the products, with queries, keys, values
    and the weights of attention; and T V for the next word.

    Args:
        config: the configuration.
        tokens: T, from 1 to P.

    Raises:
        ValueError: more word pieces than there are positions, or none.
    """
    if not 1 <= tokens <= config.positions:
        raise ValueError(f"tokens must be from 1 to {config.positions}; got {tokens}")
    d, f, layers = config.width, config.inner, config.layers
    operations = layers * (tokens * (8 * d**2 + 4 * d * f) + 4 * tokens**2 * d)
    operations += config.pooler * 2 * d**2 + config.next_word * 2 * tokens * d * config.vocabulary
    kept = layers * (tokens * (6 * d + f) + config.heads * tokens**2)
    kept += config.next_word * tokens * config.vocabulary
    return ModelSize(sum(transformer_parameters(config).values()), operations, kept)


KNOWN = {
    # Reimers and Gurevych's sentence-transformers, from the configuration in its weights' folder
    "MiniLM-L6": Transformer(30_522, 512, 6, 384, 1_536, 12, segments=2, pooler=True),
    # Devlin et al. (2018), arXiv:1810.04805, uncased
    "BERT-base": Transformer(30_522, 512, 12, 768, 3_072, 12, segments=2, pooler=True),
    # Radford et al. (2019)
    "GPT-2 small": Transformer(50_257, 1_024, 12, 768, 3_072, 12, next_word=True),
    # Brown et al. (2020), arXiv:2005.14165, table 2.1
    "GPT-3": Transformer(50_257, 2_048, 96, 12_288, 49_152, 96, next_word=True),
}
PUBLISHED = {  # parameters as their makers write them, rounded
    "MiniLM-L6": 22_700_000,  # its model card
    "BERT-base": 110_000_000,  # its paper
    "GPT-2 small": 124_000_000,  # its repository, which takes back the paper's 117 million
    "GPT-3": 175_000_000_000,  # its paper
}
