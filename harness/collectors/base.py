"""What every collector is."""

from __future__ import annotations

from typing import ClassVar

from harness.core.handles import Launch, RunContext


class Collector:
    """A witness of one run. The runner calls the hooks in this order, from one event loop.

    `prepare` (before the subject starts) - `attach` (subject ready) - `phase_started` / `phase_ended` for each phase -
    `restarting` / `restarted` around each restart of the subject - `settle` (quiet: force a collection, read what needs
    rest) - `detach` (also after a kill or an error; idempotent, within 10 s unless `after_exit`). Samples are taken by tasks
    of the collector's own between attach and detach. A hook
    that fails raises a HarnessError; the runner records it as a warning and the metrics of this collector become null
    with that reason.
    """

    name: ClassVar[str]
    heavy: bool = False
    """Whether it changes the subject's memory or latency so much that expectations on these are inconclusive."""

    after_exit: ClassVar[bool] = False
    """Whether it is detached only after the subject has ended, then with minutes of time: what it wants is complete only then."""

    hook_s: ClassVar[float] = 30.0
    """How long one of its hooks may take."""

    async def prepare(self, launch: Launch) -> None:
        """Change how the subject will be started."""

    async def attach(self, context: RunContext) -> None:
        """Begin to witness."""

    async def phase_started(self, phase: str) -> None:
        """A phase of the timeline begins."""

    async def phase_ended(self, phase: str) -> None:
        """A phase of the timeline is over."""

    async def restarting(self) -> None:
        """The subject is about to be ended and started again; `context.subject` then tells of the next incarnation."""

    async def restarted(self) -> None:
        """The next incarnation is ready."""

    async def settle(self) -> None:
        """The system is quiet; called before the 2 s over which settled values are averaged."""

    async def ending(self) -> None:
        """The measured window is over and the subject is about to be ended; told to those with `after_exit` only."""

    async def detach(self) -> None:
        """Stop witnessing and hand over what is left."""
