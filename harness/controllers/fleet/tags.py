"""Tags of container images: where they are listed, and which of them is the newest.

A registry is asked by the OCI distribution API (`GET /v2/NAME/tags/list`, in pages). Policies are those of Fleet's ImageScan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

import aiohttp

TIMEOUT_S = 10.0
MOST_PAGES = 100
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_CONSTRAINT = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(v?\d[^\s,]*)")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')

Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
"""Ordered as semantic versions are: a release comes after its prereleases, of which the numbers order as numbers."""


class TagsError(Exception):
    """No tag can be told; the text is a sentence for people."""


async def listed(registry: str, image: str) -> list[str]:
    """The tags that a registry has of `image`, whose own host, if it names one, is left out. Raises TagsError."""
    host, slash, rest = image.partition("/")
    repository = rest if slash and ("." in host or ":" in host or host == "localhost") else image
    url = f"{registry}/v2/{repository}/tags/list"
    tags: list[str] = []
    try:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            for _ in range(MOST_PAGES):
                async with session.get(url) as answer:
                    if answer.status != 200:
                        raise TagsError(f"{url} answers {answer.status}")
                    page = await answer.json(content_type=None)
                tags += [str(tag) for tag in page.get("tags") or ()]
                following = _NEXT.search(answer.headers.get("Link", ""))
                if following is None:
                    break
                url = urljoin(url, following[1])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AttributeError) as error:
        raise TagsError(f"{url} cannot be asked: {type(error).__name__}: {error}") from error
    return tags


def newest(tags: Sequence[str], policy: Mapping[str, Any]) -> str:
    """The tag that a policy chooses: `semver` with a `range`, `alphabetical` or `numerical` with an `order`. Raises TagsError."""
    if (numerical := policy.get("numerical")) is not None:
        found = sorted((tag for tag in tags if tag.isdecimal()), key=int)
        return _end(found, numerical)
    if (alphabetical := policy.get("alphabetical")) is not None:
        return _end(sorted(tags), alphabetical)
    wanted = str((policy.get("semver") or {}).get("range") or "*")
    versions = [(version, tag) for tag in tags if (version := parse(tag)) is not None and within(version, wanted)]
    return _end([tag for _, tag in sorted(versions)], {})


def _end(found: list[str], order: Mapping[str, Any]) -> str:
    if not found:
        raise TagsError("no tag fits the policy")
    return found[0] if str(order.get("order", "")).lower() == "desc" else found[-1]


def parse(tag: str) -> Version | None:
    """The version that a tag is, None where it is none."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    words = match[4][1:].split(".") if match[4] else ()
    before = tuple((not word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in words)
    return int(match[1]), int(match[2] or 0), int(match[3] or 0), not before, before


def within(version: Version, wanted: str) -> bool:
    """Whether a version is in a range: `*`, or constraints with comma or space between, such as `>=1.2.0 <2`, `^1.2`, `~1.2`.

    Prereleases are in a range only where one of its constraints names one. Raises TagsError for what is no range.
    """
    if wanted.strip() in ("", "*", "x"):
        return version[3]
    constraints = _CONSTRAINT.findall(wanted)
    if _CONSTRAINT.sub("", wanted).strip(" ,"):
        raise TagsError(f"{wanted!r} is not a range, such as >=1.2.0 <2")
    bounds = [(operator or "=", parse(text)) for operator, text in constraints]
    if any(bound is None for _, bound in bounds):
        raise TagsError(f"{wanted!r} is not a range, such as >=1.2.0 <2")
    if not version[3] and all(bound is None or bound[3] for _, bound in bounds):
        return False
    return all(_holds(version, operator, bound) for operator, bound in bounds if bound is not None)


def _holds(version: Version, operator: str, bound: Version) -> bool:
    match operator:
        case ">=":
            return version >= bound
        case "<=":
            return version <= bound
        case ">":
            return version > bound
        case "<":
            return version < bound
        case "^":
            same = 1 if bound[0] else 2 if bound[1] else 3
            return version >= bound and version[:same] == bound[:same]
        case "~":
            return version >= bound and version[:2] == bound[:2]
    return version == bound
