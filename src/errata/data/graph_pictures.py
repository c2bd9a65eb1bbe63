"""A picture of what a node is linked with: two steps around it, classes as colours and letters."""

from __future__ import annotations

import io
import math
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.labels import MISSING

if TYPE_CHECKING:
    from errata.data.graphs import GraphData

__all__ = ["letters", "neighbourhood"]

SIDE = 320  # pixels of the drawing; the legend stands below it
LINE = 18
NEAREST, FARTHER = 14, 26  # nodes that are drawn at one and two steps
SHOWN = 6  # classes in the legend
# of Paul Tol's colour schemes "bright" and "muted", which people with poor colour vision can tell apart
COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
    "#332288", "#ddcc77", "#117733", "#cc6677", "#44aa99", "#999933",
)  # fmt: skip
GREY, INK, PAPER = "#9a9a9a", "#1b1b1b", "#ffffff"


def letters(classes: list[Any]) -> list[str]:
    """One or two characters for each class: its first, where these differ and are plain, or else A, B, C ...

    Examples
    --------
    >>> letters(["theory", "agents"]), letters(["cat", "cow"]), letters([0, 1])
    (['T', 'A'], ['A', 'B'], ['0', '1'])
    """
    first = [str(c).strip()[:1].upper() for c in classes]
    short = [str(c) for c in classes]
    if all(len(s) <= 2 and s.isascii() and s.strip() for s in short) and len(set(short)) == len(short):
        return short
    if len(set(first)) == len(first) and all(f.isascii() and f.isalnum() for f in first):
        return first
    return [_letter(i) for i in range(len(classes))]


def _letter(number: int) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return alphabet[number] if number < 26 else alphabet[number // 26 % 26 - 1] + alphabet[number % 26]


def neighbourhood(data: GraphData, position: int) -> bytes:
    """A PNG of the nodes within two steps of one.

    A filled circle is a node whose label was given for training, an empty one a node without: it shows the class that a
    system proposes, where one has (``data.proposed``). The node in question stands in the middle, with a double rim.

    Parameters
    ----------
    data : the graph
    position : the node

    Examples
    --------
    >>> from errata.data.graphs import read
    >>> neighbourhood(read(np.eye(3), [0, 1, 1], edges=[[0, 1], [1, 2]]), 1)[:4]
    b'\\x89PNG'
    """
    from PIL import Image, ImageDraw

    places, pairs, left_out = _layout(data, position)
    classes = [] if data.labels is None else data.labels.classes
    marks = letters(classes)
    shown = Counter(code for code in (_class_of(data, node) for node in places) if code != MISSING)
    lines = [_legend(marks[code], classes[code]) for code, _ in shown.most_common(SHOWN)]
    if left_out:
        lines.append(f"{left_out:,} more nodes are not drawn")
    height = SIDE + LINE * len(lines) + (8 if lines else 0)
    image = Image.new("RGB", (SIDE, height), PAPER)
    draw = ImageDraw.Draw(image)
    for a, b in pairs:
        near = position in (a, b)
        draw.line([places[a], places[b]], fill=INK if near else "#c4c4c4", width=2 if near else 1)
    for node, place in sorted(places.items(), key=lambda one: one[0] == position):
        _node(draw, data, node, place, marks, node == position)
    for i, (line, (code, _)) in enumerate(zip(lines, [*shown.most_common(SHOWN), (MISSING, 0)])):
        y = SIDE + i * LINE + LINE / 2
        if not (left_out and i == len(lines) - 1):
            draw.ellipse([8, y - 6, 20, y + 6], fill=COLOURS[code % len(COLOURS)])
        draw.text((26, y), line, fill=INK, font=_font(13), anchor="lm")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


def _legend(mark: str, name: Any) -> str:
    text = " ".join(str(name).split())
    text = text if text == mark else f"{mark}  {text}"
    return text if len(text) <= 36 else text[:35] + "…"


def _class_of(data: GraphData, node: int) -> int:
    """What is drawn of a node: its given label, or else the proposed one."""
    given = int(data.given[node])
    return given if given != MISSING or data.proposed is None else int(data.proposed[node])


def _layout(data: GraphData, position: int) -> tuple[dict[int, tuple[float, float]], list[tuple[int, int]], int]:
    """Where each node goes, which edges are drawn, and how many nodes aren't."""
    near = data.neighbours(position)
    rng = np.random.default_rng(position)  # the same picture for the same node
    first = near if len(near) <= NEAREST else np.sort(rng.choice(near, NEAREST, replace=False))
    parents: dict[int, list[int]] = {}
    for node in first.tolist():
        for other in data.neighbours(node).tolist():
            if other != position and other not in near:
                parents.setdefault(other, []).append(node)
    chosen = list(parents)
    if len(chosen) > FARTHER:
        chosen = sorted(int(n) for n in rng.choice(chosen, FARTHER, replace=False))
    left_out = len(near) - len(first) + len(parents) - len(chosen)
    middle = SIDE / 2
    angle = {int(node): 2 * math.pi * i / max(1, len(first)) - math.pi / 2 for i, node in enumerate(first)}
    # two steps away: in the order of the neighbours that they hang on, evenly around
    chosen.sort(key=lambda node: (angle[parents[node][0]], node))
    shift = angle[parents[chosen[0]][0]] if chosen else 0.0
    outer = {node: shift + 2 * math.pi * i / max(1, len(chosen)) for i, node in enumerate(chosen)}
    places = {position: (middle, middle)}
    places |= {n: (middle + 0.25 * SIDE * math.cos(a), middle + 0.25 * SIDE * math.sin(a)) for n, a in angle.items()}
    places |= {n: (middle + 0.44 * SIDE * math.cos(a), middle + 0.44 * SIDE * math.sin(a)) for n, a in outer.items()}
    pairs = [(a, b) for a in places for b in data.neighbours(a).tolist() if a < b and b in places]
    return places, pairs, left_out


def _node(draw: Any, data: GraphData, node: int, place: tuple[float, float], marks: list[str], own: bool) -> None:
    x, y = place
    code = _class_of(data, node)
    colour = GREY if code == MISSING else COLOURS[code % len(COLOURS)]
    radius = 19 if own else 12
    if own:
        draw.ellipse([x - radius - 5, y - radius - 5, x + radius + 5, y + radius + 5], fill=PAPER, outline=INK, width=3)
    filled = int(data.given[node]) != MISSING
    draw.ellipse(
        [x - radius, y - radius, x + radius, y + radius], fill=colour if filled else PAPER, outline=colour, width=3
    )
    if code != MISSING:
        ink = (PAPER if _dark(colour) else INK) if filled else INK
        draw.text(place, marks[code], fill=ink, font=_font(17 if own else 12), anchor="mm")


def _dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 150


@lru_cache(maxsize=4)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
