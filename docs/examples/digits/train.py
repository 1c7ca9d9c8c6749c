import argparse
import json

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int)
parser.add_argument("--decay", type=float)
parser.add_argument("--seed", type=int)
args = parser.parse_args()

images, digits = load_digits(return_X_y=True)
x, x_valid, y, y_valid = train_test_split(images / 16, digits, test_size=500, random_state=0)
model = MLPClassifier(args.hidden, alpha=args.decay, max_iter=20, random_state=args.seed).fit(x, y)
print(json.dumps({"train_loss": model.loss_, "valid_accuracy": model.score(x_valid, y_valid)}))
