"""Event loops of this process, their tasks and their lag, observed from another thread.

asyncio has no public list of loops, and `all_tasks` needs one. Loops are found
1. on the stacks of all threads: `asyncio.Runner.run` (behind `asyncio.run` and `uvloop.run`, whatever the loop's type)
   and `run_forever` of asyncio's own loops are Python frames whose `self` leads to the loop;
2. where that finds none, behind the tasks that asyncio itself keeps in weak sets up to 3.13 (a uvloop driven by
   `run_until_complete` has no Python frame). 3.14 keeps them in C, so there such a loop is not seen.

Never through `gc.get_objects()`: it hands out tuples that another thread is still filling, and a tuple that has a second
owner cannot be resized, so an innocent `tuple(x for x in y)` of the subject ends in SystemError.

Tasks come from the public `asyncio.all_tasks(loop)`, which may be called from other threads in every supported version,
however that version keeps its tasks (3.11 one weak set, 3.12 two, 3.14 lists per thread in C).
"""

from __future__ import annotations

import sys
from _weakref import ref
from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from types import FrameType, ModuleType

PROBE_NS = 100_000_000
NAMES = 50
_FIND_NS = 1_000_000_000
_SCAN_MAX_NS = 60_000_000_000
_LAGS_KEPT = 1000
_MAX_FAILURES = 100


class _Loop:
    """A loop with its lag probe: how long a callback, scheduled from outside, waits until it runs."""

    __slots__ = ("_lags", "_sent_ns", "key", "reference")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.key = id(loop)
        self.reference = ref(loop)
        self._sent_ns = 0
        self._lags: list[tuple[int, int]] = []

    def probe(self, loop: AbstractEventLoop) -> None:
        if not loop.is_running():
            self._sent_ns = 0
        elif self._sent_ns == 0:
            self._sent_ns = monotonic_ns()
            loop.call_soon_threadsafe(self._answer, self._sent_ns)

    def _answer(self, sent_ns: int) -> None:
        if sent_ns == self._sent_ns and len(self._lags) < _LAGS_KEPT:
            self._lags.append((sent_ns, monotonic_ns() - sent_ns))
        self._sent_ns = 0

    def take_lags(self) -> list[tuple[int, int]]:
        lags, self._lags = self._lags, []
        return lags


class Loops:
    """The event loops of this process. Used by the agent's thread only, but for the probes' answers."""

    def __init__(self) -> None:
        self._known: dict[int, _Loop] = {}
        self._next_find = 0
        self._next_scan = 0
        self._scan_pause = _FIND_NS
        self._lost: list[tuple[int, int]] = []
        self._failures = 0

    @property
    def any(self) -> bool:
        """Whether a loop is known."""
        return bool(self._known)

    def try_to(self, look: Callable[[], None]) -> None:
        """Run `look`; a failure costs this one look (a loop closed under our hands), too many in a row are raised."""
        try:
            look()
            self._failures = 0
        except Exception:
            self._failures += 1
            if self._failures > _MAX_FAILURES:
                raise

    def probe(self) -> None:
        """Look for loops where it is time to, and send each a callback unless one is still under way."""
        self._find()
        for item in list(self._known.values()):
            loop = item.reference()
            if loop is None or loop.is_closed():
                self._lost += item.take_lags()
                del self._known[item.key]
                continue
            try:
                item.probe(loop)
            except RuntimeError:  # closed since we asked
                continue

    def take_lags(self) -> list[tuple[int, int]]:
        """Pairs of (sent, lag) in nanoseconds since the last call, over all loops."""
        lags, self._lost = self._lost, []
        for item in self._known.values():
            lags += item.take_lags()
        return lags

    def tasks(self) -> dict[str, object]:
        """Tasks that are not done: in all (None where asyncio is not in use), per loop, and by coroutine name."""
        asyncio = _asyncio()
        if asyncio is None:
            return {"tasks": None}
        names: dict[str, int] = {}
        per_loop = []
        for loop in self.alive():
            tasks = asyncio.all_tasks(loop)
            per_loop.append(len(tasks))
            for task in tasks:
                name = _name(task.get_coro())
                names[name] = names.get(name, 0) + 1
        top = sorted(names.items(), key=lambda pair: -pair[1])
        rest = sum(count for _, count in top[NAMES:])
        return {"tasks": sum(per_loop), "loops": per_loop, "names": dict(top[:NAMES]), "rest": rest}

    def alive(self) -> list[AbstractEventLoop]:
        """The loops that are known and still there."""
        return [loop for item in list(self._known.values()) if (loop := item.reference()) is not None]

    def _find(self) -> None:
        now = monotonic_ns()
        asyncio = _asyncio()
        if asyncio is None or now < self._next_find:
            return
        self._next_find = now + (_FIND_NS if self._known else PROBE_NS)
        found = _on_stacks(asyncio)
        if not found and not self._known and now >= self._next_scan:
            found = _behind_tasks(asyncio)
            self._next_scan = now + self._scan_pause
            self._scan_pause = min(2 * self._scan_pause, _SCAN_MAX_NS)
        for loop in found:
            if id(loop) not in self._known and not loop.is_closed():
                self._known[id(loop)] = _Loop(loop)


def _asyncio() -> ModuleType | None:
    """asyncio, where the process uses it; not while another thread is still importing it."""
    module = sys.modules.get("asyncio")
    return module if all(hasattr(module, name) for name in ("AbstractEventLoop", "Runner", "all_tasks")) else None


def _name(coroutine: object) -> str:
    return getattr(coroutine, "__qualname__", None) or type(coroutine).__name__


def _on_stacks(asyncio: ModuleType) -> list[AbstractEventLoop]:
    found = []
    for frame in sys._current_frames().values():
        walk: FrameType | None = frame
        while walk is not None:
            # Only frames of asyncio itself: to read the locals of a frame keeps them alive while it lasts (3.11, 3.12).
            if walk.f_code.co_name in {"run", "run_forever"} and str(walk.f_globals.get("__name__")).startswith(
                "asyncio."
            ):
                owner = walk.f_locals.get("self")
                if isinstance(owner, asyncio.AbstractEventLoop):
                    found.append(owner)
                elif isinstance(owner, asyncio.Runner):
                    # Not get_loop(), which makes one where the runner's own thread is about to.
                    loop = getattr(owner, "_loop", None)
                    if isinstance(loop, asyncio.AbstractEventLoop):
                        found.append(loop)
            walk = walk.f_back
    return found


def _behind_tasks(asyncio: ModuleType) -> list[AbstractEventLoop]:
    found = []
    for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks"):
        for task in list(getattr(asyncio.tasks, name, ())):  # may change meanwhile: the next look tries again
            loop = task.get_loop() if hasattr(task, "get_loop") else None
            if isinstance(loop, asyncio.AbstractEventLoop) and loop not in found:
                found.append(loop)
    return found
