"""What makes a page self-contained HTML: no network, no file beside it.

Two things keep text from a cluster from becoming code: the template escapes everything, and a content security policy in
the page allows only the two scripts it was written with, by their hashes, and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.core.errors import EnvironmentFault
from harness.record.writer import write_atomically
from harness.report import results
from harness.report.figures import Chart, Timeline, label

_TEMPLATES = Path(__file__).parent / "templates"


def save(path: Path, render_: Callable[[], str]) -> Path:
    """Write a page to `path`, whole or not at all. Raises EnvironmentFault where it cannot be written.

    A device or a pipe is written to, never replaced: root could otherwise put a file in the place of /dev/null.
    """
    try:
        target = path.resolve()  # a link, such as /dev/stdout, stays what it is
        page = render_()
        if target.exists() and not target.is_file():
            target.write_text(page)
        else:
            write_atomically(target, page)
    except OSError as error:
        raise EnvironmentFault(
            f"the report cannot be written: {error.strerror or error}",
            place=str(path),
            remedy="write it to another place",
        ) from error
    return path


def assemble(template: str, timeline: Timeline, figures: Sequence[Chart], **content: object) -> str:
    """A page from one of our templates: style, scripts, charts and the policy that allows no others, and `content`."""
    from plotly.offline import get_plotlyjs  # 5 MB of text: read only where a page is written

    scripts = [_script(get_plotlyjs()), _script((_TEMPLATES / "report.js").read_text())]
    return _environment().get_template(template).render(
        style=Markup((_TEMPLATES / "report.css").read_text()),  # noqa: S704 # our own file, not text of a run
        scripts=[script for script, _ in scripts],
        policy=f"default-src 'none'; script-src {' '.join(digest for _, digest in scripts)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'",
        payload=payload(timeline, figures),
        clean=results.clean,
        **content,
    )  # fmt: skip


def plain(template: str, **content: object) -> str:
    """A page without charts: it has no script, and its policy allows none."""
    return _environment().get_template(template).render(
        style=Markup((_TEMPLATES / "report.css").read_text()),  # noqa: S704 # our own file, not text of a run
        policy="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
        **content,
    )  # fmt: skip


def payload(timeline: Timeline, drawn: Sequence[Chart]) -> Markup:
    """What the page's script draws, as JSON that cannot end its script element."""
    figures: dict[str, Any] = {
        chart.id: {"data": chart.traces, "layout": chart.layout, "timeline": chart.timeline}
        for chart in drawn
        if chart.traces
    }
    text = json.dumps({"timeline": timeline.as_json(), "figures": figures}, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 # no character that HTML reads is left in it


def _script(source: str) -> tuple[Markup, str]:
    """A script of ours as an inline element's content, and the hash by which the page's policy allows it."""
    text = source.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), f"'sha256-{digest}'"  # noqa: S704 # shipped with the package, not text of a run


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["label"] = label
    return environment
