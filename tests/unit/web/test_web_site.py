"""The site over its socket: what it shows, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.record.history import History
from harness.record.models import Experiment, ExperimentRun, Run
from harness.record.tables import PartWriter
from harness.record.writer import write_atomically
from tests import ci_gates, histories, records
from tests import report_hostile as hostile
from tests.serving import Served

PASSED, KILLED, GOING, NASTY = records.RUN_ID, "20261122-093102-m5w2z", "20261122-100000-nnnnn", "20261122-110000-hhhhh"
GATE, ARMS = "20261122-030000-xxxxx", "20261122-040000-yyyyy"
NASTY_TEXT = f"{hostile.SCRIPT}{hostile.LINK}{hostile.ESCAPE}"
SECRET = "this is outside of what is served"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole records, one that is being written, one whose every text is hostile, a gate, and arms."""
    above = tmp_path_factory.mktemp("site")
    (above / "secret.txt").write_text(SECRET)
    root = above / "runs"
    for make, name in ((records.passing, PASSED), (records.oom_killed, KILLED)):
        record, verdict = make(root / name)
        record.save_verdict(verdict)
    (root / PASSED / "profiles" / "flame.html").write_text("<script>1</script>")
    (root / PASSED / "profiles" / "out").symlink_to(above / "secret.txt")
    nasty, verdict = hostile.record(root / NASTY)
    nasty.save_verdict(verdict)
    for name, facts in ((GATE, {"kind": "gate", "pairs": 1}), (ARMS, {"message": NASTY_TEXT})):
        folder = root / "experiments" / name
        folder.mkdir(parents=True)
        runs = [
            ExperimentRun(run_id=run, arm=arm, order=order, verdict="passed", exit_code=0, pair=1)
            for order, (run, arm) in enumerate(((PASSED, "baseline"), (KILLED, "candidate"), (NASTY, NASTY_TEXT)), 1)
        ]
        given = {
            "experiment_id": name,
            "scenario": "smoke",
            "started_at": records.STARTED,
            "runs": runs,
            "exit_code": 0,
        }
        (folder / "experiment.json").write_text(Experiment.model_validate(given | facts).model_dump_json(by_alias=True))
    (root / "experiments" / GATE / "gate.json").write_text(ci_gates.gate("regress").model_dump_json(by_alias=True))
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    """The site over them."""
    history = root.parent / "history"
    History(history).add([histories.entry(number, 100.0 + number, scenario=hostile.SCRIPT) for number in range(8)])
    with Served(root, history) as served:
        yield served


class Reader(HTMLParser):
    """Elements and texts of a page as a browser takes them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text."""
        return " ".join(self.words)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a kind."""
        return [attrs for name, attrs in self.tags if name == tag]


SITE_PAGES = ("/", "/experiments/", "/compare", f"/compare?a={PASSED}&b={KILLED}", "/history", "/history?metric=memory.rss.peak",
              "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/nothing", "/history?metric=%3Cscript%3Ealert(1)%3C/script%3E",
              "/compare?a=%3Cscript%3Ealert(1)%3C/script%3E&b=x")  # fmt: skip


@pytest.mark.parametrize("path", SITE_PAGES)
def test_pages_take_nothing_from_elsewhere_and_hostile_text_stays_text(served: Served, path: str) -> None:
    answer = served.get(path)
    page = Reader(answer.text)
    for script in page.of("script"):
        assert script.get("type") == "application/json" or (script["src"] or "").startswith("/assets/")
    sources = [
        attrs.get("src") or attrs.get("href") or "" for tag, attrs in page.tags if tag in ("link", "script", "img", "a")
    ]
    assert not [source for source in sources if re.match(r"\w+:(?!,)|//", source)]
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert not page.of("img")
    assert "\x1b" not in page.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_hostile_names_are_shown_as_they_are(served: Served) -> None:
    assert hostile.SCRIPT in Reader(served.get("/").text).text
    assert hostile.SCRIPT in Reader(served.get("/history").text).text
    assert hostile.SCRIPT in Reader(served.get(f"/experiments/{ARMS}/").text).text
    report = Reader(served.get(f"/runs/{NASTY}/").text)
    assert hostile.SCRIPT in report.text
    assert len(report.of("script")) == 3, "its payload and the two scripts that its policy knows"


def test_runs_are_listed_and_filtered(served: Served) -> None:
    page = Reader(served.get("/").text)
    assert f"/runs/{PASSED}/" in [attrs.get("href") for attrs in page.of("a")]
    assert len([attrs for attrs in page.of("a") if attrs.get("class") == "row"]) == 3
    assert len([attrs for attrs in Reader(served.get("/?q=oom").text).of("a") if attrs.get("class") == "row"]) == 1
    assert "No run fits" in served.get("/?q=nothing-like-it").text


def test_a_report_is_made_once_and_again_when_the_record_changes(root: Path, served: Served) -> None:
    made = served.site.cache.made
    first = served.get(f"/runs/{KILLED}/")
    second = served.get(f"/runs/{KILLED}/")
    assert first.status == second.status == 200
    assert first.body == second.body
    assert served.site.cache.made == made + 1
    assert "OOM kill" in first.text
    tag = first.headers["Etag"]
    assert served.get(f"/runs/{KILLED}/", {"If-None-Match": tag}).status == 304
    path = root / KILLED / "verdict.json"
    path.write_text(path.read_text().replace('"reasons"', ' "reasons"'))
    changed = served.get(f"/runs/{KILLED}/", {"If-None-Match": tag})
    assert changed.status == 200
    assert served.site.cache.made == made + 2
    assert not (root / KILLED / "report.html").exists(), "a site that only reads writes nothing"


def test_reports_have_a_way_back_and_keep_their_policy(served: Served) -> None:
    page = Reader(served.get(f"/runs/{PASSED}/").text)
    links = [attrs.get("href") for attrs in page.of("a")]
    assert links[:2] == ["/", f"/compare?a={PASSED}"]
    policies = [attrs["content"] for attrs in page.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in (policies[0] or "")


def test_experiments_link_to_their_runs_here(served: Served) -> None:
    page = Reader(served.get(f"/experiments/{ARMS}/").text)
    assert f"/runs/{PASSED}/" in [attrs.get("href") for attrs in page.of("a")]
    gate = Reader(served.get(f"/experiments/{GATE}/").text)
    assert "regress" in gate.text
    assert "What grew" in gate.text


def test_an_experiment_cannot_name_a_run_elsewhere(root: Path, served: Served) -> None:
    folder = root / "experiments" / "20261122-050000-ppppp"
    folder.mkdir()
    facts = json.loads((root / "experiments" / ARMS / "experiment.json").read_text())
    facts["runs"][0]["run_id"] = "../../elsewhere"
    (folder / "experiment.json").write_text(json.dumps(facts))
    answer = served.get(f"/experiments/{folder.name}/")
    assert answer.status == 400
    assert "is no run's id" in Reader(answer.text).text


TRAVERSALS = (
    "/runs/../secret.txt", "/runs/..%2fsecret.txt", "/runs/%2e%2e/secret.txt", "/runs/%2e%2e/", "/../secret.txt", "/secret.txt",
    f"/runs/{PASSED}/../../secret.txt", f"/runs/{PASSED}/..%2f..%2fsecret.txt", f"/runs/{PASSED}/profiles/../../../secret.txt",
    f"/runs/{PASSED}/profiles/%2e%2e/%2e%2e/%2e%2e/secret.txt", f"/runs/{PASSED}/profiles/..%5c..%5csecret.txt",
    f"/runs/{PASSED}/profiles/out", f"/runs/{PASSED}//etc/passwd", f"/runs/{PASSED}/%2fetc%2fpasswd", "/runs//etc/passwd",
    f"/runs/{PASSED}/profiles/%00", "/assets/../pages.py", "/assets/%2e%2e%2fpages.py", "/assets/..%2f..%2fsecret.txt",
    f"/runs/{PASSED}/samples/part-00000.parquet", "/experiments/../secret.txt", "/experiments/%2e%2e%2f/", "/runs/experiments/",
)  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out(served: Served, path: str) -> None:
    answer = served.get(path)
    assert answer.status == 404
    assert SECRET not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("names", [("/etc", "x"), ("../runs", "x"), (".", "."), (f"../{PASSED}", PASSED)])
def test_a_comparison_opens_no_paths(served: Served, names: tuple[str, str]) -> None:
    assert "is called" in Reader(served.get(f"/compare?a={names[0]}&b={names[1]}").text).text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1@evil.example", "", "0.0.0.0"],
)
def test_hosts_other_than_loopback_are_refused(served: Served, host: str) -> None:
    answer = served.get("/", {"Host": host})
    assert answer.status in (400, 421)
    assert "runs" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:65535"])
def test_loopback_by_any_of_its_names_and_ports_is_answered(served: Served, host: str) -> None:
    assert served.get("/", {"Host": host}).status == 200


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [("cross-site", "no-cors", "image", 403), ("same-site", "cors", "empty", 403), ("cross-site", "navigate", "iframe", 403),
     ("cross-site", "navigate", "document", 200), ("same-origin", "cors", "empty", 200), ("none", "navigate", "document", 200)],
)  # fmt: skip
def test_other_sites_may_link_here_and_no_more(served: Served, site: str, mode: str, dest: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert served.get("/", headers).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_done_here(served: Served, method: str) -> None:
    assert served.get("/", method=method).status == 405


@pytest.mark.parametrize(
    "path",
    ["/", f"/runs/{PASSED}/", f"/runs/{PASSED}/run.json", "/nothing", "/assets/web.css", f"/experiments/{GATE}/"],
)
def test_every_answer_has_the_headers_that_keep_it_apart(served: Served, path: str) -> None:
    for answer in (served.get(path), served.get(path, {"Host": "evil.example"})):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Server" not in answer.headers


def test_pages_of_profilers_run_as_strangers(served: Served) -> None:
    answer = served.get(f"/runs/{PASSED}/profiles/flame.html")
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]
    facts = served.get(f"/runs/{PASSED}/run.json")
    assert facts.headers["Content-Type"].startswith("text/plain")
    assert json.loads(facts.text)["run_id"] == PASSED


def test_a_broken_record_says_why(root: Path, served: Served) -> None:
    broken = root / "20261122-120000-bbbbb"
    record, verdict = records.passing(broken, run_id=broken.name)
    record.save_verdict(verdict)
    part = next((broken / "samples").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:200])
    answer = served.get(f"/runs/{broken.name}/")
    page = Reader(answer.text)
    assert answer.status == 500
    assert "a table of the record cannot be read" in page.text
    assert "smoke" in page.text
    (broken / "run.json").write_text("{")
    answer = served.get(f"/runs/{broken.name}/")
    assert "not a record this version can read" in Reader(answer.text).text
    assert "unreadable" in Reader(served.get("/").text).text
    (broken / "run.json").unlink()
    assert "no run.json" in Reader(served.get("/").text).text


def test_two_are_compared_with_their_curves(served: Served) -> None:
    page = Reader(served.get(f"/compare?pick={PASSED}&pick={KILLED}").text)
    assert "memory.rss.peak" in page.text
    (payload,) = [text for text in page.words if text.startswith('{"timeline"')]
    figures = json.loads(payload)["figures"]
    assert [trace["name"] for trace in figures["both-1"]["data"]] == [f"A: {PASSED}", f"B: {KILLED}"]


@pytest.mark.parametrize(
    ("query", "says"),
    [("pick=a", "1 are chosen"), ("pick=a&pick=b&pick=c", "3 are chosen"), (f"a={PASSED}&b=nothing", "is called 'nothing'"),
     (f"a={ARMS}&b={PASSED}", "has 3 arms"), (f"a={ARMS}:none&b={PASSED}", "no arm 'none'")],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(served: Served, query: str, says: str) -> None:
    assert says in Reader(served.get(f"/compare?{query}").text).text


def test_the_history_has_its_chart(served: Served) -> None:
    assert "memory.rss.peak" in Reader(served.get("/history").text).text
    page = Reader(served.get("/history?metric=memory.rss.peak").text)
    (payload,) = [text for text in page.words if text.startswith('{"timeline"')]
    assert len(json.loads(payload)["figures"]["series-0"]["data"][0]["y"]) == 8
    assert "has nothing of this" in Reader(served.get("/history?metric=tasks.peak").text).text


def test_a_run_that_goes_on_is_followed_until_it_ends(root: Path, served: Served) -> None:
    build = records.RecordBuilder(root / GOING, run_id=GOING)
    build.phase("create-Secret", "create", 0.0, None, kind="Secret", requested=100, requested_per_s=10.0)
    build.samples("memory", "memory.cgroup", [(t / 10, 1e8 + t) for t in range(60)])
    build.samples("memory", "memory.limit", [(1.0, 2e8)])
    build.samples("tasks", "tasks", [(1.0, 7), (2.0, 9)])
    build.samples("tasks", "tasks", [(3.0, 999)], {"coroutine": "x"})
    for number in range(20):
        build.request("create-Secret", number / 10, number / 10)
    build.request("create-Secret", 2, 2, status=500, error="no")
    record = build.write(state="running", ended_at=None, outcome=None)
    page = served.get(f"/runs/{GOING}/")
    assert "live" in page.text
    events = served.events(f"/runs/{GOING}/live")
    kind, data = next(events)
    first = json.loads(data)
    assert kind == "status"
    assert (first["state"], first["phase"]["name"], first["phase"]["done"], first["phase"]["requested"]) == (
        "running", "create-Secret", 20, 100,
    )  # fmt: skip
    assert first["failed"] == 1
    assert (first["memory"], first["limit"], first["tasks"]) == (1e8 + 59, 2e8, 9)
    assert first["points"]["rate"] == [[0.0, 10.0], [1.0, 10.0]]
    assert len(first["points"]["memory"]) == 11, "the highest of each half second; the last one may still change"
    _more(record.path, [(ns, 1.5e8) for ns in (6.1, 6.2, 6.9)])
    later = _until(events, lambda status: status["memory"] == 1.5e8)
    assert later["points"]["memory"][0] == [5.9, 1e8 + 59]
    assert (later["phase"]["done"], later["done"], later["failed"]) == (20, 20, 1), "no part is read twice"
    run = Run.model_validate_json((record.path / "run.json").read_bytes())
    record.save_verdict(records.verdict_of(record, {}, "passed", 0, [], []))
    sealed = run.model_copy(update={"state": "sealed", "ended_at": records.STARTED})
    write_atomically(record.path / "run.json", sealed.model_dump_json(by_alias=True))
    assert _until(events, lambda status: status["state"] != "running")["state"] == "passed"
    assert list(events) == [], "the stream ends with the run"
    assert served.site.watched.viewers == 0


def _more(record: Path, points: list[tuple[float, float]]) -> None:
    parts = PartWriter(record, "samples")
    rows = [(records.ns(t), "create-Secret", "memory", "memory.cgroup", "{}", value) for t, value in points]
    next(parts._numbers)  # the first part is there
    parts.write(rows)
    parts.close()


def _until(events: Iterator[tuple[str, str]], fits: object) -> dict[str, Any]:
    for _ in range(30):
        status = json.loads(next(events)[1])
        if fits(status):  # type: ignore[operator]
            return status
    raise AssertionError("it never came")
