"""The site's own pages: templates, what every page has, and the headers that keep text of a run from doing anything.

Two kinds of pages are served. Those of the site take scripts from the site alone. Reports are the self-contained pages
that `harness report` writes, whose own policy allows just the scripts they were made with; they get a line with links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

import harness
from harness.core.units import format_value
from harness.report import html
from harness.report.figures import label
from harness.report.results import NONE, clean

_HERE = Path(__file__).parent
_REPORT = Path(html.__file__).parent / "templates"
_OURS = {
    "web.css": (_HERE / "static/web.css", "text/css"),
    "web.js": (_HERE / "static/web.js", "text/javascript"),
    "live.js": (_HERE / "static/live.js", "text/javascript"),
    "report.css": (_REPORT / "report.css", "text/css"),
    "report.js": (_REPORT / "report.js", "text/javascript"),
}
_COMMON = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
SITE_POLICY = (
    f"{_COMMON}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'"
)
REPORT_POLICY = "frame-ancestors 'none'"
"""A report says itself, in its head, that nothing but its own scripts may run."""
FILE_POLICY = f"sandbox allow-scripts; {_COMMON}; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
"""Pages that profilers wrote run as strangers: what they hold cannot read or ask anything of the site."""
MARKS = {"passed": "passed", "pass": "pass", "improve": "improve", "complete": "passed"}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the site, the same for as long as its address is."""

    body: bytes
    content_type: str
    digest: str


@cache
def asset(name: str) -> Asset | None:
    """A style sheet or script by its name; None for any other."""
    if name == "plotly.js":
        from plotly.offline import get_plotlyjs  # 5 MB of text: read only where a chart is shown

        body, content_type = get_plotlyjs().encode(), "text/javascript"
    elif name in _OURS:
        path, content_type = _OURS[name]
        body = path.read_bytes()
    else:
        return None
    return Asset(body, content_type, hashlib.sha256(body).hexdigest()[:16])


def _address(name: str) -> str:
    found = asset(name)
    assert found is not None, name
    return f"/assets/{name}?v={found.digest}"


def render(template: str, *, here: str, **content: object) -> str:
    """A page of the site. `here` is the part of it that one is in."""
    return _environment().get_template(template).render(here=here, version=harness.__version__, **content)


def with_bar(page: str, links: Mapping[str, str]) -> str:
    """A report with a line of links above it; texts and addresses are made safe here."""
    items = "".join(
        Markup('<a href="{}" style="margin-right: 1.1em">{}</a>').format(href, text) for text, href in links.items()
    )
    style = "max-width: 1240px; margin: 0 auto; padding: 10px 20px 0"
    bar = f'<div role="navigation" aria-label="Site" style="{style}">{items}</div>'
    return page.replace("<body>", f"<body>\n{bar}", 1)


def run_address(run_id: str) -> str:
    """Where a run is."""
    return f"/runs/{quote(run_id, safe='')}/"


def experiment_address(experiment_id: str) -> str:
    """Where an experiment is."""
    return f"/experiments/{quote(experiment_id, safe='')}/"


def _when(moment: datetime | None) -> str:
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _quantity(value: float | None, dimension: str) -> str:
    return NONE if value is None else format_value(value, dimension)  # type: ignore[arg-type] # our own templates name it


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(_HERE / "templates"), jinja2.FileSystemLoader(_REPORT)]),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"label": label, "clean": clean, "when": _when, "quantity": _quantity}
    environment.globals |= {
        "asset": _address, "run_address": run_address, "experiment_address": experiment_address, "marks": MARKS,
    }  # fmt: skip
    return environment
