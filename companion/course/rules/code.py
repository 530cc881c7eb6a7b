"""The code on a page is today's: Gymnasium, five values from a step, Keras 3, one framework."""

import ast
from collections.abc import Iterator

from companion.course.rules.page import Finding, Page, excused

DEAD = {
    "gym": "use gymnasium",
    "recsim": "it needs libraries that are gone",
    "tf_agents": "it needs Keras 2",
    "tf_keras": "use keras",
}
OTHERS = {
    "pytorch": {"tensorflow", "keras", "companion.tensorflow"},
    "tensorflow": {"torch", "companion.pytorch"},
}
FIVE = "step gives obs, reward, terminated, truncated, info"
Said = tuple[ast.AST, str, str]


def code(page: Page) -> Iterator[Finding]:
    """Looks at every statement of every code cell, but for those that are wrong on purpose."""
    for number, cell, tree in page.code():
        if tree is None:
            yield page.found(number, "python", "not plain Python; a chapter has no magics")
            continue
        said = [*_imports(tree, page.framework), *_steps(tree), *_seeds(tree)]
        for node, rule, sentence in said:
            if not excused(cell, node):
                yield page.found(number, rule, sentence)
        if "TF_USE_LEGACY_KERAS" in cell.source:
            yield page.found(
                number, "legacy-keras", "TF_USE_LEGACY_KERAS changes Keras for the whole kernel"
            )


def _imports(tree: ast.Module, framework: str | None) -> Iterator[Said]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            top = name.split(".")[0]
            if top in DEAD:
                yield node, "import", f"imports {top}; {DEAD[top]}"
                break
            if OTHERS.get(framework or "", set()) & {top, ".".join(name.split(".")[:2])}:
                yield node, "framework", f"the {framework} edition imports {name}"
                break


def _steps(tree: ast.Module) -> Iterator[Said]:
    """What is wrong with unpacking a step of an environment."""
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    looped = {
        id(inner)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While | ast.For)
        for inner in ast.walk(loop)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_step(node.value):
            yield node, "truncated", f"takes a part of a step; {FIVE}"
        if not isinstance(node, ast.Assign) or not _is_step(node.value):
            continue
        for target in node.targets:
            names = target.elts if isinstance(target, ast.Tuple) else []
            starred = any(isinstance(name, ast.Starred) for name in names[:4])
            if len(names) == 4 and not starred:
                yield node, "four", f"unpacks a step into four values; {FIVE}"
            elif starred or (len(names) == 5 and _dropped(names[3], read, id(node) in looped)):
                yield node, "truncated", f"drops truncated, so its loop may never end; {FIVE}"


def _is_step(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
    )


def _dropped(slot: ast.expr, read: set[str], in_loop: bool) -> bool:
    """Whether the fourth value goes nowhere: to an underscore, or in a loop to a name unread."""
    if not isinstance(slot, ast.Name):
        return False
    return slot.id.startswith("_") or (in_loop and slot.id not in read)


def _seeds(tree: ast.Module) -> Iterator[Said]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "seed"
            and ast.unparse(node.func.value).endswith(("env", "envs"))
        ):
            yield node, "env-seed", "an environment has no seed method; use reset(seed=...)"


RULES = (code,)
