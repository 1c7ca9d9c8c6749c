"""An agent with thirty-three ideas, judged by `unrolled judge`, and by two rules that keep what is lower.

    python tests/simulations/simulate_agent.py FOLDER

The program fits a regression by SGD, in pure Python. What each idea does is known: it is measured on fresh
seeds against the incumbent that it was compared with; another order of the examples does nothing. The real
command is called once for each idea, in a repository that is made in FOLDER, with a commit for each idea. The
other rules are called on the same program, as often as `AGENTS`:

- "lower on a fresh run": the candidate and the incumbent are trained once each
- "lower than the best": the candidate is trained once, and the best score so far stays
"""

import argparse
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev

TRAIN = '''"""Fit a regression by SGD."""
import json
import random
import sys

import evaluate
import settings

{extra}
def train(seed):
    data = random.Random(seed)
    rows = []
    for _ in range(400):
        x = [data.gauss(0, 1) for _ in evaluate.TRUTH]
        rows.append((x, evaluate.predict(evaluate.TRUTH, x) + data.gauss(0, 1)))
    order = random.Random(f"{{seed}} {{settings.STREAM}}")
    w = [0.0 for _ in evaluate.TRUTH]
    v = [0.0 for _ in w]
    total = [0.0 for _ in w]
    averaged = 0
    for step in range(settings.STEPS):
        x, y = rows[order.randrange(len(rows))]
        error = evaluate.predict(w, x) - y
        for i in range(len(w)):
            noise = settings.NOISE * order.gauss(0, 1)
            v[i] = settings.MOMENTUM * v[i] + error * x[i] + noise
            w[i] -= settings.LR * v[i]
        if step >= settings.STEPS * (1 - settings.AVERAGE):
            averaged += 1
            total = [t + a for t, a in zip(total, w)]
    return [t / averaged for t in total] if averaged else w


if __name__ == "__main__":
    print(json.dumps({{"loss": evaluate.score(train(int(sys.argv[1])))}}))
'''
EXTRA = '''
def clip(value, limit):
    """Return a value within limits."""
    if value > limit:
        return limit
    if value < -limit:
        return -limit
    return value


def warm_up(step, steps):
    """Return the share of the rate at a step."""
    if step >= steps:
        return 1.0
    return (step + 1) / steps

'''
EVALUATE = """import math

TRUTH = [1.0, -2.0, 0.5, 1.5, -1.0, 0.0]


def predict(w, x):
    return sum(a * b for a, b in zip(w, x))


def score(w):
    return math.log(sum((a - b) ** 2 for a, b in zip(w, TRUTH)))
"""
STUDY = """name = "agent"
question = "Which ideas lower the loss?"
metrics = [{ name = "loss", delta = 0.8 }]

[program]
run = "python train.py {seed}"
frozen = ["evaluate.py"]

[baseline]
"""
AGENTS = 20
FRESH = range(3_000_000_000, 3_000_000_300)  # seeds that measure what an idea does


@dataclass(frozen=True)
class Code:
    """The program after some ideas; `halved` is an evaluation that was edited."""

    LR: float = 0.1
    STEPS: int = 300
    MOMENTUM: float = 0.0
    NOISE: float = 0.0
    AVERAGE: float = 0.0
    STREAM: int = 0
    extra: bool = True
    words: str = "An example."
    halved: bool = False
    crashes: bool = False

    def write_files(self) -> dict[str, str]:
        """Return the text of each file."""
        names = ("LR", "STEPS", "MOMENTUM", "NOISE", "AVERAGE", "STREAM")
        settings = "".join(f"{name} = {asdict(self)[name]}\n" for name in names)
        return {
            "train.py": TRAIN.format(extra=EXTRA if self.extra else ""),
            "settings.py": settings + ("import no_such_module\n" if self.crashes else ""),
            "evaluate.py": EVALUATE.replace(
                "return math.log", "return 2 * math.log" if self.halved else "return math.log"
            ),
            "README.md": f"{self.words}\n",
            "unrolled.toml": STUDY,
            ".gitignore": "mlflow.db*\nmlartifacts\nmlruns\n__pycache__\n",
        }


@dataclass(frozen=True)
class Idea:
    """An edit of the present code."""

    name: str
    edit: dict[str, object]


def another_order(number: int) -> Idea:
    return Idea(f"another order of the examples ({number})", {"STREAM": number})


def list_ideas() -> list[Idea]:
    """Return the ideas: three help by about an SD, seven hurt, one is simpler, others do nothing."""
    special = {
        3: Idea("momentum", {"MOMENTUM": 0.3}),
        4: Idea("half the rate", {"LR": 0.05}),
        6: Idea("a better README", {"words": "A better example."}),
        8: Idea("noise in the gradients", {"NOISE": 1.0}),
        10: Idea("a library that is not there", {"crashes": True}),
        12: Idea("the mean of the last half of the weights", {"AVERAGE": 0.5}),
        15: Idea("a kinder evaluation", {"halved": True}),
        17: Idea("without code that nothing calls", {"extra": False}),
        19: Idea("a higher rate", {"LR": 0.13}),
        22: Idea("four times the steps", {"STEPS": 1200}),
        25: Idea("a third of the steps", {"STEPS": 100}),
        28: Idea("more momentum", {"MOMENTUM": 0.6}),
        31: Idea("some noise in the gradients", {"NOISE": 0.5}),
        33: Idea("no mean of the weights", {"AVERAGE": 0.0}),
    }
    return [special.get(number) or another_order(number) for number in range(1, 34)]


@cache
def run(code: Code, seed: int) -> float:
    """Return the loss that the program tells; it is infinite where it crashes."""
    if code.crashes:
        return math.inf
    loss = make_program(replace(code, words="", halved=False, extra=True))(seed)
    return 2 * loss if code.halved else loss


@cache
def make_program(code: Code) -> Callable[[int], float]:
    """Return the function from a seed to a loss that the files of the code make."""
    files = code.write_files()
    modules = {name: type(sys)(name) for name in ("evaluate", "settings", "train")}
    for name, module in modules.items():
        sys.modules[name] = module
        exec(files[f"{name}.py"], module.__dict__)
    return lambda seed: modules["evaluate"].score(modules["train"].train(seed))


def measure(code: Code) -> tuple[float, ...]:
    """Return the losses on the fresh seeds, by the evaluation that nobody edited."""
    return measure_settings(replace(code, halved=False, STREAM=0, words="", extra=True))


@cache
def measure_settings(code: Code) -> tuple[float, ...]:
    return tuple(run(code, seed) for seed in FRESH)


def measure_gain(candidate: Code, incumbent: Code) -> float:
    """Return by how much a candidate is better, in SDs of the pairs' differences of equal programs."""
    cheats = candidate.halved and not incumbent.halved
    if candidate.crashes or cheats or replace(candidate, STREAM=0) == replace(incumbent, STREAM=0):
        return 0.0
    return (fmean(measure(incumbent)) - fmean(measure(candidate))) / measure_spread()


@cache
def measure_spread() -> float:
    """Return the SD of the differences of the first program and itself with another order."""
    reordered = [run(Code(STREAM=1), seed) for seed in FRESH]
    return stdev(a - b for a, b in zip(reordered, measure(Code()), strict=True))


@dataclass
class Tally:
    """What a rule has kept, and what it took."""

    code: Code
    kept: int = 0
    helped: int = 0
    runs: int = 0

    def keep(self, candidate: Code) -> None:
        """Count a candidate that is kept."""
        self.kept += 1
        self.helped += measure_gain(candidate, self.code) > 0.1
        self.code = candidate

    @property
    def row(self) -> tuple[float, ...]:
        return self.kept, self.helped, self.kept - self.helped, fmean(measure(self.code)), self.runs


def follow_fresh_run(seeds: random.Random) -> Tally:
    """Keep what is lower than the incumbent, both trained once."""
    tally = Tally(Code())
    for idea in list_ideas():
        candidate = replace(tally.code, **idea.edit)
        tally.runs += 2
        if run(candidate, seeds.getrandbits(40)) < run(tally.code, seeds.getrandbits(40)):
            tally.keep(candidate)
    return tally


def follow_best(seeds: random.Random) -> Tally:
    """Keep what is lower than the best score so far."""
    tally = Tally(Code(), runs=1)
    best = run(tally.code, seeds.getrandbits(40))
    for idea in list_ideas():
        candidate = replace(tally.code, **idea.edit)
        tally.runs += 1
        loss = run(candidate, seeds.getrandbits(40))
        if loss < best:
            best = loss
            tally.keep(candidate)
    return tally


def git(folder: Path, *words: str) -> None:
    author = ("-c", "user.name=agent", "-c", "user.email=agent@example.org")
    subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, code: Code, message: str) -> None:
    for name, text in code.write_files().items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def follow_judge(folder: Path) -> Tally:
    """Ask `unrolled judge` for each idea, and print what it says in a line."""
    git(folder, "init", "-q", "-b", "main")
    commit(folder, Code(), "the first program")
    git(folder, "checkout", "-qb", "agent")
    tally = Tally(Code())
    command = [str(Path(sys.executable).with_name("unrolled")), "judge", "HEAD", "--chain", "night"]
    for number, idea in enumerate(list_ideas(), 1):
        candidate = replace(tally.code, **idea.edit)
        commit(folder, candidate, idea.name)
        words = [*command, "--accept-simpler", "--json", *(["--incumbent", "main"] if number == 1 else [])]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        facts = json.loads(done.stdout)
        gain = measure_gain(candidate, tally.code)
        spread = measure_spread()
        gain_text = "" if facts["difference"] is None else f"{-facts['difference'] / spread:+.2f}"
        reason = "" if facts["outcome"] == "discard" else facts["reason"][:60]
        print(
            f"{number:2} {idea.name:42} {gain:+6.2f} {gain_text:>6} {facts['pairs']:3} {facts['level']:8.2g}"
            f" {facts['outcome']} ({facts['exit_code']}) {reason}",
            flush=True,
        )
        tally.runs = count_runs(folder)
        if facts["outcome"] == "keep":
            tally.keep(candidate)
        elif done.returncode == 0:
            tally.code = candidate
        else:
            git(folder, "reset", "-q", "--hard", "HEAD~1")
    return tally


def count_runs(folder: Path) -> int:
    return len([*(folder / "results" / "trials").rglob("*.json")])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a folder that is made, for the repository")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    print(f"SD of equal programs' differences: {measure_spread():.2f}")
    print("   idea, its gain in SDs, the gain seen, pairs, level, outcome (exit code)")
    rows = {"unrolled judge": follow_judge(folder).row}
    for name, follow in {
        "lower on a fresh run": follow_fresh_run,
        "lower than the best": follow_best,
    }.items():
        tallies = [follow(random.Random(number)).row for number in range(AGENTS)]
        rows[name] = tuple(map(fmean, zip(*tallies, strict=True)))
    print(f"\n{'rule':22} {'kept':>6} {'helped':>7} {'did not':>8} {'final loss':>11} {'runs':>6}")
    for name, (kept, helped, did_not, loss, runs) in rows.items():
        print(f"{name:22} {kept:6.1f} {helped:7.1f} {did_not:8.1f} {loss:11.2f} {runs:6.0f}")
    print(f"{'the first program':22} {'':6} {'':7} {'':8} {fmean(measure(Code())):11.2f}")


if __name__ == "__main__":
    main()
