"""`unrolled gate` on real ledgers, a real MLflow database and real stored runs of pytest-benchmark."""

import json
import os
import random
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablations.cli import main, parser
from ablations.design import loading
from ablations.design import plan as plans
from ablations.design.plan import Plan, PlannedArm
from ablations.ledger import Ledger, save, seal, unseal
from ablations.tracking import projection, store
from ablations.tracking.entry import StudyFacts
from bench.trial import Result, Trial

projection.settings()  # before anything imports mlflow

# MLflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

MACHINE = {"cpu": "EPYC 9V74", "threads": 1, "device": "cpu", "torch_build": "abc", "commit": "c0ffee12345"}


def trained(seed: int, worse: float = 0.0, code: str = "v1", slow: float = 1.0, **machine: Any) -> Result:
    """A finished trial of one version of the code: its loss is the seed's luck, and what the version adds."""
    luck, own = random.Random(seed).gauss(0, 0.06), random.Random(f"{code}{seed}").gauss(0, 0.004)
    loss = 1.3 + luck + worse + own
    return Result(
        trial=Trial(model="lm1", seed=seed, source=code, data="3a3e30cd"),
        status="done",
        started=1_770_000_000.0 + seed,
        seconds=2.0,
        metrics={"valid_loss": loss, "speed_train": 9000 / slow * (1 + 0.001 * seed)},
        fingerprints={"weights": f"w{loss}", "metrics": f"m{loss}"},
        environment={**MACHINE, **machine},
    )


def plan(arms: dict[str, list[Result]], **facts: Any) -> Plan:
    planned = tuple(
        PlannedArm(
            name=name,
            model="lm1",
            title="LMModel1",
            changes={},
            trials={r.trial.seed: r.trial.id for r in made},
        )
        for name, made in arms.items()
    )
    seeds = tuple(sorted({r.trial.seed for made in arms.values() for r in made}))
    default = {
        "question": "?",
        "about": "",
        "metric": "valid_loss",
        "equivalence": 0.02,
        "command": "unrolled",
    }
    return Plan(**{"study": "s", "seeds": seeds, "arms": planned, "hash": "h", **default, **facts})


def ledger(folder: Path, arms: dict[str, list[Result]], **facts: Any) -> Path:
    kept = Ledger(folder)
    for made in arms.values():
        for result in made:
            kept.record(result)
    plans.store(plan(arms, **facts), kept)
    return folder


def side(folder: Path, seeds: int = 8, **facts: Any) -> Path:
    return ledger(folder, {"base": [trained(seed, **facts) for seed in range(seeds)]})


def gate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["gate", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out + said.err


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_version_twice_is_bit_identical_and_passes(tmp_path, capsys) -> None:
    code, said = gate(capsys, side(tmp_path / "a"), side(tmp_path / "b"))
    assert code == 0
    assert said.startswith("gate passed: 1 arm no worse, 1 bit-identical\n")
    assert "(c0ffee1)" in said


def test_another_version_as_good_passes_and_a_worse_one_fails(tmp_path, capsys) -> None:
    before = side(tmp_path / "a")
    assert gate(capsys, before, side(tmp_path / "b", code="v2"))[0] == 0
    code, said = gate(capsys, before, side(tmp_path / "c", code="v2", worse=0.05))
    assert code == 3
    assert "✗ base: worse on 8 of 8 seeds, by +0.0" in said


def test_a_slower_version_fails_and_on_another_machine_speed_is_not_compared(tmp_path, capsys) -> None:
    before, slower = side(tmp_path / "a"), side(tmp_path / "b", slow=1.2)
    code, said = gate(capsys, before, slower)
    assert (code, "slower: the baseline's time ×1.200" in said) == (3, True)
    assert gate(capsys, before, slower, "--speed-margin", "0.25")[0] == 0
    other = side(tmp_path / "c", slow=1.2, cpu="Xeon 8481C")
    code, said = gate(capsys, before, other)
    assert (code, "speed not compared: unlike machines: cpu EPYC 9V74 / Xeon 8481C" in said) == (0, True)
    assert gate(capsys, before, other, "--require-speed")[0] == 3


def test_too_few_seeds_shut_the_gate_and_it_says_how_many_are_needed(tmp_path, capsys) -> None:
    code, said = gate(capsys, side(tmp_path / "a", seeds=3), side(tmp_path / "b", seeds=3, code="v2"))
    assert code == 3
    assert "3 seeds in common; under 5 nothing is decided; 5 seeds would mostly show it" in said


def test_the_baselines_plan_decides_what_is_asked_and_the_command_may(tmp_path, capsys) -> None:
    before = side(tmp_path / "a")
    made = {"base": [trained(seed, code="v2", worse=0.05) for seed in range(8)]}
    lax = ledger(tmp_path / "b", made, equivalence=1.0)
    assert gate(capsys, before, lax)[0] == 3
    assert gate(capsys, before, lax, "--delta", "0.2")[0] == 0
    assert "training speed" in gate(capsys, before, lax, "--metric", "speed_train", "--delta", "90")[1]


def test_a_plan_and_results_sealed_by_another_version_are_read_and_left_alone(tmp_path, capsys) -> None:
    before, after = side(tmp_path / "a"), side(tmp_path / "b", code="v2")
    for path in [*(after / "plans").glob("*.json"), *(after / "trials").rglob("*.json")]:
        body = unseal(path.read_bytes())
        body["plan" if "plan" in body else "result"]["of a later version"] = {"x": [1]}
        if "result" in body:
            body["result"]["trial"]["a new setting"] = 3
            body["format"] = 99
        else:
            del body["plan"]["question"], body["plan"]["arms"][0]["title"]
        save(path, seal({k: v for k, v in body.items() if k != "sha256"}))
    kept = contents(after)
    assert gate(capsys, before, after)[0] == 0
    assert contents(after) == kept


def test_a_trial_without_a_result_shuts_the_gate(tmp_path, capsys) -> None:
    after = side(tmp_path / "b")
    Ledger(after).path(trained(7).trial.id).unlink()
    code, said = gate(capsys, side(tmp_path / "a"), after)
    assert (code, "base: has no result for seed 7: run the study to its end" in said) == (3, True)


def test_a_new_divergence_shuts_the_gate(tmp_path, capsys) -> None:
    made = [trained(seed) for seed in range(8)]
    made[2] = replace(made[2], status="failed", reason="diverged at step 7: loss is nan", metrics={})
    code, said = gate(capsys, side(tmp_path / "a"), ledger(tmp_path / "b", {"base": made}))
    assert (code, "1 new failure, seed 2: diverged at step 7" in said) == (3, True)


def test_bad_input_is_told_in_one_line(tmp_path, capsys) -> None:
    good = side(tmp_path / "a")
    two = ledger(side(tmp_path / "two"), {"base": [trained(0)]}, study="t")
    damaged = side(tmp_path / "damaged")
    for path in (damaged / "trials").rglob("*.json"):
        path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "no.json").write_text('{"machine_info": {}}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "unrun" / "plans").mkdir(parents=True)
    here = tmp_path.as_posix()
    for words, said in [
        ((good, tmp_path / "none"), "there is no such results folder"),
        ((good, tmp_path / "unrun"), "holds no study that was run"),
        ((good, two, "--study", "u"), "has no study 'u'; it has s"),
        ((two, good), "has the studies s, t: choose one with --study"),
        ((good, damaged), "is damaged or no result of a known format"),
        ((good, tmp_path / "no.json"), "is not of"),
        ((tmp_path / "no.json", tmp_path / "no.json"), "is no stored run of pytest-benchmark"),
        (
            (tmp_path / "empty", tmp_path / "empty"),
            "holds neither a ledger nor pytest-benchmark's stored runs",
        ),
        ((good, f"sqlite:///{here}/none.db"), "there is no such database"),
        ((tmp_path / "no.json", "http://me:secret@host"), "http://…@host: is not of"),
        ((good, good, "--delta", "inf"), "infinite lets everything pass"),
        ((good, good, "--delta", "-1"), "--delta"),
        ((good, good, "--speed-margin", "x"), "--speed-margin"),
    ]:
        code, told = gate(capsys, *words)
        assert code == 2 and said in told and told.count("\n") == 1, told
    assert not (tmp_path / "none.db").exists()


def test_the_markdown_summary_is_written_and_holds_hostile_names_as_text(tmp_path, capsys) -> None:
    name = "<img src=x> @everyone `x` | nul\0"
    sides = [
        ledger(tmp_path / code, {name: [trained(s, worse=worse, code=code) for s in range(8)]})
        for code, worse in (("v1", 0.0), ("v2", 0.05))
    ]
    code, said = gate(capsys, *sides, "--markdown", tmp_path / "out" / "gate.md")
    text = (tmp_path / "out" / "gate.md").read_text()
    assert code == 3 and "\0" not in said
    assert "<img" not in text and "<code>&lt;img src=x&gt; @everyone \\`x\\` \\| nul␀</code>" in text


# MLflow


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "mlflow.db"
    store.create_whole(f"sqlite:///{path}")
    return f"sqlite:///{path}"


FACTS = StudyFacts(name="s", question="?", plan="p")


def test_an_mlflow_experiment_is_compared_with_a_ledger_and_with_itself(database, tmp_path, capsys) -> None:
    made = [trained(seed) for seed in range(8)]
    projection.sync(FACTS, {"base": made}, database)
    before = ledger(tmp_path / "a", {"base": made})
    code, said = gate(capsys, before, f"mlflow:{database}")
    assert code == 0 and "1 bit-identical" in said and "speed not compared" not in said

    worse = [trained(s, code="v2", worse=0.05, slow=1.2, commit="beefbeef") for s in range(8)]
    worse[5] = replace(worse[5], status="failed", reason="diverged at step 3", metrics={"valid_loss": 9.0})
    projection.sync(FACTS, {"base": [*made, *worse]}, database)
    code, said = gate(capsys, f"{database}#c0ffee", f"{database}#beef", "--delta", "0.02")
    assert code == 3
    assert "1 new failure, seed 5: diverged at step 3" in said
    assert "slower: the baseline's time ×1.2" in said
    assert "has no plan that declares δ: give --delta NATS" in gate(capsys, database, database)[1]
    assert "has no ended run of commit 0000" in gate(capsys, before, f"{database}#0000")[1]


def test_a_ledger_is_its_own_mlflow_also_where_an_arm_has_seeds_of_its_own(
    database, tmp_path, capsys
) -> None:
    arms = {"base": [trained(seed) for seed in range(8)], "A/A": [trained(1000 + s) for s in range(8)]}
    projection.sync(FACTS, arms, database)
    kept = Ledger(ledger(tmp_path / "a", {"base": arms["base"]}))
    for result in arms["A/A"]:
        kept.record(result)
    base, again = plan(arms).arms
    again = replace(
        again, trials={seed - 1000: id for seed, id in again.trials.items()}
    )  # as the study has it
    plans.store(replace(plan({"base": arms["base"]}), arms=(base, again)), kept)
    code, said = gate(capsys, kept.root, database)
    assert code == 0 and "2 bit-identical" in said and "changed" not in said


def test_mlflows_runs_on_another_text_are_another_task(database, tmp_path, capsys) -> None:
    made = [trained(seed) for seed in range(8)]
    other = [replace(r, trial=replace(r.trial, data="beef", corpus="my.txt")) for r in made]
    projection.sync(FACTS, {"base": other}, database)
    code, said = gate(capsys, ledger(tmp_path / "a", {"base": made}), database)
    assert code == 3 and "another task, so that the numbers cannot be compared: data changed" in said


def test_a_mistyped_metric_is_told_what_was_meant(database, tmp_path, capsys) -> None:
    made = {"base": [trained(seed) for seed in range(8)]}
    projection.sync(FACTS, made, database)
    for source in (ledger(tmp_path / "a", made), database):
        code, said = gate(capsys, source, source, "--metric", "valid_los", "--delta", "0.02")
        assert code == 2 and "no trial has the metric 'valid_los'; did you mean 'valid" in said


def test_anyones_experiment_with_arms_and_seeds_is_compared(database, capsys) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=database)
    for name, worse in (("before", 0.0), ("after", 0.5)):
        experiment = client.create_experiment(name)
        for seed in range(6):
            run = client.create_run(experiment, tags={"arm": "big"}).info.run_id
            client.log_param(run, "seed", seed)
            client.log_metric(run, "val", 1.0 + 0.01 * random.Random(f"{name}{seed}").random() + worse)
            client.set_terminated(run)
        client.create_run(experiment, tags={"arm": "big", "seed": "6"})  # still running
    words = ("--metric", "val", "--delta", "0.1")
    assert "choose an experiment with --study: " in gate(capsys, database, database, *words)[1]
    code, said = gate(capsys, database, database, "--study", "before", *words)
    assert code == 0 and "✓  big  0.0000" in said and "only on one side" not in said
    sides = (f"{database}", f"{database}")
    assert gate(capsys, *sides, "--study", "after", *words)[0] == 0


# pytest-benchmark

BENCHMARK = """
import time
def test_step(benchmark):
    benchmark.pedantic(time.sleep, args=({seconds},), rounds=12, iterations=1)
"""


def timed(folder: Path, name: str, seconds: float) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "test_timed.py").write_text(BENCHMARK.format(seconds=seconds))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, f"--benchmark-json={name}.json", "test_timed.py"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"{name}.json"


def test_stored_runs_of_pytest_benchmark_are_compared_by_name(tmp_path, capsys) -> None:
    before, after = timed(tmp_path, "before", 0.002), timed(tmp_path, "after", 0.2)
    code, said = gate(capsys, before, before)
    assert code == 0 and "none of 1 benchmark is shown to be slower" in said
    code, said = gate(capsys, before, after)
    assert code == 3 and "test_timed.py::test_step" in said and "slower: the baseline's time ×" in said

    elsewhere = json.loads(after.read_text())
    elsewhere["machine_info"]["cpu"]["brand_raw"] = "Z80"
    (tmp_path / "elsewhere.json").write_text(json.dumps(elsewhere))
    code, said = gate(capsys, before, tmp_path / "elsewhere.json")
    assert code == 2 and "/ Z80: run both sides' benchmarks on one machine" in said

    folder = tmp_path / ".benchmarks" / "Linux"
    folder.mkdir(parents=True)
    for i in range(3):
        (folder / f"000{i}_run.json").write_bytes(before.read_bytes())
    assert gate(capsys, tmp_path / ".benchmarks", folder)[0] == 0


# in CI


def test_the_workflow_in_the_docs_says_what_the_command_understands() -> None:
    yaml = pytest.importorskip("yaml")  # MLflow brings it
    found = yaml.safe_load((Path(__file__).parents[3] / "docs" / "github-actions" / "gate.yml").read_text())
    lines = [line for step in found["jobs"]["gate"]["steps"] for line in step.get("run", "").splitlines()]
    commands = [shlex.split(line.partition("||")[0]) for line in lines if "bin/unrolled" in line]
    read = [parser().parse_args(words[1:]) for words in commands]
    assert [args.do.partition(":")[2] for args in read] == ["run", "run", "gate"]
    assert [str(args.results) for args in read[:2]] == [read[2].baseline, read[2].candidate]


# one made worse on purpose

STUDY = """
name = "small"
question = "Is a narrow network as good?"
seeds = 5
equivalence = 0.02
[baseline]
model = "lm1"
corpus = "text.txt"
epochs = 1
batch = 4
lr = {lr}
"""


def real(folder: Path, lr: float) -> Path:
    """A ledger of really trained trials."""
    from bench.run import run_trial

    (folder.parent / "small.toml").write_text(STUDY.format(lr=lr))
    decided, trials = plans.decide(loading.load(str(folder.parent / "small.toml")), "unrolled run small.toml")
    kept = Ledger(folder)
    plans.store(decided, kept)
    for trial in trials:
        kept.record(run_trial(trial))
    return folder


def test_a_real_study_passes_against_itself_and_fails_with_a_learning_rate_made_worse(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    base, same, worse = (
        real(tmp_path / "base", 1e-2),
        real(tmp_path / "same", 1e-2),
        real(tmp_path / "worse", 1e-3),
    )
    patient = ("--speed-margin", "9")  # a busy machine is no slower version
    code, said = gate(capsys, base, same, *patient)
    assert (code, said.splitlines()[0]) == (0, "gate passed: 1 arm no worse, 1 bit-identical")
    code, said = gate(capsys, base, worse, *patient, "--markdown", "gate.md")
    assert code == 3, said
    assert "worse on 5 of 5 seeds, by +" in said
    assert "its settings changed: lr 0.01 → 0.001" in said
    assert len(said.splitlines()) <= 24
    assert "WORSENS" in (tmp_path / "gate.md").read_text()


def test_the_command_tells_by_its_exit_code_and_loads_neither_torch_nor_mlflow(tmp_path) -> None:
    base, worse = side(tmp_path / "a"), side(tmp_path / "b", code="v2", worse=0.05)
    code = (
        "import sys; from ablations.cli import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'mlflow', 'fastai'} & set(sys.modules); sys.exit(code)"
    )
    for sides, expected in (((base, base), 0), ((base, worse), 3), ((base, tmp_path / "none"), 2)):
        command = [sys.executable, "-c", code, "gate", *map(str, sides)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == expected, done.stderr
        assert "Traceback" not in done.stderr
