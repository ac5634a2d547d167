"""Comparing memory profiles: made-up stacks with differences worked out by hand, and real captures of an injected leak."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from harness.analysis.profile_diff import BY, blamed, diff
from harness.analysis.profile_places import aligned, package, short
from harness.collectors import captures
from harness.core import stacks
from harness.core.errors import UsageError
from harness.core.stacks import Frame, Held, StackProfile
from harness.record import schemas
from harness.report import profile_diff as page

MAIN = Frame("main", "/app/one/main.py", 3)
CACHE = Frame("store", "/app/one/cache.py", 10)
JSON = Frame("decode", "/usr/lib/python3.11/json/decoder.py", 337)
CLIENT = Frame("get", "/env/lib/python3.11/site-packages/client/api.py", 7)


def _profile(
    held: dict[tuple[Frame, ...], tuple[int, int]], name: str = "x", kind: stacks.Kind = "memray"
) -> StackProfile:
    moment = "peak" if kind == "memray" else "inuse"
    return StackProfile(kind, name, {moment: {stack: Held(*value) for stack, value in held.items()}})


def test_bytes_allocations_and_shares_by_every_grouping() -> None:
    before = _profile({(CACHE, MAIN): (1000, 10), (JSON, CACHE, MAIN): (500, 5), (CLIENT, MAIN): (300, 3)})
    after = _profile(
        {
            (CACHE, MAIN): (4000, 40),
            (CACHE._replace(line=12), MAIN): (100, 1),
            (JSON, MAIN): (1400, 9),
            (CLIENT, MAIN): (100, 1),
        }
    )
    found = diff([before], [after])
    assert (found.bytes.before, found.bytes.after, found.allocations.difference) == (1800, 5600, 33)
    sites = {row.name: row for row in found.rows["site"]}
    assert sites["store (/app/one/cache.py:10)"].bytes.difference == 3000
    assert sites["store (/app/one/cache.py:12)"].bytes.difference == 100
    functions = [
        (row.name, row.bytes.difference, row.allocations.difference, row.share) for row in found.rows["function"]
    ]
    assert functions == [
        ("store (/app/one/cache.py)", 3100, 31, 3100 / 4000),
        ("decode (json/decoder.py)", 900, 4, 900 / 4000),
        ("get (client/api.py)", -200, -2, None),
    ]
    assert [row.name for row in found.rows["file"]] == ["/app/one/cache.py", "json/decoder.py", "client/api.py"]
    assert [row.name for row in found.rows["package"]] == ["/app/one", "json", "client"]
    assert sum(row.bytes.difference for row in found.rows["package"]) == found.bytes.difference
    decode = found.rows["function"][1]
    assert [frame.function for frame in decode.callers] == [
        "decode",
        "main",
    ]  # the stack that grew, not the one that went
    assert found.interval == "one capture on a side: no interval"
    assert found.bytes.certain is None


def test_repeats_give_an_interval_and_noise_is_not_blamed_first() -> None:
    noisy = [_profile({(CACHE,): (value, 1), (JSON,): (1000, 1)}) for value in (1000, 9000, 2000)]
    grown = [
        _profile({(CACHE,): (value, 1), (JSON,): (steady, 1)})
        for value, steady in ((3000, 1999), (9500, 2001), (8000, 2000))
    ]
    found = {row.function: row for row in diff(noisy, grown).rows["function"]}
    cache, decode = found["store"].bytes, found["decode"].bytes
    assert cache.certain is False
    assert cache.low is not None
    assert cache.high is not None
    assert cache.low < 0 < cache.difference < cache.high
    # by hand: deviation of 1999, 2000, 2001 is 1, so the error is 1/sqrt(3), with 2 degrees of freedom: t = 4.3027
    assert decode.difference == 1000
    assert decode.low == pytest.approx(1000 - 4.3027 / 3**0.5, abs=1e-3)
    assert decode.certain is True
    assert [row.function for row in blamed(diff(noisy, grown))] == ["decode", "store"]
    assert [row.function for row in diff(noisy, grown).rows["function"]] == ["store", "decode"]
    assert blamed(diff(grown, noisy)) == []


def test_equal_captures_have_no_growth() -> None:
    same = [_profile({(CACHE,): (1000, 1)})] * 2
    found = diff(same, same)
    assert found.bytes.certain is False
    assert found.rows["function"][0].share is None
    assert blamed(found) == []
    assert page.headline(found) == "1000 B before, 1000 B after: 0 B. No function holds more than before."
    assert [chart.missing for chart in page.charts(found)] == ["Nothing.", ""]


def test_checkouts_in_two_places_meet() -> None:
    before = [f"/work/base/pkg/{name}.py" for name in ("cache", "main", "gone")] + ["/a/lib/python3.11/json/decoder.py"]
    after = ["/ci/42/new/pkg/cache.py", "/ci/42/new/pkg/main.py", "/ci/42/new/tests/gone.py", "/ci/other/gone.py"]
    names = aligned(before, [*after, "/b/lib/python3.12/json/decoder.py"])
    assert names["/work/base/pkg/cache.py"] == "/ci/42/new/pkg/cache.py"
    assert names["/a/lib/python3.11/json/decoder.py"] == "json/decoder.py"
    assert names["/work/base/pkg/gone.py"] == "/work/base/pkg/gone.py", "two files fit as well: neither is taken"
    moved = Frame("store", "/ci/42/new/pkg/cache.py", 10)
    base = _profile({(Frame("store", before[0], 9),): (10, 1)})
    (row,) = diff([base], [_profile({(moved,): (30, 2)})]).rows["function"]
    assert (row.bytes.before, row.bytes.after, row.file) == (10, 30, moved.file)


def test_names_of_places() -> None:
    assert (
        short("/home/dev/go/pkg/mod/k8s.io/client-go@v0.36.3/tools/cache/store.go")
        == "k8s.io/client-go@v0.36.3/tools/cache/store.go"
    )
    assert short("/app/main.py") == "/app/main.py"
    go = Frame("k8s.io/client-go/tools/cache.(*threadSafeMap).Update", "/x/store.go", 1)
    assert package(go, "go-heap") == "k8s.io/client-go/tools/cache"
    assert package(Frame("main.leak", "", 0), "go-heap") == "main"
    assert package(Frame("f", "<frozen importlib._bootstrap>", 1), "memray") == "importlib"
    assert package(Frame("f", "/x/site-packages/yaml/_yaml.cpython-311-x86_64-linux-gnu.so", 1), "memray") == "yaml"
    assert package(Frame("f", "/x/lib/python3.11/site-packages/six.py", 1), "memray") == "six"


def test_go_allocators_are_no_call_sites() -> None:
    stack = (Frame("runtime.growslice", "s.go", 1), Frame("main.leak", "m.go", 2), Frame("main.main", "m.go", 9))
    profile = _profile({stack: (10, 1)}, kind="go-heap")
    (row,) = diff([_profile({}, kind="go-heap")], [profile]).rows["function"]
    assert row.function == "main.leak"
    assert [frame.function for frame in row.callers] == ["main.leak", "main.main"]


def test_what_cannot_be_compared() -> None:
    one = _profile({(CACHE,): (1, 1)})
    with pytest.raises(UsageError, match="different kinds cannot be compared: go-heap and memray"):
        diff([one], [_profile({}, kind="go-heap")])
    with pytest.raises(UsageError, match="x: has no moment 'inuse'; it has peak"):
        diff([one], [one], moment="inuse")
    with pytest.raises(UsageError, match="a profile on each side"):
        diff([], [one])


def test_stacks_survive_the_file_and_the_rest_is_kept_in_one(tmp_path: Path) -> None:
    many: dict[tuple[Frame, ...], tuple[int, int]] = {
        (Frame("f", "f.py", number),): (number, 1) for number in range(1, stacks.MOST_STACKS + 101)
    }
    path = tmp_path / "x.stacks.json.gz"
    stacks.dump(_profile(many), path)
    read = stacks.load(path)
    assert read.total("peak") == sum(number for number, _ in many.values())
    assert len(read.moments["peak"]) == stacks.MOST_STACKS + 1
    assert read.moments["peak"][()] == Held(sum(range(1, 101)), 100)
    for number, data in enumerate((b"", b"{}", b"\x1f\x8b broken")):
        (tmp_path / str(number)).write_bytes(data)
        with pytest.raises(ValueError, match=r"not a profile of the harness"):
            stacks.load(tmp_path / str(number))


_PROGRAM = """
import sys
kept, cache = [], {}
def load(count):
    for i in range(count):
        cache[i] = bytearray(2000)
def remember():
    kept.append(bytearray(1024))
def reconcile(leaks):
    [bytearray(300) for _ in range(5)]
    if leaks:
        remember()
load(800 + int(sys.argv[2]))
for _ in range(1000):
    reconcile(sys.argv[1] == "leak")
"""


def test_an_injected_leak_of_a_kilobyte_per_object_is_named_first(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    sides: list[list[StackProfile]] = []
    for what in ("no", "leak"):
        sides.append([])
        for repeat in (0, 50):  # the cache differs from run to run by more bytes than noise would have
            capture = tmp_path / f"{what}{repeat}.bin"
            subprocess.run(
                [sys.executable, "-m", "memray", "run", "-q", "-o", str(capture), str(program), what, str(repeat)],
                check=True, timeout=120,
            )  # fmt: skip
            sides[-1].append(asyncio.run(captures.read(capture)))
    first = blamed(diff(*sides))[0]
    assert first.function == "remember"
    assert first.bytes.difference == pytest.approx(1000 * 1024, rel=0.1)
    assert first.allocations.difference == pytest.approx(1000, rel=0.1)
    assert first.bytes.certain is True
    assert first.share is not None
    assert first.share > 0.9
    assert [frame.function for frame in first.callers] == ["remember", "reconcile", "<module>"]
    found = diff(*sides)
    document = page.document(found).model_dump(by_alias=True)
    jsonschema.validate(document, json.loads((schemas.DIRECTORY / "profile-diff.v1.json").read_text()))
    html = page.render(found)
    assert "remember (" in html
    assert "default-src &#39;none&#39;" in html
    assert 'src="' not in html.split("<script", 1)[0]
    assert {by: len(document[by]) > 0 for by in BY} == dict.fromkeys(BY, True)


def test_what_is_no_profile_is_one_line(tmp_path: Path) -> None:
    packed = tmp_path / "good.bin"
    program = [sys.executable, "-m", "memray", "run", "-q", "--compress-on-exit", "-o", str(packed), "-c", "x = [1]"]
    subprocess.run(program, check=True, timeout=60)
    cases = {
        "page.pprof": (
            b"<!DOCTYPE html><title>/debug/pprof/</title>",
            "is a web page, not a profile; fetch /debug/pprof/heap",
        ),
        "cut.bin": (packed.read_bytes()[:400], "is no capture that memray can read: .*cut short"),
        "foreign.bin": (b"\x00\x01\x02\x03" * 40, "is neither a capture of memray nor a profile of pprof"),
        "empty.bin": (b"", "is empty"),
        "x.stacks.json.gz": (b"nothing", "not a profile of the harness"),
    }
    for name, (data, words) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UsageError, match=words) as caught:
            asyncio.run(captures.read(path))
        assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        asyncio.run(captures.read(tmp_path / "missing"))
