"""Train a model of the chapter by the public functions of the checkout that runs, and print its metrics."""

import argparse
import json

from unrolled import train, trial

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--seed", type=int, required=True)
given = parser.parse_args()

result = train(trial(given.model, given.seed))
print(json.dumps({name: result.metrics[name] for name in ("valid_accuracy", "valid_loss")}))
