"""Small questions to a record that several results share."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import ValidationError

from harness.core.errors import UsageError
from harness.core.handles import EndKind
from harness.record.models import LOAD_ACTIONS, Phase
from harness.record.reader import RunRecord
from harness.scenario.model import Scenario
from harness.scenario.names import causing

EVER = 2**62
"""Later than anything in a record, in ns: the end of what has none."""
FATAL: frozenset[EndKind] = frozenset({"oom_limit", "oom_node", "crash", "thrashing"})


class Facts:
    """A record with the questions that more than one result asks."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.run = record.run
        self.scenario = _scenario(record)

    def scalar(self, query: str, *parameters: object) -> float | None:
        """The single value of a query, None where it is null."""
        rows = self.record.sql(query, parameters)
        return None if not rows or rows[0][0] is None else float(rows[0][0])

    def series(
        self, metric: str, aggregate: str, *, phase: str | None = None, source: str | None = None
    ) -> float | None:
        """An aggregate (`max`, `avg`, `median`, `last`) of an unlabelled series, over the run or one phase."""
        special = {"last": "arg_max(value, t_ns)", "median": "quantile_disc(value, 0.5)"}
        function = special.get(aggregate, f"{aggregate}(value)")
        where, parameters = "metric = ? AND labels = '{}'", [metric]
        for column, wanted in (("phase", phase), ("source", source)):
            if wanted is not None:
                where += f" AND {column} = ?"
                parameters.append(wanted)
        return self.scalar(f"SELECT {function} FROM samples WHERE {where}", *parameters)

    @functools.cached_property
    def probes(self) -> list[str]:
        """The latency probes that the scenario defines, in order."""
        return [probe.name for phase in causing(self.scenario) for probe in phase.step.probes]

    @functools.cached_property
    def collectors(self) -> dict[str, str | None]:
        """Collectors of the run: name to the reason of failure, None where all is well."""
        return {
            item.name: None if item.state == "on" else item.reason or "it failed without a reason"
            for item in self.run.collectors
        }

    def unwitnessed(self, collector: str) -> str | None:
        """Why a collector saw nothing, None where it was on and well."""
        if collector not in self.collectors:
            return f"collector {collector} was not on"
        reason = self.collectors[collector]
        return None if reason is None else f"collector {collector}: {reason}"

    def surplus(self, kind: str) -> float:
        """Objects of a kind that are there at the end although the load has deleted them."""
        query = "SELECT arg_max(value, t_ns) FROM samples WHERE metric = 'objects.surplus' AND labels->>'kind' = ?"
        return self.scalar(query, kind) or 0.0

    @functools.cached_property
    def load_phases(self) -> list[Phase]:
        """Phases in which the load generator worked, in order."""
        return [phase for phase in self.run.phases if phase.action in LOAD_ACTIONS]

    @functools.cached_property
    def loaded_phases(self) -> list[Phase]:
        """Phases in which the subject was loaded: by us, or by somebody else while it was observed."""
        return self.load_phases or [phase for phase in self.run.phases if phase.action == "observe"]

    @functools.cached_property
    def load_started_ns(self) -> int | None:
        """When the first request was intended, or the observation began; None where there was no load."""
        return self.loaded_phases[0].started_ns if self.loaded_phases else None

    @functools.cached_property
    def oom_events(self) -> list[dict[str, Any]]:
        """Every witnessed kill, with its evidence."""
        return list(self.record.events("oom_kill"))

    @functools.cached_property
    def restarts(self) -> list[dict[str, Any]]:
        """Every time the subject, or one of its replicas, was started again."""
        failovers = [event for event in self.record.events("failover") if event.get("started_ns") is not None]
        return [*self.record.events("restart"), *failovers]

    @functools.cached_property
    def oom_kills(self) -> int:
        """Kills at the subject's own limit. Its cgroup also counts those for which another limit, or the node, was the reason."""
        counted = int(self.series("oom.kills", "max", source="oom") or 0)
        by_ending = self.run.ending is not None and self.run.ending.kind == "oom_limit"
        return max(counted - self.foreign_oom_kills, int(by_ending))

    @functools.cached_property
    def foreign_oom_kills(self) -> int:
        """Kills in the subject's cgroup for which another limit than its own was the reason, as far as that is known.

        The kernel's log names the limit of each; where it could not be read, the ending still tells of the last.
        """
        ending = self.run.ending
        if ending is None:
            return 0
        log = ending.evidence.get("kernel_log")
        kills = [kill for kill in log if isinstance(kill, dict)] if isinstance(log, list) else []
        return sum(kill.get("limit_of") != kill.get("killed_in") for kill in kills) or int(ending.kind == "oom_node")

    @functools.cached_property
    def cut_short(self) -> str | None:
        """Why results that need a whole run do not exist, None where the subject lived to the end."""
        ending = self.run.ending
        if ending is None or ending.kind not in FATAL:
            return None
        names = {
            "oom_limit": "the OOM kill",
            "oom_node": "the node's OOM kill",
            "crash": "the crash",
            "thrashing": "thrashing",
        }
        return f"cut short by {names[ending.kind]} at {ending.t_ns / 1e9:.1f} s"


def _scenario(record: RunRecord) -> Scenario:
    """What the run's scenario resolved to. Raises UsageError for one that this version does not know."""
    try:
        return Scenario.model_validate(record.run.scenario.resolved)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("scenario", "resolved", *first["loc"]))
        raise UsageError(
            f"its scenario is none that this version can read ({where}: {first['msg']})",
            place=str(record.path / "run.json"),
            remedy="was it written by another version of the harness?",
        ) from None
