"""Each random number comes from a seed that stands on the page."""

import ast
import re
from collections.abc import Iterator

from companion.course.project import tags
from companion.course.rules.page import Code, Finding, Page, excused

MODERN = {"BitGenerator", "Generator", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
SOURCES = {"default_rng", "SeedSequence"} | MODERN - {"Generator", "BitGenerator"}
NUMPY = re.compile(r"numpy\.random\.(\w+)")
# Draws from a state that the whole kernel shares: what the cell shows depends on cells before it.
GLOBAL = re.compile(
    r"numpy\.random\.(?!seed$|RandomState$)[a-z]\w*|random\.(?!seed$)[a-z]\w*"
    r"|torch\.(?:rand|normal|bernoulli|multinomial)\w*"
    r"|(?:tensorflow\.|tensorflow\.keras\.)random\.(?!set_seed$|stateless)[a-z]\w*"
    r"|keras\.random\.[a-z]\w*"
)
SEEDING = {"seed", "manual_seed", "set_seed", "set_random_seed", "setup"}
GIVEN = {"seed", "generator", "rng", "random_state"}


def randomness(page: Page) -> Iterator[Finding]:
    """No legacy NumPy, no generator without a seed, no shared state in a compared cell."""
    codes = page.code()
    names = _imported(codes)
    for number, cell, tree in codes:
        calls = [
            node for node in ast.walk(tree or ast.Module([], [])) if isinstance(node, ast.Call)
        ]
        seeded = any(ast.unparse(call.func).split(".")[-1] in SEEDING for call in calls)
        for call in calls:
            name = _dotted(call.func, names)
            if name is None or excused(cell, call):
                continue
            numpy = NUMPY.fullmatch(name)
            if numpy and numpy.group(1) not in MODERN | SOURCES:
                yield page.found(
                    number, "legacy-random", f"{name} shares one state; use default_rng(seed)"
                )
            if _unseeded_source(name, call):
                yield page.found(number, "no-seed", f"{name}() has no seed")
            if "nbval-check-output" in tags(cell) and not seeded and _draws(name, call):
                yield page.found(
                    number, "unseeded", f"{name} is not seeded here, yet its output is compared"
                )


def _imported(codes: list[Code]) -> dict[str, str]:
    """What each name that an import of the notebook made up stands for."""
    names: dict[str, str] = {}
    for code in codes:
        for node in ast.walk(code.tree or ast.Module([], [])):
            if isinstance(node, ast.Import):
                names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full name of what is called, or None where it is not a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([names.get(node.id, node.id), *parts])


def _unseeded_source(name: str, call: ast.Call) -> bool:
    numpy = NUMPY.fullmatch(name)
    if not (numpy and numpy.group(1) in SOURCES) and name != "random.Random":
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(isinstance(value, ast.Constant) and value.value is None for value in values)


def _draws(name: str, call: ast.Call) -> bool:
    """Whether the call draws from a state that it was not given."""
    if any(keyword.arg in GIVEN for keyword in call.keywords):
        return False
    numpy = NUMPY.fullmatch(name)
    if numpy and numpy.group(1) in MODERN | SOURCES:
        return False
    return bool(GLOBAL.fullmatch(name)) or name.endswith("action_space.sample")


RULES = (randomness,)
