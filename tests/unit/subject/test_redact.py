"""No secrets in records."""

from __future__ import annotations

import pytest

from harness.subject.redact import HIDDEN, redact, redact_document, redact_text


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["m", "--token=abc"], ["m", f"--token={HIDDEN}"]),
        (["m", "--token", "abc", "-v"], ["m", "--token", HIDDEN, "-v"]),
        (["m", "--password", "-x1"], ["m", "--password", HIDDEN]),
        (["m", "--db-password=a=b"], ["m", f"--db-password={HIDDEN}"]),
        (["env", "GITHUB_TOKEN=abc", "m"], ["env", f"GITHUB_TOKEN={HIDDEN}", "m"]),
        (["env", "AWS_SECRET_ACCESS_KEY=q", "m"], ["env", f"AWS_SECRET_ACCESS_KEY={HIDDEN}", "m"]),
        (["m", "--clientSecret=abc"], ["m", f"--clientSecret={HIDDEN}"]),
        (["m", "https://me:pw@host/x"], ["m", f"https://me:{HIDDEN}@host/x"]),
        (["sh", "-c", "API_KEY=abc exec m"], ["sh", "-c", f"API_KEY={HIDDEN} exec m"]),
        (["sh", "-c", "m --password hunter2 -v"], ["sh", "-c", f"m --password {HIDDEN} -v"]),
        (["m", '{"password": "x y", "a": 1}'], ["m", f'{{"password": {HIDDEN}, "a": 1}}']),
    ],
)  # fmt: skip
def test_secrets_are_hidden(command: list[str], shown: list[str]) -> None:
    assert redact(command) == shown


@pytest.mark.parametrize(
    "word",
    [
        "--cache.Secret=full", "--secrets=cache", "manifest=secret", "--token-file=/x", "--tls-private-key-file=k",
        "--workers=50",
        "--kubeconfig=/k", "http://127.0.0.1:80/metrics", "--password-file", "secret-k4x7q-00001",
    ],
)  # fmt: skip
def test_harmless_words_stay(word: str) -> None:
    assert redact(["m", word, "next"]) == ["m", word, "next"]


def test_tokens_in_text() -> None:
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    assert redact_text(f"GET / Authorization: Bearer {jwt}") == f"GET / Authorization: Bearer {HIDDEN}"
    assert jwt not in redact_text(f"got {jwt}.")


def test_a_scenario_is_kept_without_its_secrets_and_otherwise_as_it_is() -> None:
    resolved = {
        "subject": {
            "command": ["./manager", "--token", "abc", "--workers=5"],
            "env": {"GITHUB_TOKEN": "abc", "GOMEMLIMIT": "1GiB"},
            "options": {"cache.Secret": "full", "password": "abc", "retries": 3},
        },
        "load": [
            {"create": {"kind": "Secret", "count": 5}},
            {"hook": {"command": ["sh", "-c", "curl -H 'Authorization: Bearer abcdefgh9'"]}},
        ],
        "expect": ["completeness.Secret == 1"],
        "templates": {"a.yaml": "stringData: {clientSecret: abc}\n"},
        "secrets": 500,
        "token": None,
    }
    kept = redact_document(resolved)
    assert "abc" not in str(kept)
    assert kept["subject"]["env"] == {"GITHUB_TOKEN": HIDDEN, "GOMEMLIMIT": "1GiB"}
    assert kept["subject"]["command"] == ["./manager", "--token", HIDDEN, "--workers=5"]
    assert kept["subject"]["options"] == {"cache.Secret": "full", "password": HIDDEN, "retries": 3}
    assert {key: kept[key] for key in ("expect", "secrets", "token")} == {
        key: resolved[key] for key in ("expect", "secrets", "token")
    }
    assert redact_document({"options.token": "x", "options.cache.Secret": "full"}) == {
        "options.token": HIDDEN, "options.cache.Secret": "full",
    }  # fmt: skip
