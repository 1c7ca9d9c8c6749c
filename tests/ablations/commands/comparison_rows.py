"""Rows of three models by seed, as another tool would write them, and the flags that compare them."""

import pandas as pd

ARMS = {"base": 0.0, "better": 0.1, "worse": -0.1}
FRAME = pd.DataFrame(
    [{"model": arm, "seed": seed, "accuracy": 0.5 + seed / 50 + more * (1 + seed / 100)}
     for arm, more in ARMS.items() for seed in range(10)]
)  # fmt: skip
FLAGS = ("--arm", "model", "--pair", "seed", "--metric", "accuracy=0.02")
UNPAIRED = (*FLAGS[:2], *FLAGS[4:])
