"""What all dashboards are made of: data sources, variables, panels with unit, description and thresholds, rows, links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, grafanapyroscope, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS_UID, PYROSCOPE_UID = "harness-prometheus", "harness-pyroscope"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
PROFILES = model.DataSourceRef(type_val="grafana-pyroscope-datasource", uid=PYROSCOPE_UID)
GRAFANA = model.DataSourceRef(type_val="grafana", uid="-- Grafana --")
TAG = "controller-harness"

Panel: TypeAlias = dashboard.Panel | timeseries.Panel | stat.Panel | table.Panel
Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""Thresholds: from which value on which colour; the first is None, from the beginning."""

NEUTRAL: Steps = ((None, "green"),)
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
SHARE_OF_LIMIT: Steps = ((None, "green"), (0.8, "orange"), (1, "red"))
ALL_IS_GOOD: Steps = ((None, "red"), (1, "green"))
SECONDS: Steps = ((None, "green"), (1, "orange"), (10, "red"))


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds."""
    made = [model.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def query(expr: str, legend: str = "", ref: str = "A", *, instant: bool = False) -> prometheus.Dataquery:
    """One PromQL query. `instant`: only its value at the end of the chosen time, as rows of a table."""
    made = prometheus.Dataquery().expr(expr).ref_id(ref).datasource(SOURCE)
    if legend:
        made = made.legend_format(legend)
    return made.instant().format(PromQueryFormat.TABLE) if instant else made.range()


def curves(
    title: str, description: str, unit: str, queries: Iterable[tuple[str, str]], steps: Steps = NEUTRAL, *,
    width: int = 12, height: int = 8, lines: bool = False, points: bool = False,
    every: str = "",
) -> timeseries.Panel:  # fmt: skip
    """Series over time. `lines` draws the thresholds, `points` shows single measurements; `every`: of what is scraped seldom."""
    panel = (
        timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit)
        .thresholds(thresholds(steps)).span(width).height(height).line_width(1).fill_opacity(8)
        .legend(common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.TABLE)
                .placement(kinds.LegendPlacement.BOTTOM).show_legend(show_legend=True).calcs(["lastNotNull", "max"]))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )  # fmt: skip
    if lines:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    if points:
        panel = panel.draw_style(kinds.GraphDrawStyle.POINTS).point_size(7)
    for number, (expr, legend) in enumerate(queries):
        asked = query(expr, legend, chr(ord("A") + number))
        panel = panel.with_target(asked.interval(every) if every else asked)
    return panel


def figure(
    title: str, description: str, unit: str, expr: str, steps: Steps = NEUTRAL, *, width: int = 4,
    reduce: Literal["lastNotNull", "max"] = "lastNotNull", legend: str = "",
) -> stat.Panel:  # fmt: skip
    """One number, coloured by its thresholds."""
    return (
        stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).thresholds(thresholds(steps))
        .span(width).height(4).reduce_options(common.ReduceDataOptions().calcs([reduce]))
        .color_mode(kinds.BigValueColorMode.VALUE).graph_mode(kinds.BigValueGraphMode.AREA)
        .no_value("not witnessed").with_target(query(expr, legend))
    )  # fmt: skip


def rows_of(
    title: str, description: str, unit: str, queries: Iterable[tuple[str, str]], steps: Steps = NEUTRAL, *,
    width: int = 12, height: int = 9, names: dict[str, str] | None = None,
) -> table.Panel:  # fmt: skip
    """A table of instant values, a column for each query; labels that say nothing are left out."""
    panel = (
        table.Panel().title(title).description(description).datasource(SOURCE).unit(unit).thresholds(thresholds(steps))
        .span(width).height(height).no_value("not witnessed")
    )  # fmt: skip
    for number, (expr, _) in enumerate(queries):
        panel = panel.with_target(query(expr, "", chr(ord("A") + number), instant=True))
    left_out = {"Time": True, **dict.fromkeys(("__name__", "job", "instance"), True)}
    return panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={})).with_transformation(
        model.DataTransformerConfig(id_val="organize", options={"excludeByName": left_out, "renameByName": names or {}})
    )


def flames(title: str, description: str, profile_type: str, selector: str) -> dashboard.Panel:
    """A flame graph from Pyroscope."""
    return (
        dashboard.Panel().type("flamegraph").title(title).description(description).datasource(PROFILES).span(12)
        .height(14).unit("short").thresholds(thresholds(NEUTRAL))
        .with_target(grafanapyroscope.Dataquery().profile_type_id(profile_type).label_selector(selector)
                     .query_type("profile").group_by([]).ref_id("A").datasource(PROFILES))
    )  # fmt: skip


def source_variable() -> dashboard.DatasourceVariable:
    """Which Prometheus."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").current(
        model.VariableOption(selected=True, text="Prometheus", value=PROMETHEUS_UID)
    )  # fmt: skip


def variable(
    name: str, label: str, values_of: str, *, many: bool = False, all_value: str = ".*", newest: bool = False,
) -> dashboard.QueryVariable:  # fmt: skip
    """A variable with the values of a label, `label_values(SELECTOR, LABEL)`. `newest`: sorted backwards, by run id."""
    order = model.VariableSort.ALPHABETICAL_DESC if newest else model.VariableSort.ALPHABETICAL_ASC
    made = (
        dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values({values_of})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(order).multi(many)
    )  # fmt: skip
    if many:
        everything = model.VariableOption(selected=True, text="All", value="$__all")
        made = made.include_all(include_all=True).all_value(all_value).current(everything)
    return made


def origin() -> list[dashboard.QueryVariable]:
    """Where series come from: scraped while they were made, or an exported run."""
    return [
        variable("job", "Job", '{run_id=~".+"}, job', many=True, all_value=".+"),
        variable("instance", "Instance", 'harness_run{job=~"$job"}, instance', many=True, all_value=".+"),
    ]


def text_variable(name: str, label: str, value: str) -> dashboard.TextBoxVariable:
    """An address that the user may change."""
    return dashboard.TextBoxVariable(name).label(label).default_value(value)


def link(title: str, url: str, tooltip: str, *, keep_time: bool = False) -> dashboard.DashboardLink:
    """A link at the top of a dashboard."""
    made = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).tooltip(tooltip)
    return made.icon("external link").target_blank(target_blank=True).keep_time(keep_time)


def others() -> dashboard.DashboardLink:
    """A menu of the other dashboards."""
    return (
        dashboard.DashboardLink("Harness").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
        .as_dropdown(as_dropdown=True).keep_time(keep_time=True).include_vars(include_vars=True).icon("external link")
        .tooltip("The other dashboards of the harness")
    )  # fmt: skip


def board(uid: str, title: str, description: str, *, since: str, refresh: str = "") -> dashboard.Dashboard:
    """An empty dashboard that nobody edits by hand."""
    return (
        dashboard.Dashboard(title).uid(f"harness-{uid}").description(description).tags([TAG]).readonly()
        .time(since, "now").refresh(refresh).timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(others())
    )  # fmt: skip
