"""Write docs/study-file.md and docs/api.md from the code, as `make docs` does."""

import argparse
import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import unrolled
from unrolled.ablations import api
from unrolled.ablations.api import StudyReport
from unrolled.ablations.study.chapter_factory import FACTORS, METRICS, OPTIONS, SETTINGS, make_arm_fields
from unrolled.ablations.study.study_file import StudyFile
from unrolled.ablations.tables.verdict_table import ComparedPair
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import COST_KINDS
from unrolled.bench.trial import Result
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.verdicts import Verdict

HERE = Path(__file__).parent
INTRODUCTIONS = {
    "api.md": (
        "# Python API: reference\n\nThe functions of `unrolled`, and what they return; `make docs` writes "
        "this page from the code. Options are those of the commands, in the classes of "
        "`unrolled.ablations.options`."
    ),
    "study-file.md": (
        "# Study file: reference\n\n"
        "Every key of a study's file: a string if no type is given; `make docs` writes this page from the "
        "code. [studies.md](studies.md) has examples, and `unrolled new study my.toml` writes one.\n\n"
        '```toml\nname = "narrow"\nquestion = "How much does the width of LMModel4 matter?"\n'
        '[baseline]\nmodel = "lm4"\n[design.one_at_a_time]\nhidden = [16, 32]\n```'
    ),
    "Names of metrics": (
        f"The chapter's models have {', '.join(f'`{name}`' for name in METRICS)}.\n\n"
        "The direction of many metrics is known by their whole name, such as `accuracy` and `rmse` "
        "([all](../bench/metric.py)): in any case, also behind `train_`, "
        "`valid_`, `val_`, `dev_`, `test_` or `eval_`, with `/`, `-` or `.` in place of `_`. For any other "
        'write `better = "higher"` in a study, `--higher NAME` on the command line. A cost needs its kind, '
        '`kind = "time"` or `--kind NAME=time`, unless Unrolled measures it: '
        f"{', '.join(f'`{name}`' for name in COST_KINDS)}.\n"
    ),
    "Settings": (
        "Keys of `[baseline]`, of an arm's `set`, of `one_at_a_time` and `grid`, and of "
        "`--set KEY=VALUE`. A model's own values ([Models](#models)) come before these defaults."
    ),
    "Options": ("Settings of some models: `unrolled show models` lists each model's."),
    "Models": "Defaults that differ from those above.",
    "Factors": (
        "For `leave_one_out`, `add_one` and `factorial`: each with its setting, and its levels off and on. "
        "In a factorial, on is the baseline's own level unless that is off."
    ),
    "ChapterTrial": (
        "A model trained on a text. Every [setting](study-file.md#settings) is a field, too; `options` are "
        "those of the model alone."
    ),
    "Result": (
        "The outcome of one trial. `metrics` are numbers by name, `curves` points (step, value) by metric. "
        '`witnesses` maps a setting to the proof that it took effect: `{"ok": …, "declared": …, "seen": …}`.'
    ),
}
SHORTER_RULES = {
    ", at most 1,000,000,000": "",
    ", at least": " ≥",
    ", more than": " >",
    ", below": ", <",
    "a boolean, true or false": "",
    "a string": "",
    "an array": "",
    "an integer": "",
    "a number": "",
}
WRONG = ({}, -1, 10**12)  # each is refused with the rule that it breaks
MODULES = re.compile(r"\b[a-z_]\w*\.(?:\w+\.)*(?=[A-Z])")
OPTIONS_IN_FULL = re.compile(r"(\w+Options)\((?:[^()]|\([^()]*\))*\)")
PUBLIC_ATTRIBUTES = {
    ChapterTrial: ("model", "options", "seed", "device", "id", "title"),
    Result: (
        "trial",
        "status",
        "reason",
        "attempt_seconds",
        "metrics",
        "curves",
        "records",
        "witnesses",
        "output",
    ),
    StudyReport: ("study", "folder", "page", "results", "verdicts"),
    ComparedPair: ("arm", "against", "metric", "exploratory", "verdict", "contrast"),
    Verdict: (
        "text",
        "direction",
        "size",
        "interval",
        "difference_p",
        "equivalence_p",
        "unbiased_difference",
    ),
    Contrast: ("pair_count", "estimate", "arm_mean", "base_mean", "sd", "better_count", "worse_count"),
}
"""What a notebook reads of the classes that the public functions return."""


def study_file() -> Iterator[str]:
    """The page of a study's file: its tables, settings, options, models and factors."""
    schema = StudyFile.model_json_schema()
    for title, table in _tables(schema, schema["$defs"]):
        needed = table.get("required", ())
        yield _list(title, [_key(k, rule, k in needed) for k, rule in table["properties"].items()])
    yield _section("Names of metrics", "")
    models = {name: make_arm_fields({"model": name}) for name in ZOO}
    usual = {field.name: field.default for field in dataclasses.fields(ChapterTrial)}
    known = [key for key in models["lm4"] if key not in ("model", "options")]
    settings = [(_toml({k: usual[k]}), _rules(k, ["lm4"]), SETTINGS[k].description) for k in known]
    yield _list("Settings", settings)
    having = {k: [n for n in ZOO if k in models[n]["options"]] for m in models.values() for k in m["options"]}
    yield _list(
        "Options", [_option(k, {n: models[n]["options"][k] for n in names}) for k, names in having.items()]
    )
    known.remove("detach_every")  # which is the window's unless it is written
    own = {n: _toml({k: m[k] for k in known if m[k] != usual[k]}) for n, m in models.items()}
    names = {rule: [f"`{name}`" for name in ZOO if own[name] == rule] for rule in filter(None, own.values())}
    yield _list("Models", [(", ".join(names[rule]), "", rule) for rule in names])
    yield _list(
        "Factors",
        [(f"`{name}`", f"`{f.key}`", f"{_toml(f.off)}, {_toml(f.on)}") for name, f in FACTORS.items()],
    )


def public_api() -> Iterator[str]:
    """The page of the API: its functions, and the classes that they return."""
    yield f"{inspect.getdoc(api)}\n"
    for name in [name for name in vars(api) if name in unrolled.__all__]:
        function = getattr(api, name)
        signature = MODULES.sub("", str(inspect.signature(function)))
        signature = OPTIONS_IN_FULL.sub(r"\1()", signature)
        yield f"## {name}\n\n```python\n{name}{signature}\n```\n\n{inspect.getdoc(function)}\n"
    for cls, names in PUBLIC_ATTRIBUTES.items():
        fields = {field.name: field for field in dataclasses.fields(cls)}
        rows = []
        for name in names:
            member = getattr(cls, name, None)
            if isinstance(member, property):
                annotation = inspect.signature(member.fget).return_annotation  # type: ignore[arg-type]
                meaning = _summary(member)
            else:
                annotation = fields[name].type
                meaning = _comments(cls)[name]
            kind = MODULES.sub("", inspect.formatannotation(annotation))
            if rows and not meaning and rows[-1][1:] == (f"`{kind}`", ""):
                name = f"{rows.pop()[0].strip('`')}`, `{name}"
            rows.append((f"`{name}`", f"`{kind}`", meaning))
        yield _list(cls.__name__, rows, _summary(cls))


def _tables(table: Any, known: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    yield (f"[[{place}]]" if place in ("arm", "metrics") else f"[{place}]" if place else "Top level"), table
    for key, rule in table["properties"].items():
        for name in re.findall(r"#/\$defs/(\w+)", json.dumps(rule)):
            yield from _tables(known[name], known, f"{place}.{key}".strip("."))


def _key(key: str, rule: Mapping[str, Any], is_needed: bool) -> tuple[str, str, str]:
    """Return a key with its default or, unless it is a string, its type, and its meaning."""
    default = "" if "$defs" in str(rule) else rule.get("default")
    if default in (None, "", [], {}):
        kind = _kind(rule).removesuffix("string")
        return f"`{key}`", ", ".join(filter(None, [kind, is_needed * "required"])), rule["description"]
    return _toml({key: default}), "", rule["description"]


def _option(key: str, defaults: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return an option with the default that its models share, if they do, its values and its meaning."""
    levels = {_toml(value) for value in defaults.values()}
    name = f"`{key}`" if len(levels) > 1 else _toml({key: next(iter(defaults.values()))})
    return name, _rules(key, defaults), OPTIONS[key].description


def _kind(rule: Mapping[str, Any]) -> str:
    kinds = [one["type"] for one in (rule, *rule.get("anyOf", ())) if one.get("type", "null") != "null"]
    kind = kinds[0] if kinds else "table" if "$defs" in str(rule) else "integer, string or array"
    return str(kind).replace("object", "table")


def _rules(key: str, models: Iterable[str]) -> str:
    found = []
    for settings in ({"model": model, key: value} for model in models for value in WRONG):
        try:
            make_arm_fields(settings)
        except BadInput as error:
            found += re.findall(r": should (?:be )?(.*)", str(error))
    rules = ", ".join(dict.fromkeys(found))
    for words, symbols in SHORTER_RULES.items():
        rules = rules.replace(words, symbols)
    return rules.strip()


def _summary(documented: object) -> str:
    return str(inspect.getdoc(documented)).partition("\n\n")[0]


def _comments(cls: type) -> dict[str, str]:
    sources = "\n".join(inspect.getsource(one) for one in cls.__mro__ if dataclasses.is_dataclass(one))
    return dict(re.findall(r"(?m)^    (\w+): [^#\n]*(?:# (.*))?$", sources))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"`{key} = {json.dumps(level)}`" for key, level in value.items())
    return "" if value in (None, "", []) else f"`{json.dumps(value)}`"


def _list(title: str, rows: Iterable[tuple[str, str, str]], introduction: str = "") -> str:
    lines = []
    for name, values, meaning in rows:
        head = f"- {name}{values and f' ({values})'}"
        lines.append(": ".join(filter(None, [head, meaning])).replace("<", r"\<").replace("\n", " ") + "\n")
    return _section(title, "".join(lines), introduction)


def _section(title: str, content: str, introduction: str = "") -> str:
    introduction = INTRODUCTIONS.get(title, introduction)
    return "\n\n".join(filter(None, [f"## {title}", introduction, content]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing: only say what is out of date")
    is_check = parser.parse_args().check
    for name, page in {"study-file.md": study_file, "api.md": public_api}.items():
        text = "\n".join([f"{INTRODUCTIONS[name]}\n", *page()])
        if not is_check:
            (HERE / name).write_text(text, "utf-8")
        elif text != (HERE / name).read_text("utf-8"):
            sys.exit(f"docs/{name} is out of date: `make docs` renews it")
