"""`unrolled compare BEFORE AFTER` on real ledgers, tables and stored runs of pytest-benchmark."""

import json
import random
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from as_typed import benchmarked, imports, write
from result_sets import ledger, side, trained
from stub_plans import kept, planned, recorded

from unrolled.ablations.cli import app
from unrolled.ablations.ledger import seal, unseal
from unrolled.ablations.study import loading
from unrolled.bench.files import save
from unrolled.bench.metric import Metric


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("after", "flags", "code", "said"),
    [
        ({}, "", 0, "passed: 1 arm less than δ worse, if at all; 1 bit-identical\n"),
        ({"code": "v2"}, "", 0, "passed: 1 arm less than δ worse, if at all\n"),
        ({"code": "v2", "worse": 0.05}, "", 3, "✗ base: worse on 8 of 8 seeds, by +0.0"),
        ({"code": "v2", "seeds": 3}, "", 3, "under 5 nothing is decided; 5 seeds would mostly show it"),
        ({"slow": 1.2}, "", 3, "slower: the baseline's time ×1.200"),
        ({"slow": 1.2}, "--speed-margin 0.25", 0, "(c0ffee1)"),
        ({"slow": 1.2, "cpu": "Z80"}, "", 0, "speed not compared: unlike machines: cpu EPYC 9V74 / Z80"),
        ({"slow": 1.2, "cpu": "Z80"}, "--require-speed", 3, "unlike machines: cpu EPYC 9V74 / Z80"),
    ],
)
def test_a_version_that_is_worse_or_slower_fails(tmp_path, gate, after, flags, code, said) -> None:
    sides = side(tmp_path / "a", after.get("seeds", 8)), side(tmp_path / "b", **after)
    found, told = gate(*sides, *flags.split())
    assert (found, said in told) == (code, True), told


def test_the_baselines_plan_decides_what_is_asked_and_the_command_may(tmp_path, gate) -> None:
    before = side(tmp_path / "a")
    made = {"base": [trained(seed, code="v2", worse=0.05) for seed in range(8)]}
    lax = ledger(tmp_path / "b", made, metrics=(Metric("valid_loss", 1.0),))
    assert gate(before, lax)[0] == 3
    assert gate(before, lax, "--metric", "valid_loss=0.2")[0] == 0
    assert gate(lax, before, "--metric", "valid_loss=0.02")[0] == 0
    assert gate(lax, before, "--metric", "valid_loss=0.02", "--higher", "valid_loss")[0] == 3
    assert "speed_train not worse" in gate(before, lax, "--metric", "speed_train=90")[1]
    share = ledger(tmp_path / "d", made, metrics=(Metric("valid_loss", 2.0, ratio=True),))
    assert gate(share, before)[0] == 0 and gate(share, ledger(tmp_path / "e", made))[0] == 0
    worse = ledger(tmp_path / "f", {"base": [trained(s, code="v3", worse=0.1) for s in range(8)]})
    assert "not worse by 2 % or more" in gate(share, worse)[1] and gate(share, worse)[0] == 3
    assert gate(share, worse, "--metric", "valid_loss=2")[0] == 0, "a number is in the metric's unit"
    undeclared = ledger(tmp_path / "c", made, metrics=(Metric("valid_accuracy", 1.0),))
    assert "has no plan that declares δ of valid_loss" in gate(undeclared, lax, "--metric", "valid_loss")[1]


def test_a_speed_that_is_asked_for_is_compared_also_of_identical_trials(tmp_path, gate) -> None:
    sides, asked = (side(tmp_path / "a"), side(tmp_path / "b", slow=1.2)), ("--metric", "speed_train=90")
    assert "1 bit-identical" in gate(*sides, "--speed-margin", "9")[1]
    code, said = gate(*sides, *asked, "--speed-margin", "9")
    assert code == 3 and "base: worse on 8 of 8 seeds" in said and "bit-identical" not in said


def test_a_plan_and_results_sealed_by_another_version_are_read_and_left_alone(tmp_path, gate) -> None:
    before, after = side(tmp_path / "a"), side(tmp_path / "b", code="v2")
    for path in [*(after / "plans").glob("*.json"), *(after / "trials").rglob("*.json")]:
        body = unseal(path.read_bytes())
        body["plan" if "plan" in body else "result"]["of a later version"] = {"x": [1]}
        if "result" in body:
            body["result"]["trial"]["a new setting"] = 3
            body["format"] = 99
        else:
            body["plan"]["arms"][0]["of a later version"] = True
        save(path, seal({k: v for k, v in body.items() if k != "sha256"}))
    kept = contents(after)
    assert gate(before, after)[0] == 0
    assert contents(after) == kept


def test_bad_input_is_told_in_one_line(tmp_path, gate) -> None:
    good = side(tmp_path / "a")
    two = ledger(side(tmp_path / "two"), {"base": [trained(0)]}, study="t")
    damaged = side(tmp_path / "damaged")
    for path in (damaged / "trials").rglob("*.json"):
        path.write_bytes(path.read_bytes()[:-9])
    without_details = side(tmp_path / "without details")
    shutil.rmtree(without_details / "details")
    (tmp_path / "no.json").write_text('{"machine_info": {}}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "folder").mkdir(parents=True)
    (tmp_path / "unrun" / "plans").mkdir(parents=True)
    (tmp_path / "checkout" / "results" / "plans").mkdir(parents=True)
    here = tmp_path.as_posix()
    for words, said in [
        ((good, tmp_path / "none"), f"{here}/none: there are no results; name a results folder"),
        ((good, ""), "'': there are no results"),
        ((tmp_path / "checkout", good), f"there are no results; name {here}/checkout/results"),
        ((good, "mlflow.db"), "mlflow.db: there are no results; write sqlite:///mlflow.db"),
        ((good, tmp_path / "unrun"), "holds no study that was run"),
        ((good, two, "--study", "u"), "has no study 'u'; it has s"),
        ((two, good), "has the studies s, t; choose one with --study"),
        ((good, damaged), "is damaged, or of no known format"),
        ((good, without_details), "is damaged, or of no known format"),
        ((good, tmp_path / "no.json"), "is not of"),
        ((tmp_path / "no.json", tmp_path / "no.json"), "is not a file of pytest-benchmark"),
        ((good, tmp_path / "empty"), f"{here}/empty: there are no results"),
        (
            (tmp_path / "other", tmp_path / "other"),
            "holds neither a ledger nor pytest-benchmark's stored runs",
        ),
        (
            (tmp_path / "no.json", tmp_path / "no.json", "--metric", "x=3"),
            "--metric: is for results, and these",
        ),
        ((good, f"sqlite:///{here}/none.db"), "there is no such database"),
        ((tmp_path / "no.json", "http://me:secret@host"), "http://…@host: is not of"),
        ((good, good, "--metric", "valid_loss=inf"), "has no δ above 0"),
        ((good, good, "--speed-margin", "inf"), "--speed-margin"),
        ((good, good, "--seeds", "0-3"), "--seeds: is not for results before and after"),
        ((good, good, "--out", "pages"), "--out: is not for results before and after"),
        ((good, good, "--arm", "model"), "--arm: is for tables"),
        ((good, tmp_path / "text.csv"), "text.csv: there is no such file"),
        ((good, good, "--metric", "valid_loss=-1"), "has no δ above 0"),
        ((good, good, "--speed-margin", "x"), "--speed-margin"),
        ((good, good, "--metric", "valid_loss=0.02", "--higher", "loss"), "--higher loss: names no metric"),
    ]:
        code, told = gate(*words)
        assert code == 2 and said in told and told.count("\n") == 1, told
    assert not (tmp_path / "none.db").exists()


# pytest-benchmark

BENCHMARK = """
import time
def test_step(benchmark):
    benchmark.pedantic(time.sleep, args=(0.002,), rounds=12, iterations=1)
"""


def test_stored_runs_of_pytest_benchmark_are_compared_by_name(tmp_path, gate) -> None:
    before = benchmarked(tmp_path, "before.json", BENCHMARK)
    stored = json.loads(before.read_text())
    stored["benchmarks"][0]["stats"]["median"] *= 100
    after = tmp_path / "after.json"
    after.write_text(json.dumps(stored))
    code, said = gate(before, before)
    assert code == 0 and "none of 1 benchmark is shown to be slower" in said
    code, said = gate(before, after)
    assert code == 0 and "3 stored runs on each side, which these lack" in said
    assert gate(before, after, "--require-speed")[0] == 3

    stored["machine_info"]["cpu"]["brand_raw"] = "Z80"
    (tmp_path / "elsewhere.json").write_text(json.dumps(stored))
    code, said = gate(before, tmp_path / "elsewhere.json")
    assert code == 2 and "/ Z80; run both sides' benchmarks on one machine" in said

    for file in (before, after):
        folder = tmp_path / file.stem / ".benchmarks" / "Linux"
        folder.mkdir(parents=True)
        for i in range(3):
            shutil.copy(file, folder / f"000{i}_run.json")
    assert gate(tmp_path / "before", tmp_path / "before" / ".benchmarks")[0] == 0
    code, said = gate(tmp_path / "before", tmp_path / "after")
    assert code == 3 and "test_timed.py::test_step" in said and "slower: the baseline's time ×" in said


# in CI

WORKFLOW = Path(__file__).parents[3] / "docs" / "github-actions" / "gate.yml"


@pytest.fixture
def workflow() -> dict[Any, Any]:
    read: dict[Any, Any] = pytest.importorskip("yaml").safe_load(WORKFLOW.read_text())  # MLflow brings it
    return read


def test_the_workflow_in_the_docs_says_what_the_command_understands(workflow) -> None:
    lines = [line for step in workflow["jobs"]["gate"]["steps"] for line in step.get("run", "").splitlines()]
    commands = [shlex.split(line.partition("||")[0]) for line in lines if "bin/unrolled" in line]
    read = [app.parse_args(words[1:], exit_on_error=False, print_error=False) for words in commands]
    assert [called.__name__ for called, _, _ in read] == ["run", "run", "compare"]
    *runs, comparison = [bound.arguments for _, bound, _ in read]
    assert tuple(str(run["options"].results) for run in runs) == comparison["sources"]
    asked = workflow["jobs"]["gate"]["env"]["STUDY"]
    assert asked.startswith("base/") and commands[2][0].startswith("base/"), "no change judges itself"


def test_the_workflow_names_each_action_by_its_commit() -> None:
    used = [line.partition("uses:")[2] for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert used and all(re.fullmatch(r" actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)


def test_no_job_of_the_workflow_that_may_write_runs_the_code_of_a_pull_request(workflow) -> None:
    assert workflow[True] == "pull_request"  # "on" is a boolean of YAML; with "_target" every job could write
    assert set(workflow["permissions"].values()) == {"read"}
    writing = [job for job in workflow["jobs"].values() if "write" in job.get("permissions", {}).values()]
    (comment,) = writing
    assert comment["permissions"] == {"pull-requests": "write"}
    assert [step["uses"].partition("@")[0] for step in comment["steps"] if "uses" in step] == [
        "actions/download-artifact"  # no checkout
    ]
    commands = [line for step in comment["steps"] for line in step.get("run", "").splitlines()]
    assert {line.split()[0] for line in commands} == {"test", "head", "gh"}
    assert "${{" not in "".join(commands)


# one made worse on purpose


def test_a_real_study_passes_against_itself_and_fails_with_a_learning_rate_made_worse(
    tmp_path, gate, monkeypatch
) -> None:
    from unrolled.bench.chapter.run import run_trial

    monkeypatch.chdir(tmp_path)
    metrics = 'metrics = [{ name = "valid_loss", delta = 0.02 }, { name = "valid_accuracy", delta = 0.01 }]'

    def real(name: str, lr: float) -> Path:
        """A ledger of really trained trials."""
        write(tmp_path, seeds=f"seeds = 5\n{metrics}", widths=(), model="lm1", window=3, lr=lr)
        return recorded(tmp_path / name, loading.load("small.toml"), run_trial)

    base, worse = real("base", 1e-2), real("worse", 1e-3)
    patient = ("--speed-margin", "9")  # a busy machine is no slower version
    code, said = gate(base, base, *patient)
    assert (code, said.splitlines()[0]) == (0, "passed: 1 arm less than δ worse, if at all; 1 bit-identical")
    code, said = gate(base, worse, *patient, "--markdown", "gate.md")
    assert code == 3 and len(said.splitlines()) <= 24, said
    assert "its settings changed: lr 0.01 → 0.001" in said
    assert "worse by more than δ" in Path("gate.md").read_text()
    # a change of the rate by a millionth alters bits and passes at a δ of which the other change costs two
    cost = re.search(r"worse on 5 of 5 seeds, by \+(\d\.\d+)", said)
    assert cost
    slight, delta = real("slight", 1.000001e-2), ("--metric", f"valid_loss={float(cost[1]) / 2}")
    code, said = gate(base, slight, *patient, *delta)
    assert (code, said.splitlines()[0]) == (0, "passed: 1 arm less than δ worse, if at all")
    assert gate(base, worse, *patient, *delta)[0] == 3
    assert gate(base, slight, *patient, "--metric", "valid_accuracy")[0] == 3, "five ties show nothing"


def test_before_and_after_import_neither_torch_nor_mlflow(tmp_path) -> None:
    code, slow = imports(
        tmp_path, "compare", side(tmp_path / "a"), side(tmp_path / "b", code="v2", worse=0.05)
    )
    assert code == 3 and slow <= {"pandas"}


def test_two_tables_are_compared_arm_by_arm_and_fail_closed(tmp_path, gate) -> None:
    dice = random.Random(0)
    luck = {name: dice.gauss(0, 0.05) for name in ("a", "b", "10", "9", "8", "7", "6", "5")}
    rows = [{"model": m, "fold": f, "val_acc": 0.8 + luck[f]} for m in ("x", "y") for f in luck]

    def table(name: str, **moved: float) -> Path:
        own = random.Random(name)
        lines = [
            {**row, "val_acc": row["val_acc"] + moved.get(row["model"], 0) + own.gauss(0, 0.002)}
            for row in rows
        ]
        pd.DataFrame(lines).to_csv(tmp_path / name, index=False)
        return tmp_path / name

    asked = ("--arm", "model", "--pair", "fold", "--folds", "8", "--metric", "val_acc=0.02")
    before, same, worse = table("before.csv"), table("same.csv"), table("worse.csv", y=-0.1)
    assert gate(before, same, *asked)[0] == 0
    code, said = gate(before, worse, *asked)
    assert code == 3 and "✗ y: worse on 8 of 8 seeds" in said and "1 of 2 arms" in said
    assert gate(worse, before, *asked)[0] == 0, "better is not worse"
    crashed = tmp_path / "crashed.csv"  # its pairs are text and numbers in one, numbers alone in the other
    numbered = pd.read_csv(same).query("fold not in ['a', 'b']").astype({"fold": int})
    numbered.to_csv(before, index=False)
    lost = pd.DataFrame([{"model": "y", "status": "failed"}])
    pd.concat([numbered.assign(status="done"), lost]).to_csv(crashed, index=False)
    code, said = gate(before, crashed, *asked)
    assert code == 3 and "y: 1 new failure, seed of failed row 13" in said
    few = tmp_path / "few.csv"
    pd.read_csv(same).query("model == 'x'").to_csv(few, index=False)
    code, said = gate(before, few, *asked)
    assert code == 3 and "y: is missing" in said
    assert "--pair: is missing" in gate(before, same, "--arm", "model", "--metric", "val_acc=0.02")[1]


# studies that look several times: fewer seeds are no fault where a contrast was decided

LOOKS = {"looks": (10, 15, 20, 30, 40)}
CHANGES = {"worse": {"lr": 0.1}, "alike": {"lr": 0.2}}


def looked(folder, *, base, code="v1", delta=0.02, decide="direction", **arms):
    """A ledger in which every arm has this many seeds; `worse` is .2 worse than the baseline."""
    effects, counts = {"base": 0.0, "worse": 0.2, "alike": 0.0}, {"base": base, **arms}
    whole = {name: [trained(s, effects[name], f"{code}{name}") for s in range(40)] for name in counts}
    plan = planned(whole, CHANGES, metrics=(Metric("valid_loss", delta),), decide=decide, **LOOKS)
    return kept(folder, plan, {name: whole[name][:n] for name, n in counts.items()}).root


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        # decided at an earlier look
        (
            {"base": 15, "worse": 15, "alike": 15},
            {"base": 10, "worse": 10, "alike": 10},
            0,
            "only on one side: seed 10, 11",
        ),
        # open, with a further look: these two are told of the arm and of the baseline
        (
            {"base": 15, "alike": 15},
            {"base": 12, "alike": 11, "delta": 0.0005},
            3,
            "✗ alike: has no result for seed 11, 12, 13, 14: run",
        ),
        (
            {"base": 15, "alike": 15},
            {"base": 12, "alike": 11, "delta": 0.0005},
            3,
            "✗ base: has no result for seed 12, 13, 14: run",
        ),
        # open, and there is no further look
        ({"base": 15, "alike": 15}, {"base": 40, "alike": 40, "delta": 0.0005}, 0, ""),
        # before its first look
        (
            {"base": 10, "worse": 10},
            {"base": 10, "worse": 8},
            3,
            "✗ worse: has no result for seed 8, 9: run the study to its end",
        ),
        # worse it is, whether by more than δ is open
        (
            {"base": 10, "worse": 10, "delta": 0.2},
            {"base": 10, "worse": 10, "delta": 0.2, "decide": "direction"},
            0,
            "",
        ),
        (
            {"base": 10, "worse": 10, "delta": 0.2},
            {"base": 10, "worse": 10, "delta": 0.2, "decide": "size"},
            3,
            "has no result",
        ),
    ],
)
def test_what_a_plan_asks_of_a_contrast_says_whether_results_are_missing(
    tmp_path, gate, before, after, code, said
) -> None:
    sides = looked(tmp_path / "a", **before), looked(tmp_path / "b", code="v2", **after)
    found, told = gate(*sides)
    assert found == code and said in told
    assert ("has no result" in told) == ("has no result" in said)
