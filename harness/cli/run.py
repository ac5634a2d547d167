"""`harness run`: a scenario from nothing to a verdict."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from harness.analysis.verdict import stored_or_judged
from harness.cli import cluster_options, completing, outputs, run_options, subject_options, worker_options
from harness.cli.console import CliConsole
from harness.cli.progress import TerminalObserver
from harness.cluster.choice import ClusterChoice
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import arms
from harness.experiment.observe import SHORTEST_S, Observation
from harness.experiment.options import RunOptions
from harness.gate.checks import of_run
from harness.record.experiments import ExperimentRecord
from harness.record.models import OnBusy
from harness.report import terminal
from harness.scenario.load import load
from harness.subject import scope

if TYPE_CHECKING:
    from harness.web.exporter import Exporter


def run(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            autocompletion=completing.scenarios,
            help="A shipped scenario's name (`harness scenarios`) or a file.",
        ),
    ],
    sets: run_options.Sets = None,
    profile: run_options.Profile = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", autocompletion=completing.arms, help="Only this arm; repeatable. Default: all."),
    ] = None,
    cluster: cluster_options.Provider = "embedded",
    kind_name: cluster_options.KindName = None,
    kind_image: cluster_options.KindImage = None,
    kind_config: cluster_options.KindConfig = None,
    context: cluster_options.Context = None,
    kubeconfig: cluster_options.Kubeconfig = None,
    certain: cluster_options.Certain = False,
    subject: run_options.Subject = None,
    subject_env: subject_options.Env = None,
    subject_metrics: subject_options.Metrics = None,
    subject_pprof: subject_options.Pprof = None,
    subject_ready: subject_options.ReadyAt = None,
    subject_webhooks: subject_options.Webhooks = None,
    apply: subject_options.Apply = None,
    subject_image: Annotated[
        str | None,
        typer.Option("--subject-image", help="An image to test in a pod; --subject is then a command in it."),
    ] = None,
    subject_as: Annotated[
        str | None,
        typer.Option(
            "--subject-as",
            autocompletion=completing.one_of("process", "pod"),
            help="process or pod; default: a pod where the cluster runs them and there is an image.",
        ),
    ] = None,
    subject_role: cluster_options.SubjectRole = None,
    memray: Annotated[
        str | None,
        typer.Option(
            "--memray",
            autocompletion=completing.one_of("launch", "attach", "off"),
            help="launch: run a Python subject under memray; attach: to it for the load; off.",
        ),
    ] = None,
    on_demand: Annotated[
        list[str] | None,
        typer.Option(
            "--on-demand",
            metavar="PHASE|TRIGGER",
            help="Profile only in a phase of the load, or while 'memory.rss > 80% of limit'; repeatable.",
        ),
    ] = None,
    pyroscope: Annotated[
        str | None,
        typer.Option(
            "--pyroscope",
            autocompletion=completing.one_of("on"),
            help="on: keep profiles in the record; URL: send them to a server too.",
        ),
    ] = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Send no load, watch what somebody else's does, until Ctrl-C or --for.")
    ] = False,
    for_: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long to observe, such as 5m.")] = None,
    pid: Annotated[
        int | None, typer.Option("--pid", help="With --observe: a process that runs already; it is only measured.")
    ] = None,
    pin: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Keep subject and load on CPUs of their own, from 4 CPUs on.")
    ] = True,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Processes that share the load, when one is at its limit.")
    ] = 1,
    workers_external: worker_options.External = None,
    workers_listen: worker_options.Listen = None,
    workers_secret: worker_options.Secret = None,
    workers_wait: worker_options.Wait = None,
    workers_account: worker_options.Account = None,
    on_busy: Annotated[
        OnBusy,
        typer.Option(
            "--on-busy",
            envvar="HARNESS_ON_BUSY",
            help="What a machine too busy to judge times makes of the run; bounds: invalid unless every bound on a time held.",
        ),
    ] = "bounds",
    out: run_options.Out = None,
    commit: Annotated[
        str | None, typer.Option("--commit", help="Commit the subject was built from; default that of the work tree.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="N",
            help="Serve the run's metrics for Prometheus on this port of loopback; 0: any.",
        ),
    ] = None,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            "--metrics-address", metavar="IP", help="Serve them there instead: in a pod, where others may ask."
        ),
    ] = None,
    keep_samples: Annotated[
        bool, typer.Option("--keep-samples", help="Keep all samples of a run of more than a million; else fewer stay.")
    ] = False,
    history: outputs.HistoryDir = None,
    no_history: outputs.NoHistory = False,
    junit: outputs.JUnit = None,
    markdown: outputs.Markdown = None,
    github: outputs.GitHub = False,
    checks: outputs.ChecksFile = None,
    acks: outputs.AcksFile = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each run as JSON (harness.show/v1), a line each; progress to stderr.")
    ] = False,
) -> None:
    """Run a scenario. The exit code is the worst of its arms: 0 passed, 1 failed, 3 invalid or inconclusive.

    Example: harness run label-flip --profile quick --set status_patch=changed
    """
    wanted = outputs.parse(junit, markdown, github, checks, acks)
    external = worker_options.parse(workers_external, workers_listen, workers_secret, workers_wait, workers_account)
    if external is not None and workers != 1:
        raise UsageError(
            "--workers and --workers-external both say who sends the load", remedy="leave one of the two out"
        )
    if metrics_address is not None and metrics_port is None:
        raise UsageError("--metrics-address is where metrics are served", remedy="add --metrics-port N")
    options = RunOptions(
        out=out or paths.runs_dir(),
        cluster=ClusterChoice(cluster, kind_name, kind_image, kind_config, context, kubeconfig, certain),
        commit=commit,
        history=outputs.history_of(history, no_history, out or paths.runs_dir()),
        profile=profile,
        sets=run_options.parse_sets(sets) | _windows(on_demand or []),
        subject=subject,
        subject_env=subject_options.environment(subject_env or []),
        subject_metrics=subject_options.address(subject_metrics, "--subject-metrics"),
        subject_pprof=subject_options.address(subject_pprof, "--subject-pprof"),
        subject_ready=subject_options.address(subject_ready, "--subject-ready"),
        subject_webhooks=tuple(subject_webhooks or ()),
        subject_image=subject_image,
        subject_as=subject_as,
        subject_role=subject_role,
        memray=memray,
        pyroscope=pyroscope,
        pin=pin,
        load_workers=workers_external or workers,
        external=external,
        on_busy=on_busy,
        keep_samples=keep_samples,
        observe=_observation(observe, for_),
        pid=pid,
    )
    file = load(scenario, apply=apply or ())
    scope.enter_if_needed()
    console = CliConsole(stderr=json)
    with _served(metrics_port, metrics_address, console) as live, TerminalObserver(console) as observer:
        outcome = arms.run_scenario(file, replace(options, live=live), observer, only=arm)
    for record in outcome.records:
        if json:
            sys.stdout.write(record.show().model_dump_json(by_alias=True) + "\n")
        else:
            console.print()
            terminal.render(record, stored_or_judged(record), console)
    page = None if outcome.experiment is None else outputs.write_page(ExperimentRecord(outcome.experiment))
    if len(outcome.records) > 1 and not json:
        console.print()
        terminal.summary([(record, stored_or_judged(record)) for record in outcome.records], console)
    if page is not None:
        console.print(f"\n  {page}", soft_wrap=True, markup=False)
    verdicts = [(record.run, stored_or_judged(record)) for record in outcome.records]
    found = wanted.together([of_run(run, verdict, wanted.known) for run, verdict in verdicts])
    wanted.emit(found, to_stderr=json)
    raise typer.Exit(found.exit_code if found.suites else outcome.exit_code)


@contextmanager
def _served(port: int | None, address: str | None, console: CliConsole) -> Iterator[Exporter | None]:
    """An exporter on `port` of loopback, or of another address, while the runs last, where one is wanted."""
    if port is None:
        yield None
        return
    from harness.web.exporter import Exporter

    exporter = Exporter(port) if address is None else Exporter(port, address)
    console.print(f"metrics  {exporter.url}", markup=False, highlight=False, soft_wrap=True)
    try:
        yield exporter
    finally:
        exporter.close()


def _observation(observe: bool, for_: str | None) -> Observation | None:
    if not observe:
        if for_ is not None:
            raise UsageError("--for is how long to observe", remedy="add --observe")
        return None
    seconds = None if for_ is None else run_options.seconds("--for", for_, "5m")
    if seconds is not None and seconds < SHORTEST_S:
        raise UsageError(f"--for {for_} is less than {SHORTEST_S:g} s", remedy="write it as --for 5m")
    return Observation(seconds)


def _windows(wanted: list[str]) -> dict[str, str]:
    """`--on-demand`, repeated, as the scenario's `profile`: what compares something is a trigger, else a phase."""
    if not wanted:
        return {}
    parts = {
        "windows": [each for each in wanted if not any(sign in each for sign in "<>=")],
        "triggers": [each for each in wanted if any(sign in each for sign in "<>=")],
    }
    return {"profile": dumps({key: value for key, value in parts.items() if value})}
