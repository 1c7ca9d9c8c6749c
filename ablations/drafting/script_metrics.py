"""The numbers that a Python script prints or logs, read from its source: nothing is run."""

import ast
import re
from collections.abc import Iterator

from unrolled.ablations.drafting.script_flags import read_name
from unrolled.bench.errors import BadInput
from unrolled.bench.formats.file_formats import MLFLOW
from unrolled.bench.metric import SPLIT_PATTERN, Metric, is_known_cost
from unrolled.bench.table_columns import STUDY_COLUMNS

LOGGERS = {
    "mlflow.log_metric": MLFLOW,
    "mlflow.log_metrics": MLFLOW,
    "self.log": "CSVLogger",  # the method of a Lightning module, with any logger
    "self.log_dict": "CSVLogger",
    "add_scalar": "SummaryWriter",  # the method of any object
}
"""Functions that log metrics under names, and what writes these: a key of `_WRITERS` in draft.py."""
_VALUE = "\0"  # stands for a value in a printed line


def read_metrics(tree: ast.Module) -> dict[str, str]:
    """Return the metrics that a script prints or logs under literal names: name → how it is read.

    That is a pattern for a printed text, a value of LOGGERS for a logged metric, or "" for a line of JSON.
    """
    metrics: dict[str, str] = {}
    for call in ast.walk(tree):
        for name, reading in _read_call(call) if isinstance(call, ast.Call) else ():
            metrics.setdefault(name, reading)
    return metrics


def can_be_judged(name: str) -> bool:
    """Return True if a metric may decide: a quality whose better direction is known."""
    try:
        metric = Metric(name, 1.0)
    except BadInput:
        return False
    return not is_known_cost(name) and not metric.is_structural and name not in STUDY_COLUMNS


def _read_call(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield the metrics that a call reports, and how each is read.

    Three kinds of call report metrics: `print(json.dumps({…}))`, the functions in LOGGERS, and a `print` of a
    text with known names before values.
    """
    if logger := LOGGERS.get(ast.unparse(call.func)) or LOGGERS.get(read_name(call)):
        yield from ((name, logger) for name in _read_literal_texts(call))
    if read_name(call) == "print" and "file" not in [key.arg for key in call.keywords]:
        for arg in call.args:
            if isinstance(arg, ast.Call) and read_name(arg) == "dumps" and not arg.keywords:  # on one line
                yield from ((name, "") for name in _read_literal_texts(arg))
        for line in " ".join(map(_read_printed_text, call.args)).split("\n"):
            yield from _read_line(line)


def _read_literal_texts(call: ast.Call) -> list[str]:
    """Return the first argument of a call if it is a text, or its literal keys if it is a dictionary."""
    first = call.args[:1]
    keys = [key for node in first for key in (node.keys if isinstance(node, ast.Dict) else [node])]
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def _read_printed_text(node: ast.expr) -> str:
    """Return the text that an expression prints, with _VALUE for each unknown value: f"a {x}" → "a \\0"."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_read_printed_text, node.values))
    if isinstance(node, ast.Constant):
        return str(node.value)
    template = getattr(getattr(node, "func", None), "value", None)
    if read_name(node) == "format" and isinstance(template, ast.Constant):
        return re.sub(r"\{[^{}]*\}", _VALUE, str(template.value))
    return _VALUE


def _read_line(line: str) -> Iterator[tuple[str, str]]:
    """Yield the metrics of a printed line, which are known names right before a value, and their patterns."""
    for match in re.finditer(f"([^{_VALUE}]*){_VALUE}([^\\s{_VALUE}]?)", line):
        phrase = re.search(r"([a-z][a-z0-9 _/-]*)[\s:=(]*$", match[1].lower())
        words = re.split(r"[\s_/-]+", phrase[1].strip()) if phrase else []
        name = next(filter(can_be_judged, ("_".join(words[index:]) for index in range(len(words)))), "")
        splits = re.findall(f"(?<![a-z]){SPLIT_PATTERN}(?![a-z])", line[: match.end(1)].lower())
        if name not in ("", "error", "err") and match[2] != "/":  # no complaint, and no count such as 3/10
            yield "_".join([*splits[-1:], re.sub(f"^{SPLIT_PATTERN}_", "", name)]), _make_pattern(line, match)


def _make_pattern(line: str, match: re.Match[str]) -> str:
    """Return the pattern of a value, from the beginning of its line, perhaps with a step, and its neighbours.

    The line f"epoch {e} loss {x}" gives epoch\\s*(?P<step>\\d+).*loss\\s*(?P<value>\\S+).
    """
    start, value, _ = line[: match.start(1)].partition(_VALUE)
    step = r"\s*(?P<step>\d+)" if re.search(r"(?i)(step|iter|iteration|epoch)\W*$", start) else ""
    beginning = f"{re.escape(start.strip())}{step}.*" if value else ""
    end = f"?){re.escape(match[2])}" if match[2] else ")"
    pattern = rf"{beginning}{re.escape(match[1].strip())}\s*(?P<value>\S+{end}"
    return pattern.replace("\\ ", " ").replace("\\\t", r"\t")
