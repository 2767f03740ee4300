"""Keys of `mountain_car_continuous`; it is drawn as the one it derives from."""

from __future__ import annotations

KEYS = {"left": -1.0, "": 0.0, "right": 1.0}
