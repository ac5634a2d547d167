"""Nightly: results over many runs, where their level changed, and the verdicts of runs and gates."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards import parts, run
from dashboards.names import chosen, own
from harness.report import families
from harness.report.openmetrics_history import CHANGE, VALUE, VERDICT

_HISTORY = ('job=~"$job"', 'instance=~"$instance"', 'scenario=~"$scenario"', 'arm=~"$arm"')
_ALL_LABELS = ", ".join(families.COMMON + families.RUN.labels)
CHANGES: parts.Steps = ((None, "green"), (0.05, "orange"), (0.2, "red"))


def history(name: str, *more: str) -> str:
    """A selector of the history's series: they are of no one run."""
    return f"{name}{{{', '.join([*_HISTORY, *more])}}}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = parts.board(
        "nightly",
        "Controller harness / Nightly",
        "The history of runs and gates (`harness history export FILE.om`), its changes of level, and verdicts.",
        since="now-30d",
    ).with_variable(parts.source_variable())
    for each in run.variables(many_runs=True):
        made = made.with_variable(each)
    made = made.with_variable(parts.variable("metric", "Metric", f"{VALUE.name}, metric"))
    made = made.with_variable(parts.text_variable("serve", "Address of `harness serve`", run.SERVE))
    made = made.link(parts.link("Runs", "${serve}/", "All runs, in harness serve"))
    made = made.annotation(
        dashboard.AnnotationQuery()
        .name("Changes of level")
        .datasource(parts.SOURCE)
        .enable(enable=True)
        .icon_color("orange")
        .expr(_chosen_metric(CHANGE.name))
    )
    for panel in (*_figures(), *_curves()):
        made = made.with_panel(panel)
    return made


def _chosen_metric(name: str, *more: str) -> str:
    return history(name, 'metric="$metric"', *more)


def _ended(verdicts: str) -> str:
    return f"sum(count_over_time({history(VERDICT.name, verdicts)}[$__range])) or vector(0)"


def _figures() -> list[parts.Panel]:
    return [
        parts.figure(
            "Passed",
            "Runs and gates of the chosen time that passed.",
            "short",
            _ended('verdict=~"passed|pass|improve"'),
            width=6,
        ),
        parts.figure(
            "Failed or regressed",
            "Runs that failed and gates that found a regression.",
            "short",
            _ended('verdict=~"failed|regress"'),
            parts.NONE_IS_GOOD,
            width=6,
        ),
        parts.figure(
            "Without a conclusion",
            "Runs and gates that were invalid, inconclusive, interrupted or broke down.",
            "short",
            _ended('verdict=~"invalid|inconclusive|error|interrupted"'),
            ((None, "green"), (1, "orange")),
            width=6,
        ),
        parts.figure(
            "Changes of level",
            "Neighbouring commits between which the chosen metric has another level.",
            "short",
            f"sum(count_over_time({_chosen_metric(CHANGE.name)}[$__range])) or vector(0)",
            ((None, "green"), (1, "orange")),
            width=6,
        ),
    ]


def _curves() -> list[parts.Panel]:
    return [
        parts.curves(
            "History",
            "The chosen metric of each run, and the effect of each gate with its interval; in the unit of the metric.",
            "short",
            [
                (
                    f"max by (kind, scenario, arm, machine) ({_chosen_metric(VALUE.name)})",
                    "{{kind}} {{scenario}} {{arm}} {{machine}}",
                )
            ],
            width=24,
            height=10,
            points=True,
        ),
        parts.curves(
            "Changes of level",
            "Size of each change against the level before; above 0 is more than before.",
            "percentunit",
            [(f"max by (judged, scenario, arm) ({_chosen_metric(CHANGE.name)})", "{{judged}} {{scenario}} {{arm}}")],
            CHANGES,
            points=True,
        ),
        parts.curves(
            "Verdicts",
            "One point for each run and gate, in the row of its verdict.",
            "short",
            [(f"sum by (verdict) ({history(VERDICT.name)})", "{{verdict}}")],
            ((None, "green"),),
            points=True,
        ),
        parts.rows_of(
            "Results of exported runs",
            "Results of the chosen runs, of those that were exported or scraped.",
            "short",
            [(f"max by (run_id, arm, metric, unit) (last_over_time({own(families.RESULT)}[$__range]))", "value")],
            width=12,
        ),
        parts.rows_of(
            "Runs",
            "Verdict, profile, provider, machine and commit of the chosen runs.",
            "short",
            [
                (
                    f"max by ({_ALL_LABELS}) (last_over_time({chosen(families.RUN.name)}[$__range]))",
                    "run",
                )
            ],
            width=12,
        ),
    ]
