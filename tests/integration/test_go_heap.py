"""Heap profiles of a real Go program with an injected leak."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.profile_diff import blamed, diff
from harness.collectors import captures
from harness.core.errors import UsageError
from harness.core.stacks import StackProfile
from harness.toolchain import go
from tests.integration.conftest import Printed

COUNT = 10_000
_PROGRAM = """package main

import (
\t"os"
\t"runtime"
\t"runtime/pprof"
\t"strconv"
)

var kept [][]byte
var cache = map[int][]byte{}

//go:noinline
func load(count int) {
\tfor i := 0; i < count; i++ {
\t\tcache[i] = make([]byte, 4096)
\t}
}

//go:noinline
func remember() {
\tkept = append(kept, make([]byte, 1024))
}

func reconcile(leaks bool) {
\tif leaks {
\t\tremember()
\t}
}

func main() {
\truntime.MemProfileRate = 4096
\tcount, _ := strconv.Atoi(os.Args[2])
\tload(count)
\tfor i := 0; i < 10000; i++ {
\t\treconcile(os.Args[1] == "leak")
\t}
\truntime.GC()
\tfor name, debug := range map[string]int{"heap": 0, "goroutine": 0, "text": 1} {
\t\tfile, _ := os.Create(os.Args[3] + "." + name)
\t\tkind := name
\t\tif name == "text" {
\t\t\tkind = "heap"
\t\t}
\t\tpprof.Lookup(kind).WriteTo(file, debug)
\t\tfile.Close()
\t}
\truntime.KeepAlive(cache)
\truntime.KeepAlive(kept)
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("leaky")
    (directory / "main.go").write_text(_PROGRAM)
    (directory / "go.mod").write_text("module leaky\n\ngo 1.21\n")
    found = asyncio.run(go.find_go((1, 21, 0), Printed()))
    subprocess.run(
        [str(found.executable), "build", "-o", "leaky", "."],
        cwd=directory,
        env=go.environment(),
        check=True,
        timeout=280,
    )
    return directory / "leaky"


def test_a_leak_of_a_kilobyte_per_object_in_a_go_program_is_named_first(program: Path, tmp_path: Path) -> None:
    sides: dict[str, list[Path]] = {"no": [], "leak": []}
    for what, files in sides.items():
        for count in (2000, 2200):
            files.append(tmp_path / f"{what}-{count}.heap")
            subprocess.run(
                [program, what, str(count), files[-1].with_suffix("")], check=True, timeout=60, env=os.environ
            )
    before, after = ([asyncio.run(captures.read(path)) for path in files] for files in sides.values())
    profile: StackProfile = after[0]
    assert profile.kind == "go-heap"
    assert profile.total("alloc") >= profile.total("inuse") > COUNT * 1024
    first = blamed(diff(before, after))[0]
    assert (first.function, first.package) == ("main.remember", "main")
    assert first.line == _PROGRAM.splitlines().index("\tkept = append(kept, make([]byte, 1024))") + 1
    assert first.bytes.difference == pytest.approx(
        COUNT * 1024, rel=0.2
    )  # sampled, and the slice of slices comes on top
    assert first.bytes.certain is True
    assert [frame.function for frame in first.callers[:3]] == ["main.remember", "main.reconcile", "main.main"]

    command = [
        sys.executable,
        "-m",
        "harness.cli.main",
        "profile",
        "diff",
        *(str(files[0]) for files in sides.values()),
    ]
    done = subprocess.run(
        [*command, "--json", "--html", str(tmp_path / "diff.html")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["function"][0]["function"] == "main.remember"
    assert "main.remember" in (tmp_path / "diff.html").read_text()
    leaky = sides["leak"][0]
    with pytest.raises(UsageError, match="is no heap profile, but one of goroutine; fetch /debug/pprof/heap"):
        asyncio.run(captures.read(leaky.with_suffix(".goroutine")))
    with pytest.raises(UsageError, match="is a profile as text for people"):
        asyncio.run(captures.read(leaky.with_suffix(".text")))
