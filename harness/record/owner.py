"""Who writes a record, in a form that a recycled pid cannot fake."""

from __future__ import annotations

import os
from dataclasses import asdict

from harness.core.process_id import ProcessId
from harness.record.models import Owner


def this_process() -> Owner:
    """The calling process as an owner."""
    here = ProcessId.of(os.getpid())
    assert here is not None
    return Owner(**asdict(here))


def is_alive(owner: Owner) -> bool:
    """Whether the owner still runs on this machine. A record from another machine has no living owner here."""
    return ProcessId(owner.pid, owner.started_ticks, owner.boot_id).lives()
