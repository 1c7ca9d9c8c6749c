"""A repository with a branch of changes whose effects are known."""

import json
from pathlib import Path
from typing import Any

from tests.helpers.command_call import run_command
from tests.helpers.git_repository import begin_repository, git

TRAIN = """
import json, random, sys, time

import model


def read_seed():
    text = sys.argv[1]
    return int(text)


def measure_loss(seed):
    total = sum(model.PARTS.values())
    noise = random.Random(f"{seed} {model.STREAM} {total}").gauss(0, 0.004)
    return 2.0 + total + noise


print(json.dumps({"loss": measure_loss(read_seed()), "stamp": time.perf_counter()}))
"""
MODEL = """
STREAM = 0
PARTS = {}

# first

# second

# third

# fourth

# fifth

# sixth

# seventh

# eighth
"""
STUDY = """
name = "mine"
question = "Is the loss lower?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 5
[program]
run = "python train.py {seed}"
[baseline]
"""


class Branch:
    """A repository, with a branch to which changes are committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {"train.py": TRAIN, "model.py": MODEL, "README.md": "Words.\n", "unrolled.toml": STUDY}
        begin_repository(folder, files)
        git(folder, "checkout", "-qb", "branch")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert old in text
        self.write(name, text.replace(old, new))

    def commit(self, message: str) -> str:
        """Commit all files but what Unrolled writes, and return the hash."""
        git(self.folder, "add", "-A", ":!mlflow.db", ":!results", ":!out")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.folder, "rev-parse", "HEAD")

    def add_part(self, place: str, effect: float, message: str) -> str:
        """Commit a part of the model that changes the loss by so much."""
        self.replace("model.py", f"# {place}\n", f"PARTS['{place}'] = {effect}\n")
        return self.commit(message)

    def audit(self, *words: str) -> tuple[int, dict[str, dict[str, Any]], str]:
        """Audit the branch. Returns the exit code, the changes by subject, and the answer."""
        process = run_command(self.folder, "audit", "main..branch", *words, "--json")
        record = json.loads(process.stdout)
        changes = {change["name"].partition(" ")[2]: change for change in record["changes"]}
        return process.returncode, changes, record["answer"]
