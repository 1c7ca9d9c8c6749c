"""A function of one's own, studied from Python: `python docs/examples/own_function.py`."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier


def train(seed: int, depth: int = 8, leaf: int = 1) -> dict[str, float]:
    x, x_valid, y, y_valid = train_test_split(*load_digits(return_X_y=True), test_size=500, random_state=0)
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, max_features=16, random_state=seed)
    return {"valid_accuracy": tree.fit(x, y).score(x_valid, y_valid)}


if __name__ == "__main__":
    from unrolled import declare_study, run

    metrics = [{"name": "valid_accuracy", "delta": 0.01}]
    outcome = run(
        declare_study("trees", train, one_at_a_time={"depth": [4, 16], "leaf": [8]}, metrics=metrics)
    )
    print(outcome)
