"""An environment in the form that PufferLib's users know, with our package under the name of theirs."""

import gymnasium
import numpy as np

import puffer_numba as pufferlib


class Corridor(pufferlib.PufferEnv):
    """Walk to the right end of a corridor, from its middle."""

    def __init__(self, render_mode="ansi", length=9, buf=None, seed=0):
        self.single_observation_space = gymnasium.spaces.Box(low=0, high=1, shape=(length,), dtype=np.uint8)
        self.single_action_space = gymnasium.spaces.Discrete(2)
        self.render_mode = render_mode
        self.num_agents = 1
        super().__init__(buf)
        self.length = length

    def reset(self, seed=0):
        self.observations[0, :] = 0
        self.at = self.length // 2
        self.observations[0, self.at] = 1
        self.tick = 0
        return self.observations, []

    def step(self, actions):
        self.terminals[0] = False
        self.rewards[0] = 0
        self.observations[0, self.at] = 0
        self.at += 1 if actions[0] == 1 else -1
        info = []
        if self.at in (0, self.length - 1):
            self.terminals[0] = True
            self.rewards[0] = 1.0 if self.at else -1.0
            info = [{"reward": self.rewards[0]}]
            self.reset()
        else:
            self.observations[0, self.at] = 1
            self.tick += 1
        return self.observations, self.rewards, self.terminals, self.truncations, info

    def render(self):
        return "".join(".@"[cell] for cell in self.observations[0])

    def close(self):
        pass
