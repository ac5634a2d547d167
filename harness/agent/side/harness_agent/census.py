"""What is under way in this process, counted by name: asyncio tasks, threads and gevent greenlets, in rows of one shape.

A row is `sort`, `name` (what was started), `state` and `frame` (where it is now; both None where nobody tells) and `count`.
`harness/collectors/census.py` adds what runs in other runtimes. Never through `gc.get_objects()`: see `loops`.
"""

from __future__ import annotations

import re
import sys
import weakref
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task
    from collections.abc import Iterable, Iterator

ROWS = 200
_NUMBER = re.compile(r"\d+")
_TRIES = 5

Row = tuple[str, str, "str | None", "str | None"]


class Greenlets:
    """Greenlets of gevent, known from the moment of their start.

    gevent keeps no list of them and greenlet none either; what gevent offers is a callback at each start. It is asked for as
    soon as gevent has been imported: what was started before that is not seen.
    """

    def __init__(self) -> None:
        self.watching = False
        self._alive: weakref.WeakSet[object] = weakref.WeakSet()

    def watch(self) -> None:
        """Ask to be called, once gevent is there."""
        if self.watching:
            return
        module = sys.modules.get("gevent.greenlet")
        # A module that another thread is still importing has not got all of its names.
        if module is not None and hasattr(module, "joinall") and hasattr(module.Greenlet, "add_spawn_callback"):
            module.Greenlet.add_spawn_callback(self._alive.add)
            self.watching = True

    def rows(self) -> Iterator[Row]:
        """Those that have not ended."""
        plain = getattr(sys.modules.get("greenlet"), "greenlet", None)
        for each in _copied(self._alive):
            if not each.ready():  # type: ignore[attr-defined]  # a gevent.Greenlet
                run = getattr(each, "_run", None) or type(each)
                begun = plain is None or plain.__bool__(
                    each
                )  # gevent's own says true of those that it will start later
                yield "greenlet", _called(run), "waiting" if begun else "created", None


def census(loops: Iterable[AbstractEventLoop], greenlets: Greenlets) -> dict[str, object]:
    """`census`: the rows, most first, and `census_reasons`: why a sort is not counted."""
    counts: dict[Row, int] = {}
    reasons: dict[str, str] = {}
    for sort, rows in (("task", _tasks(loops)), ("thread", _threads()), ("greenlet", greenlets.rows())):
        try:
            for row in rows:
                counts[row] = counts.get(row, 0) + 1
        except Exception as error:  # noqa: BLE001  # nothing of ours may reach the subject
            reasons[sort] = f"{type(error).__name__}: {error}"
    if "gevent" in sys.modules and not greenlets.watching:
        reasons["greenlet"] = "this gevent tells nobody when a greenlet starts"
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    if len(ordered) > ROWS:
        reasons["rows"] = f"{len(ordered) - ROWS} more rows, of {sum(count for _, count in ordered[ROWS:])} in all"
    return {"census": [[*row, count] for row, count in ordered[:ROWS]], "census_reasons": reasons}


def _copied(alive: weakref.WeakSet[object]) -> list[object]:
    """The members; another thread may add one meanwhile, then the copy is made again."""
    for _ in range(_TRIES):
        try:
            return list(alive)
        except RuntimeError:
            continue
    raise RuntimeError("greenlets start faster than they can be listed")


def _tasks(loops: Iterable[AbstractEventLoop]) -> Iterator[Row]:
    asyncio = sys.modules.get("asyncio")
    for loop in loops:
        assert asyncio is not None
        current = asyncio.current_task(loop)
        for task in asyncio.all_tasks(loop):
            coroutine = task.get_coro()
            yield "task", _called(coroutine), _state(task, coroutine, current), _awaited(coroutine)


def _state(task: Task[object], coroutine: object, current: Task[object] | None) -> str:
    if task is current:
        return "running"
    if task.cancelling():
        return "cancelling"
    frame = getattr(coroutine, "cr_frame", None)
    return "created" if frame is not None and frame.f_lasti < 0 else "waiting"


def _awaited(coroutine: object) -> str | None:
    """The innermost coroutine that it waits in, where that is another."""
    innermost = coroutine
    for _ in range(100):
        inner = getattr(innermost, "cr_await", None)
        if not hasattr(inner, "cr_await"):
            break
        innermost = inner
    return None if innermost is coroutine else _called(innermost)


def _threads() -> Iterator[Row]:
    """Threads that run Python, by name with numbers as N (`ThreadPoolExecutor-N_N`); ours is left out."""
    threading = sys.modules.get("threading")
    names = {ident: thread.name for ident, thread in dict(getattr(threading, "_active", {})).items()}
    ours = get_ident()
    for ident, frame in sys._current_frames().items():
        if ident != ours:
            where = f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}"
            yield "thread", _NUMBER.sub("N", names.get(ident, "(not started by threading)")), None, where


def _called(thing: object) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__
