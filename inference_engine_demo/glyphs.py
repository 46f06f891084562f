"""Text as pictures, without an imaging library: capitals on a grid of five by seven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Seven rows of five bits for each letter, the highest bit left.
ROWS: dict[str, tuple[int, ...]] = {
    "C": (0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110),
    "E": (0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111),
    "F": (0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000),
    "G": (0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111),
    "I": (0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110),
    "N": (0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001),
    "O": (0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110),
    "R": (0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001),
    "T": (0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100),
    " ": (0, 0, 0, 0, 0, 0, 0),
}
WIDTH, HEIGHT = 5, 7
PAPER, INK = 255, 0


def render(text: str, size: tuple[int, int], scale: int) -> NDArray[np.uint8]:
    """Black capitals on white, in the middle of a picture of `size` (height, width), each dot `scale` pixels wide.

    Raises ValueError when the text has a letter that is not in `ROWS` or does not fit.
    """
    if unknown := sorted(set(text) - set(ROWS)):
        raise ValueError(f"no glyph for {unknown}; there are {sorted(ROWS)}")
    line = np.concatenate([_glyph(letter) for letter in text], axis=1)
    dots = np.kron(line, np.ones((scale, scale), dtype=np.uint8))
    top, left = (size[0] - dots.shape[0]) // 2, (size[1] - dots.shape[1]) // 2
    if top < 0 or left < 0:
        raise ValueError(f"{text!r} takes {dots.shape} pixels, the picture has {size}; use a smaller scale")
    picture = np.full(size, PAPER, dtype=np.uint8)
    picture[top : top + dots.shape[0], left : left + dots.shape[1]][dots > 0] = INK
    return picture


def _glyph(letter: str) -> NDArray[np.uint8]:
    """[7, 6]: the letter and a column of space."""
    bits = [[row >> (WIDTH - 1 - column) & 1 for column in range(WIDTH)] + [0] for row in ROWS[letter]]
    return np.array(bits, dtype=np.uint8)
