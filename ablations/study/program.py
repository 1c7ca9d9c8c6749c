"""The settings of a user's program or function, and its trials: its `Trainer`."""

import re
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled.ablations.study.errors import shown
from unrolled.ablations.study.study_file import MetricTable, ProgramTable
from unrolled.ablations.study.trainer import Factor, Settings
from unrolled.bench.errors import BadInput, nearest, plural, require, suggestion
from unrolled.bench.metric import MEASURED
from unrolled.bench.program.checkout import Checkout
from unrolled.bench.program.output import MLFLOW
from unrolled.bench.program.patterns import compile_pattern
from unrolled.bench.program.template import PLACES, fields_of, split
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.table_files import find_format
from unrolled.bench.trial import STUDY_COLUMNS, Scalar

_SHELL = {"|", "||", "&&", ">", ">>", "<", "2>&1"}
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""")  # '|' is an argument


@dataclass(frozen=True)
class ProgramSettings:
    """What a study knows of the settings of a program: those of [baseline], which the template names."""

    table: ProgramTable
    baseline: Mapping[str, Any]
    reduction: Mapping[str, str]  # metric → what counts of it, where that is not its last value
    checkouts: Mapping[str, Checkout] = field(default_factory=dict)  # of the commits that arms name
    study_place: str | None = None  # {study} in each checkout; None: it is the folder of the study's file

    def check_baseline(self) -> None:
        """Raise BadInput for a setting that is neither a number nor a string nor a boolean."""
        for name, value in self.baseline.items():
            cure = ""
            if isinstance(value, Mapping):
                cure = f'a name with a dot stands in quotes: "{name}.{next(iter(value), "")}" = …'
            if isinstance(value, list):
                cure = (
                    f"write a setting for each of its values, and name them in `run`: {{{name}1}} {{{name}2}}"
                )
            rule = "should be a number, a string or a boolean"
            require(isinstance(value, Scalar), rule, key=f"{name} = {shown(value)}", cure=cure)

    def check(self) -> None:
        """Raise BadInput for a table that names no program, and where template and baseline differ."""
        for key in ("run", "metrics", "patterns"):
            alone = not self.table.function or not getattr(self.table, key)
            require(alone, "stands beside `function`", key=key, cure="keep one of them")
        self._check_files()
        if self.table.function:
            named = re.fullmatch(r"\w+(\.\w+)*:\w+", self.table.function)
            require(named, "is no module:name", key="function", cure='write function = "train:main"')
            return
        require(self.table.run, "is missing", key="run", cure='write run = "python train.py --seed {seed}"')
        fields = fields_of("run", split(self.table.run))
        names = {field.name for field in fields}
        rule, cure = (
            "names {commit}, which is the code that runs",
            "take it out, or call the setting otherwise",
        )
        require("commit" not in names, rule, key="run", cure=cure)
        cure = "add --seed {seed}, or what its flag is; env SEED={seed} in front sets a variable"
        require("seed" in names, "names no {seed}", key="run", cure=cure)
        self._check_words(split(self.table.run))
        self._check_names("run", names)
        if "commit" not in self.baseline:  # else a commit has the files
            self.check_scripts(Path(self.table.folder))
        for name in self.baseline.keys() - {"commit"}:
            require(
                name in names,
                f"does not name {{{name}}}, a setting",
                key="run",
                cure=f"write {{{name}}} where the program is to get it, or take it out of [baseline]",
            )
        for name, switch in fields:
            boolean = isinstance(self.baseline.get(name), bool)
            require(
                switch or not boolean,
                f"{{{name}}} is a boolean",
                key="run",
                cure=f"write {{{name}?--{name}:--no-{name}}}, or what its flags are",
            )
            rule = f"{{{name}?…:…}} is no boolean in [baseline]"
            require(boolean or not switch, rule, key="run", cure=f"write {{{name}}}")

    def _check_words(self, words: Sequence[str]) -> None:
        """Raise BadInput for what only a shell understands."""
        for word in _SHELL.intersection(_QUOTED.sub("q", self.table.run).split()):
            cure = "write a script, or take it out: what the program prints is read and kept"
            raise BadInput(f"{word} is for a shell, and none runs", key="run", cure=cure)

    def check_scripts(self, folder: Path) -> None:
        """Raise BadInput for a Python script that the command line names and that is not in the folder."""
        study = str(Path(self.table.study_folder or folder).absolute())
        words = [word.replace("{study}", study) for word in split(self.table.run)] if self.table.run else []
        for python, script in pairwise(words):
            wanted = python in ("python", "python3") and script.endswith(".py") and "{" not in script
            there = not wanted or (folder / script).is_file()
            near = nearest(script, [path.name for path in folder.glob("*.py")])
            cure = f"did you mean {near[0]}?" if near else "name it from the folder of the program"
            require(there, f"there is no file {script}", key="run", cure=cure)

    def _check_files(self) -> None:
        """Raise BadInput where `metrics` or `keep` names files outside of the trial's own folder."""
        for pattern in self.table.keep:
            inside = pattern and not pattern.startswith("/") and ".." not in pattern.split("/")
            require(
                inside, f"{pattern!r} is no pattern of files in {{out}}", key="keep", cure='keep = ["*.pt"]'
            )
        for metric, pattern in self.table.patterns.items():
            compile_pattern(metric, pattern)
        no_json = Path(self.table.metrics).suffix != ".json"
        require(not (self.table.rows and no_json), "is for a .json alone", key="rows", cure="take it out")
        if self.table.metrics not in ("", MLFLOW):
            names = {field.name for field in fields_of("metrics", [self.table.metrics])}
            rule, cure = "names no {out}, the folder of each trial", 'write metrics = "{out}/metrics.jsonl"'
            require("out" in names, rule, key="metrics", cure=cure)
            self._check_names("metrics", names)
            if not self.table.patterns:
                find_format(self.table.metrics, key="metrics")

    def _check_names(self, key: str, names: Set[str]) -> None:
        known = [*self.baseline, *PLACES]
        for name in sorted(names - {*known}):
            raise BadInput(
                f"names {{{name}}}, which [baseline] does not set",
                key=key,
                cure=f"set it in [baseline], or: {suggestion(name, known)}",
            )

    def metrics(self, given: Sequence[MetricTable]) -> Sequence[MetricTable]:
        """What arms are judged by. Raises BadInput where a study gives no metric."""
        require(
            given,
            "is missing",
            key="metrics",
            cure='name what it tells: metrics = [{ name = "valid_loss", delta = 0.02 }]',
        )
        for index, metric in enumerate(given):
            key, cure = f"metrics.{index}.name = {shown(metric.name)}", "let the program tell another name"
            free = metric.name not in STUDY_COLUMNS
            require(free, "is a column of tables of results", key=key, cure=cure)
            require(metric.name not in self.baseline, "is a setting of [baseline], too", key=key, cure=cure)
        return given

    def resolve(self, given: Settings) -> dict[str, Any]:
        """The fields of a trial, from its settings."""
        for key in given:
            self.check_key(given, key)
        table = self.table
        settings = {key: self._value(key, value) for key, value in given.items() if key != "commit"}
        commit = given.get("commit", "")
        text = isinstance(commit, str) and (commit or "commit" not in given)
        cure = 'write the name of a commit, or "worktree"'
        require(text, "should be a string", key=f"commit = {shown(commit)}", cure=cure)
        return {
            **({"commit": commit} if commit else {}),
            "run": table.run,
            "function": table.function,
            "settings": settings,
            "metrics": table.metrics,
            "rows": table.rows,
            "patterns": dict(table.patterns),
            "reduction": dict(self.reduction),
            "threads": table.threads,
        }

    def complete(self, given: Settings) -> dict[str, Any]:
        """Every setting."""
        return {**self.baseline, **given}

    def inherit(self, baseline: Settings, changes: Settings) -> dict[str, Any]:
        """The settings of an arm: the baseline's and then its own."""
        return {**baseline, **changes}

    def check_key(self, given: Settings, key: str) -> None:
        """Raise BadInput for a setting whose name is taken, or that [baseline] does not have."""
        require(
            key not in PLACES,
            "is given by Unrolled",
            key=repr(key),
            cure="take it out; `seeds` has the seeds",
        )
        taken = key in STUDY_COLUMNS or key in MEASURED
        require(not taken, "is a column of tables of results", key=repr(key), cure="call it otherwise")
        known = [*self.baseline, "commit"]
        require(key in known, "is no setting of [baseline]", key=repr(key), cure=suggestion(key, known))

    def factor(self, name: str, given: Settings) -> Factor:
        """A boolean setting."""
        self.check_key(given, name)
        boolean = isinstance(self.baseline.get(name), bool)
        require(boolean, f"{name!r} is no boolean", cure="use one_at_a_time, grid or [[arm]]")
        return Factor(name, name.replace("_", " "), False, True)

    def label(self, key: str, value: Any) -> str:
        """A setting as reports name it: 'lr 0.001', 'no tying'; a commit by its name."""
        if key == "commit":
            return str(value)
        title = key.replace("_", " ")
        if isinstance(value, bool):
            return title if value else f"no {title}"
        return plural(value, key.removesuffix("s")) if key in ("layers", "epochs") else f"{title} {value}"

    def trial(self, trial_fields: Settings, seed: int = 0, device: str = "cpu") -> ProgramTrial:
        """The trial of these fields, without hashes."""
        table = self.table
        trial = self.locate(ProgramTrial(seed=seed, device=device, **trial_fields))
        gpus = 1 if device == "cpu" else table.gpus
        return replace(trial, keep=table.keep, disk=table.disk, time_limit=table.time_limit, gpus=gpus)

    def locate(self, trial: ProgramTrial) -> ProgramTrial:
        """The trial with the files of this program; it keeps none that it writes."""
        table, checkout = self.table, self.checkouts.get(trial.commit)
        study = table.study_folder
        if checkout and self.study_place is not None:
            study = str(checkout.root / self.study_place)
        return replace(
            trial,
            folder=str(checkout.folder) if checkout else table.folder,
            checkout=checkout,
            study_folder=study,
            code=table.code,
            data_files=table.data,
            packages=table.packages,
            keep=(),
        )

    def check_data(self, trial_fields: Settings) -> None:
        """Raise BadInput where a file that counts, or a package, is missing."""
        self.trial(trial_fields).identify()

    def task(self, trial_fields: Settings) -> dict[str, Any]:
        """Nothing: all arms of a program have its task."""
        return {}

    def _value(self, key: str, value: Any) -> Scalar:
        """A value of the kind that the baseline's is."""
        usual, place = self.baseline[key], f"{key} = {shown(value)}"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(usual, bool) or isinstance(value, bool):
            require(
                type(value) is type(usual), "should be a boolean as in [baseline], or none there", key=place
            )
        elif isinstance(usual, str):
            require(isinstance(value, str), "should be a string, as in [baseline]", key=place)
        else:
            finite = number and abs(value) <= sys.float_info.max
            require(finite, "should be a finite number", key=place)
        if isinstance(usual, float):
            return float(value)
        return int(value) if isinstance(value, float) and value.is_integer() else value  # 1.0 is 1
