"""The controllers' image and questions to images, with a `docker` on PATH that is a script of the test and keeps a diary."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent
from harness.toolchain import image, image_facts
from harness.toolchain.image_facts import ImageFacts

DOCKER = f"""#!{sys.executable}
import json, os, shutil, sys
home = os.path.dirname(os.path.abspath(__file__))
words = sys.argv[1:]
open(f"{{home}}/diary", "a").write(json.dumps(words) + "\\n")
have = set(open(f"{{home}}/images").read().split())
if words[:2] == ["image", "inspect"]:
    missing = [word for word in words[4:] if word not in have]
    if missing:
        sys.exit(f"Error: No such image: {{missing[0]}}")
    print(open(f"{{home}}/config").read() if "json" in words[3] else "sha256:1234")
elif words[0] == "build":
    shutil.copytree(words[-1], f"{{home}}/context")
    open(f"{{home}}/images", "a").write(" " + words[words.index("--tag") + 1])
elif words[0] == "run":
    print('["cpython", 3, 12]')
elif words[0] == "create":
    print("a-container")
elif words[0] == "cp":
    source = words[-2].partition(":")[2]
    if source != "/manager":
        sys.exit(f"Error: Could not find the file {{source}}")
    shutil.copy(f"{{home}}/manager", words[-1])
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "bin"
    home.mkdir()
    (home / "docker").write_text(DOCKER)
    (home / "docker").chmod(0o755)
    (home / "images").write_text("python:3.11-slim some/image:1")
    (home / "config").write_text(json.dumps({"Env": ["PATH=/a:/b", "PYTHONPATH=/opt/x"], "Entrypoint": ["/manager"]}))
    (home / "manager").write_bytes(b"\x7fELF")
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.delenv(image.BASE_ENV, raising=False)
    return home


def diary(docker: Path) -> list[list[str]]:
    return [json.loads(line) for line in (docker / "diary").read_text().splitlines()]


def test_the_image_is_built_once_without_a_network_and_holds_only_the_controllers(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    (packages / "yaml" / "__pycache__").mkdir(parents=True)
    (packages / "yaml" / "__init__.py").touch()

    async def installed(*_: object) -> Path:
        return packages

    monkeypatch.setattr(image, "packages", installed)
    tag = asyncio.run(image.ensure(Silent()))
    assert asyncio.run(image.ensure(Silent())) == tag
    (build,) = [words for words in diary(docker) if words[0] == "build"]
    assert build[build.index("--network") + 1] == "none"
    assert build[build.index("--build-arg") + 1] == "PYTHON_BASE_IMAGE=python:3.11-slim"
    context = docker / "context"
    assert sorted(path.name for path in context.iterdir()) == ["Dockerfile", "code", "packages"]
    assert sorted(path.name for path in (context / "code/harness").iterdir()) == ["__init__.py", "controllers"]
    assert (context / "code/harness/controllers/fleet/__main__.py").is_file()
    assert not list(context.rglob("__pycache__"))


def test_another_base_is_another_image(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asyncio.run(image._fingerprint("python:3.11-slim"))
    assert asyncio.run(image._fingerprint("nobody/has:this")) != first
    assert asyncio.run(image._fingerprint("python:3.11-slim")) == first


def test_the_harnesss_own_image_has_all_that_it_runs_and_is_not_the_controllers(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def installed(*_: object) -> Path:
        (tmp_path / "packages").mkdir()
        return tmp_path / "packages"

    monkeypatch.setattr(image, "packages", installed)
    monkeypatch.setenv(image.NAMED_ENV, "somebody/controllers:1")
    assert image.main(["mine/harness:1"]) == 0
    (build,) = [words for words in diary(docker) if words[0] == "build"]
    assert build[build.index("--tag") + 1].startswith("controller-harness/harness:")
    assert [words[-1] for words in diary(docker) if words[0] == "tag"] == ["mine/harness:1"]
    code = docker / "context/code"
    assert sorted(path.name for path in code.iterdir()) == [
        "dashboards",
        "harness",
        "loadgen",
        "manifests",
        "requirements",
    ]
    for name in (
        "harness/cli/run.py",
        "harness/controllers/fleet/app.py",
        "harness/scenarios/smoke.yaml",
        "loadgen/master.py",
    ):
        assert (code / name).is_file(), name
    assert image.main(["--help"]) == 2
    assert image.main(["a", "b"]) == 2


def test_an_image_that_is_named_is_not_built(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(image.NAMED_ENV, "somebody/controllers:1")
    assert asyncio.run(image.ensure(Silent())) == "somebody/controllers:1"
    assert not (docker / "diary").exists()
    monkeypatch.setenv(image.NAMED_ENV, "")
    assert image.named() is None


@pytest.mark.parametrize("made", [image.CONTROLLERS, image.OWN], ids=lambda each: each.name)
def test_the_dockerfile_makes_no_root_and_loads_nothing(made: image.Image) -> None:
    text = made.dockerfile.read_text()
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "USER 65532:65532" in instructions
    assert not [line for line in instructions if "pip" in line or "apt" in line or "curl" in line]
    pinned = made.requirements.read_text()
    assert "--hash=sha256:" in pinned
    assert ("duckdb" in pinned) is (made is image.OWN)


def test_no_docker_is_one_line_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="docker is not on PATH"):
        asyncio.run(image.ensure(Silent()))
    assert asyncio.run(image_facts.read("some/image:1")) is None


def test_what_an_image_says_of_itself(docker: Path) -> None:
    facts = asyncio.run(image_facts.read("some/image:1"))
    assert facts == ImageFacts("some/image:1", ["/manager"], [], {"PATH": "/a:/b", "PYTHONPATH": "/opt/x"})
    assert asyncio.run(image_facts.read("nobody/has:this")) is None


def test_the_runtime_of_an_image(docker: Path) -> None:
    facts = ImageFacts("some/image:1", ["/manager"], [], {})

    async def ask(*command: str) -> tuple[str, object]:
        return await image_facts.runtime(facts, command)

    runtime, python = asyncio.run(ask("/usr/bin/python3", "-m", "x"))
    assert runtime == "python"
    assert python is not None
    assert python.version == (3, 12)  # type: ignore[attr-defined]
    assert asyncio.run(ask("/manager")) == ("other", None)
    (docker / "manager").write_bytes(b"\x7fELF" + b"\0" * 12 + b"\xff Go buildinf:")
    assert asyncio.run(ask("/manager")) == ("go", None)
    assert asyncio.run(ask("/none")) == ("other", None)
    assert asyncio.run(ask()) == ("other", None)
    made = sum(words[0] == "create" for words in diary(docker))
    assert made == 3
    assert sum(words[:2] == ["rm", "--force"] for words in diary(docker)) == made
