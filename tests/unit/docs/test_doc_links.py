"""Links between the pages lead somewhere: to a file that is there, to a heading that is there, and every page is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import doc_commands
from tests.doc_commands import REPOSITORY

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_PAGES = [*doc_commands.pages(), REPOSITORY / "CHANGELOG.md"]


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    found: dict[str, int] = {}
    anchors = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ +(.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = found[name] = found.get(name, -1) + 1
        anchors.add(f"{name}-{number}" if number else name)
    return anchors


def _broken(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    told = []
    for found in _LINK.finditer(text):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            told.append(f"{target}: there is no such file")
        elif anchor and file.suffix == ".md" and anchor not in _anchors(file):
            told.append(f"{target}: there is no such heading")
    return told


@pytest.mark.parametrize("page", _PAGES, ids=doc_commands.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert _broken(page) == []


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two` three\n[a](none.md) [b](#none) [c](#one-two-three) [d](page.md#one-two-three)\n")
    assert _broken(page) == ["none.md: there is no such file", "#none: there is no such heading"]


def test_every_page_is_in_the_index() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text()
    linked = {found["target"].partition("#")[0] for found in _LINK.finditer(index)}
    own = {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
    assert own - linked == set()


def test_the_index_has_the_four_kinds_of_pages() -> None:
    headings = re.findall(r"^## (.+)$", (REPOSITORY / "docs" / "README.md").read_text(), re.MULTILINE)
    assert [heading.partition(":")[0] for heading in headings[:4]] == ["Tutorial", "How-to", "Reference", "Explanation"]
