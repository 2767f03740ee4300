"""What games of two players who take turns have in common."""

from __future__ import annotations


def end_turn(s, i, team, player, won):
    """The other player is next; the winner gets what the loser loses."""
    other = 1 - player
    s.turn[i] = other
    team.alive[i, player] = False
    team.alive[i, other] = True
    if won:
        team.reward[i, player] = 1.0
        team.reward[i, other] = -1.0
