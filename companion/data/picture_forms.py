"""The forms that products are drawn in: each a list of patches, as masks over a small canvas.

Coordinates u (to the right) and v (down) run from -1 to 1 over the picture. A form gives its
patches from back to front as (mask, part); the part says which of the product's colours it takes.
"""

from collections.abc import Callable

import numpy as np

Patches = list[
    tuple[np.ndarray, str]
]  # mask bool [S, S]; "main", "dark", "label", "white", "green"
Form = Callable[[np.ndarray, np.ndarray], Patches]


def box(
    u: np.ndarray, v: np.ndarray, left: float, right: float, top: float, down: float
) -> np.ndarray:
    """A rectangle."""
    return (u > left) & (u < right) & (v > top) & (v < down)


def disc(u: np.ndarray, v: np.ndarray, x: float, y: float, wide: float, high: float) -> np.ndarray:
    """An ellipse about (x, y) with these half axes."""
    return ((u - x) / wide) ** 2 + ((v - y) / high) ** 2 < 1


def bottle(u: np.ndarray, v: np.ndarray) -> Patches:
    """A neck, shoulders, a label."""
    shoulders = (v > -0.45) & (v < -0.15) & (np.abs(u) < 0.12 + 0.67 * (v + 0.45))
    body = box(u, v, -0.32, 0.32, -0.16, 0.88) | shoulders | box(u, v, -0.12, 0.12, -0.75, -0.4)
    cap = box(u, v, -0.15, 0.15, -0.92, -0.75)
    return [(body, "main"), (cap, "dark"), (box(u, v, -0.32, 0.32, 0.1, 0.55), "label")]


def can(u: np.ndarray, v: np.ndarray) -> Patches:
    """A cylinder seen a little from above."""
    body = box(u, v, -0.45, 0.45, -0.6, 0.6) | disc(u, v, 0, 0.6, 0.45, 0.15)
    label = box(u, v, -0.45, 0.45, -0.3, 0.35)
    return [(body, "white"), (label, "main"), (disc(u, v, 0, -0.6, 0.45, 0.15), "dark")]


def carton(u: np.ndarray, v: np.ndarray) -> Patches:
    """A box of milk with a gable."""
    gable = (v > -0.75) & (v <= -0.4) & (np.abs(u) < 0.12 + 0.83 * (v + 0.75))
    body = box(u, v, -0.41, 0.41, -0.4, 0.85)
    ridge = box(u, v, -0.14, 0.14, -0.9, -0.74)
    return [
        (body, "white"),
        (gable, "main"),
        (ridge, "white"),
        (disc(u, v, 0, 0.25, 0.26, 0.3), "main"),
    ]


def packet(u: np.ndarray, v: np.ndarray) -> Patches:
    """A cardboard box with a side."""
    side = (u > 0.35) & (u < 0.65) & (v > -0.8 + 0.5 * (0.65 - u)) & (v < 0.8 - 0.5 * (u - 0.35))
    front = box(u, v, -0.6, 0.36, -0.7, 0.8)
    return [(side, "dark"), (front, "main"), (disc(u, v, -0.12, -0.05, 0.36, 0.26), "label")]


def bag(u: np.ndarray, v: np.ndarray) -> Patches:
    """A pillow bag with seams."""
    body = (np.abs(u) < 0.58 - 0.12 * v**2) & (np.abs(v) < 0.82)
    seams = body & (np.abs(v) > 0.66)
    return [(body, "main"), (seams, "dark"), (disc(u, v, 0, 0.05, 0.4, 0.28), "label")]


def jar(u: np.ndarray, v: np.ndarray) -> Patches:
    """Glass with a lid."""
    body = box(u, v, -0.45, 0.45, -0.4, 0.75) | disc(u, v, 0, -0.4, 0.45, 0.15)
    lid = box(u, v, -0.4, 0.4, -0.78, -0.5)
    return [(body, "main"), (lid, "dark"), (box(u, v, -0.45, 0.45, -0.05, 0.45), "label")]


def tray(u: np.ndarray, v: np.ndarray) -> Patches:
    """Foam with what lies on it."""
    rim = (np.abs(u) ** 4 / 0.85**4 + np.abs(v) ** 4 / 0.55**4) < 1
    piece = disc(u, v, -0.2, 0.02, 0.45, 0.33) | disc(u, v, 0.3, 0, 0.35, 0.3)
    return [(rim, "white"), (piece, "main"), (disc(u, v, -0.05, -0.05, 0.12, 0.08), "label")]


def fruit(u: np.ndarray, v: np.ndarray) -> Patches:
    """A round one, with a stem and a leaf."""
    flesh = disc(u, v, 0, 0.15, 0.62, 0.6)
    shine = disc(u, v, -0.22, -0.08, 0.14, 0.17)
    stem = box(u, v, -0.04, 0.04, -0.72, -0.4)
    return [
        (flesh, "main"),
        (stem, "dark"),
        (disc(u, v, 0.2, -0.6, 0.2, 0.1), "green"),
        (shine, "label"),
    ]


def greens(u: np.ndarray, v: np.ndarray) -> Patches:
    """A bunch of leaves."""
    leaves = [disc(u - 0.6 * slope * (0.6 - v), v, 0, -0.15, 0.2, 0.6) for slope in (-0.8, 0, 0.8)]
    stalks = [np.abs(u - 0.6 * slope * (0.6 - v)) < 0.05 for slope in (-0.8, 0, 0.8)]
    inside = box(u, v, -1, 1, -0.3, 0.85)
    return [
        (leaves[0] | leaves[2], "dark"),
        (leaves[1], "main"),
        ((stalks[0] | stalks[1] | stalks[2]) & inside, "label"),
    ]


def loaf(u: np.ndarray, v: np.ndarray) -> Patches:
    """Bread with cuts."""
    crust = disc(u, v, 0, -0.05, 0.8, 0.48) | box(u, v, -0.72, 0.72, 0, 0.5)
    cuts = np.zeros(u.shape, bool)
    for x in (-0.4, 0.0, 0.4):
        cuts |= (np.abs(u - x + 0.3 * v) < 0.06) & box(u, v, -1, 1, -0.4, 0.1)
    return [(crust, "main"), (cuts & crust, "label")]


def wedge(u: np.ndarray, v: np.ndarray) -> Patches:
    """Cheese with holes."""
    top = (v > -0.5 + 0.25 * (u + 0.8)) & (v < 0.0) & (np.abs(u) < 0.8)
    side = box(u, v, -0.8, 0.8, -0.02, 0.5)
    holes = (
        disc(u, v, -0.4, 0.2, 0.14, 0.12)
        | disc(u, v, 0.2, 0.3, 0.12, 0.1)
        | disc(u, v, 0.5, 0.1, 0.1, 0.08)
    )
    return [(top, "label"), (side, "main"), (holes, "dark")]


def tube(u: np.ndarray, v: np.ndarray) -> Patches:
    """Tapered, with a cap."""
    body = (v > -0.85) & (v < 0.5) & (np.abs(u) < 0.42 - 0.17 * (v + 0.85))
    seam = body & (v < -0.7)
    return [
        (body, "main"),
        (seam, "dark"),
        (box(u, v, -0.16, 0.16, 0.5, 0.85), "white"),
        (box(u, v, -0.18, 0.18, -0.3, 0.2), "label"),
    ]


def tag(u: np.ndarray, v: np.ndarray) -> Patches:
    """Anything else: a price tag."""
    paper = (v > -0.75 + 0.8 * np.maximum(np.abs(u) - 0.15, 0)) & (v < 0.75) & (np.abs(u) < 0.5)
    lines = box(u, v, -0.32, 0.32, 0.0, 0.1) | box(u, v, -0.32, 0.1, 0.25, 0.35)
    return [(paper, "label"), (lines, "main"), (disc(u, v, 0, -0.5, 0.1, 0.1), "dark")]


FORMS: dict[str, Form] = {
    "bottle": bottle,
    "can": can,
    "carton": carton,
    "packet": packet,
    "bag": bag,
    "jar": jar,
    "tray": tray,
    "fruit": fruit,
    "greens": greens,
    "loaf": loaf,
    "wedge": wedge,
    "tube": tube,
    "tag": tag,
}
