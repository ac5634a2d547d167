"""Taking away what one run made in a cluster that is not its own, by the run's label, and proving that nothing stayed.

Namespaces take what is in them along. Custom resource definitions go last, and only those that the run brought along and
nobody else uses by now. Finalizers are somebody's promise: they are waited for, never removed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.ids import RUN_LABEL
from harness.core.kinds import Kind, find
from harness.kube import every, rules
from harness.kube.api import Api
from harness.kube.discovery import CRD
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.every import Everything, Found

LIMIT_S = 120.0
PATIENCE_S = 30.0
"""For an API server that does not answer, or with errors of its own (5xx)."""
_POLL_S = 0.5
_AGAIN_S = 1.0
_TRIES = 3
"""To list a kind that was not told, and to delete an object where the server has trouble of its own."""
_OF_THE_SERVER = 500
_NAMED = 10
"""Objects that are named in a report; of more, how many there are."""
_FIRST = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
"""Nobody answers these any more; they would refuse the deletion of all else."""
_LAST_AT_ONCE = 16


async def after_run(kubeconfig: Path, run_id: str, patience_s: float = PATIENCE_S) -> Sequence[str]:
    """`remove` on a run's way out: never raises, one sentence for each thing that stayed or could not be looked at.

    An API server that is being restarted just then, or has trouble of its own, is asked again for `patience_s`.
    """
    give_up = time.monotonic() + patience_s
    while True:
        try:
            async with await Api.connect(kubeconfig) as api:
                return await remove(api, run_id, patience_s=patience_s)
        except HarnessError as error:
            if not _passes(error) or time.monotonic() > give_up:
                return [f"what run {run_id} made in the cluster may still be there: {error}"]
        await asyncio.sleep(_AGAIN_S)


def _passes(error: HarnessError) -> bool:
    """Whether the next attempt may go better."""
    return isinstance(error, ApiUnreachable) or (isinstance(error, ApiError) and error.status >= _OF_THE_SERVER)


async def remove(api: Api, run_id: str, limit_s: float = LIMIT_S, patience_s: float = PATIENCE_S) -> Sequence[str]:
    """Delete every object that carries the run's label; then list every kind, and say what is still there.

    Kinds that this identity may neither list nor make are left out: nobody to whom it gave rights can have made any.

    Raises RunFault where the API server does not answer at all.
    """
    deadline = time.monotonic() + limit_s
    selector = f"{RUN_LABEL}={run_id}"
    kept: dict[str, str] = {}
    blind = 0
    while True:
        await _ready(api, patience_s)
        found = await every.labelled(api, selector, concerning=await rules.concern(api))
        left = [item for item in found.objects if item.name not in kept]
        if (
            not left and found.unseen and (blind := blind + 1) < _TRIES
        ):  # what was not listed now may be there all the same
            await asyncio.sleep(_AGAIN_S)
            continue
        if not left or time.monotonic() > deadline:
            return [*kept.values(), *_stayed(left, run_id), *_unseen(found)]
        # Also what a load generator or a subject that was just being ended still made.
        kept |= await _delete(api, [item for item in left if not item.metadata.get("deletionTimestamp")], run_id)
        await _wait(api, selector, {item.kind for item in left}, kept, deadline)


async def runs(api: Api) -> dict[str, list[Found]]:
    """What there is of any run, by run id."""
    found: dict[str, list[Found]] = {}
    await _ready(api)
    for item in (await every.labelled(api, RUN_LABEL, concerning=await rules.concern(api))).objects:
        found.setdefault(item.metadata["labels"][RUN_LABEL], []).append(item)
    return found


async def _ready(api: Api, patience_s: float = PATIENCE_S) -> None:
    """Until the server says that it is. One that has just been started answers before it has read who may do what and which
    kinds there are: to it nothing concerns anybody, and there is nothing. One that never says so is believed after a while.

    Raises ApiUnreachable where it does not answer at all.
    """
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        try:
            await api.transport.request("GET", "/readyz")
        except ApiError as error:
            if _passes(error):
                await asyncio.sleep(_POLL_S)
                continue
        return  # ready, or it is not for this identity to ask


async def _wait(api: Api, selector: str, kinds: set[Kind], kept: Mapping[str, str], deadline: float) -> None:
    """Until nothing of these kinds is there any more, only what must stay, or `deadline`."""
    while kinds and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        found = (await every.labelled(api, selector, list(kinds))).objects
        kinds = {item.kind for item in found if item.name not in kept}


async def _delete(api: Api, items: Sequence[Found], run_id: str) -> dict[str, str]:
    """Ask for the deletion of all; returns what must stay, by name, with the sentence why."""
    namespaces = {item.metadata["name"] for item in items if item.kind.full_name == "Namespace"}
    definitions = [item for item in items if item.kind == CRD]
    # What is in a namespace of the run goes with it.
    others = [i for i in items if i.kind != CRD and i.metadata.get("namespace") not in namespaces]
    kept: dict[str, str] = {}
    for batch in (
        [item for item in others if item.kind.kind in _FIRST],
        [item for item in others if item.kind.kind not in _FIRST],
    ):
        kept |= await _delete_all(api, batch)
    if definitions:
        kept |= await _delete_definitions(api, definitions, run_id)
    return kept


async def _delete_all(api: Api, items: Sequence[Found]) -> dict[str, str]:
    gate = asyncio.Semaphore(_LAST_AT_ONCE)

    async def one(item: Found) -> tuple[str, str] | None:
        for attempt in range(1, _TRIES + 1):
            try:
                async with gate:
                    await api.delete(item.kind, item.metadata["name"], item.metadata.get("namespace"))
            except ApiError as error:
                if not _passes(error) or attempt == _TRIES:
                    return (
                        item.name,
                        f"{item.name} could not be removed: {error.status} {error.reason}: {error.message}",
                    )
                await asyncio.sleep(_AGAIN_S)
            else:
                break
        return None

    refused = await asyncio.gather(*(one(item) for item in items))
    return dict(refusal for refusal in refused if refusal is not None)


async def _delete_definitions(api: Api, definitions: Sequence[Found], run_id: str) -> dict[str, str]:
    """Those that the run brought along, unless they hold objects of anybody else, or another run is there."""
    selector = f"{RUN_LABEL},{RUN_LABEL}!={run_id}"
    others = [item.metadata["name"] for item in (await every.labelled(api, selector, [find("Namespace")])).objects]
    kept: dict[str, str] = {}
    going = []
    for item in definitions:
        if others:
            kept[item.name] = f"{item.name} was left: another run is there ({others[0]})"
        elif (holder := await _somebody_elses(api, item, run_id)) is not None:
            kept[item.name] = f"{item.name} was left: it holds what is not the run's ({holder})"
        else:
            going.append(item)
    return kept | await _delete_all(api, going)


async def _somebody_elses(api: Api, item: Found, run_id: str) -> str | None:
    """An object of a definition's kind that is not the run's."""
    spec = (await api.get(CRD, item.metadata["name"]))["spec"]
    version = next(entry["name"] for entry in spec["versions"] if entry.get("served"))
    kind = Kind(spec["group"], version, spec["names"]["kind"], spec["names"]["plural"], spec["scope"] == "Namespaced")
    found = (await every.labelled(api, f"{RUN_LABEL}!={run_id}", [kind])).objects
    # Without the label, but in a namespace of the run: what its subject made. It goes with the namespace.
    own = {
        f.metadata["name"] for f in (await every.labelled(api, f"{RUN_LABEL}={run_id}", [find("Namespace")])).objects
    }
    return next((one.name for one in found if one.metadata.get("namespace") not in own), None)


def _stayed(left: Sequence[Found], run_id: str) -> list[str]:
    """A sentence for each object that is still there, and why where it says so; the first of many."""
    said = [f"{item.name} is still there{_why(item)}" for item in left[:_NAMED]]
    if len(left) > _NAMED:
        said.append(f"and {len(left) - _NAMED} more objects with the label {RUN_LABEL}={run_id}")
    return said


def _why(item: Found) -> str:
    finalizers = item.metadata.get("finalizers") or []
    if item.metadata.get("deletionTimestamp") and finalizers:
        return f": it is being deleted, and waits for {', '.join(finalizers)}"
    return ": it is being deleted" if item.metadata.get("deletionTimestamp") else ""


def _unseen(proof: Everything) -> list[str]:
    return [f"could not be looked at for leftovers: {', '.join(proof.unseen)}"] if proof.unseen else []
