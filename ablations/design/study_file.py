"""A study's file as it stands: where it is found, how it is read, which keys it may have."""

import re
import tomllib
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from ablations.design.designs import AddOne, Design, Table
from ablations.design.errors import explain
from bench.models.registry import suggestion
from bench.text import contents
from bench.trial import BadInput

LARGEST = 1_000_000
"""Bytes that a study's file may have: those of some 20,000 arms written one by one, read within a second."""

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class TuningTable(Table):
    """The [tuning] table: one setting with the levels to try, and how many seeds try each of them."""

    model_config = ConfigDict(extra="allow")

    seeds: Annotated[int, Field(ge=1, le=1000)] = 3

    def count(self, seeds: int) -> int:
        """How many trials one arm adds at most, in a study of so many seeds: its search and its winner."""
        return seeds + self.seeds * sum(
            len(v) for v in (self.model_extra or {}).values() if isinstance(v, list)
        )


class ArmTable(Table):
    """An [[arm]]."""

    name: Text
    set: dict[str, Any]
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""


class Written(Table):
    """A study's file as it stands."""

    name: Text
    question: Text
    about: str = ""
    metric: Literal["valid_loss", "valid_accuracy", "valid_perplexity", "valid_bits"] = "valid_loss"
    equivalence: Annotated[float, Field(gt=0)] = 0.02
    seeds: Any = 10
    aa: bool = False
    gpu: bool = False
    baseline_name: Annotated[str, Field(max_length=200)] = ""
    baseline: dict[str, Any]
    design: Design = Design()
    tuning: TuningTable | None = None
    arm: tuple[ArmTable, ...] = Field(default=(), strict=False)

    @field_validator("seeds")
    @classmethod
    def _no_number_in_quotes(cls, value: Any) -> Any:
        """On the command line, where all is text, `--seeds 3` is fine."""
        if isinstance(value, str) and value.strip().isdigit():
            raise ValueError(f"write {value} for the seeds below it, or [{value}] for that one seed")
        return value


_TABLES: dict[str, type[Table]] = {
    "": Written,
    "design": Design,
    "add_one": AddOne,
    "tuning": TuningTable,
    "arm": ArmTable,
}


def shipped() -> tuple[str, ...]:
    """The names of the studies that ship."""
    files = resources.files("ablations.studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def read(name: str) -> tuple[str, str]:
    """Where a study is from, for messages, and its text."""
    mine = name.endswith(".toml") or "/" in name or "\\" in name
    if not mine and name not in shipped():
        raise BadInput(
            f"no study {name!r} ships{suggestion(name, list(shipped()))}; your own is a path to a .toml"
        )
    try:
        if not mine:
            shipped_file = resources.files("ablations.studies") / f"{name}.toml"
            return f"{name}.toml", shipped_file.read_text("utf-8")
        return name, contents(name, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"{name}: {reason}; give the path of a .toml, or one of {', '.join(shipped())}"
        ) from error


def check(text: str) -> Written:
    """A study's text, checked. Raises BadInput, naming the line or the key."""
    data = _parse(text)
    try:
        return Written.model_validate(data)
    except ValidationError as error:
        raise BadInput(explain(error, _TABLES)) from error


def _parse(text: str) -> dict[str, Any]:
    """TOML → plain data. Raises BadInput with the line; a key that is given twice is named."""
    try:
        return tomllib.loads(f"{text}\n")  # with a line end every error has a line
    except ValueError as error:
        where = re.search(r"\(at line (\d+)", str(error))
        line = int(where[1]) if where else 0
        written = text.splitlines()[line - 1].strip() if 0 < line <= len(text.splitlines()) else ""
        if re.match(r"Cannot (overwrite|declare|mutate)|Duplicate", str(error)):
            raise BadInput(f"line {line}: a key is given twice: {written}; keep one of them") from error
        raise BadInput(f"{f'line {line}: ' if line else ''}is not TOML: {error}") from error
