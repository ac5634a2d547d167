"""`harness gate`: is this build worse than that one, by how much, and what is to blame?"""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from harness.cli import cluster_options, completing, night, outputs, run_options
from harness.cli.console import CliConsole, tell
from harness.cli.gate_progress import GateObserver
from harness.cluster.choice import ClusterChoice
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import gating, selftest, selftest_resume, specs, stored_baseline
from harness.experiment import resume as resuming
from harness.experiment.options import RunOptions
from harness.gate import again, stored
from harness.gate import nights as nights_policy
from harness.gate.checks import of_gate
from harness.record.experiments import GATE_FILE, SELF_TEST_FILE, ExperimentRecord
from harness.report import gate_terminal, selftest_terminal
from harness.scenario.load import load
from harness.subject import scope

_SPEC = "options:KEY=VALUE,…, set:KEY=VALUE,…, scenario, command:'PROGRAM …', git:REVISION, or image:REFERENCE"


def gate(
    scenario: run_options.Scenario = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="SPEC",
            help=f"What is good: {_SPEC}; a stored RUN or EXPERIMENT:ARM gives advice only.",
        ),
    ] = None,
    candidate: Annotated[str | None, typer.Option("--candidate", metavar="SPEC", help="What is to be judged.")] = None,
    build: Annotated[
        str | None, typer.Option("--build", metavar="CMD", help="Builds a git:REVISION, in its checkout.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", metavar="CMD", help="Command of git arms ({worktree}: their checkout), or in image arms."
        ),
    ] = None,
    pairs: Annotated[int | None, typer.Option("--pairs", min=2, max=100, help="Pairs at most; default 12.")] = None,
    primary: Annotated[
        list[str] | None,
        typer.Option(
            "--primary",
            autocompletion=completing.primaries,
            metavar="METRIC=THRESHOLD",
            help="What decides, in place of the scenario's; twice at most.",
        ),
    ] = None,
    sets: run_options.Sets = None,
    profile: run_options.Profile = None,
    cluster: cluster_options.Provider = "embedded",
    kind_name: cluster_options.KindName = None,
    kind_image: cluster_options.KindImage = None,
    kind_config: cluster_options.KindConfig = None,
    context: cluster_options.Context = None,
    kubeconfig: cluster_options.Kubeconfig = None,
    certain: cluster_options.Certain = False,
    subject_role: cluster_options.SubjectRole = None,
    seed: run_options.Seed = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Do not end early, however clear it is.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Show all metrics, not only those that moved.")] = False,
    memray_pairs: Annotated[
        int,
        typer.Option(
            "--memray-pairs",
            metavar="N",
            min=0,
            max=20,
            help="Of a regression: N more pairs under memray, which say which allocation sites grew.",
        ),
    ] = 0,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Let the gate judge known regressions; --profile quick or full (default)."),
    ] = False,
    resume: run_options.Resume = None,
    rejudge: Annotated[
        str | None,
        typer.Option(
            "--rejudge",
            autocompletion=completing.experiments,
            metavar="EXPERIMENT",
            help="Measure nothing: judge a stored gate again, from its runs.",
        ),
    ] = None,
    out: run_options.Out = None,
    nightly: Annotated[
        bool, typer.Option("--nightly", help="Try an inconclusive gate once more; alert after three such nights.")
    ] = False,
    retry_within: Annotated[
        str | None,
        typer.Option(
            "--retry-within", metavar="TIME", help="Of --nightly: try again only if that can be over by then."
        ),
    ] = None,
    history: outputs.HistoryDir = None,
    no_history: outputs.NoHistory = False,
    junit: outputs.JUnit = None,
    markdown: outputs.Markdown = None,
    github: outputs.GitHub = False,
    checks: outputs.ChecksFile = None,
    acks: outputs.AcksFile = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (harness.gate/v1); progress to stderr.")
    ] = False,
) -> None:
    """Compare two subjects in interleaved pairs. 0 pass or improve, 1 regress, 3 inconclusive or advice only.

    Example: harness gate label-flip --baseline options:status_patch=changed --candidate options:status_patch=always
    """
    wanted = outputs.parse(junit, markdown, github, checks, acks)
    if nightly and (no_history or resume is not None):
        raise UsageError("--nightly counts nights in the history", remedy="leave out --no-history and --resume")
    within = night.within(retry_within, nightly=nightly)
    if (rejudge is not None or self_test) and (nightly or acks is not None or wanted.wanted):
        raise UsageError("--rejudge and --self-test write no outputs", remedy="harness report EXPERIMENT writes them")
    options = RunOptions(
        out=out or paths.runs_dir(), profile=profile, sets=run_options.parse_sets(sets), subject_role=subject_role,
        cluster=ClusterChoice(cluster, kind_name, kind_image, kind_config, context, kubeconfig, certain),
    )  # fmt: skip
    if rejudge is not None:
        _refuse_beside("--rejudge takes all from the experiment", scenario, baseline, candidate, pairs, primary, sets)
        raise typer.Exit(_rejudge(ExperimentRecord.open(rejudge, options.out), json=json, every=every))
    if self_test:
        said = "--self-test measures a subject of its own"
        _refuse_beside(said, scenario, baseline, candidate, build, subject, pairs, primary, sets)
        if resume is not None:
            _refuse_beside("--resume takes all from the experiment", profile, seed)
        raise typer.Exit(_self_test(options, profile or "full", seed, resume, json=json))
    console = CliConsole(stderr=json)
    store = outputs.history_of(history, no_history, options.out)
    if resume is not None:
        said = "--resume takes all from the experiment"
        _refuse_beside(said, scenario, baseline, candidate, build, subject, pairs, primary, sets, profile, seed)
        record = ExperimentRecord.open(resume, options.out)
        scope.enter_if_needed()
        with GateObserver(console) as watcher:
            result, nights = night.judge(lambda: resuming.resume_gate(record, options, watcher), store, nightly=False)
    else:
        if scenario is None or baseline is None or candidate is None:
            raise UsageError("a gate needs SCENARIO, --baseline and --candidate", remedy="see harness gate --help")
        request = gating.Request(
            baseline=baseline,
            candidate=candidate,
            build=build,
            subject=subject,
            pairs=pairs,
            primary=[_threshold(text) for text in primary or []],
            seed=seed,
            early=not all_pairs,
            memray_pairs=memray_pairs,
        )
        file = load(scenario)
        scope.enter_if_needed()
        with GateObserver(console) as watcher:
            if specs.is_spec(baseline):
                measure = functools.partial(gating.run_gate, file, options, request, watcher)
            else:
                kept = stored.find(baseline, options.out)
                measure = functools.partial(stored_baseline.run_stored, file, options, request, kept, watcher)
            result, nights = night.judge(measure, store, nightly=nightly, within=within)
    written = ExperimentRecord.open(result.experiment_id if resume is None else record.path, options.out)
    page = outputs.write_page(written)
    files = (written.path / GATE_FILE, page)
    tell(result, lambda: gate_terminal.render(result, console, every=every), files, console, json=json)
    found = nights_policy.apply(wanted.together([of_gate(result, wanted.known)]), nights)
    wanted.emit(found, to_stderr=json)
    raise typer.Exit(found.exit_code)


def _self_test(options: RunOptions, profile: str, seed: int | None, resume: str | None, *, json: bool) -> int:
    if profile not in selftest.PAIRS:
        raise UsageError(f"--self-test has no profile {profile!r}", remedy="write --profile quick or --profile full")
    scope.enter_if_needed()
    console = CliConsole(stderr=json)
    with GateObserver(console) as watcher:
        if resume is None:
            result = selftest.run_self_test(options, profile, 1 if seed is None else seed, watcher)
            written = ExperimentRecord.open(result.experiment_id, options.out)
        else:
            written = ExperimentRecord.open(resume, options.out)
            result = selftest_resume.resume_self_test(written, options, watcher)
    page = outputs.write_page(written)
    files = (written.path / SELF_TEST_FILE, page)
    tell(result, lambda: selftest_terminal.render(result, console), files, console, json=json)
    return result.exit_code


def _rejudge(record: ExperimentRecord, *, json: bool, every: bool) -> int:
    result = again.judge_again(record)
    record.save_gate(result)
    page = outputs.write_page(record)
    console = CliConsole(stderr=json)
    files = (record.path / GATE_FILE, page)
    tell(result, lambda: gate_terminal.render(result, console, every=every), files, console, json=json)
    return result.exit_code


def _refuse_beside(cause: str, *given: object) -> None:
    if any(given):
        raise UsageError(cause, remedy="give it no scenario, arms, pairs or values beside")


def _threshold(text: str) -> tuple[str, str]:
    metric, equals, threshold = text.partition("=")
    if not equals or not metric or not threshold:
        raise UsageError(f"--primary {text!r} is not METRIC=THRESHOLD", remedy="write memory.heap.settled=3%")
    return metric.strip(), threshold.strip()
