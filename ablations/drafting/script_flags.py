"""The flags of a Python script, read from its source: nothing is run.

They are the flags that argparse declares, and the globals of a module that executes a configurator, as
nanoGPT's train.py does.
"""

import ast
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from unrolled.bench.trial import Scalar

SEEDS = "seed", "random_seed", "random_state", "rng"
"""Names of flags that set the seed. If there is none, the only flag with "seed" in its name sets it."""
_SWITCHES = {
    "store_true": ("{0}", ""),
    "store_false": ("", "{0}"),
    "BooleanOptionalAction": ("{0}", "--no-{1}"),
}
"""By argparse's action, the words for on and off. {0} is the option, {1} the option without dashes."""
_UNKNOWN = object()  # stands for a value that is not a literal


class Flag(NamedTuple):
    """A flag of a script, and the words and the setting of a study that stand for it."""

    option: str  # the option as it is typed, such as --learning-rate
    words: str  # words of the command line, such as "--learning-rate={learning_rate}"; "" if it is left out
    defaults: Mapping[str, Scalar | list[Scalar]]  # default of its setting; empty if it is left out
    remark: str = ""  # why it is left out, or has no default
    choices: Any = None
    examples: Mapping[str, Scalar] = MappingProxyType({})  # without a default, a value that it may take

    @property
    def name(self) -> str:
        """Its name in Python."""
        return self.option.lstrip("-").replace("-", "_")

    def set_to(self, value: str) -> str:
        """Return the words that give it a value."""
        return f"{self.option}={value}" if self.option.startswith("-") else value


def read_flags(tree: ast.Module) -> list[Flag]:
    """Return the flags of a script. Of two with one name, the first counts."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    declared_flags = [_read_call(call) for call in calls if read_name(call) == "add_argument"]
    flags = [*filter(None, declared_flags), *_read_globals(tree)]
    return list({flag.name: flag for flag in reversed(flags)}.values())[::-1]


def find_seed(flags: Iterable[Flag]) -> Flag | None:
    """Return the flag that sets the seed; None if there is none, or several may."""
    by_name = {flag.name: flag for flag in flags if "?" not in flag.words}
    names = [name for name in SEEDS if name in by_name]
    similar_names = [name for name in by_name if "seed" in name.lower()]
    if not names and len(similar_names) == 1:
        names = similar_names
    return by_name[names[0]] if names else None


def read_name(node: ast.expr | None) -> str:
    """Return the last part of a name, or of a called function's name: np.mean(x) → "mean"; else ""."""
    function = node.func if isinstance(node, ast.Call) else node
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _read_call(call: ast.Call) -> Flag | None:
    """Return the flag that a call of `add_argument` declares; None if its name is no literal."""
    names = [name for name in map(read_literal, call.args) if isinstance(name, str)]
    if not names:
        return None
    option = next((name for name in names if name.startswith("--")), names[0])
    keys = {key.arg: key.value for key in call.keywords}
    default, nargs, required = (read_literal(keys.get(key)) for key in ("default", "nargs", "required"))
    action = read_name(keys.get("action")) or read_literal(keys.get("action")) or "store"
    if action in _SWITCHES:
        on, off = (side.format(option, option.lstrip("-")) for side in _SWITCHES[str(action)])
        name = read_literal(keys.get("dest")) or Flag(option, "", {}).name
        if default is None:
            default = not on
        return read_switch(option, str(name), on, off, default)
    if action != "store":
        return Flag(option, "", {}, "left out, as more than a value is taken")
    parser = read_name(keys["type"]) if "type" in keys else "str"
    return declare_flag(
        option,
        default,
        parser,
        choices=read_literal(keys.get("choices")),
        required=bool(required or not (option.startswith("-") or nargs)),
        takes_list=nargs not in (None, "?"),
    )


def declare_flag(
    option: str,
    default: Any,
    parser: str,
    *,
    choices: Any = None,
    required: bool = False,
    takes_list: bool = False,
) -> Flag:
    """Return a flag that takes a value; a default of None is none."""
    if default is None and required:
        flag = Flag(option, "", {}, "without a default: set in [baseline] what is required")
        flag = flag._replace(words=flag.set_to(f"{{{flag.name}}}"))
    else:
        flag = _read_value(option, default, parser, takes_list)
    if default is None and not takes_list:
        flag = flag._replace(examples={flag.name: _find_example(choices, parser)})
    return flag._replace(choices=choices)


def _find_example(choices: Any, parser: str) -> Scalar:
    """Return a value that a flag may take: its first choice, or a value that its parser reads."""
    values = choices if isinstance(choices, list | tuple) else ()
    of_parser: Scalar = {"int": 1, "float": 0.1}.get(parser, "value")
    return next(filter(_is_plain, values), of_parser)


def read_switch(option: str, name: str, on: str, off: str, default: Any) -> Flag:
    """Return a flag that takes no value; `on` and `off` are its words."""
    if isinstance(default, bool) and {True: off, False: on}[default]:
        return Flag(option, f"{{{name}?{on}:{off}}}", {name: default})
    return Flag(option, "", {}, "left out, as nothing changes the default, or that is no literal")


def _read_value(option: str, default: Any, parser: str, takes_list: bool = False) -> Flag:
    """Return a flag that takes a value; `parser` is the name of the function that reads it, such as int."""
    flag = Flag(option, "", {}, "left out, as the default is no literal that can be typed")
    if default is None:
        return flag._replace(remark="left out, without a default")
    if isinstance(default, bool) and parser not in ("bool", "str"):  # these take every text as true
        return read_switch(option, flag.name, flag.set_to("True"), flag.set_to("False"), default)
    is_list = isinstance(default, list | tuple)
    is_odd = is_list != takes_list or (parser == "int" and isinstance(default, float))
    values = default if is_list else [default]
    if is_odd or not all(map(_is_plain, values)):
        return flag
    if is_list:
        return Flag(option, f"{option} {{{flag.name}*}}", {flag.name: [*values]})
    return Flag(option, flag.set_to(f"{{{flag.name}}}"), {flag.name: default})


def _read_globals(tree: ast.Module) -> list[Flag]:
    """Return the flags of a module that calls `exec`: the variables that it assigns before that call."""
    flags: list[Flag] = []
    for node in tree.body:
        if isinstance(node, ast.Expr) and read_name(node.value) == "exec":
            return flags
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            flags.append(_read_value(f"--{node.targets[0].id}", read_literal(node.value), "literal_eval"))
    return []


def read_literal(node: ast.expr | None) -> Any:
    """Return the value of a literal; None for no node, _UNKNOWN for what is no literal."""
    try:
        return node and ast.literal_eval(node)
    except (ValueError, TypeError):
        return _UNKNOWN


def _is_plain(value: Any) -> bool:
    """Return True if a setting may have a value: a finite number, or text."""
    is_plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return is_plain and str(value).isprintable() and str(value) not in ("inf", "-inf", "nan")
