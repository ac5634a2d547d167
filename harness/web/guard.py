"""Who is answered, and how errors are told: a site on loopback is reached by every page that is open in a browser.

A page of another site could have its own name resolve to 127.0.0.1 and then read what is here (DNS rebinding); its
requests carry that name as `Host`. Such are refused, and so is what another site embeds or fetches.
"""

from __future__ import annotations

import re
import sys

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.core.errors import HarnessError, UsageError
from harness.web import pages
from harness.web.library import NotServed

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
"""Any port: an SSH tunnel may have another one at its other end."""


def page(text: str, status: int = 200) -> web.Response:
    """A page of the site."""
    headers = {"Content-Security-Policy": pages.SITE_POLICY, "Cache-Control": "no-store"}
    return web.Response(
        body=text.encode(errors="replace"), status=status, content_type="text/html", charset="utf-8", headers=headers
    )


def is_ours(host: str | None) -> bool:
    """Whether a `Host` header names this machine's loopback."""
    return host is not None and _LOOPBACK.fullmatch(host) is not None


@web.middleware
async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer only what asks for this machine by its loopback name, and does not come from within another site."""
    if not is_ours(request.headers.get("Host")):
        answer: web.StreamResponse = _plain(421, "only http://127.0.0.1 and http://localhost are answered")
    elif request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and (
        request.headers.get("Sec-Fetch-Mode") != "navigate" or request.headers.get("Sec-Fetch-Dest") != "document"
    ):
        answer = _plain(403, "other sites may link here, and no more")
    else:
        answer = await handler(request)
    return answer


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a page with one line; a bug of ours is told on stderr too."""
    try:
        return await handler(request)
    except NotServed as error:
        return _error(404, str(error))
    except HarnessError as error:
        return _error(400 if type(error) is UsageError else 500, str(error))
    except web.HTTPRedirection:
        raise
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)
    except Exception as error:  # noqa: BLE001 # the last place: one page may not end the site
        sys.stderr.write(f"harness serve: a bug of ours: {request.path!r}: {type(error).__name__}: {error}\n")
        return _error(500, f"a bug of ours: {type(error).__name__}: {error}")


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries, whoever made it."""
    response.headers.update(pages.ALWAYS)
    response.headers.pop("Server", None)


def _error(status: int, why: str) -> web.Response:
    return page(pages.render("error.html.j2", here="", status=status, why=why), status)


def _plain(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=f"{why}\n")
