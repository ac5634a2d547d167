"""The options about load workers of other machines: what they say together, and what is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import worker_options
from harness.core.errors import UsageError
from harness.experiment import preflight
from harness.experiment.observe import Observation
from harness.experiment.options import ExternalWorkers, RunOptions

FILE = Path("secret")


def test_what_they_say_together() -> None:
    assert worker_options.parse(None, None, None, None, None) is None
    assert worker_options.parse(2, None, FILE, None, None) == ExternalWorkers("127.0.0.1", 5556, FILE, 120, None)
    told = worker_options.parse(2, "0.0.0.0:6000", FILE, "30s", "harness/load-worker")
    assert told == ExternalWorkers("0.0.0.0", 6000, FILE, 30, ("harness", "load-worker"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((None, "0.0.0.0:1", None, None, None), "--workers-listen is about load workers of other machines"),
        ((None, None, FILE, None, None), "--workers-secret is about"),
        ((None, None, None, "1m", None), "--workers-wait is about"),
        ((None, None, None, None, "a/b"), "--workers-account is about"),
        ((2, None, None, None, None), "prove that they know a secret, and there is none; make one with"),
        ((2, "5556", FILE, None, None), "'5556' is not IPv4:PORT"),
        ((2, "master:5556", FILE, None, None), "is not IPv4:PORT"),
        ((2, "0.0.0.0:65535", FILE, None, None), "with a port below 65535"),
        ((2, "0.0.0.0:0", FILE, None, None), "is not IPv4:PORT"),
        ((2, "0.0.0.0:٣", FILE, None, None), "is not IPv4:PORT"),
        ((2, None, FILE, "soon", None), "--workers-wait: "),
        ((2, None, FILE, "0s", None), "it must be above 0 s"),
        ((2, None, FILE, "2h", None), "an hour at most"),
        ((2, None, FILE, None, "load-worker"), "'load-worker' is not NAMESPACE/NAME"),
        ((2, None, FILE, None, "a/b/c"), "is not NAMESPACE/NAME"),
        ((2, None, FILE, None, "a/system:b"), "is not NAMESPACE/NAME"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    given: tuple[int | None, str | None, Path | None, str | None, str | None], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        worker_options.parse(*given)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_before_anything_starts(tmp_path: Path) -> None:
    secret = tmp_path / "secret"

    def check(host: str = "127.0.0.1", account: tuple[str, str] | None = None, **options: object) -> None:
        external = ExternalWorkers(host, 5556, secret, 1, account)
        preflight._workers(RunOptions(tmp_path, external=external, **options))  # type: ignore[arg-type]

    with pytest.raises(UsageError, match="cannot be read: No such file"):
        check()
    secret.write_text("short")
    with pytest.raises(UsageError, match="16 are the least"):
        check()
    secret.write_text("x" * 16)
    check()
    check("0.0.0.0", ("harness", "load-worker"))
    with pytest.raises(UsageError, match="need an account of their own; name it with --workers-account"):
        check("0.0.0.0")
    with pytest.raises(UsageError, match="sends no load"):
        check(observe=Observation(None))
