"""What the agents are asked to do: `harness.agents/v1`, the plan of the load's connection with what is about the agents."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from loadgen.fields import Fields, PlanError
from loadgen.plan import Plan, parse

SCHEMA = "harness.agents/v1"
_NORMAL = NormalDist()
_SMALLEST = 2.0**-53

Delay = Callable[[random.Random], float]
"""The source of an answer's randomness -> seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How the agents behave, and where."""

    plan: Plan
    """Server, credentials, namespace, seed, origin; it has no phases."""
    delay: Delay
    heartbeat_s: float | None
    """Between two reports of a Cluster that it is alive; None: none."""
    not_ready: float
    """Share of the BundleDeployments that are applied and never become ready."""
    offline: float
    """Share of the Clusters whose agent neither answers nor reports."""
    conflicts: float
    """Share of the answers that are first sent for an older version of the object, which the API server refuses."""
    concurrency: int

    def source(self, *what: object) -> random.Random:
        """The source of all that is random about something: the same seed draws the same, whatever came first."""
        tail = self.plan.run_id[-5:]
        name = "/".join(str(part).replace(tail, "") for part in what)
        return random.Random(f"{self.plan.seed}/agents/{name}")  # noqa: S311  # repeatable on purpose; keeps no secret


def load(path: Path) -> Asked:
    """Read and check what is asked. Raises PlanError (one line) for whatever is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise PlanError(f"{path}: cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise PlanError(f"{path}: is not JSON: {fault}") from fault
    try:
        return read(document)
    except PlanError as fault:
        raise PlanError(f"{path}: {fault}") from fault


def read(document: object) -> Asked:
    """What a decoded document asks. Raises PlanError that names the field."""
    fields = Fields(document, "agents")
    if (schema := fields.text("schema")) != SCHEMA:
        raise fields.error("schema", f"must be {SCHEMA!r}, is {schema!r}")
    asked = Asked(
        plan=parse(fields.raw("plan")),
        delay=_delay(Fields(fields.raw("delay"), "agents.delay")),
        heartbeat_s=None if fields.optional("heartbeat_s") is None else fields.positive("heartbeat_s"),
        not_ready=_share(fields, "not_ready"),
        offline=_share(fields, "offline"),
        conflicts=_share(fields, "conflicts"),
        concurrency=fields.integer("concurrency", minimum=1),
    )
    fields.done()
    return asked


def _share(fields: Fields, key: str) -> float:
    value = fields.positive_or_zero(key)
    if value > 1:
        raise fields.error(key, f"must be a share from 0 to 1, is {value}")
    return value


def _delay(fields: Fields) -> Delay:
    """`{"min_s", "max_s"}`: evenly between the two; `{"lognormal": {"median_s", "sigma"}, "max_s"}`: with a long tail."""
    most = fields.positive_or_zero("max_s")
    given = fields.optional("lognormal")
    if given is None:
        least = fields.positive_or_zero("min_s")
        fields.done()
        if least > most:
            raise fields.error("min_s", "is above max_s")
        return lambda source: source.uniform(least, most)
    inner = Fields(given, "agents.delay.lognormal")
    median, sigma = inner.positive("median_s"), inner.positive("sigma")
    inner.done()
    fields.done()

    def drawn(source: random.Random) -> float:
        unit = max(source.random(), _SMALLEST)
        return min(median * math.exp(min(sigma * _NORMAL.inv_cdf(unit), 50.0)), most)

    return drawn
