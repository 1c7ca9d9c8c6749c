"""The command line's refusals and kinds of value: each mistake is one line that says what was meant."""

import argparse
import os
import re
import socket
from dataclasses import fields
from typing import Any, NoReturn

from bench.models.registry import ZOO, suggestion
from bench.trial import BadInput, Trial


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are BadInput: one line without the usage, and what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput, naming the help of the word."""
        raise BadInput(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does, but nothing may be left over: neither here nor by the parser of a word."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            flag = next((each.partition("=")[0] for each in left if each.startswith("-")), None)
            if flag is None:
                self.error(f"{left[0]!r} is one word too many")
            self.error(f"unknown flag {flag!r}{self._meant(flag)}")
        return found, left

    def _meant(self, flag: str) -> str:
        """A setting is no flag of its own; else the likest of the flags that there are."""
        key = flag.lstrip("-").replace("-", "_")
        settings = {*(field.name for field in fields(Trial)), *(k for s in ZOO.values() for k in s.options)}
        if "--set" in self._option_string_actions and key in settings:
            return f"; a setting is written --set {key}=VALUE"
        return suggestion(flag, self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = str(action.metavar or action.dest).lower()
            self.error(f"unknown {name} {value!r}{suggestion(value, list(action.choices))}")


def count(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text) if re.fullmatch("[0-9]{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return number


def device(text: str) -> str:
    """A kind of device, or "auto"."""
    if text not in ("auto", "cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"{text} is not auto, cpu or cuda")
    return text


def mib(text: str) -> int:
    """Memory in MiB; 0 is no limit."""
    return 0 if text == "0" else count(text)


def positive(text: str) -> float:
    """A number of more than 0: seconds, nats, a share."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of more than 0")
    return number


def port(text: str) -> int:
    """A TCP port."""
    if count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 1 to 65535")
    return int(text)


def check_free(port: int) -> None:
    """Raises BadInput where something listens on that port of this machine already."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)  # asyncio's own words repeat the address
        raise BadInput(f"--port {port}: {why}; choose another one") from error


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
