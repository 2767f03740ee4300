"""Images and text of `tetris`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs.tetris import BAG, CELLS, MASKS, NAMES, PREVIEW, WIDTH, landing_row
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 15
KEYS = {"": 0, "left": 1, "right": 2, "up": 3, "down": 4, "space": 5, "c": 6}

COLORS: tuple[Color, ...] = (
    TEAL,
    AMBER,
    (167, 120, 245),
    (132, 204, 80),
    CORAL,
    (96, 145, 250),
    (249, 146, 60),
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    cell, margin, side = 22, 14, 120
    height = int(p.height)
    canvas = Canvas(WIDTH * cell + 2 * margin + side, height * cell + 2 * margin)

    def draw(x: float, y: float, color: Color, inset: int = 1, size: int = cell) -> None:
        canvas.rectangle(x + inset, y + inset, size - 2 * inset, size - 2 * inset, color, radius=4)

    def draw_box(x: float, y: float, title: str, piece: int) -> None:
        canvas.text(x, y, title, FOREGROUND, 14)
        for row, column in CELLS[piece, 0].tolist() if piece >= 0 else []:
            draw(x + column * 18, y + 24 + row * 18, COLORS[piece], size=18)

    for k, content in enumerate(s.board[i].tolist()):
        color = COLORS[content - 1] if content else GRID
        draw(margin + k % WIDTH * cell, margin + k // WIDTH * cell, color, 1 if content else 2)
    piece, turns, column = int(s.piece[i]), int(s.turns[i]), int(s.column[i])
    bottom = landing_row(s.rows, i, MASKS[piece, turns], int(s.row[i]), column)
    for row, is_shadow in ((bottom, True), (int(s.row[i]), False)):
        for down, right in CELLS[piece, turns].tolist():
            x, y = margin + (column + right) * cell, margin + (row + down) * cell
            draw(x, y, COLORS[piece])
            if is_shadow:
                draw(x, y, BACKGROUND, 3)
    x = 2 * margin + WIDTH * cell
    for k in range(PREVIEW):
        draw_box(x, margin + 80 * k, "next" if k == 0 else "", int(s.bags[i, (s.drawn[i] + k + 1) % (2 * BAG)]))
    draw_box(x, margin + 190, "hold", int(s.held[i]) - 1)
    canvas.text(x, margin + 300, "lines", FOREGROUND, 14)
    canvas.text(x, margin + 320, str(int(s.lines[i])), AMBER, 30)
    return canvas.array()


def ansi_env(s: Any, p: Any, i: int) -> str:
    cells = np.array([".", *NAMES])[s.board[i]].reshape(-1, WIDTH)
    for row, column in CELLS[s.piece[i], s.turns[i]].tolist():
        cells[int(s.row[i]) + row, int(s.column[i]) + column] = NAMES[s.piece[i]].lower()
    coming = "".join(NAMES[s.bags[i, (s.drawn[i] + k) % (2 * BAG)]] for k in range(1, PREVIEW + 1))
    held = NAMES[s.held[i] - 1] if s.held[i] else "-"
    board = "\n".join("".join(row) for row in cells.tolist())
    return f"{board}\nnext {coming}  hold {held}  lines {s.lines[i]}"
