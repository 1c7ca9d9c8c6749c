"""What `unrolled compare` refuses: sources and flags that do not fit, each in one line."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from tests.ablations.commands.comparison_rows import FLAGS, FRAME, UNPAIRED
from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.commands.compare import compare as compare_sources
from unrolled.ablations.options import CompareOptions, RunOptions
from unrolled.ablations.training.budget import Budget

FOLDS = ("--pair", "fold", "--test-share", "0.1")


FILES = {
    "runs.csv": FRAME.to_csv(index=False),
    "many.csv": pd.concat([FRAME, FRAME[:1]]).to_csv(index=False),
    "runs.xlsx": "x",
    "runs": "x",
    "broken.jsonl": "{",
    "empty.csv": "",
    "head.csv": "model,seed,accuracy\n",
    "latin.csv": "model,é\n",
    "longer.csv": "model,seed,accuracy\na,1,1,.5\nb,1,1,.5\n",
    "twice.csv": "model,seed,accuracy,accuracy\n",
    "benchmark.json": '{"machine_info": {}, "benchmarks": []}',
    "noarm.csv": "model,seed,accuracy\na,1,1\n,2,1\n",
    "lists.jsonl": "".join(f'{{"model": "{m}", "seed": [1], "accuracy": 1}}\n' for m in "ab"),
    "page.csv": "trial,arm,seed,status\na,1,0,done\nb,2,0,done\n",
    "study.csv": "study,design,arm,seed,status\nx,y,a,0,done\n",
    "rows.csv": "model,seed,rows\na,1,2\nb,1,3\n",
    "sourced.csv": "source,model,seed,accuracy\na,b,0,1\n",
    "folds.csv": "model,seed,fold,accuracy\na,0,0,.1\na,0,0,.2\nb,0,1,.1\n",
    "arms.csv": "arm,seed,accuracy\na,0,1\nb,0,1\n",
}


@pytest.fixture
def refuse(compare) -> Callable[..., None]:
    """Return a function that checks that a comparison is refused in a line: its place, and what it names."""
    for folder in ("before/plans", "checkout/results/plans", "other"):
        Path(folder).mkdir(parents=True)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="latin-1")

    def check(source: str, flags: tuple[str, ...], place: str, named: str) -> None:
        code, output, errors = compare(source, *flags)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert errors.startswith(f"unrolled: {place}: ")
        assert named in errors

    return check


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("nowhere.csv", "no such file"),
        ("runs.xlsx", ".csv, .tsv"),
        ("runs", "needs the suffix of its format"),
        ("other", ".csv, .tsv"),
        ("broken.jsonl", "line 1"),
        ("empty.csv", "no rows"),
        ("head.csv", "no rows"),
        ("latin.csv", "byte 6"),
        ("longer.csv", "line 2 has 4 cells, the header 3"),
        ("twice.csv", "'accuracy' twice"),
        ("benchmark.json", "machine_info, benchmarks"),
        ("page.csv", "'model'"),
        ("arms.csv", "'model'"),
        ("noarm.csv", "row 2"),
        ("lists.jsonl", "seed"),
    ],
)
@pytest.mark.parametrize("others", [(), ("runs.csv",)])
def test_a_file_that_is_no_table_of_rows_is_refused(refuse, source: str, named: str, others: tuple) -> None:
    if others:
        refuse("runs.csv", (source, *FLAGS), source, named)
    else:
        refuse(source, FLAGS, source, named)


@pytest.mark.parametrize(
    ("source", "flags", "place", "named"),
    [
        ("mlflow:sqlite:///none.db", FLAGS, "sqlite:///none.db", "no such database"),
        ("mlflow:http://127.0.0.1:1", FLAGS, "MLflow at http://127.0.0.1:1", "nothing answers"),
        ("http://me:secret@host", (), "http://…@host", "mlflow:"),
        ("nowhere.csv", (), "nowhere.csv", "'noarm.csv'"),
        ("belore", ("belore",), "belore", "'before'"),
        ("before", (), "before", "`unrolled report`"),
        ("before", ("runs.csv", *FLAGS), "before", "`unrolled run STUDY --results before`"),
        ("checkout", ("runs.csv", *FLAGS), "checkout", "checkout/results"),
        ("runs.csv", ("sourced.csv", *FLAGS), "sourced.csv", "'source'"),
        ("runs.csv", ("runs.csv", *FLAGS), "runs.csv", "twice"),
        ("runs.csv", ("lm4", *FLAGS), "lm4", "no such file"),
        ("runs.csv", ("arms.csv", *FLAGS[2:]), "arms.csv", "--arm arm,source"),
    ],
)
def test_a_source_that_is_not_there_or_does_not_fit_is_refused(refuse, source, flags, place, named) -> None:
    refuse(source, flags, place, named)


@pytest.mark.parametrize(
    ("source", "others", "place", "named"),
    [
        ("lm4", ("lm77",), "model 'lm77'", "'lm7'"),
        ("lm4", FLAGS, "lm4", "two models"),
        ("lm3", ("lm4",), "LMModel4", "target"),
        ("lm4", ("lm4",), "lm4", "twice"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(refuse, source, others, place, named) -> None:
    refuse(source, others, place, named)


@pytest.mark.parametrize(
    ("flags", "place", "named"),
    [
        (FLAGS[2:], "--arm", "missing"),
        (FLAGS[:4], "--metric", "missing"),
        ((*FLAGS[:4], "--metric", "accuracy"), "--metric accuracy", "δ"),
        ((*FLAGS[:4], "--metric", "accuracy=-1"), "--metric accuracy=-1", "δ"),
        ((*FLAGS, "--metric", "accuracy=0.5"), "--metric accuracy", "twice"),
        ((*FLAGS[:4], "--metric", "seed=1"), "seed", "--higher seed or --lower seed"),
        ((*FLAGS, "--lower", "acuracy"), "--lower acuracy", "--metric"),
        ((*FLAGS, "--lower", "accuracy", "--higher", "accuracy"), "--lower accuracy", "both"),
        ((*FLAGS, "--kind", "acuracy=time"), "--kind acuracy=time", "--metric"),
        ((*FLAGS, "--kind", "accuracy=clock"), "kind of accuracy = clock", "quality, time"),
        ((*FLAGS, "--baseline", "bas"), "runs.csv", "base, better, worse"),
        ((*FLAGS, "--item", "doc"), "runs.csv", "'doc'"),
        ((*UNPAIRED, "--item", "doc"), "--item", "--pair seed"),
        ((*UNPAIRED, "--pair", "seed,doc"), "--pair seed,doc", "--item"),
    ],
)
def test_a_flag_of_columns_that_is_missing_or_wrong_is_refused(refuse, flags, place, named) -> None:
    refuse("runs.csv", flags, place, named)


@pytest.mark.parametrize(
    ("source", "flags", "place"),
    [
        ("lm4", ("lm7", *FLAGS), "--arm"),
        ("lm4", ("lm7", "--study", "x"), "--study"),
        ("runs.csv", (*FLAGS, "--study", "x"), "--study"),
        ("runs.csv", (*FLAGS, "--seeds", "0-4"), "--seeds"),
        ("runs.csv", (*FLAGS, "-j", "2"), "--workers"),
        ("runs.csv", (*FLAGS, "--experiment", "x"), "--experiment"),
        ("before", ("runs.csv", *FLAGS, "--experiment", "x"), "--experiment"),
        ("study.csv", ("--baseline", "x"), "--baseline"),
    ],
)
def test_a_flag_that_is_for_other_sources_is_refused(refuse, source, flags, place) -> None:
    refuse(source, flags, place, "leave it out")


@pytest.mark.parametrize(
    ("source", "flags", "place", "named"),
    [
        ("runs.csv", (*UNPAIRED, "--test-share", "0.1"), "--pair", "fold"),
        ("runs.csv", (*UNPAIRED, "--pair", "fold"), "--pair fold", "--test-share 0.1"),
        ("runs.csv", (*UNPAIRED, "--pair", "cv_split"), "--pair cv_split", "--test-share 0.1"),
        ("runs.csv", (*UNPAIRED, "--pair", "seed", "--item", "cv_fold"), "--item cv_fold", "repeat,fold"),
        ("runs.csv", (*UNPAIRED, *FOLDS, "--item", "repeat"), "--item repeat", "--pair repeat,fold"),
        ("folds.csv", (*UNPAIRED, *FOLDS), "folds.csv", "fold 0; write --pair repeat,fold"),
        ("folds.csv", (*FLAGS, "--item", "none"), "folds.csv", "seed 0; write --pair repeat,fold"),
    ],
)  # fmt: skip
def test_folds_are_refused_as_independent_pairs(refuse, source, flags, place, named) -> None:
    refuse(source, flags, place, named)


@pytest.mark.parametrize(
    ("source", "flags", "place", "named"),
    [
        ("many.csv", FLAGS, "many.csv", "arm 'base' and seed 0; --item"),
        ("many.csv", (*FLAGS, "--item", "seed"), "many.csv: --item seed", "row 31"),
        ("many.csv", (*FLAGS, "--item", "none", "--baseline", "bas"), "many.csv", "base, better, worse"),
        ("rows.csv", (*FLAGS[:4], "--metric", "seed=1", "--higher", "seed"), "--metric seed", "rename"),
        ("page.csv", FLAGS[4:], "page.csv", "'accuracy'"),
    ],
)
def test_rows_that_the_flags_do_not_tell_apart_are_refused(refuse, source, flags, place, named) -> None:
    refuse(source, flags, place, named)


def test_models_cannot_be_compared_where_no_time_is_left_to_train_them(compare, monkeypatch) -> None:
    monkeypatch.setattr(Budget, "is_over", True)
    code, _, errors = compare("lm1", "lm2", "--budget", "1s")
    assert (code, errors.startswith("unrolled: --budget: "), errors.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("name", sorted({field.name for field in fields(RunOptions)} - {"results", "out"}))
def test_every_option_of_training_is_refused_where_nothing_is_trained(name: str) -> None:
    with raises_bad_input(place=f"--{name.replace('_', '-')}"):
        compare_sources([__file__], CompareOptions(**{name: "given"}))


@pytest.mark.parametrize("more_sources", [(), ("lm6",)])
def test_a_missing_file_is_refused_with_those_that_can_be_compared(compare, more_sources) -> None:
    for name in ("runs.csv", "LICENSE", "notes.txt"):
        Path(name).touch()
    code, _, errors = compare("nothing.csv", *more_sources)
    assert code == 2 and "nothing.csv: there is no such file; known: runs.csv\n" in errors
