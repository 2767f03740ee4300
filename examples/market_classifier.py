"""Trade with scikit-learn: learn from collected episodes whether the next bar rises, and follow that.

python examples/market_classifier.py
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from puffer_numba.emulation import TradingEnv, VecTradingEnv

SELL, HOLD, BUY = range(3)


def collect(num_envs, ticks, seed):
    """Features before each bar, `(bars, 54)`, and whether that bar rose, of episodes of random orders."""
    env = VecTradingEnv(num_envs, max_ticks=ticks, base_seed=seed, dtype="float64")
    generator = np.random.default_rng(seed)
    last_return = env.feature_names().index("return_1")
    observations, _ = env.reset_all()
    features, rose = [], []
    for _ in range(ticks):
        features.append(observations)
        observations, *_ = env.step_all(generator.integers(3, size=num_envs))
        rose.append(observations[:, last_return] > 0)
    env.close()
    return np.concatenate(features), np.concatenate(rose)


def fit(features, rose):
    """A classifier of what the next bar does."""
    return LogisticRegression(C=0.1, max_iter=300).fit(features, rose)


def order(probability):
    """Buy what probably rises, sell what probably falls."""
    return BUY if probability > 0.53 else SELL if probability < 0.47 else HOLD


def trade(model, ticks, seed):
    """Equity at the end of an episode of the model's orders."""
    env = TradingEnv(max_ticks=ticks, seed=seed, dtype="float64")
    observation, info = env.reset()
    ended = False
    while not ended:
        probability = model.predict_proba(observation[None])[0, 1]
        observation, _, terminated, truncated, info = env.step(order(probability))
        ended = terminated or truncated
    return info["equity"]


def main():
    model = fit(*collect(num_envs=64, ticks=512, seed=0))
    equities = [trade(model, ticks=256, seed=seed) for seed in range(1000, 1020)]
    print(f"10000 became {np.mean(equities):.0f} in the mean of {len(equities)} episodes of 256 bars")


if __name__ == "__main__":
    main()
