"""Changes that CONTRIBUTING describes, made in a copy of the project and seen on pages and in MLflow.

Each is a list of edits: a file, a text in it, and what stands there afterwards.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import command_without_mlflow
from tests.helpers.command_call import run_script
from tests.helpers.command_process import COMMAND_LINES, make_environment, write_study
from unrolled.ablations.ledger import Ledger

ROOT = Path(__file__).parents[2]

METRIC = [
    (
        "bench/chapter/metrics.py",
        '            "valid_accuracy": self.accuracy,\n',
        '            "valid_accuracy": self.accuracy,\n            "valid_errors": 1 - self.accuracy,\n'
        '            "valid_misses": float(self._target_count - self.hits),\n',
    ),
    (
        "bench/chapter/metric_table.py",
        "CHAPTER_METRICS = (\n",
        "CHAPTER_METRICS = (\n"
        '    ChapterMetric(name="valid_errors", title="wrong guesses", unit="%", multiplier=100.0,\n'
        '        can_be_judged=True, better="lower", is_column=True, has_curve=True,\n'
        '        figure_column=Column("Wrong", 0, 100.0, " in 100")),\n'
        '    ChapterMetric(name="valid_misses", title="missed words", can_be_judged=True, better="lower",\n'
        '        is_column=True, mlflow_position="first", cost_column=Column("words missed")),\n',
    ),
]
CLOCK = [
    (
        "bench/chapter/chapter_run.py",
        '        "train_updates": steps,',
        '        "wait": time.perf_counter(),\n        "train_updates": steps,',
    ),
    (
        "bench/chapter/metric_table.py",
        '    ChapterMetric(name="train_updates"',
        '    ChapterMetric(name="wait", kind="time"),\n    ChapterMetric(name="train_updates"',
    ),
]
CURVE = [
    (
        "bench/chapter/training/record.py",
        "    valid_accuracy: float\n",
        "    valid_accuracy: float\n    valid_errors: float\n",
    ),
    (
        "bench/chapter/training/record.py",
        "                valid_accuracy=self.validation.accuracy,\n",
        "                valid_accuracy=self.validation.accuracy,\n"
        "                valid_errors=1 - self.validation.accuracy,\n",
    ),
]
OPTION = [  # a keyword of nn.LSTM, which LMModel7 has and LMModel6 lacks, and a factor
    (
        "bench/chapter/models/lstm.py",
        "    rnn_class = nn.LSTM\n",
        "    rnn_class = nn.LSTM\n\n"
        "    def __init__(self, vocab, hidden, layers, dropout, tying, bias=True):\n"
        '        super().__init__(vocab, hidden, layers, dropout, tying, {"bias": bias})\n',
    ),
    (
        "bench/chapter/models/registry.py",
        '{**_DEEP, "dropout": 0.4, "tying": True}',
        '{**_DEEP, "dropout": 0.4, "tying": True, "bias": True}',
    ),
    (
        "ablations/study/chapter_factory.py",
        '    "nonlinearity": SettingSpec(',
        '    "bias": SettingSpec("whether the cells have biases", title="bias"),\n'
        '    "nonlinearity": SettingSpec(',
    ),
    (
        "ablations/study/chapter_factory.py",
        '    "tying": "tying",\n',
        '    "tying": "tying",\n    "bias": "bias",\n',
    ),
    (
        "bench/chapter/witnesses/witness_tables.py",
        '    "layers": model_witnesses.witness_layers,\n',
        '    "layers": model_witnesses.witness_layers,\n'
        '    "bias": lambda evidence: witness_equal(\n'
        '        evidence.trial.options["bias"],\n'
        '        "rnn.bias_hh_l0" in dict(evidence.model.named_parameters())\n'
        "    ),\n",
    ),
]
PAIRS = '''"""Files of lines such as loss=0.5, .pairs, which are one row."""

from pathlib import Path

from unrolled.bench.formats.table_files import Format, Row


def read_pairs(path: Path) -> list[Row]:
    """Return the row."""
    pairs = (line.split("=") for line in path.read_text().splitlines())
    return [{name: float(cell) for name, cell in pairs}]


PAIRS = Format(read_pairs)
'''
FORMAT = [  # of which PAIRS is a file
    (
        "bench/formats/file_formats.py",
        "from unrolled.bench.formats.parquet import",
        "from unrolled.bench.formats.pairs import PAIRS\nfrom unrolled.bench.formats.parquet import",
    ),
    ("bench/formats/file_formats.py", '    ".parquet": ', '    ".pairs": PAIRS,\n    ".parquet": '),
]
FIGURE = [
    (
        "reports/figures/curves.py",
        "def _sample_points(",
        "def draw_means(comparison: Comparison) -> Markup:\n"
        '    """Return the means of all arms, a bar each."""\n'
        "    draw = partial(_draw_means, comparison)\n"
        '    return draw_svg("means", "Means of all arms", "A bar an arm.", draw)\n\n\n'
        "def _draw_means(comparison: Comparison) -> Figure:\n"
        "    figure = Figure(figsize=(4, 2))\n"
        "    means = [arm.summary.mean or 0.0 for arm in comparison.arms]\n"
        "    figure.subplots().bar(range(len(means)), means)\n"
        "    return figure\n\n\n"
        "def _sample_points(",
    ),
    (
        "reports/page/render.py",
        "    curves: Mapping",
        "    means: Markup\n    curves: Mapping",
    ),
    (
        "reports/page/render.py",
        "        curves=",
        "        means=curves.draw_means(comparison),\n        curves=",
    ),
    (
        "reports/templates/report.html",
        "{% if curves %}",
        '{% call section("means", "Means of all arms", true) %}{{ means }}{% endcall %}\n{% if curves %}',
    ),
]
PROGRAM = """import random, sys
rate, seed, out = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
open(out, "w").write(f"loss={1 - rate + random.Random(seed).random() / 10}")
"""
STUDY = """name = "pairs"
question = "Is a higher rate better?"
metrics = [{ name = "loss", delta = 0.05 }]
seeds = 2
[program]
run = "python train.py {rate} {seed} {out}/numbers.pairs"
metrics = "{out}/numbers.pairs"
[baseline]
rate = 0.1
[design.one_at_a_time]
rate = [0.3]
"""
DESCRIBE = """
import json
from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.reports.page.exports import write_comparison_csv
from unrolled.reports.compare.factorial import make_factorial, find_parts
from unrolled.reports.page.render import write_answer_lines

def describe_part(part):
    return [part.factor.name, *(v and [v.kind, v.contrast.mean_difference] for v in part.verdicts.values())]

descriptions = {}
for study in ("regularization", "models"):
    c = compare_study_table(shipped(study))
    parts = [describe_part(part) for part in find_parts(c, make_factorial(c))]
    descriptions[study] = {"answer": write_answer_lines(c), "parts": parts, "csv": write_comparison_csv(c)}
    descriptions[study]["changes"] = [arm.describe_changes() for arm in c.arms]
print(json.dumps(descriptions))
"""

IDENTIFY = """
from unrolled.bench.program.program_trial import ProgramTrial

for source in ("", "{out}/m.csv", "mlflow"):
    trial = ProgramTrial(seed=0, run="python train.py {seed}", folder=".", metrics_source=source)
    print(trial.identify().id)
"""


@pytest.fixture(scope="module")
def changed_project(tmp_path_factory) -> Path:
    """Return a copy of the project in which every change of this file is made."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("bench", "ablations", "reports", "unrolled"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True)
    (copy / "bench/formats/pairs.py").write_text(PAIRS)
    for file, text, replacement in (*METRIC, *CLOCK, *CURVE, *OPTION, *FORMAT, *FIGURE):
        path = copy / file
        assert path.read_text().count(text) == 1, f"{file}: {text}"
        path.write_text(path.read_text().replace(text, replacement))
    return copy


def start_program(project: Path, folder: Path, *words: str) -> str:
    """Start a program by the code of a project; return what it prints."""
    variables = make_environment(folder, PYTHONPATH=os.fspath(project))
    line = [sys.executable, *words]
    process = subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_new_metrics_options_and_figures_are_on_the_page_and_in_mlflow(changed_project, tmp_path):
    metric = 'metrics = [{ name = "valid_errors", delta = 0.02 }]\nseeds = 2'
    arms = "[design.one_at_a_time]\nbias = [false]\n"
    write_study(tmp_path, seeds=metric, widths=(), arms=arms, model="lm7", hidden=8, epochs=2)
    lines = "run small.toml", "verify small.toml -n 1"
    output = start_program(changed_project, tmp_path, "-c", COMMAND_LINES, *lines)
    page = (tmp_path / "out" / "small" / "index.html").read_text()
    assert "by wrong guesses" in page, "it judges"
    assert re.findall(r'multiples" data-metric="(\w+)"', page) == ["valid_errors"], "it has its own curve"
    assert ">missed words</th>" in page.lower(), "one that does not judge is a column"
    assert re.search(r">Wrong</th>", page) and re.search(r"\d+ in 100</td>", page), "beside the figure"
    assert ">words missed</th>" in page, "it is a cost"
    assert "no bias" in page
    assert "Means of all arms" in page
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        (number,) = database.execute("SELECT count(*) FROM metrics WHERE key LIKE '%errors'").fetchone()
        options = database.execute("SELECT DISTINCT value FROM params WHERE key LIKE '%bias'").fetchall()
        columns = database.execute("SELECT value FROM metrics WHERE key = 'valid/misses sd'").fetchall()
    assert len(columns) == 2, "it is a column of arms"
    assert number >= 4 and {value for (value,) in options} == {"True", "False"}
    assert "1 of 1 bit-identical" in output, "the new clock is not compared"


def test_a_models_new_option_changes_nothing_in_shipped_studies(changed_project, tmp_path):
    (tmp_path / "describe.py").write_text(DESCRIBE)
    output = start_program(changed_project, tmp_path, "describe.py")
    assert output == run_script(tmp_path, "describe.py")
    descriptions = json.loads(output)
    parts = {name: verdicts for name, *verdicts in descriptions["regularization"]["parts"]}
    assert [name for name, (_, alone, _) in parts.items() if alone] == [*parts]
    assert {"tying", "weight decay", "momentum"} <= parts.keys()


def test_a_new_format_of_a_program_s_metrics_is_read(changed_project, tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "pairs.toml").write_text(STUDY)
    start_program(changed_project, tmp_path, command_without_mlflow.__file__, "run", "pairs.toml")
    losses = [result.metrics["loss"] for result in Ledger(tmp_path / "results").read_all_results()]
    assert len(losses) == 4
    assert all(0.7 <= loss <= 1.0 for loss in losses), "1 - rate, and a tenth of noise"


def test_a_new_format_changes_no_trial_whose_numbers_another_one_reads(changed_project, tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    ids, ids_of_copy = (start_program(root, tmp_path, "-c", IDENTIFY) for root in (ROOT, changed_project))
    assert len({*ids.split()}) == 3
    assert ids == ids_of_copy
