"""Drafting a study for a script from the script's source, which is read and not run."""

import ast
import json
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from unrolled.ablations.drafting.library_flags import LIBRARIES, read_library_flags
from unrolled.ablations.drafting.script_flags import Flag, find_seed, read_flags
from unrolled.ablations.drafting.script_metrics import LOGGERS, can_be_judged, read_metrics
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.regular_files import explain_unread_file
from unrolled.bench.metric import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS
from unrolled.bench.phrases import select_phrases
from unrolled.bench.program.identity.command_line import is_python
from unrolled.bench.sources.imports import UNREADABLE, import_names

STUDY_TEMPLATE = """\
name = "{name}"
question = {question}
# what decides, and δ, which is yours to choose: a smaller difference counts as none
{metrics}

[program]
run = \"""{words}\"""
{readings}

[baseline]  # the flags at their defaults
{baseline}

[design.one_at_a_time]  # an ablation to begin with: edit it
{design}
"""
NO_SEED = (
    "no flag for a seed was found, without which run refuses the study: "
    "let the script take one for every random draw, and add --seed={seed}"
)
NO_METRIC = (
    "no metric was found that is sure: write its name, and how it is read. "
    "Where the name is wrong, the first trial says which there are"
)
SPLITS_BY_SEED = (
    "splits its data: if the seed decides the split, verdicts hold for this data set alone; "
    "give random_state a number there"
)
_SPLITTERS = re.compile(rb"\b(train_test_split|random_split|(Stratified|Group)?(K|Shuffle)(Fold|Split))\(")
_FOLDER_FLAG = re.compile(
    "(out|output|work|save|log|run|results?|checkpoints?|ckpt|exp)_?(dir|folder)|out|output"
)
"""Names of flags for a folder that a script writes."""
_UNREAD_PARSERS = (
    "HfArgumentParser",
    "gin",
    "hydra",
    "jsonargparse",
    "tap",
    "tyro",
)
"""Modules and classes whose flags are not read."""
_WRITERS = {
    "SummaryWriter": 'metrics = "{out}/**/events.out.tfevents.*"',
    "CSVLogger": 'metrics = "{out}/**/metrics.csv"',
    "TrainingArguments": 'metrics = "{out}/**/trainer_state.json"\n# rows = "log_history"',
    "mlflow": 'metrics = "mlflow"',
    "": "patterns.valid_loss = 'loss (?P<value>\\S+)'",
}
"""By module that a script imports, keys of [program] that read the metrics which that module writes."""
_RANKED_SPLITS = VALIDATION_SPLITS, TEST_SPLITS, (), TRAINING_SPLITS
"""The words for each split, the best split to decide by first; () is for names without a split."""


def draft_study(name: str, script: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the text of a study file for a script, to lie in `folder`, and remarks on flags and metrics.

    Raises BadInput for a script that cannot be read.
    """
    source, tree = _parse_script(script)
    imports = {"", *(part for module in import_names(source) for part in module.split("."))}
    library_flags = read_library_flags(tree, imports)
    flags = [*read_flags(tree), *library_flags]
    if "TrainingArguments" in imports:  # transformers declares these options
        flags += [Flag("--seed", "", {}), Flag("--output_dir", "", {})]
    seed = find_seed(flags)
    flags = [_fill_flag(flag, seed) for flag in flags]
    settings = {key: value for flag in flags for key, value in flag.defaults.items()}
    metrics = {key: reading for key, reading in read_metrics(tree).items() if key not in settings}
    judged_metrics = _rank_metrics(metrics)
    metric_name = [*judged_metrics, *metrics, "valid_loss"][0]
    metric = f"metrics = [{{ name = {_format_toml(metric_name)}, delta = 0.01 }}]"
    if not judged_metrics:
        metric = f"# {NO_METRIC}\n# {metric}"
    readings = _list_readings(judged_metrics, metrics, imports)
    remarks = select_phrases(
        {
            f"{script}: is no Python, so that no flag was read": not source,
            f"{script}: {SPLITS_BY_SEED}": seed and _SPLITTERS.search(source),
            NO_SEED: not seed,
            f"{metric_name}: decides": judged_metrics,
            NO_METRIC: not judged_metrics,
        }
    )
    parsers = _UNREAD_PARSERS if library_flags else (*_UNREAD_PARSERS, *LIBRARIES)
    words = [_format_command(script, folder), *(flag.words for flag in flags if flag.words)]
    text = STUDY_TEMPLATE.format(
        name=name,
        question=_format_toml(f"Does another setting of {script.name} help?"),
        metrics=metric,
        words=" \\\n  ".join(_format_toml(word)[1:-1] for word in words),
        readings="\n".join([*select_phrases({f"# {NO_SEED}": not seed}), *readings]),
        baseline="\n".join(_list_settings(flags)),
        design="\n".join(_list_arms(flags)),
    )
    return text, [*_list_flag_remarks(flags, [name for name in parsers if name in imports]), *remarks]


def _rank_metrics(metrics: Mapping[str, str]) -> list[str]:
    """Return the metrics that a study may judge, the best to decide by first; `metrics` has their readings.

    Of two that are equally good, the one that is printed is better: reading it requires no package.
    """
    return sorted(
        filter(can_be_judged, metrics), key=lambda key: (_rank_split(key), metrics[key] in LOGGERS.values())
    )


def _parse_script(script: Path) -> tuple[bytes, ast.Module]:
    """Return the source of a script and its tree; of another language than Python, both are empty."""
    try:
        content = script.read_bytes()
    except OSError as error:
        raise explain_unread_file(error, script, "give the path of a script") from error
    require(content.strip(), "is empty", place=script, cure="give the path of a script")
    source = content if is_python(script) else b""
    try:
        return source, ast.parse(source, script.name)
    except UNREADABLE as error:
        raise BadInput(
            f"is no Python that can be read ({error})", place=script, cure="mend it, or leave --for out"
        ) from error


def _list_flag_remarks(flags: Sequence[Flag], unread_parsers: Sequence[str]) -> list[str]:
    """Return lines on the flags that are left out or filled, and on the parsers that are not read."""
    options = defaultdict(list)
    for flag in flags:
        options[flag.remark].append(flag.option)
    lines = [f"{', '.join(names)}: {remark}" for remark, names in options.items() if remark]
    return [*lines, *(f"{parser}: the flags that it reads were not read" for parser in unread_parsers)]


def _list_readings(judged_metrics: Sequence[str], metrics: Mapping[str, str], imports: Set[str]) -> list[str]:
    """Return lines of [program] that read the judged metrics; without any, comments on likely keys."""
    if not judged_metrics:
        return [f"# {reading}" for name, reading in _WRITERS.items() if name in imports]
    writer = metrics[judged_metrics[0]]
    if writer not in LOGGERS.values():
        return [
            f"patterns.{key} = {_format_pattern(metrics[key])}"
            for key in judged_metrics
            if "(?P<" in metrics[key]
        ]
    if writer == "CSVLogger" and writer not in imports:
        writer = "SummaryWriter"  # Lightning's default logger
    return [_WRITERS[writer]]


def _rank_split(metric: str) -> int:
    """Return the place in _RANKED_SPLITS of the split in a metric's name: "loss/val" → 0."""
    words = {*re.split("[^a-z]+", metric.lower())}
    ranks = (rank for rank, split in enumerate(_RANKED_SPLITS) if words.intersection(split))
    return next(ranks, _RANKED_SPLITS.index(()))


def _fill_flag(flag: Flag, seed: Flag | None) -> Flag:
    """Return the flag, set to {seed} or to a path in {out} if it is for a seed or an output folder."""
    if flag == seed:
        return Flag(flag.option, flag.set_to("{seed}"), {}, "gets the seed")
    if _FOLDER_FLAG.fullmatch(flag.name) and "?" not in flag.words and not flag.choices:
        files = [f"/{Path(value).name}" for value in map(str, flag.defaults.values()) if "." in value]
        path = f"{{out}}{''.join(files)}"
        return Flag(flag.option, flag.set_to(path), {}, f"gets {path}, in a folder of each trial")
    return flag


def _format_command(script: Path, folder: Path) -> str:
    """Return the words that run a script from a folder."""
    path = shlex.quote(os.path.relpath(script, folder).replace("{", "{{").replace("}", "}}"))
    if is_python(script):
        return f"python {path}"
    return f"bash {path}" if script.suffix == ".sh" else f"./{path}"


def _list_settings(flags: Sequence[Flag]) -> Iterator[str]:
    """Yield the lines of [baseline]; that of a flag without a default is a comment."""
    for flag in flags:
        for key, value in flag.defaults.items():
            yield _format_line(key, value)
        for key, value in flag.examples.items():
            cure = "required" if flag.words else f"to set it, add {flag.set_to(f'{{{key}}}')} to run"
            yield f"# {_format_line(key, value)}  # no default; {cure}"


def _list_arms(flags: Sequence[Flag]) -> list[str]:
    """Return the lines of [design.one_at_a_time]: one, and comments where no value is sure to be right."""
    proposal = _propose_levels(flags)
    lines = [proposal] if proposal else []
    for flag in flags:
        values = flag.examples if proposal else {**flag.defaults, **flag.examples}
        lines += [
            f"# {_format_line(key, _list_levels(flag, value) or ['another'])}"
            for key, value in values.items()
        ]
    return lines or ["# lr = [0.001, 0.01]"]


def _propose_levels(flags: Sequence[Flag]) -> str:
    """Return twice the learning rate, or another level of another flag, as a line; "" if none is known."""
    rates = [flag for flag in flags if flag.name in ("lr", "learning_rate")]
    fractions = [flag for flag in flags if float in map(type, flag.defaults.values())]
    for flag in (*rates, *fractions, *flags):
        for key, value in flag.defaults.items():
            if levels := _list_levels(flag, value):
                return _format_line(key, levels)
    return ""


def _list_levels(flag: Flag, value: Any) -> list[Any]:
    """Return the other choices of a flag, or twice its value; [] for a text or a list without choices."""
    choices = flag.choices if isinstance(flag.choices, list | tuple) else ()
    levels = [choice for choice in choices if type(choice) is type(value) and choice != value]
    if levels or isinstance(value, str | list):
        return levels
    if isinstance(value, bool):
        return [not value]
    return [2 * value] if value else []


def _format_line(key: str, value: Any) -> str:
    name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _format_toml(key)
    return f"{name} = {_format_toml(value)}"


def _format_pattern(pattern: str) -> str:
    return f"'{pattern}'" if pattern.isprintable() and "'" not in pattern else _format_toml(pattern)


def _format_toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
