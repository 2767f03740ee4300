"""The gallery: an animation of a trained agent in each environment, and the page that shows them all.

::

    python docs/gallery.py                    # all; train what has no checkpoint in runs/
    python docs/gallery.py pong tetris        # only these
    python docs/gallery.py --write            # only the page

Animations are ``docs/gallery/NAME.gif``; the page is ``docs/environments.md``.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import puffer_numba
from puffer_numba import registry
from puffer_numba.env import PufferEnv
from puffer_numba.pufferl import train
from puffer_numba.render.canvas import Frame
from puffer_numba.render.window import image_of
from puffer_numba.runs import checkpoint
from puffer_numba.runs.checkpoint import CheckpointError
from puffer_numba.runs.evaluation import load_trained
from puffer_numba.train.episodes import Player, policy_player

FOLDER = Path(__file__).parent / "gallery"
PAGE = Path(__file__).parent / "environments.md"
SIDE = 240  # pixels, at most
SECONDS = 6
MOST_FPS = 15
COLUMNS = 4
COLORS = 64


def record(name: str, data_dir: str, seed: int) -> Path:
    """A GIF of the newest checkpoint's policy; where there is none, train first."""
    try:
        saved = checkpoint.load(checkpoint.find("latest", name, data_dir))
    except CheckpointError:
        train(name, {"train.data_dir": data_dir, "log.tensorboard": False})
        saved = checkpoint.load(checkpoint.find("latest", name, data_dir))
    # each episode's last image is to be seen, so that it is not restarted in the same step
    with registry.make(name, 1, autoreset="disabled", **saved.config.env.params) as env:
        policy, normalizer = load_trained(saved, env)
        player = policy_player(policy, env.single_action_space, normalizer=normalizer, seed=seed)
        fps = getattr(env, "render_fps", 30)
        stride = -(-fps // MOST_FPS)
        frames = list(_frames(env, player, seed, stride, SECONDS * fps // stride))
    path = FOLDER / f"{name}.gif"
    FOLDER.mkdir(exist_ok=True)
    save(path, frames, fps / stride)
    return path


def _frames(env: PufferEnv, player: Player, seed: int, stride: int, count: int) -> Iterator[Frame]:
    """Every ``stride``-th image of a run, and the last one of each episode."""
    ended = np.ones(env.num_agents, np.bool_)
    env.reset(seed)
    for step in range(count * stride):
        if step % stride == 0:
            yield image_of(env)
        _, _, terminals, truncations, _ = env.step(player(env, ended))
        ended = terminals | truncations
        if (ended | ~env.masks).all():
            if (step + 1) % stride or stride == 1:
                yield image_of(env)
            env.reset()


def save(path: Path, frames: list[Frame], fps: float) -> None:
    """Small: few pixels, and few colours, the same in all frames."""
    height, width = frames[0].shape[:2]
    scale = min(1.0, SIDE / max(width, height))
    size = (round(width * scale), round(height * scale))
    small = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    sample = Image.new("RGB", (size[0], size[1] * 4))
    for k in range(4):
        sample.paste(small[k * (len(small) - 1) // 3], (0, k * size[1]))
    palette = sample.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE)  # few pixels of a colour of their own count
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
    options: dict[str, Any] = {"duration": 1000 / fps, "loop": 0, "optimize": True}
    indexed[0].save(path, save_all=True, append_images=indexed[1:], **options)


HEADER = """# The suite

Policies trained by `puffer train NAME` with no options. [What they reach](learning.md), and [how fast the environments
are](speed.md). `puffer play NAME` puts you in their place.

`puffer_numba.make(NAME, num_envs=64)` makes any of them; `from puffer_numba.envs import CartPole` imports a class.
Those of one agent are also Gymnasium's: `gymnasium.make("puffer_numba/CartPole-v1")`, after the class. Those of several
agents are PettingZoo's: `puffer_numba.emulation.make_parallel_env(NAME)`.

`python docs/gallery.py` makes this page and its animations.

"""

FOOTER = """
## How exact

What is reproduced from Gymnasium, MinAtar, minigrid, bsuite or rware and has no real numbers in it is the same in every
transition. The others compute in float32, `dtype="float64"` makes them as exact as their references, and both are held
to this by tests, over 10,000 states of the whole range and more: the most that any number of the state differs after
one step from the same state.

| environment | beside | float32 | float64 |
| --- | --- | --- | --- |
| `cartpole` | Gymnasium | 1e-5 | 1e-12 |
| `acrobot`, both links slower than 3 rad/s | Gymnasium | 2e-5 | 1e-11 |
| `acrobot`, up to its speed limits | Gymnasium | 3e-3 | 1e-11 |
| `mountain_car` | Gymnasium | 5e-7 | 1e-14 |
| `mountain_car_continuous` | Gymnasium, whose state is float32 | 5e-7 | 2e-7 |
| `pendulum` (the reward: 2e-4) | Gymnasium | 2e-5 | 1e-12 |
| `simple_spread`, `simple_tag` | mpe2 | 2e-5 | 1e-11 |

Where a state is that close to a limit, such as the angle at which the pole of `cartpole` has fallen, float32 may find
it on the other side.
"""


def write() -> None:
    """Write the page: a grid of animations, and what a user must know of each environment."""
    names = puffer_numba.list_envs()
    lines = ["|" + "   |" * COLUMNS, "|" + " --- |" * COLUMNS]
    for first in range(0, len(names), COLUMNS):
        cells = [_cell(name) for name in names[first : first + COLUMNS]]
        lines.append("| " + " | ".join(cells + [""] * (COLUMNS - len(cells))) + " |")
    lines += ["", "| name | | observation | action | agents | time limit |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(name) for name in names]
    PAGE.write_text(HEADER + "\n".join(lines) + "\n" + FOOTER)


def _cell(name: str) -> str:
    image = f"![{name}](gallery/{name}.gif)<br>" if (FOLDER / f"{name}.gif").exists() else ""
    return f"{image}`{name}`"


def _row(name: str) -> str:
    env_class = registry.spec(name).env_class
    with registry.make(name) as env:
        emulated = env.emulated
        observation = emulated.observation_space if emulated else env.single_observation_space
        limit = getattr(env, "max_episode_steps", None)
        agents, action = env.num_agents, env.single_action_space
    what = inspect.getdoc(env_class).split("\n\n")[0].replace("\n", " ")  # type: ignore[union-attr]
    cells = (f"`{name}`", what, _space(observation), _space(action), str(agents), f"{limit:,}" if limit else "none")
    return "| " + " | ".join(cells) + " |"


def _space(space: Any) -> str:
    """Its kind and size, without bounds."""
    if hasattr(space, "spaces"):
        parts = space.spaces.items() if isinstance(space.spaces, dict) else enumerate(space.spaces)
        return ", ".join(f"{key}: {_space(part)}" for key, part in parts)
    sizes = {"Discrete": getattr(space, "n", None), "MultiDiscrete": getattr(space, "nvec", None)}
    kind = type(space).__name__
    return f"{kind}({sizes.get(kind)})" if kind in sizes else f"{kind}{tuple(space.shape)} {space.dtype}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments; all by default")
    parser.add_argument("--data-dir", default="runs", help="folder of the checkpoints (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of environments and actions (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="record nothing; write the page")
    args = parser.parse_args()
    for name in [] if args.write else args.names or puffer_numba.list_envs():
        path = record(name, args.data_dir, args.seed)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", flush=True)
    write()


if __name__ == "__main__":
    main()
