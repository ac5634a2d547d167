"""What a watch of one collection tells, in kube-rs's words, and who listens."""

from __future__ import annotations

from typing import Protocol

from harness.controllers.runtime.resources import Object


class Sink(Protocol):
    """Takes the changes in order. Nothing it is given may be changed."""

    def restarted(self, objects: list[Object]) -> None:
        """All objects there are, at once: whatever was known before is void."""

    def init(self) -> None:
        """All objects there are will follow, one by one, until `init_done`."""

    def init_apply(self, obj: Object) -> None:
        """One of them."""

    def init_done(self) -> None:
        """That was all: what was known before and has not come again is gone."""

    def applied(self, obj: Object) -> None:
        """Created or changed."""

    def deleted(self, obj: Object) -> None:
        """Gone."""
