"""Images and text of `taxi`."""

from __future__ import annotations

from typing import Any

from gymnasium.utils import colorize

from puffer_numba.envs.taxi import CELLS, IN_TAXI, MAP, PADS, SIDE, decode
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 4
KEYS = {"down": 0, "up": 1, "right": 2, "left": 3, "p": 4, "d": 5}

PAD_COLORS: tuple[Color, ...] = (CORAL, (74, 222, 128), AMBER, (96, 165, 250))
_NAMES = ("South", "North", "East", "West", "Pickup", "Dropoff")


def ansi_env(s: Any, p: Any, i: int) -> str:
    lines = [list(line) for line in MAP]
    taxi, passenger, destination = decode(int(s.state[i]))

    def paint(cell: int, color: str, **style: bool) -> None:
        row, column = 1 + cell // SIDE, 2 * (cell % SIDE) + 1
        lines[row][column] = colorize(lines[row][column], color, **style)

    if passenger == IN_TAXI:
        row, column = 1 + taxi // SIDE, 2 * (taxi % SIDE) + 1
        lines[row][column] = lines[row][column].replace(" ", "_")
        paint(taxi, "green", highlight=True)
    else:
        paint(taxi, "yellow", highlight=True)
        paint(PADS[passenger], "blue", bold=True)
    paint(PADS[destination], "magenta")
    action = int(s.last_action[i])
    return "\n".join([*map("".join, lines), f"  ({_NAMES[action - 1]})" if action else "", ""])


def render_env(s: Any, p: Any, i: int) -> Frame:
    size = 88
    taxi, passenger, destination = decode(int(s.state[i]))
    canvas = Canvas(SIDE * size + 16, SIDE * size + 16)

    def corner(cell: int) -> tuple[float, float]:
        return 8 + cell % SIDE * size, 8 + cell // SIDE * size

    for cell in range(CELLS):
        x, y = corner(cell)
        canvas.rectangle(x + 1, y + 1, size - 2, size - 2, GRID, 6)
        if cell in PADS:
            canvas.rectangle(x + 8, y + 8, size - 16, size - 16, PAD_COLORS[PADS.index(cell)], 10)
            canvas.rectangle(x + 14, y + 14, size - 28, size - 28, GRID, 7)
    for cell in range(CELLS):
        x, y = corner(cell)
        if cell % SIDE < SIDE - 1 and MAP[1 + cell // SIDE][2 * (cell % SIDE) + 2] == "|":
            canvas.rectangle(x + size - 4, y, 8, size, FOREGROUND)
    x, y = corner(PADS[destination])  # a flag
    canvas.line((x + 24, y + 22), (x + 24, y + 66), FOREGROUND, 4)
    canvas.polygon([(x + 24, y + 20), (x + 50, y + 30), (x + 24, y + 40)], PAD_COLORS[destination])
    if passenger != IN_TAXI:
        x, y = corner(PADS[passenger])
        canvas.circle(x + 62, y + 46, 8, TEAL)
        canvas.polygon([(x + 50, y + 74), (x + 54, y + 56), (x + 70, y + 56), (x + 74, y + 74)], TEAL)
    x, y = corner(taxi)
    canvas.rectangle(x + 14, y + 40, size - 28, 22, AMBER, 7)
    canvas.rectangle(x + 27, y + 24, size - 54, 22, AMBER, 6)
    canvas.rectangle(x + 32, y + 29, size - 64, 13, BACKGROUND, 3)
    for wheel in (30, size - 30):
        canvas.circle(x + wheel, y + 62, 8, BACKGROUND)
    if passenger == IN_TAXI:
        canvas.circle(x + size / 2, y + 36, 6, TEAL)
    return canvas.array()
