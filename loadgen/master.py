"""Locust's master: load workers, processes of their own, share each phase; the session sees one team.

A worker's share of a phase follows from its number alone (`phaserun.Share`), and the phase begins at one instant for all.
A worker that is lost is never replaced: its requests are missing, and the harness is told (`lost`), so that nobody takes a
lighter load for the one that was asked for.

Beside Locust's own messages (who is there, how many users) there are ours, each a dict:
to a worker  `welcome` number, of, boot_id, outside · `clock` sent_ns, master_ns · `prepare` phases · `begin` phases, start_ns ·
             `dismiss` phase · `taken` batches · `leave` · `farewell`, to a `leaving` that was not told to
from one     `join` token · `clock` sent_ns · `joined` pid, host, offset_ns, uncertainty_ns, shared_clock · `prepared` phases ·
             `rows` rows · `line` line · `news` phase, error, name · `over` phase, outcome · `trouble` message · `broken` message
             `leaving` told (whether by `leave`)
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust.env import Environment
from locust.runners import STATE_MISSING

from loadgen import secret
from loadgen.crew import Crew, places
from loadgen.fields import PlanError
from loadgen.gate import Gate
from loadgen.outcome import Outcome
from loadgen.phaserun import Share
from loadgen.plan import External, Plan
from loadgen.selfwatch import SelfWatch
from loadgen.shared import PHASE, Costs, SharedRun
from loadgen.team import Calls, Running
from loadgen.users import LoadUser

HERE = "127.0.0.1"
JOIN_S = 45.0
"""How long all workers may take to be there."""
PREPARE_S = 15.0
DISMISS_S = 5.0
LEAVE_S = 1.0
LEAD_NS = 30_000_000
"""How long before a phase's start its workers are told: above what a message takes."""
LOOK_S = 0.5

FROM_WORKERS = ("join", "clock", "joined", "prepared", "rows", "line", "news", "over", "trouble", "broken", "leaving")


def boot_id() -> str:
    """Of this machine since it started: processes with the same one read the same monotonic clock."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Member:
    """One load worker."""

    def __init__(self, number: int, client_id: str) -> None:
        self.number = number
        self.client_id = client_id
        self.pid = 0
        self.host = ""
        self.uncertainty_ns = 0
        self.joined = False
        self.prepared: tuple[str, ...] = ()


class Master:
    """A `team.Team` of load workers on this machine, or of those that come in by a gate (`Plan.external`).

    Raises PlanError at once for what is wrong with the plan.
    """

    def __init__(self, plan: Plan, calls: Calls) -> None:
        Crew(
            plan, calls.now_ns, share=Share(0, plan.workers)
        ).close()  # what is wrong is told once, and before any process
        self._plan = plan
        self._calls = calls
        self._token = secrets.token_hex(16)
        self._children: list[subprocess.Popen[bytes]] = []
        self._members: dict[str, Member] = {}
        self._alive: dict[int, Member] = {}
        self._runs: dict[str, SharedRun] = {}
        self._changed = Event()
        self._closing = False
        self._watchers: dict[int, dict[str, Any]] = {}
        self._inbox: Queue = Queue()
        self._costs = Costs(calls.report)
        self._watch: SelfWatch | None = None
        environment = Environment(user_classes=[LoadUser], host=plan.server)
        outside = plan.external
        self._gate = (
            None if outside is None else self._open(outside)
        )  # first: what is wrong with it is told in one line
        self._runner = environment.create_master_runner(
            *((HERE, 0) if outside is None else (outside.host, outside.port + 1))
        )
        for name in FROM_WORKERS:
            self._runner.register_message(name, self._on_message)
        self._greenlets = [gevent.spawn(self._listen), gevent.spawn(self._look)]
        calls.stopping.rawlink(lambda _event: self._wake())

    def ready(self) -> None:
        """Start the workers and wait until each has its users. Raises PlanError where one does not come."""
        outside = self._plan.external
        for _ in range(0 if outside is not None else self._plan.workers):
            self._children.append(self._spawn())
        self._watch = SelfWatch(self._calls.now_ns, self._costs.tell)
        wanted, wait_s = self._plan.workers, JOIN_S if outside is None else outside.wait_s
        complete = self._until(lambda: self._failed() or (len(self._alive) == wanted and self._all("joined")), wait_s)
        if self._calls.stopping.is_set():
            return
        if codes := self._failed():
            raise PlanError(f"a load worker ended with exit code {codes[0]} before it had joined")
        if not complete:
            raise PlanError(
                f"{sum(member.joined for member in self._alive.values())} of {wanted} load workers came within {wait_s:.0f} s"
                f"{self._strangers()}"
            )
        for stranger in set(self._runner.clients) - set(self._members):
            del self._runner.clients[stranger]  # Locust would give it users
        users = wanted * max(places(self._plan, Share(number, wanted)) for number in range(min(2, wanted)))
        self._runner.start(users, float(users))

    def start(self, names: Sequence[str]) -> Sequence[SharedRun]:
        """Let phases begin, at the same instant in all workers."""
        runs = [SharedRun(self._plan.phases[name], self._plan.seed, self._alive, self._calls.now_ns) for name in names]
        self._runs |= {run.phase.name: run for run in runs}
        self._send_all("prepare", {"phases": [*names]})
        self._until(lambda: self._all("prepared", tuple(names)), PREPARE_S)
        late = [] if self._calls.stopping.is_set() else list(self._alive.values())
        for member in [each for each in late if each.prepared != tuple(names)]:
            self._lose(member, f"did not prepare {', '.join(names)} within {PREPARE_S:.0f} s")
        lead_ns = LEAD_NS + max((member.uncertainty_ns for member in self._alive.values()), default=0)
        start_ns = self._calls.now_ns() + lead_ns
        self._send_all("begin", {"phases": [*names], "start_ns": start_ns})
        for run in runs:
            run.begin(start_ns)
            self._calls.began(run)
        return runs

    def dismiss(self, run: Running) -> None:
        """End a phase as it stands, in all workers."""
        assert isinstance(run, SharedRun)
        if not run.finished.is_set():
            self._send_all("dismiss", {"phase": run.phase.name})
            run.finished.wait(DISMISS_S)
        for number in run.waiting:  # all of them alive: the share of a lost one is over
            self._lose(self._alive[number], f"did not end {run.phase.name} within {DISMISS_S:.0f} s")

    def rest(self) -> None:
        """The workers' users wait for the next phase."""

    def mark(self) -> None:
        """Say at once what the load generator has cost so far: its workers have just told."""
        if self._watch is not None:
            self._watch.mark()

    def close(self) -> None:
        """Let the workers go, and end those that stay."""
        self._closing = True
        if self._gate is not None:
            self._gate.close()
        self._send_all("leave", {})
        with gevent.Timeout(LEAVE_S, False):
            for child in self._children:
                child.wait()
        if self._gate is not None:
            # We must not be gone before the word is: nothing else tells workers of another machine.
            with gevent.Timeout(LEAVE_S, False):
                while self._alive:
                    self._changed.wait()
        for child in self._children:
            if child.poll() is None:
                child.kill()
                child.wait()
        if self._watch is not None:
            self._watch.close()
        gevent.killall(self._greenlets)
        self._runner.greenlet.kill(block=True)

    # -- workers -------------------------------------------------------------------------------------------------------

    def _spawn(self) -> subprocess.Popen[bytes]:
        """A worker on this machine. It learns the token by its standard input, and goes when that ends."""
        address = f"{HERE}:{self._runner.server.port}"
        command = [sys.executable, "-P", "-m", "loadgen", "--join", address, str(self._plan.file)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr.fileno())
        assert child.stdin is not None
        child.stdin.write(self._token.encode() + b"\n")
        child.stdin.flush()
        return child

    def _open(self, outside: External) -> Gate:
        """A gate for workers of other machines: they are told the plan, and where Locust listens."""
        assert self._plan.file is not None
        document = {**json.loads(self._plan.file.read_text(encoding="utf-8")), "external": None}
        welcome = {"port": outside.port + 1, "plan": document}
        known = secret.read(Path(outside.secret_file))
        return Gate(outside.host, outside.port, known, places=self._plan.workers, welcome=lambda: welcome)

    def _strangers(self) -> str:
        """What else is to be said where workers did not come."""
        away = 0 if self._gate is None else self._gate.sent_away
        return f"; {away} came that did not know the secret" if away else ""

    def _failed(self) -> list[int]:
        """Exit codes of workers that have ended."""
        return [child.returncode for child in self._children if child.poll() is not None]

    def _look(self) -> None:
        """Look after the workers: processes that have ended, and those of which nothing is heard."""
        while True:
            gevent.sleep(LOOK_S)
            ended = {child.pid: child.returncode for child in self._children if child.poll() is not None}
            if ended:
                self._wake()
            for member in list(self._alive.values()):
                client = self._runner.clients.get(member.client_id)
                if member.pid in ended:
                    code = ended[member.pid]
                    self._lose(member, f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}")
                elif client is not None and client.state == STATE_MISSING:
                    self._lose(member, "was not heard of any more")

    def _lose(self, member: Member, why: str) -> None:
        if self._closing or self._alive.pop(member.number, None) is None:
            return
        for child in self._children:
            if child.pid == member.pid and child.poll() is None:
                child.kill()  # else it might go on, and nobody would count what it does
        whose = f"pid {member.pid}" if self._gate is None else f"pid {member.pid} on {member.host}"
        message = f"load worker {member.number + 1} of {self._plan.workers} ({whose}) {why}: its requests are missing"
        self._calls.report({"type": "lost", "worker": member.number, "t_ns": self._calls.now_ns(), "message": message})
        for run in self._runs.values():
            run.over(member.number, None)
        self._wake()

    # -- messages ------------------------------------------------------------------------------------------------------

    def _on_message(self, environment: Environment, msg: Any) -> None:  # noqa: ANN401, ARG002  # Locust's, passed by name
        if msg.type == "clock":  # at once: what it waits here would be taken for the way
            self._send(msg.node_id, "clock", {**msg.data, "master_ns": self._calls.now_ns()})
        else:
            self._inbox.put((msg.node_id, msg.type, msg.data))

    def _listen(self) -> None:
        while True:
            client_id, name, data = self._inbox.get()
            try:
                self._obey(client_id, name, data)
            except Exception as fault:  # noqa: BLE001  # whatever it is, the run must not go on without its messages
                self._calls.broken(fault)

    def _obey(self, client_id: str, name: str, data: dict[str, Any]) -> None:
        if name == "join":
            self._join(client_id, data)
            return
        member = self._members.get(client_id)
        if member is None or member.number not in self._alive:
            return  # a stranger, or one that was given up
        match name:
            case "joined":
                member.pid, member.host = data["pid"], data["host"]
                member.uncertainty_ns, member.joined = data["uncertainty_ns"], True
                self._calls.report({"type": "worker", "worker": member.number, "t_ns": self._calls.now_ns(), **data})
            case "prepared":
                member.prepared = tuple(data["phases"])
            case "rows":
                self._rows(member, data["rows"])
            case "line":
                self._line(member, data["line"])
            case "news":
                told = self._runs[data["phase"]].news(data["error"], data["name"])
                if told is not None:
                    self._calls.error(told)
            case "over":
                self._runs[data["phase"]].over(member.number, Outcome(**data["outcome"]))
            case "trouble":
                self._calls.error(data["message"])
            case "broken":
                self._calls.broken(RuntimeError(data["message"]))
            case "leaving" if data["told"]:
                del self._alive[member.number]
            case "leaving":
                self._send(client_id, "farewell", {})
                self._lose(member, "was told to end, and not by us")
        self._wake()

    def _join(self, client_id: str, data: dict[str, Any]) -> None:
        if self._gate is not None and not self._gate.admits(data.get("token")):
            self._calls.error("somebody without a ticket tried to join the load workers, and was not let in")
            return
        known = self._gate is not None or secrets.compare_digest(str(data.get("token")), self._token)
        if not known or len(self._members) >= self._plan.workers:
            self._calls.broken(RuntimeError("a stranger joined the load generator's master"))
            return
        member = Member(len(self._members), client_id)
        self._members[client_id] = self._alive[member.number] = member
        place = {"number": member.number, "of": self._plan.workers}
        self._send(client_id, "welcome", {**place, "boot_id": boot_id(), "outside": self._gate is not None})

    def _rows(self, member: Member, rows: list[list[Any]]) -> None:
        self._calls.wait_for_room()
        for row in rows:
            self._calls.row(row)
            self._runs[row[PHASE]].saw(member.number, row)
        self._send(member.client_id, "taken", {"batches": 1})

    def _line(self, member: Member, line: dict[str, Any]) -> None:
        if line["type"] == "self":
            self._costs.take(member.number, line)
            return
        self._watchers[member.number] = line
        told = self._watchers.values()
        counts = {name: sum(each[name] for each in told) for name in ("open", "events", "bytes")}
        self._calls.report({**line, **counts})

    def _send(self, client_id: str, name: str, data: dict[str, Any]) -> None:
        self._runner.send_message(name, data, client_id)

    def _send_all(self, name: str, data: dict[str, Any]) -> None:
        for member in list(self._alive.values()):
            self._send(member.client_id, name, data)

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _all(self, name: str, value: object = True) -> bool:
        return all(getattr(member, name) == value for member in self._alive.values())

    def _until(self, done: Callable[[], object], seconds: float) -> bool:
        """Wait until `done()`, which is asked whenever a message has come or a worker is lost."""
        with gevent.Timeout(seconds, False):
            while not done() and not self._calls.stopping.is_set():
                changed = self._changed
                changed.wait()
        return bool(done())

    def _wake(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
