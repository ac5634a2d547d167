"""One run: one scenario, one subject, from nothing to a sealed and judged record.

The order is that of docs/architecture.md. Whatever happens - success, error, Ctrl-C - one exit stack takes everything down
in reverse order and the record is sealed; where even that is denied (SIGKILL) the supervisors end all processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from contextlib import AsyncExitStack
from pathlib import Path

from harness.analysis.verdict import judge
from harness.core import ids
from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault, ExitCode, HarnessError, of_the_disk
from harness.experiment import machine, pinning, source, subjects
from harness.experiment.foreign import ForeignSession
from harness.experiment.options import Observer, RunOptions
from harness.experiment.quota import StorageFull
from harness.experiment.session import Session
from harness.experiment.stage import SetupRefused
from harness.experiment.subjects import SubjectCommand
from harness.record import owner
from harness.record.downsampling import downsample
from harness.record.models import ExpectedObjects, Outcome, Run, ScenarioFacts, SubjectFacts, Verdict
from harness.record.reader import RunRecord
from harness.record.writer import RecordWriter
from harness.report import oom, run_page
from harness.scenario import fanout
from harness.scenario.load import ScenarioFile
from harness.scenario.model import Scenario
from harness.subject.process import SubjectNotReady
from harness.subject.redact import redact, redact_document


async def run_one(
    file: ScenarioFile,
    scenario: Scenario,
    *,
    arm: str | None,
    options: RunOptions,
    observer: Observer,
    experiment_id: str | None = None,
) -> RunRecord:
    """Run one arm and return its record with the verdict stored. Only a failure to write the record itself raises."""
    clock = RunClock()
    run_id = ids.new_run_id(clock.started_at)
    directory = options.out / run_id
    command = subjects.of(scenario.subject, options)
    facts = Run(
        run_id=run_id,
        experiment_id=experiment_id,
        state="running",
        owner=owner.this_process(),
        started_at=clock.started_at,
        scenario=ScenarioFacts(
            name=scenario.name,
            path=str(file.path),
            sha256=file.sha256,
            arm=arm,
            sets=redact_document(dict(options.sets)),
            resolved=redact_document(scenario.model_dump(mode="json")),
        ),
        seed=scenario.seed,
        profile=options.profile,
        namespace=ids.namespace_of(run_id),
        subject=SubjectFacts(
            kind="process" if command.pid is not None else "pod" if command.in_pod(options) else "command",
            pid=command.pid,
            command=[*command.command, *command.args] if command.pid is None else redact(command.command),
            image=command.image,
            controller=command.controller,
            options=dict(command.options),
            memory_limit_bytes=None if command.pid is not None else scenario.subject.memory_limit,
            cpu_limit=None if command.pid is not None else scenario.subject.cpu_limit,
            replicas=scenario.subject.replicas,
            lease=_lease(scenario, command, run_id),
            user="" if command.pid is not None else ids.subject_user(run_id),
        ),
        source=source.describe(
            controller=command.controller,
            commit=options.commit,
            elsewhere=command.pid is not None or command.image is not None,
        ),
        machine=machine.describe(),
        pinning=pinning.plan(wanted=options.pin, load_workers=options.load_workers),
        versions=machine.versions(),
        observed=options.observe is not None,
        on_busy=options.on_busy,
        load_workers=options.load_workers,
        expected=[
            ExpectedObjects(kind=e.kind.alias, count=e.count)
            for e in (fanout.expected(scenario, run_id) if options.observe is None else ())
        ],
    )
    live = options.live
    if live is not None:
        live.begin(facts, clock)
    try:
        writer = RecordWriter(directory, clock, live)
    except OSError as error:
        remedy = "make room there, or name another folder with --out"
        raise EnvironmentFault(
            f"the record cannot be begun: {error.strerror or error}", place=str(directory), remedy=remedy
        ) from error
    writer.save_run(facts)
    writer.start()
    observer.run_started(run_id, scenario, arm, directory)
    make = Session if command.pid is None else ForeignSession
    session = make(scenario, facts, writer, clock, command, options, observer)
    facts.outcome = await _outcome(session, writer)
    facts.state = "sealed"
    facts.ended_at = clock.wall()
    await writer.close()
    if writer.failure is not None and facts.outcome.state == "completed":
        facts.outcome = Outcome(state="error", message=writer.failure, exit_code=ExitCode.ENVIRONMENT)
    writer.save_run(facts)
    try:
        record, verdict = _judged(directory)
    except OSError as error:
        raise EnvironmentFault(
            f"the record cannot be written to its end: {error.strerror or error}",
            place=str(directory),
            remedy=f"what was recorded is there: make room, then harness report {directory} --recompute",
        ) from error
    if options.live is not None:
        options.live.end(verdict)
    if options.report:
        await _pages(record, verdict, observer)
    if not options.keep_samples:
        record = await _downsampled(record, facts, writer, observer)
    observer.run_ended(record, verdict)
    return record


def _judged(directory: Path) -> tuple[RunRecord, Verdict]:
    """The verdict of a run, written beside its facts."""
    record = RunRecord(directory)
    verdict = judge(record)
    record.save_verdict(verdict)
    return record, verdict


async def _downsampled(record: RunRecord, facts: Run, writer: RecordWriter, observer: Observer) -> RunRecord:
    """The record as it stays, when all that is made of all samples is made. Without room for fewer, all stay."""
    try:
        if await asyncio.to_thread(downsample, record.path, facts, writer.save_run):
            return RunRecord(record.path)  # its tables are others now
    except OSError as error:
        observer.phase_ended("all samples stay", str(of_the_disk(error) or error))
    return record


async def _pages(record: RunRecord, verdict: Verdict, observer: Observer) -> None:
    """What people read of it. That there is no room for them is told, but of a run that broke down it is not the news."""
    observer.step("writing the report")
    try:
        await asyncio.to_thread(oom.write, record)  # first: the report links to it
        await asyncio.to_thread(run_page.write, record, verdict, record.path / "report.html")
    except (OSError, EnvironmentFault) as error:
        words = error if isinstance(error, EnvironmentFault) else of_the_disk(error)
        if words is None:
            raise
        if verdict.verdict != "error":
            raise EnvironmentFault(f"the report cannot be written: {words}", place=str(record.path)) from error
        observer.phase_ended("no report", str(words))


def _lease(scenario: Scenario, command: SubjectCommand, run_id: str) -> str | None:
    if scenario.subject.replicas == 1 or command.lease is None:
        return None
    return "/".join(command.lease).replace("{namespace}", ids.namespace_of(run_id))


async def _outcome(session: Session | ForeignSession, writer: RecordWriter) -> Outcome:
    """Run the session to its end and say how it went; never raises."""
    try:
        async with AsyncExitStack() as stack:
            await session.run(stack)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()  # the interruption is dealt with: what follows, sealing the record, must not be cancelled too
        writer.event("interrupted")
        return Outcome(state="interrupted", message="interrupted by the user", exit_code=ExitCode.INTERRUPTED)
    except (SetupRefused, SubjectNotReady, StorageFull) as error:
        writer.event("error", message=str(error))
        return Outcome(state="invalid", message=str(error), exit_code=error.exit_code)
    except HarnessError as error:
        writer.event("error", message=str(error))
        return Outcome(state="error", message=str(error), exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 # a bug of ours must still leave a sealed record that says so
        if (words := of_the_disk(error)) is not None:
            message = f"could not write the record: {words}; make room, or use another folder: --out"
            writer.event("error", message=message)
            return Outcome(state="error", message=message, exit_code=ExitCode.ENVIRONMENT)
        trace = session.directory / "traceback.txt"
        with contextlib.suppress(OSError):
            trace.write_text(traceback.format_exc())
        message = f"a bug of the harness: {type(error).__name__}: {error}; the traceback is in {trace}"
        writer.event("error", message=message)
        return Outcome(state="error", message=message, exit_code=ExitCode.BUG)
    return Outcome(state="completed")
