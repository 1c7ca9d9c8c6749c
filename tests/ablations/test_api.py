"""The public functions, in a notebook's few lines."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import unrolled
from tests.helpers.command_call import check_command
from tests.helpers.command_process import write_study
from tests.helpers.command_without_mlflow import silence_mlflow
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.study.loading import load_study
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.errors import BadInput

CLOCKS = ["seconds", "memory_peak", *(f"speed_{part}" for part in ("train", "valid", "steady"))]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    facts = {"model": "lm6", "hidden": 8, "window": 4, "batch": 8, "epochs": 2}
    arms = "[design.one_at_a_time]\nlr = [1e-3]\ndropout = [0.5]\n"
    folder = write_study(tmp_path_factory.mktemp("api"), seeds="seeds = 2", widths=(), arms=arms, **facts)
    with silence_mlflow():
        check_command(folder, "run", "small.toml")
    return folder


@pytest.mark.parametrize("name", [name for name, spec in ZOO.items() if not spec.is_counting_model])
def test_a_trial_has_the_chapters_settings_of_its_model(name: str) -> None:
    trial = unrolled.trial(name)
    spec = ZOO[name]
    assert dict(trial.options) == dict(spec.options)
    assert all(getattr(trial, key) == value for key, value in spec.settings.items())
    assert trial.source
    assert trial.data
    assert trial.versions


def test_a_trial_is_refused_as_a_study_file_is() -> None:
    with pytest.raises(BadInput, match=r"^'learning_rate': unknown setting; did you mean 'lr'\?$"):
        unrolled.trial("lm4", learning_rate=1e-3)


@pytest.mark.parametrize("seed", ["a", -1, 1.5, 2**40, True])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    with pytest.raises(BadInput, match=r"^seed: .* is not an integer from 0 to 4294967295"):
        unrolled.trial("lm4", seed=seed)


def test_an_integer_of_numpys_is_a_seed() -> None:
    assert unrolled.trial("lm4", seed=np.int64(3)).id == unrolled.trial("lm4", seed=3).id


def test_training_here_gives_a_runs_bits_and_restores_torch(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project)
    stored = unrolled.result(unrolled.results("small").trial[0])
    torch.set_num_threads(2)
    mode = torch.get_deterministic_debug_mode()
    result = unrolled.train(stored.trial)
    assert result.fingerprints == stored.fingerprints and result.trial == stored.trial
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode()) == (2, mode)


def test_a_studys_results_are_a_table_with_a_row_a_trial(project: Path) -> None:
    table = unrolled.results("small", project / "results")
    assert table.groupby("arm").seed.agg(list).map(sorted).to_list() == [[0, 1]] * 3
    ledger = Ledger(project / "results")
    for row in table.itertuples():
        result = ledger.read_result(row.trial)
        assert result is not None and row.valid_loss == result.metrics["valid_loss"]
        assert (row.status, row.lr, row.seed) == (
            "done",
            result.trial.flat_settings()["lr"],
            result.trial.seed,
        )


def test_a_study_is_given_by_its_name_its_file_or_itself(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project)
    for study in ("small.toml", load_study("small.toml")):
        pd.testing.assert_frame_equal(unrolled.results(study), unrolled.results("small"))
        pd.testing.assert_frame_equal(unrolled.verdicts(study), unrolled.verdicts("small"))


def test_two_arms_are_compared_as_the_report_compares_them(project: Path) -> None:
    ledger = Ledger(project / "results")
    plan = plan_store.load_plan("small", ledger)
    base, *arms = compare_plan(plan, read_page_results(plan, ledger)).arms
    for arm in arms:
        comparison = unrolled.compare("small", arm.name, folder=project / "results")
        assert comparison.verdict == arm.verdict and comparison.contrast == arm.contrast
        assert f"— {arm.name} against {base.name}: " in str(comparison)
        assert comparison.contrast.is_all_tied or "Holm p" in str(comparison)
    first, second = (arm.name for arm in arms)
    forward = unrolled.compare("small", first, second, folder=project / "results")
    backward = unrolled.compare("small", second, first, folder=project / "results")
    assert forward.contrast.mean_difference == -backward.contrast.mean_difference
    assert "unadjusted p" in str(forward)
    assert forward.exploratory, "the study does not declare this contrast"
    assert not comparison.exploratory and "exploratory" not in str(comparison)
    table = unrolled.verdicts("small", folder=project / "results")
    assert set(table.open_because) <= {"under 5 seeds nothing is decided"}
    assert not table.exploratory.any()
    assert not table.provisional.any()
    assert not table.diverged.any()
    assert (
        unrolled.compare("small", first, metric="seconds", delta=9.0, folder=project / "results").metric
        == "seconds"
    )


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("none", "x"), {}, "none"),
        (("small", "lr 7"), {}, "arm 'lr 7': study 'small' has none of this name; it has: "),
        (("small", "lr 0.001"), {"delta": -1.0}, "delta: is not a number above 0; give"),
        (
            ("small", "lr 0.001"),
            {"metric": "valid_lost", "delta": 0.1},
            "no result has 'valid_lost'; did you",
        ),
        (
            ("small", "lr 0.001"),
            {"metric": "train_loss"},
            "study 'small' declares δ for valid_accuracy, valid_loss; give delta",
        ),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(project: Path, names, options, message) -> None:
    with pytest.raises(BadInput) as excinfo:
        unrolled.compare(*names, folder=project / "results", **options)
    assert message in str(excinfo.value) and "\n" not in str(excinfo.value)


def test_a_study_in_python_gives_its_files_results_and_page(
    project: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    study = unrolled.declare_study(**tomllib.loads(Path("small.toml").read_text()) | {"name": "a small one"})
    outcome = unrolled.run(study, RunOptions(results=f"{tmp_path}/results", out=f"{tmp_path}/out"))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(
        outcome.results.drop(columns=CLOCKS), unrolled.results("small").drop(columns=CLOCKS)
    )
    assert list(outcome.verdicts.verdict) == ["open"] * 2 and str(outcome).count("? open — ") == 2
    assert outcome.page.read_text().count("<tr") == Path("out/small/index.html").read_text().count("<tr")
    assert "lr 0.001" in outcome._repr_html_()
    command = "<dt>Command</dt><dd><code>unrolled run small.toml</code>"
    assert command in Path("out/small/index.html").read_text()
    assert "<dt>Command" not in outcome.page.read_text(), "a notebook's own command line is no command"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"baseline": {"model": "lm4"}, "seds": 3}, "study 'mine': 'seds'"),
        ({"baseline": {"modl": "lm4"}}, "model: is missing"),
        ({"baseline": {"model": "lm4"}, "one_at_a_time": {"lrr": [1e-3]}}, "lrr"),
        ({}, "baseline"),
    ],
)
def test_a_declared_studys_mistake_is_one_line_with_its_key(keys, message) -> None:
    with pytest.raises(BadInput) as excinfo:
        unrolled.declare_study("mine", **keys)
    assert message in str(excinfo.value) and "\n" not in str(excinfo.value)


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("small.toml", {"dry_run": True}, "dry_run: trains nothing; "),
        ("small.toml", {"budget": "1h"}, 'budget = "1h": '),
        ("small.toml", {"plugin": "mine.py"}, 'plugin = "mine.py": '),
        ("small.toml", {"workers": -1}, "workers = -1: "),
        ("all", {}, "study 'all': "),
    ],
)
def test_run_trains_nothing_where_an_option_is_wrong(
    project: Path, monkeypatch, study, options, message
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(BadInput) as excinfo:
        unrolled.run(study, RunOptions(results="elsewhere", **options))  # type: ignore[arg-type]
    assert str(excinfo.value).startswith(message) and not Path("elsewhere").exists()


def test_the_docstring_of_the_api_runs(project: Path, monkeypatch) -> None:
    """Its lines as they stand, with names of the small study for those of a shipped one."""
    from unrolled.ablations import api

    monkeypatch.chdir(project)
    trial_id = unrolled.results("small").trial[0]
    lines = [line.strip() for line in (api.__doc__ or "").splitlines() if line.startswith("    ")]
    assert len(lines) == 7
    code = "\n".join(lines).replace("toggles", "small").replace("no AR", "lr 0.001").replace("3fa9", trial_id)
    exec(
        code.replace("epochs=3", "epochs=1, hidden=4").replace('"lm4"}', '"lm4", "epochs": 1, "hidden": 4}'),
        {},
    )
