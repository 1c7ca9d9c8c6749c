"""The flags that a script declares with absl, click, typer or fire, read from its source: nothing is run.

typer and fire make flags of a function's parameters. A script of several commands has no flags that are sure.
"""

import ast
from collections.abc import Iterator, Set
from typing import Any

from unrolled.ablations.drafting.script_flags import (
    Flag,
    declare_flag,
    read_literal,
    read_name,
    read_switch,
)

LIBRARIES = "absl", "click", "fire", "typer"
_ABSL_PARSERS = {
    "DEFINE_float": "float",
    "DEFINE_integer": "int",
    "DEFINE_string": "str",
    "DEFINE_enum": "str",
    "DEFINE_bool": "bool",
    "DEFINE_boolean": "bool",
}


def read_library_flags(tree: ast.Module, imports: Set[str]) -> list[Flag]:
    """Return the flags that a script declares with the LIBRARIES that it imports; [] if none is sure."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if "absl" in imports:
        return [_read_absl(call) for call in calls if read_name(call) in _ABSL_PARSERS and call.args]
    functions = _list_commands(tree)
    if len(functions) != 1:
        return []
    if "click" in imports:
        decorators = [node for node in functions[0].decorator_list if isinstance(node, ast.Call)]
        return [_read_click(call) for call in decorators if read_name(call) in ("option", "argument")]
    return list(_read_parameters(functions[0], is_typer="typer" in imports))


def _list_commands(tree: ast.Module) -> list[ast.FunctionDef]:
    """Return the functions that are commands: with the decorator `command`, or handed to typer or fire."""
    handed = {
        read_name(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and call.args
        and ast.unparse(call.func) in ("typer.run", "fire.Fire", "Fire")
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [
        function
        for function in functions
        if function.name in handed or "command" in map(read_name, function.decorator_list)
    ]


def _read_absl(call: ast.Call) -> Flag:
    """Return the flag that a call such as `flags.DEFINE_float("lr", 0.1, "…")` declares."""
    name, default, choices = [*map(read_literal, call.args), None, None][:3]
    option = f"--{name}"
    parser = _ABSL_PARSERS[read_name(call)]
    if parser == "bool":
        return read_switch(option, str(name), option, f"--no{name}", default)
    return declare_flag(option, default, parser, choices=choices if isinstance(choices, list) else None)


def _read_click(call: ast.Call) -> Flag:
    """Return the flag that a decorator such as `@click.option("--lr", default=0.1)` declares."""
    names = [str(name) for name in map(read_literal, call.args)]
    option = next((name for name in names if name.startswith("--")), names[0])
    keys = {key.arg: key.value for key in call.keywords}
    default, nargs, required = (read_literal(keys.get(key)) for key in ("default", "nargs", "required"))
    option, _, off = option.partition("/")
    if off or read_literal(keys.get("is_flag")):
        return read_switch(option, Flag(option, "", {}).name, option, off, bool(default))
    if nargs or keys.keys() & {"multiple", "count"}:
        return Flag(option, "", {}, "left out, as more than a value is taken")
    type_node = keys.get("type")
    parser = read_name(type_node).lower() if type_node else type(default).__name__
    choices = read_literal(type_node.args[0]) if isinstance(type_node, ast.Call) and type_node.args else None
    is_argument = read_name(call) == "argument" and required is not False
    return declare_flag(option, default, parser, choices=choices, required=bool(required or is_argument))


def _read_parameters(function: ast.FunctionDef, *, is_typer: bool) -> Iterator[Flag]:
    """Yield the flag of each parameter. typer takes those without a default by their position."""
    arguments = function.args
    names = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(names) - len(arguments.defaults))
    pairs = zip(
        [*names, *arguments.kwonlyargs], [*defaults, *arguments.defaults, *arguments.kw_defaults], strict=True
    )
    for argument, node in pairs:
        name = argument.arg
        default = _read_default(node)
        option = f"--{name.replace('_', '-')}" if is_typer else f"--{name}"
        if isinstance(default, bool):
            words = f"{option}=True", f"{option}=False"
            if is_typer:
                words = option, f"--no-{option.lstrip('-')}"
            yield read_switch(option, name, *words, default)
            continue
        parser = ast.unparse(argument.annotation) if argument.annotation else type(default).__name__
        if is_typer and node is None:
            option = name
        is_required = node is None or default is ...
        yield declare_flag(option, None if is_required else default, parser, required=is_required)


def _read_default(node: ast.expr | None) -> Any:
    """Return the default of a parameter, also within `typer.Option(0.1, help="…")`."""
    if isinstance(node, ast.Call) and read_name(node) in ("Option", "Argument"):
        node = node.args[0] if node.args else None
    return read_literal(node)
