"""What must hold of every target and every input, and how it is watched."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hypothesis.strategies import SearchStrategy

from harness.core.errors import HarnessError

CPU_S = 20
"""CPU seconds that one input may take: a thousand times what the slowest takes, so that a busy machine is no hang."""
MEMORY_BYTES = 512 << 20
"""By which one input may raise the highest resident set."""
LONGEST = 4000
"""Characters of an error: it is to be read."""


class Broken(AssertionError):
    """The property does not hold."""


class Hangs(BaseException):
    """Out of CPU time. No `except Exception` of what is tested may take it for its own."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, the inputs it is given, and the errors that are its own beside `HarnessError`.

    Those others must each be what its callers catch and turn into words.
    """

    name: str
    inputs: SearchStrategy[Any]
    parse: Callable[[Any], object]
    errors: tuple[type[Exception], ...] = ()
    share: float = 1.0
    """How many cases it gets, of what is to be shared out."""
    seeds: tuple[bytes, ...] = ()
    """Where it takes bytes or text: what coverage-guided fuzzing starts from."""
    text: bool = False
    """Bytes are given to it as text."""


def check(target: Target, value: object) -> str:
    """How it ended: `result` or the name of the error. Raises Broken where the property does not hold."""
    before = peak_bytes()
    try:
        with _bounded():
            target.parse(value)
        ended = "result"
    except HarnessError as error:
        said = str(error)
        if not said.isprintable() or not said or len(said) > LONGEST:
            raise Broken(f"{target.name}: the error is no line for people: {said[:300]!r}") from error
        ended = type(error).__name__
    except target.errors as error:
        ended = type(error).__name__
    except Hangs:
        raise Broken(f"{target.name}: took more than {CPU_S} s of CPU time") from None
    grown = peak_bytes() - before
    if grown > MEMORY_BYTES:
        raise Broken(f"{target.name}: took {grown >> 20} MiB of memory")
    return ended


def peak_bytes() -> int:
    """The highest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    def expired(_number: int, _frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGVTALRM, expired)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
