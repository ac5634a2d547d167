"""What of a run is worth a mark on a time axis: phases, kills and endings, the verdict; as Grafana's annotations have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urlencode

from harness.record.models import Phase, Verdict
from harness.record.reader import RunRecord

TAG = "harness"
DASHBOARD = "harness-run"
"""The uid of the dashboard Run, as `dashboards/run.json` has it."""
_LONGEST = 300
"""Characters of a sentence that quotes others."""
_AROUND_MS = 5000
"""What a link shows before and after the run."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A moment, or a stretch of time where `end_ms` is later. Times in ms since the epoch; `text` is HTML."""

    start_ms: int
    end_ms: int
    text: str
    tags: tuple[str, ...]


def run_tags(record: RunRecord) -> tuple[str, str]:
    """By which all annotations of a run are found."""
    return TAG, f"run:{record.run.run_id}"


def of(record: RunRecord, verdict: Verdict, *, serve: str | None = None) -> list[Annotation]:
    """The annotations of a run in order of time. `serve`: where `harness serve` answers; texts then link to the run there."""
    link = "" if serve is None else f'<br><a href="{escape(run_page(serve, record.run.run_id))}">report</a>'
    return sorted(_all(record, verdict, link), key=lambda each: (each.start_ms, each.end_ms))


def run_page(serve: str, run_id: str) -> str:
    """The run in `harness serve`: its report, and what goes on while it lasts."""
    return f"{serve.rstrip('/')}/runs/{quote(run_id)}/"


def dashboard(grafana: str, record: RunRecord) -> str:
    """The dashboard Run of a Grafana, at this run and its time."""
    run = record.run
    wanted = {
        "var-scenario": run.scenario.name, "var-run": run.run_id,
        "from": _ms(record, 0) - _AROUND_MS, "to": _ms(record, _end_ns(record)) + _AROUND_MS,
    }  # fmt: skip
    return f"{grafana.rstrip('/')}/d/{DASHBOARD}?{urlencode(wanted)}"


def _all(record: RunRecord, verdict: Verdict, link: str) -> Iterator[Annotation]:
    run = record.run
    common = (
        *run_tags(record),
        f"scenario:{run.scenario.name}",
        *([f"arm:{run.scenario.arm}"] if run.scenario.arm else []),
    )
    for phase in run.phases:
        end = _end_ns(record) if phase.ended_ns is None else phase.ended_ns
        text = f"<b>{escape(phase.name)}</b> {escape(_of_phase(phase))}{link}"
        yield Annotation(_ms(record, phase.started_ns), _ms(record, end), text, (*common, "phase"))
    for event in record.events("oom_kill"):
        at = _ms(record, event["t_ns"])
        yield Annotation(at, at, f"<b>OOM kill</b>{link}", (*common, "kill"))
    if run.ending is not None:
        at = _ms(record, run.ending.t_ns)
        yield Annotation(
            at, at, f"<b>subject ended</b> {escape(run.ending.sentence[:_LONGEST])}{link}", (*common, "ending")
        )
    at = _ms(record, _end_ns(record))
    reasons = escape("; ".join(verdict.reasons)[:_LONGEST])
    yield Annotation(at, at, f"<b>{verdict.verdict.upper()}</b> {reasons}{link}", (*common, "verdict", verdict.verdict))


def _of_phase(phase: Phase) -> str:
    if phase.done is None or phase.requested is None:
        return ""
    rate = "" if phase.achieved_per_s is None else f" at {phase.achieved_per_s:,.0f}/s"
    return f"{phase.done:,}/{phase.requested:,}{rate}"


def _end_ns(record: RunRecord) -> int:
    return max((phase.ended_ns or phase.started_ns for phase in record.run.phases), default=0)


def _ms(record: RunRecord, t_ns: int) -> int:
    return round(record.run.started_at.timestamp() * 1000 + t_ns / 1e6)
