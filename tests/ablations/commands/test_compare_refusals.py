"""What `unrolled compare` refuses: sources and flags that do not fit, each in one line."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.comparison_rows import FLAGS, FRAME, UNPAIRED
from unrolled.ablations.commands.chapter import replay_golden
from unrolled.ablations.commands.compare import compare as compare_sources
from unrolled.ablations.options import CompareOptions, RunOptions
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.errors import BadInput

FOLDS = ("--pair", "fold", "--test-share", "0.1")


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("nowhere.csv", FLAGS, "nowhere.csv: there is no such file"),
        ("runs.xlsx", FLAGS, "runs.xlsx: is of no known kind; give .csv, .tsv"),
        ("broken.jsonl", FLAGS, "broken.jsonl: cannot be read (line 1 is no JSON object"),
        ("empty.csv", FLAGS, "empty.csv: has no rows; give a table"),
        ("benchmark.json", FLAGS, "benchmark.json: has no column 'model'; it has: machine_info, benchmarks"),
        ("runs.csv", FLAGS[2:], "--arm: is missing; name a column"),
        ("runs.csv", FLAGS[:4], "--metric: is missing; write a column"),
        ("runs.csv", (*FLAGS[:4], "--metric", "accuracy"), "--metric accuracy: has no δ above 0; write"),
        ("runs.csv", (*FLAGS[:4], "--metric", "accuracy=-1"), "--metric accuracy=-1: has no δ above 0"),
        ("runs.csv", (*FLAGS, "--metric", "accuracy=0.5"), "--metric accuracy: is given twice; keep one"),
        ("runs.csv", (*FLAGS, "--baseline", "bas"), "has no arm 'bas'; it has: base, better, worse"),
        ("mlflow:sqlite:///none.db", FLAGS, "there is no such database"),
        ("mlflow:http://127.0.0.1:1", FLAGS, "MLflow at http://127.0.0.1:1: nothing answers; start it"),
        ("lm4", ("lm7", *FLAGS), "--arm: is for results from elsewhere; leave it out"),
        ("runs.csv", (*FLAGS, "--seeds", "0-4"), "--seeds: is for models that are trained; leave it out"),
        ("lm4", ("lm77",), "model 'lm77': is not in the zoo; did you mean 'lm7'?"),
        ("belore", ("belore",), "belore: there is no such folder, file or model; did you mean 'before'?"),
        ("http://me:secret@host", (), "http://…@host: there is no such file; write mlflow: before it"),
        ("study.csv", ("--baseline", "x"), "--baseline: a study's table is judged as its file says"),
        ("page.csv", FLAGS[4:], "page.csv: has no column 'accuracy'"),  # its arms are numbers
        ("rows.csv", (*FLAGS[:4], "--metric", "seed=1", "--higher", "seed"), "--metric seed: no metric can"),
        ("lm4", FLAGS, "lm4: is a model, and one alone has nothing to be compared with; name two models"),
        ("lm3", ("lm4",), "LMModel4: cannot be compared with lm3, as it is of another task: target; name"),
        ("lm4", ("lm4",), "lm4: is named twice; name each model once"),
        ("nowhere.csv", (), "nowhere.csv: there is no such file"),
        ("head.csv", FLAGS, "head.csv: has no rows; give a table with results"),
        ("latin.csv", FLAGS, "latin.csv: byte 6 is not UTF-8; write it as UTF-8"),
        ("longer.csv", FLAGS, "longer.csv: cannot be read (line 2 has 4 cells, the header 3)"),
        ("twice.csv", FLAGS, "twice.csv: cannot be read (the header names 'accuracy' twice"),
        ("noarm.csv", FLAGS, "noarm.csv: row 2 has no model; fill it in"),
        ("lists.jsonl", FLAGS, "lists.jsonl: seed: has values that are no plain text or number; name"),
        ("runs.csv", (*FLAGS[:4], "--metric", "seed=1"), "better is not known of this name; add --higher"),
        ("runs.csv", (*FLAGS, "--lower", "acuracy"), "--lower acuracy: names no metric, or one of both"),
        ("runs.csv", (*FLAGS, "--kind", "acuracy=time"), "--kind acuracy=time: names no metric"),
        ("runs.csv", (*FLAGS, "--kind", "accuracy=clock"), "kind of accuracy = clock: should be one of"),
        ("runs.csv", (*FLAGS, "--lower", "accuracy", "--higher", "accuracy"), "--lower accuracy: names no"),
        ("runs.csv", (*FLAGS, "--experiment", "x"), "--experiment: is for mlflow:URI; leave it out"),
        ("runs.csv", (*UNPAIRED, "--test-share", "0.1"), "--pair: is missing; name the column of"),
        ("runs.csv", (*UNPAIRED, "--pair", "fold"), "--pair fold: folds and splits of one data set are not"),
        ("runs.csv", (*UNPAIRED, "--pair", "cv_split"), "--pair cv_split: folds and splits of one data set"),
        ("runs.csv", (*UNPAIRED, "--pair", "seed,doc"), "--pair seed,doc: names several columns"),
        ("runs.csv", (*UNPAIRED, "--pair", "seed", "--item", "cv_fold"), "--item cv_fold: folds and repeats"),
        ("runs.csv", (*UNPAIRED, *FOLDS, "--item", "repeat"), "--item repeat: folds and repeats share"),
        ("folds.csv", (*UNPAIRED, *FOLDS), "rows of arm 'a' and fold 0; write --pair repeat,fold"),
        ("folds.csv", (*FLAGS, "--item", "none"), "arm 'a' and seed 0; write --pair repeat,fold"),
        ("runs.csv", (*UNPAIRED, "--item", "doc"), "--item: is for several rows of one pair; name"),
        ("runs.csv", (*FLAGS, "--item", "doc"), "runs.csv: has no column 'doc'; it has: model, seed"),
        ("many.csv", FLAGS, "many.csv: has several rows of arm 'base' and seed 0; --item COLUMN names"),
        ("many.csv", (*FLAGS, "--item", "seed"), "many.csv: --item seed: row 31 repeats an item of its"),
        ("many.csv", (*FLAGS, "--item", "none", "--baseline", "bas"), "has no arm 'bas'; it has: base"),
        ("before", (), "before: is one results folder; name another one beside it, or `unrolled report`"),
        ("before", ("runs.csv", *FLAGS), "before: has no study that was run; `unrolled run STUDY --results"),
        ("before", ("runs.csv", *FLAGS, "--experiment", "x"), "--experiment: is for mlflow:URI"),
        ("checkout", ("runs.csv", *FLAGS), "checkout: is no results folder; name checkout/results"),
        ("other", ("runs.csv", *FLAGS), "other: is of no known kind; give .csv, .tsv"),
        ("runs.csv", ("sourced.csv", *FLAGS), "sourced.csv: has a column 'source', in which the source"),
        ("runs.csv", ("runs.csv", *FLAGS), "runs.csv: is named twice; name each source once"),
        ("runs.csv", ("lm4", *FLAGS), "lm4: there is no such file"),
        ("runs.csv", ("nowhere.csv", *FLAGS), "nowhere.csv: there is no such file"),
        ("runs.csv", ("arms.csv", *FLAGS[2:]), "arms.csv: has several arms; --arm arm,source compares each"),
        ("runs.csv", ("noarm.csv", *FLAGS), "noarm.csv: row 2 has no model; fill it in"),
        ("runs.csv", ("arms.csv", *FLAGS), "arms.csv: has no column 'model'; it has: arm, seed, accuracy"),
        ("runs.csv", (*FLAGS, "--study", "x"), "--study: is for results folders; leave it out"),
        ("lm4", ("lm7", "--study", "x"), "--study: is for results from elsewhere; leave it out"),
        ("runs.csv", (*FLAGS, "-j", "2"), "--workers: is for models that are trained; leave it out"),
    ],
)  # fmt: skip
def test_a_source_or_a_flag_that_is_wrong_is_one_line(
    compare, source: str, flags: tuple[str, ...], message: str
) -> None:
    FRAME.to_csv("runs.csv", index=False)
    texts = {"runs.xlsx": "x", "broken.jsonl": "{", "empty.csv": ""}
    texts |= {
        "head.csv": "model,seed,accuracy\n",
        "many.csv": pd.concat([FRAME, FRAME[:1]]).to_csv(index=False),
        "latin.csv": "model,é\n",
        "benchmark.json": '{"machine_info": {}, "benchmarks": []}',
    }
    texts |= {"noarm.csv": "model,seed,accuracy\na,1,1\n,2,1\n"}
    texts |= {
        "longer.csv": "model,seed,accuracy\na,1,1,.5\nb,1,1,.5\n",
        "twice.csv": "model,seed,accuracy,accuracy\n",
    }
    texts |= {"lists.jsonl": "".join(f'{{"model": "{m}", "seed": [1], "accuracy": 1}}\n' for m in "ab")}
    texts |= {"page.csv": "trial,arm,seed,status\na,1,0,done\nb,2,0,done\n"}
    texts |= {
        "study.csv": "study,design,arm,seed,status\nx,y,a,0,done\n",
        "rows.csv": "model,seed,rows\na,1,2\nb,1,3\n",
    }
    texts |= {"sourced.csv": "source,model,seed,accuracy\na,b,0,1\n"}
    texts |= {"folds.csv": "model,seed,fold,accuracy\n" + "a,0,0,.1\na,0,0,.2\nb,0,1,.1\n"}
    texts |= {"arms.csv": "arm,seed,accuracy\na,0,1\nb,0,1\n"}
    for folder in ("before/plans", "checkout/results/plans", "other"):
        Path(folder).mkdir(parents=True)
    for name, text in texts.items():
        Path(name).write_text(text, encoding="latin-1")
    code, output, errors = compare(source, *flags)
    assert (code, output, errors.count("\n")) == (2, "", 1) and message in errors


def test_models_cannot_be_compared_where_no_time_is_left_to_train_them(compare, monkeypatch) -> None:
    monkeypatch.setattr(Budget, "is_over", True)
    code, _, errors = compare("lm1", "lm2", "--budget", "1s")
    assert (code, errors.startswith("unrolled: --budget: "), errors.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("name", sorted({field.name for field in fields(RunOptions)} - {"results", "out"}))
def test_every_option_of_training_is_refused_where_nothing_is_trained(name: str) -> None:
    options = {name: "given"}
    for function in (
        lambda: replay_golden(["golden"], RunOptions(**options)),
        lambda: compare_sources([__file__], CompareOptions(**options)),
    ):
        with pytest.raises(BadInput) as excinfo:
            function()
        assert excinfo.value.place == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("more_sources", [(), ("lm6",)])
def test_a_file_that_is_not_there_is_told_beside_those_that_can_be_compared(compare, more_sources) -> None:
    for name in ("runs.csv", "LICENSE", "notes.txt"):
        Path(name).touch()
    code, _, errors = compare("nothing.csv", *more_sources)
    assert code == 2 and "nothing.csv: there is no such file; known: runs.csv\n" in errors
