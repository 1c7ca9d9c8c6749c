"""Reading a study's file: from its name or path to its text, and from there to its checked tables."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unrolled.ablations.study.study_errors import explain_validation, name_error_place
from unrolled.ablations.study.study_file import (
    AddOneTable,
    ArmTable,
    DesignTable,
    MetricTable,
    ProgramTable,
    StudyFile,
    Table,
)
from unrolled.bench.errors import BadInput, find_nearest, require
from unrolled.bench.files.regular_files import explain_unread_file, read_regular_file

MOST_BYTES = 1_000_000
"""Bytes that a study's file may have. That is enough for 20,000 [[arm]] tables, and read within a second."""
LARGEST_DEPTH = 10
"""Levels of tables and arrays that a study may have."""
_DEPTH_CURE = "a study needs four levels"

_TABLES: dict[str, type[Table]] = {
    "": StudyFile,
    "metrics": MetricTable,
    "design": DesignTable,
    "add_one": AddOneTable,
    "program": ProgramTable,
    "arm": ArmTable,
}


def list_shipped_studies() -> tuple[str, ...]:
    """Return the names of the studies that ship."""
    files = resources.files("unrolled.ablations.studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def read_study_text(name: str) -> tuple[str, str]:
    """Return where a study is, for messages, and its text: "toggles" → ("toggles.toml", its text).

    Raises BadInput if it cannot be read.
    """
    shipped = list_shipped_studies()
    is_path = name.endswith(".toml") or "/" in name or "\\" in name
    if not is_path and name in shipped:
        file = resources.files("unrolled.ablations.studies") / f"{name}.toml"
        return f"{name}.toml", file.read_text("utf-8")
    _refuse_other_file(name)
    if not is_path:
        raise BadInput(
            f"no shipped study {name!r} exists",
            cure=suggest_study(name) or f"give the path of your own .toml, or one of {', '.join(shipped)}",
        )
    try:
        return name, read_regular_file(name, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"byte {error.start} is not UTF-8", place=name, cure="save the file as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        cure = suggest_study(name) or f"give the path of a .toml, or one of {', '.join(shipped)}"
        if isinstance(error, OSError):
            raise explain_unread_file(error, name, cure) from error
        raise BadInput(error, place=name, cure=cure) from error


def _refuse_other_file(name: str) -> None:
    """Raise BadInput for a path that is a folder, or a file that is no .toml."""
    path = Path(name)
    cure = "give the path of a .toml"
    if "\0" in name or not path.exists():
        return
    if path.is_dir():
        files = sorted(map(str, path.glob("*.toml")))
        raise BadInput("is a folder", place=name, cure=f"{cure}, such as {files[0]}" if files else cure)
    require(path.suffix == ".toml", "is a file, and no study's", place=name, cure=cure)


def suggest_study(name: str, studies: Sequence[str] = ()) -> str:
    """Return 'did you mean …?' with the most similar names of studies; "" if none is similar.

    Candidates are `studies`, the studies in files of the working folder, and those that ship.
    """
    files = {path.stem: str(path) for path in sorted(Path().glob("*.toml"))}
    names = find_nearest(name.removesuffix(".toml"), [*studies, *files, *list_shipped_studies()])
    quoted = [repr(match if match in studies else files.get(match, match)) for match in names]
    return f"did you mean {' or '.join(quoted)}?" if quoted else ""


def check_keys(keys: Mapping[str, Any]) -> StudyFile:
    """Return the StudyFile of these keys. Raises BadInput, naming the key, for a mistake."""
    check_texts(keys)
    try:
        return StudyFile.model_validate(keys)
    except ValidationError as error:
        raise explain_validation(error, _TABLES) from error


def check_texts(value: Any, place: tuple[str, ...] = ()) -> None:
    """Raise BadInput, naming the key, for text with a NUL or a surrogate, and for deep nesting."""
    require(len(place) <= LARGEST_DEPTH, "is nested too deeply", key=".".join(place[:4]), cure=_DEPTH_CURE)
    if isinstance(value, str) and (wrong_character := re.search("[\0\ud800-\udfff]", value)):
        raise BadInput(
            f"has the character U+{ord(wrong_character[0]):04X}, which no text has",
            key=".".join(place),
            cure="take it out",
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_texts(key, (*place, ascii(key)))
            check_texts(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_texts(inner, (*place, str(index)))


def parse_study(text: str) -> StudyFile:
    """Return the StudyFile of a TOML text. Raises BadInput, naming the line or the key, for a mistake."""
    try:
        keys = tomllib.loads(f"{text}\n")  # with a line end, every error has a line
    except RecursionError as error:
        raise BadInput("is nested too deeply", cure=_DEPTH_CURE) from error
    except ValueError as error:  # also raised by an integer of 5,000 digits
        position = re.search(r"\(at line (\d+), column (\d+)", str(error))
        line = f"line {position[1]}: " if position else ""
        source = text.split("\n")[int(position[1]) - 1] if position else ""
        if re.match(r"Cannot (overwrite|declare|mutate)|Duplicate", str(error)):
            raise BadInput(
                f"{line}a key is given twice: {source.strip()}", cure="keep one of them"
            ) from error
        if position and (number := re.match(r"([+-]?)(\.\d+)", source[int(position[2]) - 1 :])):
            cure = f"write {number[1]}0{number[2]}"
            raise BadInput(f"{line}is not TOML: {source.strip()}", cure=cure) from error
        raise BadInput(f"{line}is not TOML: {error}") from error
    return check_keys(keys)


def read_study_name(path: str) -> str:
    """Return the name of the study in a file. No setting is checked, so that plug-ins need not be loaded."""
    origin, text = read_study_text(path)
    with name_error_place(origin):
        return parse_study(text).name
