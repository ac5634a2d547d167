"""A subject that can be started, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.core.handles import Launch
from harness.subject.incarnations import Starter
from harness.subject.placeholders import Placeholders
from harness.subject.webhooks import Certificate


@dataclass(slots=True)
class Prepared:
    """How a subject will be started: collectors may change `launch` before `starter(replica)` is called."""

    launch: Launch
    placeholders: Placeholders
    starter: Callable[[int], Starter]
    certificate: Certificate | None = None
    """Of its admission webhooks."""
