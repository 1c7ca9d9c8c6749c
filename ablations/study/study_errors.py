"""Mistakes in a study in one line: place, key and value, rule: "[design]: looks = [2]: should …"."""

import datetime
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from unrolled.bench.errors import BadInput, suggestion

_RULES = {  # pydantic's types of error, in the words of TOML
    "bool_type": "should be a boolean, true or false",
    "dict_type": "should be a table",
    "finite_number": "should be a finite number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "greater_than": "should be more than {gt:,.12g}",
    "greater_than_equal": "should be at least {ge:,.12g}",
    "int_from_float": "should be an integer",
    "int_type": "should be an integer",
    "less_than": "should be below {lt:,.12g}",
    "less_than_equal": "should be at most {le:,.12g}",
    "list_type": "should be an array",
    "literal_error": "should be {expected}",
    "model_type": "should be a table",
    "path_type": "should be a path",
    "string_pattern_mismatch": "should not be blank",
    "string_too_long": "should have at most {max_length} characters",
    "string_too_short": "should not be empty",
    "string_type": "should be a string",
    "too_long": "should have at most {max_length} values",
    "too_short": "should not be empty",
    "tuple_type": "should be an array",
    "value_error": "{error}",
}


@contextmanager
def name_error_place(place: str) -> Iterator[None]:
    """Name the place in the message of a BadInput that is raised inside."""
    try:
        yield
    except BadInput as error:
        error.place = f"{place}: {error.place}" if error.place else place
        raise


Fields = TypeVar("Fields")


def convert_fields(options: Fields) -> Fields:
    """Return a dataclass with its fields converted to their declared types: a text → a Path.

    Raises BadInput for a value that cannot be converted.
    """
    try:
        return TypeAdapter(type(options)).validate_python(vars(options))
    except ValidationError as error:
        raise explain_validation(error) from error


def explain_validation(
    error: ValidationError, tables: Mapping[str, type[BaseModel]] | None = None
) -> BadInput:
    """Return the first mistake that pydantic reports, in one line. `tables` are a file's tables by key."""
    errors = error.errors(include_url=False)
    # an unknown key is more to the point than the key that it was meant to be
    first_error = next((details for details in errors if details["type"] == "extra_forbidden"), errors[0])
    error_type = first_error["type"]
    location = first_error["loc"]
    key = ".".join(map(str, location))
    if error_type == "extra_forbidden" and tables:
        names = [part for part in location[:-1] if isinstance(part, str)]
        keys = list(tables[names[-1] if names else ""].model_fields)
        return BadInput("unknown key", key=repr(key), cure=suggestion(str(location[-1]), keys))
    if error_type == "missing" and not isinstance(location[-1], int):
        return BadInput("is missing", key=key, cure="add this key")
    if error_type == "missing":
        key = key.rpartition(".")[0]
        rule = f"should have {max(int(details['loc'][-1]) for details in errors) + 1} values"
    else:
        rule = _RULES.get(error_type, "cannot be used").format(**first_error.get("ctx", {}))
    if tables and isinstance(first_error["input"], dict) and error_type == "tuple_type":
        return BadInput(f"{rule} of tables", key=f"[{key}]", cure=f"write [[{key}]]")
    if tables and isinstance(first_error["input"], list) and error_type in ("dict_type", "model_type"):
        return BadInput(rule, key=f"[[{key}]]", cure=f"write [{key}]")
    return BadInput(rule, key=f"{key} = {format_value(first_error['input'])}")


def format_value(value: Any) -> str:
    """Return a value nearly as TOML writes it, cut to sixty characters."""
    is_date = isinstance(value, datetime.date | datetime.time)
    text = str(value) if is_date else json.dumps(value, default=str, ensure_ascii=False)
    text = text.replace("NaN", "nan").replace("Infinity", "inf")
    return text if len(text) <= 60 else text[:57] + "…"
