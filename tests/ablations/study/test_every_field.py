"""Any value in any field of a study's file is read, or refused in one line of TOML's words."""

import re
from pathlib import Path

import pytest

from unrolled.ablations.study.chapter_factory import DEFAULTS
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.study_file import AddOneTable, ArmTable, DesignTable, StudyFile
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.errors import BadInput

VALUES = {
    "empty text": '""', "blank text": '" "', "text": '"zzz"', "long text": f'"{"x" * 10_000}"',
    "true": "true", "whole": "7", "negative": "-7", "huge": "1" + "0" * 400, "fraction": "1.5",
    "nan": "nan", "inf": "inf", "date": "2026-11-25", "time": "10:00:00",
    "array": "[]", "array of a number": "[1]", "array of a text": '["zzz"]', "array of arrays": "[[1]]",
    "array of tables": "[{}]", "long array": f"[{'1,' * 10_000}]",
    "table": "{}", "table of a number": "{ zzz = 1 }", "table of an array": "{ lr = [0.1] }",
}  # fmt: skip
TOP = {"name": '"n"', "question": '"q?"', "baseline": '{ model = "lm6" }'}
LM6 = {"model": '"lm6"'}
TABLES = {  # header, what a sound one holds, its fields
    "": ({}, StudyFile.model_fields),
    "[baseline]": (LM6, [*LM6, *DEFAULTS, *find_model("lm6").options]),
    "[design]": ({}, DesignTable.model_fields),
    "[design.add_one]": ({"factors": '["ar"]'}, AddOneTable.model_fields),
    "[[arm]]": ({"name": '"a"', "set": "{ lr = 0.1 }"}, ArmTable.model_fields),
}
FIELDS = [(header, field) for header, (_, fields) in TABLES.items() for field in fields]
JARGON = re.compile("pydantic|Input|String|valid |dict|tuple|float|equal to|datetime|Error")


def write_text(header: str, field: str, value: str) -> str:
    """Return a sound study in which one field has another value."""
    required, _ = TABLES[header]
    top = {key: text for key, text in TOP.items() if f"[{key}]" != header}
    tables = [top, {**required, field: value}] if header else [{**top, field: value}]
    lines = ["\n".join(f"{key} = {text}" for key, text in table.items()) for table in tables]
    return f"\n{header}\n".join(lines)


@pytest.mark.parametrize(("header", "field"), FIELDS, ids=lambda text: text or "top")
def test_any_value_is_read_or_refused_in_words_of_toml(tmp_path: Path, header: str, field: str) -> None:
    path = tmp_path / "mine.toml"
    refusals = []
    for name, value in VALUES.items():
        path.write_text(write_text(header, field, value))
        try:
            load_study(path)
        except BadInput as error:
            refusals.append(name)
            prefix, _, message = str(error).partition("mine.toml: ")
            assert prefix == f"{tmp_path}/" and "\n" not in message
            place = header.strip("[]").rpartition(".")[2] or field
            assert field in message or place in message or "plans up to" in message, message
            # the names of settings that exist may be told, the value that was written may not echo at length
            assert not JARGON.search(message.partition("; known: ")[0]), message
            assert len(message.replace("x" * 10_000, "…")) < 400, message[:400]
    assert len(refusals) >= len(VALUES) / 2, "hardly a field takes every type"
    assert ("date" in refusals) and ("time" in refusals), "no field takes these"
