"""Published cases: the curves of the five cases that others have published, and what was measured of their claims."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, xychart
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

from dashboards import parts, run
from dashboards.names import WHOLE, of, own
from harness.report import families
from harness.report.openmetrics_claims import CHANGE, CURVE

_CHOSEN_CURVE = 'curve=~"$curve"'
_CLAIMS = ('job=~"$job"', 'instance=~"$instance"', 'row=~"$row"')


def claims(name: str, *more: str) -> str:
    """A selector of the claims' series: they are of no one run."""
    return f"{name}{{{', '.join([*_CLAIMS, *more])}}}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = parts.board(
        "published",
        "Controller harness / Published cases",
        "What others have published of such controllers, measured by `harness claims` and written by `harness export CLAIMS`.",
        since="now-90d",
    ).with_variable(parts.source_variable())
    for each in run.variables(many_runs=True):
        made = made.with_variable(each)
    made = made.with_variable(parts.variable("row", "Case", f"{CHANGE.name}, row", many=True, all_value=".+"))
    made = made.with_variable(parts.variable("curve", "Curve", f'{CURVE.name}{{row=~"$row"}}, curve'))
    for panel in _panels():
        made = made.with_panel(panel)
    return made


def _panels() -> list[parts.Panel | xychart.Panel]:
    latest = f"last_over_time({claims(CHANGE.name)}[$__range])"
    return [
        parts.figure(
            "Reproduced",
            "Claims whose whole interval reaches the published figure.",
            "short",
            f"count(last_over_time({claims(CHANGE.name, _verdict('reproduced'))}[$__range])) or vector(0)",
            width=6,
        ),
        parts.figure(
            "Not reproduced",
            "Claims whose whole interval falls short of the published figure.",
            "short",
            f"count(last_over_time({claims(CHANGE.name, _verdict('not reproduced'))}[$__range])) or vector(0)",
            parts.NONE_IS_GOOD,
            width=6,
        ),
        parts.figure(
            "Not comparable",
            "Claims of which nothing can be said: noise, incomplete work, another runtime.",
            "short",
            f"count(last_over_time({claims(CHANGE.name, _verdict('not comparable'))}[$__range])) or vector(0)",
            ((None, "green"), (1, "orange")),
            width=6,
        ),
        parts.figure(
            "Directions",
            "Claims measured in one pair only (`--profile quick`): a direction, no interval.",
            "short",
            f"count(last_over_time({claims(CHANGE.name, _verdict('direction'))}[$__range])) or vector(0)",
            width=6,
        ),
        parts.rows_of(
            "Claims",
            "The change that each claim is about, with the optimisation against without it, as measured here.",
            "percentunit",
            [(f"max by (row, claim, metric, scale, verdict) ({latest})", "change")],
            width=24,
            height=10,
            names={"Value": "change", "Value #A": "change"},
        ),
        _curve(),
        parts.rows_of(
            "Points",
            "The points of the chosen curve: x, by line.",
            "short",
            [(f"max by (line, x, metric, unit) ({_points()})", "value")],
            names={"Value": "value", "Value #A": "value"},
        ),
        parts.curves(
            "Runs of the cases",
            "Memory charged in the chosen runs of the cases' scenarios, over time.",
            "bytes",
            [(f"max by (run_id, scenario, arm) ({of('memory.cgroup', WHOLE)})", "{{scenario}} {{arm}} {{run_id}}")],
            width=24,
        ),
        parts.rows_of(
            "Results of the runs",
            "Results of the chosen runs of the cases' scenarios.",
            "short",
            [
                (
                    f"max by (scenario, arm, run_id, metric, unit) (last_over_time({own(families.RESULT)}[$__range]))",
                    "value",
                )
            ],
            width=24,
        ),
    ]


def _verdict(word: str) -> str:
    return f'verdict="{word}"'


def _points() -> str:
    return f"last_over_time({claims(CURVE.name, _CHOSEN_CURVE)}[$__range])"


def _curve() -> xychart.Panel:
    """The chosen curve: x is a label, made a number; one line for each setting of the switches."""
    number = {"conversions": [{"targetField": "x", "destinationType": "number"}]}
    split = {"fields": ["line"], "keepFields": False}
    return (
        xychart.Panel()
        .title("Curve")
        .description("The chosen curve of the published cases, a line for each setting; x as the title says.")
        .datasource(parts.SOURCE)
        .unit("short")
        .thresholds(parts.thresholds(parts.NEUTRAL))
        .span(12)
        .height(9)
        .mapping(SeriesMapping.AUTO)
        .show(XYShowMode.POINTS_AND_LINES)
        .with_target(parts.query(f"sort(max by (line, x) ({_points()}))", "", instant=True))
        .with_transformation(
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {"x": 0, "Value": 1, "line": 2},
                    "renameByName": {"Value": "value"},
                },
            )
        )
        .with_transformation(model.DataTransformerConfig(id_val="convertFieldType", options=number))
        .with_transformation(model.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": "x"}]}))
        .with_transformation(model.DataTransformerConfig(id_val="partitionByValues", options=split))
    )
