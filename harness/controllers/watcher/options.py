"""The command line. Switches bear the same names here, in scenarios and in docs/scenarios.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.controllers.runtime.command_line import Parser, add_choice, count, switch
from harness.controllers.runtime.following import PAGE_SIZE


class InitialList(StrEnum):
    """Whether the initial list is gathered whole before it is handed on, or each object is as it comes."""

    BUFFERED = "buffered"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True)
class Options:
    """What one process was told."""

    kubeconfig: Path
    namespace: str | None
    metrics: tuple[str, int] | None
    initial_list: InitialList
    page_size: int
    watch_list: bool
    store: bool


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`. Ends the process with one line and status 2 where they are wrong."""
    return Options(**vars(_build().parse_all(arguments)))


def _build() -> Parser:
    parser = Parser("watcher", __doc__)
    add = parser.add_argument
    add_choice(parser, "--initial_list", "initial_list", InitialList, InitialList.BUFFERED,
               "gather the initial list before it is handed on, or hand on each object as it comes")  # fmt: skip
    add("--page_size", type=count, default=PAGE_SIZE, metavar="N",
        help=f"objects for each list request; not with watch_list (default: {PAGE_SIZE})")  # fmt: skip
    add("--watch_list", type=switch, default=False, metavar="on|off",
        help="have the initial objects sent by the watch (sendInitialEvents), without a list (default: off)")  # fmt: skip
    add("--store", type=switch, default=True, metavar="on|off",
        help="keep the objects, or count and drop them (default: on)")  # fmt: skip
    return parser
