"""How far the clock of an API server is from ours, from the Date headers of its answers.

A Date header tells whole seconds only, so one answer bounds the offset to within a second. But the second *changes* at a
moment: answers asked for just before and just after it close in on that moment, each halving what is still possible,
until the round trip is what limits it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from harness.core.clock import ClockOffset
from harness.kube.transport import Transport

_ROUNDS = 7
"""From one second to about 10 ms; each round waits for the right fraction of a second, half a second on average."""
_ENOUGH_S = 0.02


class Answer(NamedTuple):
    """Our clock when a request was sent and when its answer came, and the second the server told, since 1970."""

    sent_s: float
    received_s: float
    told_s: float


async def measure(transport: Transport) -> ClockOffset | None:
    """The server's clock minus ours; None where it tells no time or a clock was set meanwhile."""

    async def ask() -> Answer | None:
        sent = time.time()
        date = await transport.date()
        received = time.time()
        return None if date is None else Answer(sent, received, parsedate_to_datetime(date).timestamp())

    return await close_in(ask, time.time, asyncio.sleep)


async def close_in(
    ask: Callable[[], Awaitable[Answer | None]], now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
) -> ClockOffset | None:
    """Narrow the offset until it is known to `_ENOUGH_S`, or as well as `_ROUNDS` answers can tell."""
    low, high = -math.inf, math.inf
    trip = 0.0
    for _ in range(_ROUNDS):
        answer = await ask()
        if answer is None:
            return None
        # When it answered, the server's clock was in [told, told + 1), and ours in [sent, received].
        low, high = max(low, answer.told_s - answer.received_s), min(high, answer.told_s + 1 - answer.sent_s)
        trip = answer.received_s - answer.sent_s
        if low > high:
            return None
        if high - low < _ENOUGH_S:
            break
        # Ask so that the server answers when, were the offset in the middle, its second would just change.
        middle = (low + high) / 2
        ahead = now() + middle + trip / 2
        await sleep(math.ceil(ahead) - ahead)
    return ClockOffset(offset_s=(low + high) / 2, uncertainty_s=(high - low) / 2)
