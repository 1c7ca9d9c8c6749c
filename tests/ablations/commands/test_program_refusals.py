"""What is refused of a program's study: keys that do not fit, taken names, settings without effect."""

import sqlite3
from pathlib import Path

import pytest

from tests.helpers.command_call import (
    PrintedCounts,
    check_command,
    read_trial_counts,
    refuse_command,
    run_command,
)
from tests.helpers.program_project import ECHO, PROGRAM, STUDY, write_project
from tests.helpers.stub_results import build_plan
from unrolled.ablations.api import declare_study, results
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.training import first_trials
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import COST_KINDS, Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.table_columns import STUDY_COLUMNS
from unrolled.bench.trial import Result

pytestmark = pytest.mark.usefixtures("skip_mlflow")


@pytest.mark.parametrize(("metric", "is_advised"), [("accuracy", True), ("loss", False)])
def test_a_finer_metric_is_advised_where_none_is_judged(metric: str, is_advised: bool) -> None:
    equal_results = [Result(trial=ProgramTrial(seed=seed, run="train"), status="done") for seed in range(5)]
    plan = build_plan(
        {"base": equal_results, "b": equal_results}, metrics=(Metric(metric, 0.1),), trainer_name="program"
    )
    with pytest.raises(BadInput, match="no effect") as excinfo:
        first_trials._refuse_tie((plan.arms[0], plan.arms[0]), plan)
    assert ("finer" in excinfo.value.cure) is is_advised


@pytest.mark.parametrize("words", [(), ("--retry",)])
def test_a_misspelt_metric_trains_nothing_that_another_study_has_trained(
    program_copy: Path, words: tuple[str, ...]
) -> None:
    (program_copy / "typo.toml").write_text(
        STUDY.replace('"mine"', '"typo"').replace('"accuracy"', '"acuracy", better = "higher"')
    )
    contents = {path: path.read_bytes() for path in (program_copy / "results").rglob("*.json")}
    errors = refuse_command(program_copy, "run", "typo.toml", *words)
    assert errors.count("\n") == 1
    assert "baseline" in errors and "did you mean 'accuracy'" in errors
    assert {path: path.read_bytes() for path in (program_copy / "results").rglob("*.json")} == contents
    assert not (program_copy / "out" / "typo").exists()


def test_what_one_arm_lacks_is_told_without_training_it_again(tmp_path: Path) -> None:
    name = '"loss" if given.seed > 1 and given.deep else "accuracy"'
    program = PROGRAM.replace('"accuracy": accuracy', f"{name}: accuracy")
    folder = write_project(tmp_path / "project", program)
    process = run_command(folder, "run", "mine.toml")
    contents = {path: path.read_bytes() for path in folder.glob("results/trials/*/*.json")}
    retry = run_command(folder, "run", "mine.toml", "--retry")
    assert process.returncode == retry.returncode == 1
    assert read_trial_counts(process.stdout).trained == 12 and "it reports no accuracy" in retry.stdout
    assert "--retry" not in retry.stdout, "it would tell none again"
    assert {path: path.read_bytes() for path in folder.glob("results/trials/*/*.json")} == contents


@pytest.mark.parametrize("words", [["run"], ["verify"], ["bundle", "-o", "mine.zip"]])
def test_plugins_are_refused_for_a_program_which_would_not_use_them(
    program_copy: Path, words: list[str]
) -> None:
    check_command(program_copy, "new", "cell", "my_cell.py")
    assert "--plugin: " in refuse_command(program_copy, *words, "mine.toml", "--plugin", "my_cell.py")


def test_a_program_whose_first_trials_diverge_is_refused_within_any_budget(tmp_path: Path) -> None:
    program = PROGRAM.replace('"accuracy": accuracy + epoch / 100', '"accuracy": float("nan")')
    assert "each of its first trials" in refuse_command(
        write_project(tmp_path / "project", program), "run", "mine.toml", "--budget", "50s"
    )


def test_a_program_that_used_another_setting_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    program = PROGRAM + 'print(json.dumps({"settings": {"dropout": 0.0}}))\n'
    (line,) = refuse_command(write_project(tmp_path / "project", program), "run", "mine.toml").splitlines()
    assert "arm 'dropout 0.5'" in line and "it used dropout = 0.0, and not 0.5" in line


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("{dropout}", "0.1"), "run"),
        (("{dropout}", "{drop}"), "run"),
        (("{deep?--deep:--no-deep}", "--deep {deep}"), "run"),
        (("--seed {seed}", ""), "run"),
        (("{seed}", "{seed} | tee log"), "run"),
        (("train.py", "trane.py"), "run"),
        (("[program]", "[program]\nmetrics = '{outt}/{out}.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = 'rows.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = '{out}/{rows.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = '{out}/training.log'"), "[program]: metrics"),
        (
            ("[program]", "[program]\nmetrics = 'mlflow'\npatterns.accuracy = 'a(?P<value>.)'"),
            "[program]: patterns",
        ),
        (("[program]", "[program]\nkeep = ['/tmp/*.pt']"), "[program]: keep"),
        (("[program]", "[program]\nkeep = ['']"), "[program]: keep"),
        (("[program]", "[program]\nfunction = 'train:main'"), "[program]: run"),
        (("[program]\nrun = ", "[program]\nfunction = 'train'\n# "), "[program]: function"),
        (("{dropout}", "{drop out}"), "[program]: run"),
        (("dropout = 0.0", "dropout = [0.0, 0.1]"), "[program]: run: {dropout} is a list"),
        (("{deep?--deep:--no-deep}", "{deep*}"), "[program]: run: {deep} is a boolean"),
        (("{dropout}", "x={dropout*}"), "[program]: run: {dropout*} is part of"),
        (("dropout = 0.0", "dropout.low = 0.0"), '[baseline]: dropout = {"low": 0.0}'),
        (("dropout = 0.0", "dropout = 1979-05-27"), "[baseline]: dropout = 1979-05-27"),
        (("dropout = 0.0", f"dropout = {'9' * 400}"), "[baseline]: dropout = 999"),
        (("dropout = [0.5]", f"dropout = [{'9' * 400}]"), "dropout = 999"),
        (("{seed}", "{seed} \\u0000"), "program.run"),
        (("dropout = [0.5]", "drop = [0.5]"), "'drop'"),
        (("dropout = [0.5]", "dropout = ['much']"), 'dropout = "much"'),
        (("deep = [true]", "deep = [1]"), "deep = 1"),
        (("[program]", "[program]\ncode = ['none.py']"), "'none.py'"),
        (('metrics = [{ name = "accuracy", delta = 0.01 }]', ""), "metrics"),
        (("delta = 0.01", 'delta = 0.01, value = "bets"'), 'metrics.0.value = "bets"'),
        (("delta = 0.01", "delta = 0.01, value = 0"), "metrics.0.value = 0"),
        (("[baseline]", "[baseline]\nseed = 1"), "'seed'"),
    ],
)
def test_a_study_that_does_not_fit_its_template_is_refused(
    tmp_path: Path, change: tuple[str, str], key: str
) -> None:
    folder = write_project(tmp_path / "project", study=STUDY.replace(*change))
    for word in ("plan", "run"):
        errors = refuse_command(folder, word, "mine.toml")
        assert f": {key}" in errors
        assert errors.count("\n") == 1
    assert not (tmp_path / "project" / "results" / "trials").exists()


def test_a_list_of_rows_is_in_a_json_whose_suffix_may_be_in_capitals(program_copy: Path) -> None:
    study = program_copy / "mine.toml"
    keys = 'rows = "log"\nmetrics = "{out}/log.'
    study.write_text(STUDY.replace("[program]", f'[program]\n{keys}JSON"'))
    check_command(program_copy, "plan", "mine.toml")
    for other_keys in (f'{keys}jsonl"', 'rows = "log"', 'rows = "log"\nmetrics = "mlflow"'):
        study.write_text(STUDY.replace("[program]", f"[program]\n{other_keys}"))
        assert "[program]: rows: is for a .json alone" in refuse_command(program_copy, "plan", "mine.toml")


PROGRAM_STUDY = {"program": {"run": "echo {seed} {lr}"}, "baseline": {"lr": 0.1}}


@pytest.mark.parametrize("name", sorted({*STUDY_COLUMNS, "lr"}))
def test_a_judged_metric_named_like_a_column_or_setting_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as excinfo:
        declare_study("mine", **PROGRAM_STUDY, metrics=[{"name": name, "delta": 0.1, "better": "higher"}])
    assert excinfo.value.key == f'metrics.0.name = "{name}"'


@pytest.mark.parametrize("name", sorted({*STUDY_COLUMNS, *COST_KINDS} - {"rows averaged"}))
def test_a_setting_that_is_called_as_a_column_is_refused(name: str) -> None:
    program = {"program": {"run": f"echo {{seed}} {{{name}}}"}, "baseline": {name: 1}}
    with pytest.raises(BadInput) as excinfo:
        declare_study("mine", **program, metrics=[{"name": "loss", "delta": 0.1}])
    assert excinfo.value.key == repr(name)


def test_every_column_of_our_own_is_among_those_that_are_refused(program_folder: Path) -> None:
    table = results("mine", program_folder / "results", all=True)
    with sqlite3.connect(program_folder / "mlflow.db") as db:
        params = {key for (key,) in db.execute("SELECT DISTINCT key FROM params")}
    names = ({*table.columns} | params) - {"dropout", "deep", "accuracy"}
    assert names <= {*STUDY_COLUMNS, *COST_KINDS}


def test_first_trials_that_all_diverge_are_refused_unless_the_baseline_does(
    tmp_path: Path,
) -> None:
    diverging = PROGRAM.replace("0.8 +", "float('nan') +")
    assert "study 'mine': each of its first trials diverged: " in refuse_command(
        write_project(tmp_path / "nowhere", diverging), "run", "mine.toml", "--seeds", "0-1"
    )
    mixed = PROGRAM.replace("0.8 +", "(0.8 if given.dropout else float('nan')) +")
    output = check_command(write_project(tmp_path / "some", mixed), "run", "mine.toml", "--seeds", "0-1")
    assert read_trial_counts(output)[2:] == (0, 4, 0), "failed, diverged and left"


def test_a_misspelt_metric_costs_no_training_and_makes_no_arm_exploratory(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "project", study=STUDY.replace('"accuracy"', '"acuracy", better = "higher"')
    )
    process = run_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert process.returncode and "did you mean 'accuracy'?" in process.stderr
    assert "index.html" not in process.stdout, "there is no page, so that none is named"
    ledger = Ledger(folder / "results")
    count = len(ledger.find_result_files())
    (folder / "mine.toml").write_text(STUDY)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert count and read_trial_counts(output) == PrintedCounts(trained=6 - count, stored=count)
    assert output.count("a second time, as a check") == 1
    assert "a second time" not in check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert plan_store.load_plan("mine", ledger).seen_pairs == {}, "no number of theirs was shown"


def test_a_quoted_pipe_and_an_apostrophe_are_arguments(tmp_path: Path) -> None:
    study = STUDY.replace('run = "', "run = '''").replace('{seed}"', "{seed} \"|\" \"a | b\" it\\'s'''")
    check_command(write_project(tmp_path / "project", study=study), "plan", "mine.toml")


def test_a_coarse_metric_that_two_seeds_share_by_chance_stops_no_study(tmp_path: Path) -> None:
    program = PROGRAM.replace("random.gauss(0, 0.01)", "0.01 * (given.seed > 1)")
    folder = write_project(tmp_path / "project", program)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-2")
    assert read_trial_counts(output) == PrintedCounts(trained=9)


@pytest.mark.parametrize("design", ["", "[design]\none_at_a_time = { dropout = [0.5] }\n"])
def test_arms_listed_or_of_the_design_may_be_declared_identical(tmp_path: Path, design: str) -> None:
    arm = '[[arm]]\nname = "same"\nset = { dropout = 0.5 }\nidentical = true\n'
    study = STUDY.partition("[design")[0] + design + arm
    folder = write_project(tmp_path / "project", PROGRAM.replace("given.dropout / 10", "0"), study)
    check_command(folder, "run", "mine.toml", "--seeds", "0-1")


NEVER_ENDS = "import time\ntime.sleep(600)\n"
FILLS_ITS_DISK = f"import os\nopen(os.environ['UNROLLED_OUT'] + '/big', 'wb').truncate(2 << 30)\n{NEVER_ENDS}"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('"--deep"', '"--depth"', "exit code 2: train.py: error: "),
        ("import argparse", f"{NEVER_ENDS}import argparse", "time limit of 1 s"),
        ("import argparse", f"{FILLS_ITS_DISK}import argparse", "disk limit of 16 MiB"),
    ],
    ids=["a flag of another spelling", "it never ends", "it fills its disk"],
)
def test_a_program_whose_first_trial_fails_is_refused_at_once(
    tmp_path: Path, old: str, new: str, rule: str
) -> None:
    disk_limit = "disk = 16\n" if "disk" in rule else ""
    study = STUDY.replace("[program]\n", f"[program]\n{disk_limit}")
    folder = write_project(tmp_path / "project", PROGRAM.replace(old, new), study)
    time_limit = "1" if "time" in rule else "300"
    errors = refuse_command(folder, "run", "mine.toml", "-j", "1", "--time-limit", time_limit)
    assert errors.count("\n") == 1
    assert rule in errors
    assert len(Ledger(folder / "results").find_result_files()) <= 2


JUDGED = "time_series_mae"  # a quality, whatever words are in its name


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("random.seed(given.seed)", "random.seed(0)"), "arm 'baseline': "),
        (("given.dropout / 10", "0"), "arm 'dropout 0.5': dropout = 0.5: "),
    ],
)
def test_a_seed_or_setting_without_effect_is_found_among_other_numbers(
    tmp_path: Path, change: tuple[str, str], place: str
) -> None:
    program = (PROGRAM.replace(*change) + ECHO).replace('"accuracy"', f'"{JUDGED}"')
    study = STUDY.replace('"accuracy", ', f'"{JUDGED}", better = "higher", ')
    assert f"unrolled: {place}" in refuse_command(
        write_project(tmp_path / "project", program, study), "run", "mine.toml"
    )
    ledger = Ledger(tmp_path / "project" / "results")
    assert 9 <= len(ledger.find_result_files()) <= 12, "more seeds of what ties alone: it may be by chance"
