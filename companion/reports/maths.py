"""Formulas without a script: LaTeX to MathML, which every current browser draws by itself."""

import html
import re
from typing import Any
from xml.etree.ElementTree import Element, tostring

from latex2mathml import commands
from latex2mathml.converter import Converter
from nbconvert.filters.markdown_mistune import IPythonRenderer

# Environments that the converter knows by another name, or that add nothing inside a formula.
SAME = {"aligned": "align*", "gathered": "matrix", "gather": "matrix", "gather*": "matrix"}
BARE = r"\\(begin|end)\{(equation\*?|displaymath|math)\}"
ENVIRONMENT = re.compile(r"\\begin\{([a-zA-Z]+\*?)\}")
UNKNOWN = re.compile(r"\\[a-zA-Z]+")
KNOWN = {name.removeprefix("\\") for name in commands.MATRICES}


def to_mathml(latex: str, *, block: bool = False) -> str:
    """A formula as MathML; one that cannot be read is shown as its source, never dropped."""
    try:
        element = _convert(latex, "block" if block else "inline")
    except Exception:  # the converter raises many kinds of error, and IndexError for some input
        element = None
    if element is not None:
        return tostring(element, encoding="unicode")
    mark = "$$" if block else "$"
    tag = "div" if block else "span"
    source = html.escape(latex.strip())
    return f'<{tag} class="formula-source"><code>{mark}{source}{mark}</code></{tag}>'


def _convert(latex: str, display: str) -> Element | None:
    """The MathML tree, or None where the converter would drop or garble a part."""
    latex = re.sub(BARE, "", latex)
    for name, known in SAME.items():
        latex = re.sub(rf"\\(begin|end)\{{{re.escape(name)}\}}", rf"\\\1{{{known}}}", latex)
    if set(ENVIRONMENT.findall(latex)) - KNOWN:
        return None
    tree: Element = Converter(display=display).convert_to_element(latex)
    for node in tree.iter():
        # Texts hold entities such as &#x0003C; which the writer below escapes again.
        text = html.unescape(node.text or "")
        if node.tag == "mtext":
            text = re.sub(r"\\([%&$#_{}])", r"\1", text)
        elif UNKNOWN.match(text):
            return None
        node.text = text or None
        for name in ("href", "style", "class", "id"):
            node.attrib.pop(name, None)
    return tree


class MathRenderer(IPythonRenderer):  # type: ignore[misc,unused-ignore]
    """nbconvert's Markdown renderer, with MathML in place of text for MathJax."""

    def inline_math(self, body: str) -> str:
        """A formula in a line of text."""
        return to_mathml(body)

    def block_math(self, body: str) -> str:
        """A formula on lines of its own."""
        return to_mathml(body, block=True)

    def latex_environment(self, name: str, body: str) -> str:
        """A formula that begins with an environment, such as align."""
        return to_mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """A heading; its anchor is set for the whole page at once, where all are known."""
        return f"<h{level}>{text}</h{level}>\n"

    def block_mermaidjs(self, code: str) -> str:
        """A diagram's source as it is: drawing it would need a script from the network."""
        return f"<pre><code>{html.escape(code)}</code></pre>"
