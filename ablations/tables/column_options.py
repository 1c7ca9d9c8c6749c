"""How `unrolled compare` reads the columns of a table: its metrics, arms, pairs and items, by the flags."""

from collections.abc import Sequence
from math import inf

from unrolled.ablations.options import CompareOptions
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import BETTER_CURE, KIND_CURE, Metric
from unrolled.bench.table_columns import TABLE_COLUMNS
from unrolled.reports.foreign.columns import FOLDS_CURE, RUN_COLUMNS, Columns, find_fold


def make_columns(options: CompareOptions, plan_metrics: Sequence[Metric] = ()) -> Columns:
    """Return how the rows of a table are read, by the flags.

    Without --metric, arms are judged by `plan_metrics`. Raises BadInput.
    """
    check_metric_flags(options)
    metrics = [make_metric(*parse_metric(text), options) for text in options.metric] or [*plan_metrics]
    arms, pair, item = (
        tuple(filter(None, (column.strip() for column in names.split(","))))
        for names in (options.arm, options.pair, options.item)
    )
    require(metrics, "is missing", place="--metric", cure=_METRIC_CURE)
    require(arms, "is missing", place="--arm", cure="name a column")
    names = [metric.name for metric in metrics]
    for metric in metrics:
        place = f"--metric {metric.name}"
        require(names.count(metric.name) == 1, "is given twice", place=place, cure="keep one of them")
        is_free = metric.name not in TABLE_COLUMNS
        require(is_free, "no metric can have this name", place=place, cure="rename the column")
    require(
        pair or not item, "is for several rows of one pair", place="--item", cure="name the pair: --pair seed"
    )
    share = _find_test_share(pair, item, options)
    return Columns(arms, pair, tuple(metrics), options.baseline, share, item)


def _find_test_share(pair: Sequence[str], item: Sequence[str], options: CompareOptions) -> float:
    """Return the share of the data that is test set if pairs are folds or splits, else 0. Raises BadInput."""
    share = options.test_share or 0.0
    require(pair or not share, "is missing", place="--pair", cure="name the column of the fold")
    is_of_seeds = all(name.lower() in RUN_COLUMNS for name in item)  # a fold's mean over seeds is one value
    is_of_folds = item and (find_fold(item) or (share and not is_of_seeds))
    rule = "folds and repeats share training rows, and are no items"
    require(not is_of_folds, rule, place=f"--item {options.item}", cure=FOLDS_CURE)
    require(
        share or not find_fold(pair),
        "folds and splits of one data set are not independent",
        place=f"--pair {options.pair}",
        cure="add --test-share 0.1, for ten of them",
    )
    require(
        share or len(pair) < 2,
        "names several columns",
        place=f"--pair {options.pair}",
        cure="name the one whose values are independent, and the others with --item",
    )
    return share


_METRIC_CURE = "write a column and the difference that does not matter: --metric accuracy=0.02"


def make_metric(name: str, delta: float, ratio: bool, options: CompareOptions) -> Metric:
    """Return a metric, with the kind and direction that flags give, or else that its name implies."""
    kind = dict(map(_parse_kind, options.kind)).get(name, "")
    better = next((flag for flag in ("lower", "higher") if name in getattr(options, flag)), "")
    try:
        return Metric(name, delta, better, ratio, kind)
    except BadInput as error:
        error.cure = error.cure.replace(BETTER_CURE, f"add --higher {name} or --lower {name}")
        error.cure = error.cure.replace(KIND_CURE, f"add --kind {name}=time, or speed, memory or quality")
        raise


def _parse_kind(text: str) -> tuple[str, str]:
    """Return the name and the kind: "epoch_seconds=time" → "epoch_seconds", "time"."""
    name, _, kind = text.rpartition("=")
    return name, kind


def list_metric_names(options: CompareOptions) -> list[str]:
    """Return the names that --metric gives, with or without δ."""
    return [text.rpartition("=")[0] or text for text in options.metric]


def check_metric_flags(options: CompareOptions) -> None:
    """Raise BadInput for a --lower, --higher or --kind that names no --metric, or names one twice."""
    names = list_metric_names(options)
    kinds = [_parse_kind(text)[0] for text in options.kind]
    for name, text in zip(kinds, options.kind, strict=True):
        is_unique = name in names and kinds.count(name) == 1
        cure = "give a column of --metric, and once: --kind epoch_seconds=time"
        require(is_unique, "names no metric, or one twice", place=f"--kind {text}", cure=cure)
    for flag, names_of_flag, opposite in (
        ("lower", options.lower, options.higher),
        ("higher", options.higher, options.lower),
    ):
        for column in names_of_flag:
            require(
                column in {*names} - {*opposite},
                "names no metric, or one of both directions",
                place=f"--{flag} {column}",
                cure="give a column of --metric, and once",
            )


def parse_metric(text: str) -> tuple[str, float, bool]:
    """Return the name, δ, and whether δ is in per cent, so that ratios are judged: "seconds=5%".

    Raises BadInput unless δ is above 0.
    """
    name, _, delta = text.rpartition("=")
    try:
        number = float(delta.removesuffix("%"))
    except ValueError:
        number = 0.0
    require(name and 0 < number < inf, "has no δ above 0", place=f"--metric {text}", cure=_METRIC_CURE)
    return name, number, delta.endswith("%")
