"""Images and text of `blackjack`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.blackjack import ACE, best_sum
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4
KEYS = {"s": 0, "h": 1}


def ansi_env(s: Any, p: Any, i: int) -> str:
    total, player = int(s.total[i]), int(best_sum(s.total[i], s.ace[i]))
    notes = "".join([", usable ace" if player > total else "", ", bust" if player > 21 else ""])
    return f"Dealer: {_face(int(s.dealer_card[i]))} ?\nPlayer: {player}{notes}\n"


def render_env(s: Any, p: Any, i: int) -> Frame:
    canvas = Canvas(400, 400)
    canvas.text(40, 28, "Dealer", FOREGROUND, 20)
    card = _face(int(s.dealer_card[i]))
    canvas.rectangle(40, 62, 90, 126, FOREGROUND, 10)
    canvas.text(54, 70, card, BACKGROUND, 44)
    canvas.rectangle(146, 62, 90, 126, GRID, 10)
    canvas.rectangle(154, 70, 74, 110, TEAL, 7)
    canvas.rectangle(162, 78, 58, 94, GRID, 5)
    total, player = int(s.total[i]), int(best_sum(s.total[i], s.ace[i]))
    canvas.text(40, 220, "Player", FOREGROUND, 20)
    canvas.text(40, 246, str(player), CORAL if player > 21 else AMBER, 88)
    if player > total:
        canvas.rectangle(200, 286, 150, 38, TEAL, 10)
        canvas.text(217, 293, "usable ace", BACKGROUND, 20)
    return canvas.array()


def _face(card: int) -> str:
    return "A" if card == ACE else str(card)
