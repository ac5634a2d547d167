"""A list that stays current: list, then watch, resumed from the last resource version as long as the consumer wants.

Written for measuring. Each event carries the moment its bytes were taken off the socket, before they are parsed
(`stream.py`), and neither an object's size nor the length of a line is limited.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal, NamedTuple, NoReturn, TypedDict

import aiohttp
import msgspec

from harness.core.kinds import Kind
from harness.kube import transport as wire
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable

EventType = Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]

_SESSION_S = 240
"""The server ends a watch after this long; it is then resumed. Bounds how long a dead connection goes unnoticed."""
_SILENCE_S = _SESSION_S + 15.0
_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.05, 2.0
_GONE = 410
_REFUSALS = (400, 401, 403, 404, 405)


class WatchEvent(NamedTuple):
    """What happened to one object, or `SYNCED`: all objects there were have been told of.

    `object` is raw JSON (metadata only where that was asked, and then of a watch's events without `managedFields`); of a
    `SYNCED`, the list's metadata. `received_ns` is `time.monotonic_ns()` when its last byte was read.
    """

    type: EventType
    object: dict[str, Any]
    received_ns: int


class _Known(NamedTuple):
    uid: str
    resource_version: str


class _Metadata(TypedDict, total=False):
    """An object's metadata but for `managedFields`, which are most of it and say nothing that is asked for here."""

    name: str
    generateName: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    creationTimestamp: str | None
    deletionTimestamp: str | None
    deletionGracePeriodSeconds: int | None
    labels: dict[str, str] | None
    annotations: dict[str, str] | None
    finalizers: list[str] | None
    ownerReferences: list[dict[str, Any]] | None


class _Partial(TypedDict, total=False):
    """What a watch by metadata sends: a PartialObjectMetadata, or the Status of an `ERROR`."""

    metadata: _Metadata
    code: int
    reason: str
    message: str


class _Event(TypedDict):
    type: str
    object: dict[str, Any]


class _PartialEvent(TypedDict):
    type: str
    object: _Partial


_decode = msgspec.json.Decoder(_Event).decode
_decode_partial = msgspec.json.Decoder(_PartialEvent).decode
"""Fields that it does not know are skipped without making objects of them."""


async def watch(
    api: Api,
    kind: Kind,
    namespace: str | None = None,
    metadata_only: bool = True,
    label_selector: str | None = None,
    *,
    give_up_s: float = 60.0,
) -> AsyncGenerator[WatchEvent, None]:
    """`follow` as a generator. End it by cancelling the task, or close it (`contextlib.aclosing`)."""
    events: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
    following = asyncio.create_task(
        follow(api, kind, events.put_nowait, namespace, metadata_only, label_selector, give_up_s=give_up_s)
    )
    following.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        following.result()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def follow(
    api: Api,
    kind: Kind,
    take: Callable[[WatchEvent], None],
    namespace: str | None = None,
    metadata_only: bool = True,
    label_selector: str | None = None,
    *,
    give_up_s: float = 60.0,
) -> NoReturn:
    """Every change of the objects of a kind, beginning with an `ADDED` for each there is and one `SYNCED`.

    Lost connections are resumed without a gap. Where the server has forgotten the version (410), objects are listed
    again: what changed meanwhile comes as `ADDED`, `MODIFIED` or `DELETED` (with no more than name, namespace and
    uid), then another `SYNCED`. Endless; end it by cancelling the task. `take` is called as the bytes come, so it must be quick.
    Raises ApiError where the server refuses (403, 404) from the beginning, or for `give_up_s`; ApiUnreachable after
    `give_up_s` without an answer; whatever `take` raises.
    """
    session = _Session(api, kind, take, namespace, metadata_only, label_selector)
    backoff = _Backoff(give_up_s)
    while True:
        try:
            if session.resource_version is None:
                await session.list_all()
                backoff.reset()
            await session.stay(backoff)
        except ApiError as error:
            if error.status == _GONE:
                session.resource_version = None
            elif error.status in _REFUSALS and not session.let_in:
                raise
            await backoff.pause(error)
        except (ApiUnreachable, aiohttp.ClientError, TimeoutError, OSError) as error:
            await backoff.pause(error)


class _Session:
    """The state that outlives a connection: the version reached, and what is known to exist."""

    def __init__(
        self,
        api: Api,
        kind: Kind,
        take: Callable[[WatchEvent], None],
        namespace: str | None,
        metadata_only: bool,
        label_selector: str | None,
    ) -> None:
        self._api = api
        self._kind = kind
        self._tell = take
        self._namespace = namespace
        self._metadata_only = metadata_only
        self._selector = label_selector
        self._known: dict[tuple[str, str], _Known] = {}
        self.resource_version: str | None = None
        self.let_in = False
        """Whether the server has ever answered a watch: one that has just been started again refuses (403) what it allowed
        before, until it has read its roles."""

    async def list_all(self) -> None:
        """Tell by which events the known objects become those of a fresh list."""
        before, version = dict(self._known), ""
        received_ns = time.monotonic_ns()
        async for page in self._api.pages(
            self._kind, self._namespace, label_selector=self._selector, metadata_only=self._metadata_only
        ):
            received_ns = time.monotonic_ns()
            version = page.resource_version
            for item in page.items:
                key, now = _key(item), _state(item)
                then = before.pop(key, None)
                self._known[key] = now
                if then == now:
                    continue
                if then is not None and then.uid != now.uid:
                    self._tell(WatchEvent("DELETED", _tombstone(key, then), received_ns))
                    then = None
                self._tell(WatchEvent("ADDED" if then is None else "MODIFIED", item, received_ns))
        for key, then in before.items():
            del self._known[key]
            self._tell(WatchEvent("DELETED", _tombstone(key, then), received_ns))
        self.resource_version = version
        self._tell(WatchEvent("SYNCED", {"metadata": {"resourceVersion": version}}, received_ns))

    async def stay(self, backoff: _Backoff) -> None:
        """Tell the events of one connection, until the server ends it; ApiError 410 where it must be listed again."""
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.resource_version or "",
            "timeoutSeconds": _SESSION_S,
        }
        if self._selector:
            query["labelSelector"] = self._selector
        accept = wire.PARTIAL_OBJECT if self._metadata_only else wire.JSON_TYPE
        stream = await self._api.transport.lines(self._kind.path(self._namespace), query, accept, _SILENCE_S)
        backoff.reset()
        self.let_in = True
        try:
            await stream.read(self._take)
        finally:
            stream.close()

    def _take(self, lines: list[bytes], received_ns: int) -> None:
        decode: Callable[[bytes], Any] = _decode_partial if self._metadata_only else _decode
        for line in lines:
            event = decode(line)
            type_, item = event["type"], event["object"]
            if type_ == "ERROR":
                self._refused(item)
            self.resource_version = item["metadata"]["resourceVersion"]
            if type_ == "BOOKMARK":
                continue
            if type_ == "DELETED":
                self._known.pop(_key(item), None)
            else:
                self._known[_key(item)] = _state(item)
            self._tell(WatchEvent(type_, item, received_ns))

    def _refused(self, status: dict[str, Any]) -> None:
        place = f"watch {self._kind.path(self._namespace)}"
        raise ApiError(int(status.get("code") or 0), str(status.get("reason")), str(status.get("message")), place=place)


class _Backoff:
    """Pauses between attempts, and the end of patience."""

    def __init__(self, give_up_s: float) -> None:
        self._give_up_s = give_up_s
        self._failing_since: float | None = None
        self._pause_s = _BACKOFF_FIRST_S

    def reset(self) -> None:
        """The server has answered."""
        self._failing_since = None
        self._pause_s = _BACKOFF_FIRST_S

    async def pause(self, error: Exception) -> None:
        """Wait before the next attempt; raises `error` once there has been no answer for too long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self._give_up_s:
            raise error if isinstance(error, ApiError | ApiUnreachable) else ApiUnreachable(f"watch failed: {error!r}")
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, guards nothing
        self._pause_s = min(self._pause_s * 2, _BACKOFF_MOST_S)


def _key(item: dict[str, Any]) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _state(item: dict[str, Any]) -> _Known:
    metadata = item["metadata"]
    return _Known(metadata["uid"], metadata["resourceVersion"])


def _tombstone(key: tuple[str, str], known: _Known) -> dict[str, Any]:
    metadata = {"name": key[1], "uid": known.uid, "resourceVersion": known.resource_version}
    return {"metadata": {"namespace": key[0], **metadata} if key[0] else metadata}
