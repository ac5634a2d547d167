"""Tasks that say what they are: who counts tasks by coroutine reads `bundle.worker`, not one name for all workers."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any


def named(coroutine: Coroutine[Any, Any, None], owner: str, job: str) -> Coroutine[Any, Any, None]:
    """`coroutine`, under the name `owner.job`."""
    assert isinstance(coroutine, CoroutineType)
    coroutine.__name__ = job
    coroutine.__qualname__ = f"{owner}.{job}"
    return coroutine
