"""Looks for the count at which a subject dies, one real run after another, each where it tells the most."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle

from harness.analysis import killrate
from harness.analysis.capacity import as_trials
from harness.record.capacity import Trial

_FIRST_STEP = 0.06
"""From the first guess outwards until there is one that died and one that lived; doubled each time."""
_LONGEST_STEP = 0.5
_SHARES = (0.5, 0.2, 0.8, 0.35, 0.65, 0.1, 0.9)
"""Shares of kills at which the next run is placed, by what is known so far: the middle and both flanks."""
MOST_INVALID = 3
_LEAST_RUNS = 4
_ENOUGH = 0.025
"""Half the interval of the 50 % point, as a share of it, from which `early` ends the search."""


def search(
    measure: Callable[[int], Trial],
    guess: float,
    *,
    runs: int,
    noise: float | None,
    early: bool,
    found: Callable[[Trial], None],
    most: float = math.inf,
) -> None:
    """Make up to `runs` trials, the first at `guess`, none with more than `most` objects, a whole number.

    Each is handed to `found` as it is there. Ends early where three trials were not valid, or where nothing dies or lives
    however far it is sought.
    """
    trials: list[Trial] = []
    shares = cycle(_SHARES)
    count, step = max(1.0, guess), _FIRST_STEP
    while len(trials) < runs:
        trial = measure(max(1, round(min(count, most))))
        trials.append(trial)
        found(trial)
        if sum(item.outcome == "invalid" for item in trials) >= MOST_INVALID:
            return
        known = as_trials(trials)
        fitted = killrate.fit(known, noise)
        if isinstance(fitted, str):
            if not known:
                continue
            died = known[0].died
            edge = min(item.count for item in known) if died else max(item.count for item in known)
            if edge <= 1 if died else edge >= most:
                return
            count, step = edge * (1 - step if died else 1 + step), min(2 * step, _LONGEST_STEP)
            continue
        if early and len(known) >= _LEAST_RUNS and fitted.middle.half <= _ENOUGH * fitted.middle.value:
            return
        count = fitted.at(next(shares))
