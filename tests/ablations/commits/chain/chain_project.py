"""A repository whose program trains for a millisecond, a chain in it, and what its record has."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.helpers.command_call import run_command
from tests.helpers.git_repository import begin_repository
from unrolled.ablations.commits.chain.chain_record import ChainRecord, read_chain

TRAIN = """
import json, random, sys, time
import evaluate, model

seed = int(sys.argv[1])
noise = random.Random(f"{seed} {model.STREAM}").gauss(0, 0.003)
print(json.dumps({"loss": evaluate.score(model.BASE + noise), "stamp": time.perf_counter()}))
"""
MODEL = {"BASE": "1.0", "STREAM": "0"}
LONG = 'EXTRA = [\n    "a",\n    "b",\n    "c",\n]\n'
STUDY = """
name = "mine"
question = "Which proposals help?"
metrics = [{ name = "loss", delta = 0.1 }]
looks = [2, 5]
[program]
run = "python train.py {seed}"
frozen = ["evaluate.py"]
[baseline]
"""
SPREAD_STUDY = STUDY.replace("[2, 5]", "[4, 5]")
"""The study with as many seeds at its first look as a spread is measured of."""


def model_source(extra: str = LONG, **values: str) -> str:
    """Return the text of model.py with these values, and lines that do nothing."""
    return "".join(f"{name} = {value}\n" for name, value in {**MODEL, **values}.items()) + extra


def make_project(folder: Path, study: str = STUDY) -> Path:
    """Make a repository with a program and its study."""
    files = {
        "train.py": TRAIN,
        "evaluate.py": "def score(x):\n    return x\n",
        "model.py": model_source(),
        "README.md": "Words.\n",
        "unrolled.toml": study,
        ".gitignore": "mlflow.db*\nmlartifacts\nmlruns\n",
    }
    return begin_repository(folder, files)


def judge(
    folder: Path, *words: str, candidate: str = "HEAD", chain: str = "night"
) -> tuple[int, dict[str, Any]]:
    """Judge a candidate and return the exit code and what JSON has."""
    process = call_judge(folder, *words, candidate=candidate, chain=chain)
    facts = json.loads(process.stdout)
    assert facts["exit_code"] == process.returncode, process.stderr
    return process.returncode, facts


def call_judge(
    folder: Path, *words: str, candidate: str = "HEAD", chain: str = "night"
) -> subprocess.CompletedProcess[str]:
    """Judge a candidate of a chain that begins with main."""
    begins = not (folder / "results" / "chains" / chain).exists()
    incumbent = ("--incumbent", "main") if begins and "--incumbent" not in words else ()
    return run_command(folder, "judge", candidate, "--chain", chain, *incumbent, "--json", *words)


def read_record(folder: Path, chain: str = "night") -> ChainRecord:
    """Return the record of a chain."""
    return read_chain(folder / "results" / "chains" / chain)
