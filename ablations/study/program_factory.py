"""The `TrialFactory` of a user's program or function: [program] and [baseline] → trials."""

import re
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled.ablations.study.study_errors import format_value
from unrolled.ablations.study.study_file import MetricTable, ProgramTable
from unrolled.ablations.study.trial_factory import ArmFields, Factor, Settings
from unrolled.bench.errors import BadInput, find_nearest, require, suggestion
from unrolled.bench.formats.file_formats import MLFLOW, find_format
from unrolled.bench.git.checkout import Checkout
from unrolled.bench.metric import COST_KINDS
from unrolled.bench.phrases import plural
from unrolled.bench.program.line_patterns import compile_pattern
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.program.template import BUILT_IN_FIELDS, list_fields, split_template
from unrolled.bench.table_columns import STUDY_COLUMNS
from unrolled.bench.trial import Scalar

_SHELL_WORDS = {"|", "||", "&&", ">", ">>", "<", "2>&1"}
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""")  # a quoted '|' is an argument


@dataclass(frozen=True)
class ProgramFactory:
    """The factory of a study with a [program]. Its settings are the keys of [baseline]."""

    table: ProgramTable
    baseline: Mapping[str, Any]
    reduction: Mapping[str, str]  # metric → "min", "max" or "mean 5" of its curve, if not its last value
    checkouts: Mapping[str, Checkout] = field(default_factory=dict)  # name of a commit → its checkout
    study_place: str | None = None  # {study} as a path in a checkout; None if it is the study file's folder

    def check_baseline(self) -> None:
        """Raise BadInput for a value that is no number, string or boolean; `run` may have lists, too."""
        for name, value in self.baseline.items():
            cure = ""
            if isinstance(value, Mapping):
                cure = f'a name with a dot stands in quotes: "{name}.{next(iter(value), "")}" = …'
            require(
                isinstance(value, Scalar) or (isinstance(value, list) and not self.table.function),
                "should be a number, a string or a boolean",
                key=f"{name} = {format_value(value)}",
                cure=cure,
            )

    def check_table(self) -> None:
        """Raise BadInput for a table without a program, and for one that does not fit [baseline]."""
        self._check_files()
        if self.table.function:
            for key in ("run", "metrics", "patterns"):
                other_value = getattr(self.table, key)
                require(not other_value, "stands beside `function`", key=key, cure="keep one of them")
            is_path = re.fullmatch(r"\w+(\.\w+)*:\w+", self.table.function)
            require(is_path, "is no module:name", key="function", cure='write function = "train:main"')
            return
        require(self.table.run, "is missing", key="run", cure='write run = "python train.py --seed {seed}"')
        for word in _SHELL_WORDS.intersection(_QUOTED.sub("q", self.table.run).split()):
            raise BadInput(
                f"{word} is for a shell, and none runs",
                key="run",
                cure="write a script, or take it out: what the program prints is read and kept",
            )
        self._check_template()
        if "commit" not in self.baseline:  # otherwise the commit has the files
            self.check_scripts(Path(self.table.folder))

    def _check_template(self) -> None:
        """Raise BadInput if the settings in the command line's braces are not [baseline]'s and the seed."""
        template_fields = list_fields("run", split_template(self.table.run))
        names = {field.name for field in template_fields}
        require(
            "commit" not in names,
            "names {commit}, which is the code that runs",
            key="run",
            cure="take it out, or give the setting another name",
        )
        cure = "add --seed {seed}, or what its flag is; env SEED={seed} in front sets a variable"
        self._check_names("run", names, "seed", cure)
        for name in self.baseline.keys() - {"commit"}:
            require(
                name in names,
                f"does not name {{{name}}}, a setting",
                key="run",
                cure=f"write {{{name}}} where the program is to get it, or take it out of [baseline]",
            )
        for name, switch, is_list in template_fields:
            is_boolean = isinstance(self.baseline.get(name), bool)
            require(
                switch or not is_boolean,
                f"{{{name}}} is a boolean",
                key="run",
                cure=f"write {{{name}?--{name}:--no-{name}}}, or what its flags are",
            )
            require(
                is_boolean or not switch,
                f"{{{name}?…:…}} is no boolean in [baseline]",
                key="run",
                cure=f"write {{{name}}}",
            )
            require(
                is_list or not isinstance(self.baseline.get(name), list),
                f"{{{name}}} is a list",
                key="run",
                cure=f"write {{{name}*}}, which gives each of its values as a word",
            )

    @property
    def _names_of_lists(self) -> set[str]:
        """The settings that `run` has as {name*}: each of their values becomes a word."""
        words = split_template(self.table.run) if self.table.run else []
        return {field.name for field in list_fields("run", words) if field.list}

    def check_scripts(self, folder: Path) -> None:
        """Raise BadInput if the command line names a Python script that is not in the folder."""
        study = str(Path(self.table.study_folder or folder).absolute())
        template = split_template(self.table.run) if self.table.run else []
        words = [word.replace("{study}", study) for word in template]
        for python, script in pairwise(words):
            is_script = python in ("python", "python3") and script.endswith(".py") and "{" not in script
            if is_script and not (folder / script).is_file():
                names = find_nearest(script, [path.name for path in folder.glob("*.py")])
                cure = f"did you mean {names[0]}?" if names else "name it from the folder of the program"
                raise BadInput(f"there is no file {script}", key="run", cure=cure)

    def _check_files(self) -> None:
        """Raise BadInput for wrong `keep`, `patterns`, `rows` or `metrics`, the keys on what it writes."""
        for pattern in self.table.keep:
            is_inside = pattern and not pattern.startswith("/") and ".." not in pattern.split("/")
            require(
                is_inside,
                f"{pattern!r} is no pattern of files in {{out}}",
                key="keep",
                cure='keep = ["*.pt"]',
            )
        for metric, pattern in self.table.patterns.items():
            compile_pattern(metric, pattern)
        has_lines = self.table.metrics != MLFLOW or not self.table.patterns
        cure = 'take them out; or, if the program prints its numbers, take out metrics = "mlflow"'
        require(has_lines, "are for lines of text, which MLflow does not have", key="patterns", cure=cure)
        if self.table.metrics not in ("", MLFLOW):
            names = {field.name for field in list_fields("metrics", [self.table.metrics])}
            self._check_names("metrics", names, "out", 'write metrics = "{out}/metrics.jsonl"')
        takes_rows_key = False
        if self.table.metrics and not self.table.patterns:
            takes_rows_key = find_format(self.table.metrics, key="metrics").takes_rows_key
        is_usable = takes_rows_key or not self.table.rows
        require(is_usable, "is for a .json alone", key="rows", cure="take it out")

    def _check_names(self, key: str, names: Set[str], required_name: str, cure: str) -> None:
        """Raise BadInput if the names in braces lack one, or if one is no setting and no BUILT_IN_FIELDS."""
        require(required_name in names, f"names no {{{required_name}}}", key=key, cure=cure)
        settings = [*self.baseline, *BUILT_IN_FIELDS]
        for name in sorted(names - {*settings}):
            raise BadInput(
                f"names {{{name}}}, which [baseline] does not set",
                key=key,
                cure=f"set it in [baseline], or: {suggestion(name, settings)}",
            )

    def choose_metrics(self, tables: Sequence[MetricTable]) -> Sequence[MetricTable]:
        """Return the metrics that judge arms. Raises BadInput if there are none, or a name is taken."""
        require(
            tables,
            "is missing",
            key="metrics",
            cure='name what it reports: metrics = [{ name = "valid_loss", delta = 0.02 }]',
        )
        for index, metric in enumerate(tables):
            key = f"metrics.{index}.name = {format_value(metric.name)}"
            cure = "let the program report another name"
            is_column = metric.name in STUDY_COLUMNS
            require(not is_column, "is a column of tables of results", key=key, cure=cure)
            require(metric.name not in self.baseline, "is a setting of [baseline], too", key=key, cure=cure)
        return tables

    def make_arm_fields(self, settings: Settings) -> ArmFields:
        """Return the fields of a trial with these settings and the keys of [program] that it stores."""
        for key in settings:
            self.check_key(settings, key)
        commit = settings.get("commit", "")
        is_name = isinstance(commit, str) and (commit or "commit" not in settings)
        require(
            is_name,
            "should be a string",
            key=f"commit = {format_value(commit)}",
            cure='write the name of a commit, or "worktree"',
        )
        return {
            **({"commit": commit} if commit else {}),
            "run": self.table.run,
            "function": self.table.function,
            "settings": {
                key: self._convert_value(key, value) for key, value in settings.items() if key != "commit"
            },
            "metrics_source": self.table.metrics,
            "rows_key": self.table.rows,
            "patterns": dict(self.table.patterns),
            "reduction": dict(self.reduction),
            "threads": self.table.threads,
        }

    def complete_settings(self, settings: Settings) -> dict[str, Any]:
        """Return every setting, with the baseline's value for those that are missing."""
        return {**self.baseline, **settings}

    def inherit_settings(self, baseline: Settings, changes: Settings) -> dict[str, Any]:
        """Return the settings of an arm: the baseline's with its changes."""
        return {**baseline, **changes}

    def check_key(self, settings: Settings, key: str) -> None:
        """Raise BadInput for a setting that [baseline] lacks, or whose name is taken."""
        require(
            key not in BUILT_IN_FIELDS,
            "is a name that Unrolled fills in itself",
            key=repr(key),
            cure="take it out; `seeds` has the seeds",
        )
        is_column = key in STUDY_COLUMNS or key in COST_KINDS
        require(not is_column, "is a column of tables of results", key=repr(key), cure="give it another name")
        keys = [*self.baseline, "commit"]
        require(key in keys, "is no setting of [baseline]", key=repr(key), cure=suggestion(key, keys))

    def find_factor(self, name: str, settings: Settings) -> Factor:
        """Return a boolean setting as a factor. Raises BadInput for any other setting."""
        self.check_key(settings, name)
        is_boolean = isinstance(self.baseline.get(name), bool)
        require(is_boolean, f"{name!r} is no boolean", cure="use one_at_a_time, grid or [[arm]]")
        return Factor(name, name, self.title_setting(name), off=False, on=True)

    def title_setting(self, key: str) -> str:
        """Return a setting with spaces between its words."""
        return key.replace("_", " ")

    def describe_setting(self, key: str, value: Any) -> str:
        """Return a setting as reports name it: 'lr 0.001', 'no tying'; a commit by its name."""
        if key == "commit":
            return str(value)
        title = self.title_setting(key)
        if isinstance(value, bool):
            return title if value else f"no {title}"
        if isinstance(value, list):
            return f"{title} {' '.join(map(str, value)) or 'none'}"
        if key in ("layers", "epochs"):
            return plural(value, key.removesuffix("s"))
        return f"{title} {value}"

    def make_trial(self, arm_fields: ArmFields, seed: int = 0, device: str = "cpu") -> ProgramTrial:
        """Return the trial of these fields, without hashes."""
        trial = self.locate_trial(ProgramTrial(seed=seed, device=device, **arm_fields))
        return replace(
            trial,
            keep=self.table.keep,
            disk_limit=self.table.disk,
            time_limit=self.table.time_limit,
            gpus=1 if device == "cpu" else self.table.gpus,
        )

    def locate_trial(self, trial: ProgramTrial) -> ProgramTrial:
        """Return the trial with the places of this program's files, and without `keep`."""
        checkout = self.checkouts.get(trial.commit)
        study_folder = self.table.study_folder
        if checkout and self.study_place is not None:
            study_folder = str(checkout.root / self.study_place)
        return replace(
            trial,
            folder=str(checkout.folder) if checkout else self.table.folder,
            checkout=checkout,
            study_folder=study_folder,
            code_patterns=self.table.code,
            data_patterns=self.table.data,
            packages=self.table.packages,
            keep=(),
        )

    def check_data(self, arm_fields: ArmFields) -> None:
        """Raise BadInput if a file or a package that enters the identity is missing."""
        self.make_trial(arm_fields).identify()

    def find_task_settings(self, arm_fields: ArmFields) -> dict[str, Any]:
        """Return no settings: all arms of a program have its task."""
        return {}

    def _convert_value(self, key: str, value: Any) -> Scalar:
        """Return a value with the type that the setting has in [baseline]: 1 → 1.0, ["a", "b"] → "a b".

        Raises BadInput for a value of another type.
        """
        default = self.baseline[key]
        place = f"{key} = {format_value(value)}"
        if key in self._names_of_lists:
            items = value if isinstance(value, list) else [value]
            is_list = all(isinstance(item, Scalar) for item in items)
            require(is_list, "should be a list of numbers or strings", key=place)
            words = [str(item) for item in items]
            has_space = isinstance(value, list) and any(len(word.split()) != 1 for word in words)
            require(not has_space, "has a value that is not one word", key=place)
            return " ".join(words)
        if isinstance(default, bool) or isinstance(value, bool):
            same = type(value) is type(default)
            require(same, "and [baseline] should both have a boolean, or neither", key=place)
        elif isinstance(default, str):
            require(isinstance(value, str), "should be a string, as in [baseline]", key=place)
        else:
            finite = isinstance(value, int | float) and abs(value) <= sys.float_info.max
            require(finite, "should be a finite number", key=place)
        if isinstance(default, float):
            return float(value)
        return int(value) if isinstance(value, float) and value.is_integer() else value  # 1.0 counts as 1
