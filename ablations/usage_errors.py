"""Mistakes on a command line as one line, with the likely correction."""

import re

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError

from unrolled.bench.errors import BadInput, find_nearest, suggestion
from unrolled.bench.phrases import make_visible


def explain_usage(error: CycloptsError, commands: list[str]) -> BadInput:
    """Return the error of a command line as BadInput, with the likely correction."""
    text = str(error).rstrip(".")
    chain = " ".join(["unrolled", *(error.command_chain or ())])
    cure = f"see `{chain} --help`"
    if isinstance(error, UnknownCommandError):
        name = error.unused_tokens[0] if error.unused_tokens else ""
        return BadInput(f"unknown command {name!r}", cure=_suggest_command(name, commands))
    if isinstance(error, UnknownOptionError):
        return _explain_unknown_option(error, cure)
    argument = error.argument
    if isinstance(error, MissingArgumentError) and argument and "--output" in argument.names:
        return BadInput("is missing", place="-o", cure="name the .zip to write, as in -o my.zip")
    return BadInput(text, cure=cure)


def _explain_unknown_option(error: UnknownOptionError, cure: str) -> BadInput:
    """Return the error with the option that was likely meant, or else with this cure."""
    option = (error.token.keyword or error.token.value).partition("=")[0]
    name = option.lstrip("-")
    if error.command_chain and error.command_chain[-1] in ("plan", "run", "compare"):
        from unrolled.ablations.study.chapter_factory import (
            SETTINGS,  # imports pydantic; not for every command
        )

        key = name.replace("-", "_")
        if key in ("model", *SETTINGS):
            return BadInput(f"unknown option {option}", cure=f"a setting is written --set {key}=VALUE")
    # compare without the dashes, which every option has
    flags = {flag.lstrip("-"): flag for argument in error.argument_collection for flag in argument.names}
    likely = find_nearest(name, flags)
    return BadInput(f"unknown option {option}", cure=f"did you mean {flags[likely[0]]}?" if likely else cure)


def _suggest_command(name: str, commands: list[str]) -> str:
    from unrolled.ablations.study.study_reader import list_shipped_studies

    if name in list_shipped_studies():
        return f"did you mean `unrolled run {name}`?"
    return suggestion(name, commands)


def shorten_line(error: Exception) -> str:
    """Return an error in one line, and cut each word of more than 255 characters, which names no file."""
    return re.sub(r"([^\s/]{60})[^\s/]{196,}", r"\1…", make_visible(error))
