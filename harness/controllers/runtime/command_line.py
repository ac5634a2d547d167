"""What the command lines of the controllers have in common: words for switches, and errors that are one line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Takes `--name=value`; what is wrong ends the process with one line and status 2."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        add = self.add_argument
        add("--kubeconfig", type=Path, required=True, metavar="PATH", help="whom to talk to, and as whom")
        add("--namespace", metavar="NS", help="keep to the objects of one namespace (default: all)")
        add("--metrics-bind-address", dest="metrics", type=address, metavar="HOST:PORT",
            help="serve /metrics, /healthz and /readyz there (default: not served)")  # fmt: skip

    def error(self, message: str) -> NoReturn:
        """See `argparse`."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; --help lists the switches\n")

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The values of the switches; for a word that is none the nearest switch is named."""
        known, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(self._explain(unknown[0]))
        return known

    def _explain(self, word: str) -> str:
        flag = word.split("=", 1)[0]
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        near = difflib.get_close_matches(flag, known, n=1, cutoff=0.6)
        return f"unknown switch {flag!r}" + (f", did you mean {near[0]!r}?" if near else "")


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def share(text: str) -> float:
    """A part of a whole, above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 1, such as 0.85")
    return value


def rate(text: str) -> float:
    """How many a second, above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate above 0 and at most 1000000")
    return value


def switch(text: str) -> bool:
    """`on` or `off`; `true` and `false` as YAML has them."""
    if text not in ("on", "off", "true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of on, off")
    return text in ("on", "true")


def add_choice(parser: Parser, flag: str, dest: str, values: type[StrEnum], default: StrEnum, help_text: str) -> None:
    """A switch whose values are those of an enumeration."""

    def convert(text: str) -> StrEnum:
        try:
            return values(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(values)}") from None

    choices = "|".join(values)
    parser.add_argument(
        flag, dest=dest, type=convert, default=default, metavar=choices, help=f"{help_text} (default: {default})"
    )


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT`; an IPv6 host stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "127.0.0.1", int(port)
