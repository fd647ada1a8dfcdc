"""Charts as SVG made at the server: no script, no inline style, printable, with a table beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1100, 240
LEFT, RIGHT, BOTTOM, TOP = 44, 14, 22, 8
GAP = 0.3
LABELS_AT_MOST = 16
BAR_WIDTH, BAR_HEIGHT = 120, 10


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar: where it is, which kind it is of and what it says."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    told: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the scale, with its number."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """What stands under a bar."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars with their scale."""

    pieces: list[Piece]
    lines: list[Line]
    labels: list[Label]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def stacked(bars: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> Chart:
    """Return a chart of bars: each a label, and its parts from the bottom up, kind and number.

    Of many labels only some are written, the last one among them.
    """
    highest = max((sum(count for _, count in parts) for _, parts in bars), default=0)
    top = rounded_up(highest)
    scale = (HEIGHT - BOTTOM - TOP) / top
    step = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    every = -(-len(bars) // LABELS_AT_MOST)
    pieces, labels = [], []
    for number, (label, parts) in enumerate(bars):
        x, y = LEFT + step * (number + GAP / 2), float(HEIGHT - BOTTOM)
        for kind, count in parts:
            if count:
                height = count * scale
                y -= height
                told = f"{label}: {count:,} {kind}"
                width = step * (1 - GAP)
                place = [round(one, 1) for one in (x, y, width, height)]
                pieces.append(Piece(place[0], place[1], place[2], place[3], kind, told))
        if (len(bars) - 1 - number) % every == 0:
            labels.append(Label(round(x + step * (1 - GAP) / 2, 1), label))
    lines = [
        Line(round(HEIGHT - BOTTOM - top * share * scale, 1), f"{top * share:,.0f}")
        for share in (0, 0.5, 1)
    ]
    return Chart(pieces, lines, labels)


def bar(parts: Sequence[tuple[str, int]], largest: int) -> list[Piece]:
    """Return one bar, lying, beside others of which the largest has that number in all."""
    x, pieces = 0.0, []
    for kind, count in parts:
        if count:
            width = BAR_WIDTH * count / max(largest, 1)
            told = f"{count:,} {kind}"
            pieces.append(Piece(round(x, 1), 0, round(width, 1), BAR_HEIGHT, kind, told))
            x += width
    return pieces


def rounded_up(number: int) -> int:
    """Return the next round number, e.g. 10, 30, 400: half of it is whole."""
    size = 10
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if number <= size * factor:
                return size * factor
        size *= 10
