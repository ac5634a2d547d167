"""Run: one run while it goes on, or afterwards."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards import parts, run_panels
from dashboards.names import WHOLE, of, own
from dashboards.profiles import CPU, query
from harness.report import families

SERVE = "http://127.0.0.1:8765"


def variables(*, many_runs: bool = False) -> list[dashboard.QueryVariable]:
    """Scenario, run, arm, and where they come from."""
    return [
        parts.variable("scenario", "Scenario", "harness_run, scenario"),
        parts.variable(
            "run", "Run", 'harness_run{scenario=~"$scenario"}, run_id', many=many_runs, all_value=".+", newest=True
        ),
        parts.variable("arm", "Arm", 'harness_run{scenario=~"$scenario", run_id=~"$run"}, arm', many=True),
        *parts.origin(),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = parts.board(
        "run",
        "Controller harness / Run",
        "One run, live or from `harness export`: load, memory against its limit, propagation, tasks, completeness, own cost.",
        since="now-30m",
        refresh="5s",
    ).with_variable(parts.source_variable())
    for each in variables():
        made = made.with_variable(each)
    made = made.with_variable(parts.text_variable("serve", "Address of `harness serve`", SERVE))
    made = made.with_variable(parts.text_variable("pyroscope", "Address of Pyroscope", "http://127.0.0.1:4040"))
    made = made.link(parts.link("Report", "${serve}/runs/${run}/", "The report of the run, in harness serve"))
    made = made.link(
        parts.link(
            "Profiles",
            f"${{pyroscope}}/?query={query(CPU, '${scenario}', '${run}')}",
            "Profiles of the run, in Pyroscope",
        )
    )
    for annotation in _annotations():
        made = made.annotation(annotation)
    for panel in run_panels.overview():
        made = made.with_panel(panel)
    made = made.with_row(dashboard.Row("Load"))
    for panel in run_panels.load():
        made = made.with_panel(panel)
    made = made.with_row(dashboard.Row("The subject"))
    for panel in run_panels.subject():
        made = made.with_panel(panel)
    made = made.with_row(dashboard.Row("Profiles, and the harness itself"))
    for panel in run_panels.rest():
        made = made.with_panel(panel)
    return made


def _annotations() -> list[dashboard.AnnotationQuery]:
    kept = dashboard.AnnotationTarget().type("tags").tags(["harness", "run:$run"]).match_any(match_any=False).limit(200)
    return [
        dashboard.AnnotationQuery()
        .name("Phases")
        .datasource(parts.SOURCE)
        .enable(enable=True)
        .icon_color("blue")
        .expr(f"{own(families.PHASE)} == 1"),
        dashboard.AnnotationQuery()
        .name("Kills")
        .datasource(parts.SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .expr(f"increase({of('oom.kills', WHOLE)}[$__rate_interval]) > 0"),
        dashboard.AnnotationQuery()
        .name("harness annotate")
        .datasource(parts.GRAFANA)
        .enable(enable=True)
        .icon_color("purple")
        .type("tags")
        .target(kept),
    ]
