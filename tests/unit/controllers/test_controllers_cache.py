"""What a cache holds in each mode, and when it asks. The API is a fake that counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter

from harness.controllers.fleet import names
from harness.controllers.fleet.caches import BY_REPO, repo_key_of
from harness.controllers.runtime.cache import Cache, CacheMode, identity
from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.informer import Informer


def bundle(name: str, version: int = 1, repo: str = "r") -> dict[str, Any]:
    metadata = {
        "name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version), "generation": 1,
        "labels": {names.REPO_LABEL: repo}, "annotations": {"large": "x" * 100},
        "ownerReferences": [{"kind": "GitRepo", "name": repo}],
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"targets": []}}


class Counting:
    """Answers with what it has, and keeps what it was asked for."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {obj["metadata"]["name"]: obj for obj in objects}
        self.asked: list[str] = []

    async def get(self, path: str, query: dict[str, str] | None = None, accept: str | None = None) -> dict[str, Any]:
        self.asked.append(path if query is None else f"{path}?{query['labelSelector']}")
        if query is not None:
            return {"metadata": {}, "items": list(self.objects.values())}
        found = self.objects.get(path.rpartition("/")[2])
        if found is None:
            raise ApiError("GET", path, 404, "NotFound", "")
        return found


def cache(mode: CacheMode, api: Counting, most: int = 2) -> Cache:
    """A cache whose watch has told of all objects there are."""
    real = cast("Api", api)
    informer = Informer(
        real, names.BUNDLES, metadata_only=mode is not CacheMode.FULL, transform=identity if mode is CacheMode.NONE else None,
        indexers={BY_REPO: lambda obj: [key] if (key := repo_key_of(obj)) else []},
    )  # fmt: skip
    reads = Counter("reads", "of a test", ("kind", "source"), registry=CollectorRegistry())
    queries = {BY_REPO: lambda key: (key.split("/")[0], f"repo={key.split('/')[1]}")}
    made = Cache(real, names.BUNDLES, informer, mode, most=most, reads=reads, queries=queries)
    for obj in api.objects.values():
        tell(made, obj)
    return made


def tell(made: Cache, obj: dict[str, Any]) -> None:
    assert made.informer is not None
    made.informer._put(obj if made.whole else {"metadata": obj["metadata"]}, initial=True)


def got(made: Cache, *keys: str) -> list[str | None]:
    async def ask() -> list[str | None]:
        found = [await made.get(f"ns/{key}") for key in keys]
        return [obj["metadata"]["resourceVersion"] if obj else None for obj in found]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("mode", "reads"), [(CacheMode.FULL, 0), (CacheMode.METADATA, 4), (CacheMode.NONE, 4), (CacheMode.ADAPTIVE, 2)]
)
def test_how_often_the_api_is_asked(mode: CacheMode, reads: int) -> None:
    api = Counting(bundle("a"), bundle("b"))
    made = cache(mode, api)
    assert got(made, "a", "b", "a", "b") == ["1"] * 4
    assert len(api.asked) == reads
    assert got(made, "unknown") == [None]  # the watch would have told of it
    assert len(api.asked) == reads


def test_adaptive_keeps_those_that_were_read_last() -> None:
    api = Counting(bundle("a"), bundle("b"), bundle("c"))
    made = cache(CacheMode.ADAPTIVE, api)
    got(made, "a", "b", "a", "c")  # b goes for c, for a was read since
    assert made.held == 2
    assert len(api.asked) == 3
    got(made, "a", "c")
    assert len(api.asked) == 3
    got(made, "b")
    assert len(api.asked) == 4


def test_adaptive_does_not_answer_with_what_is_old() -> None:
    api = Counting(bundle("a"))
    made = cache(CacheMode.ADAPTIVE, api)
    got(made, "a")
    api.objects["a"] = bundle("a", 2)
    tell(made, api.objects["a"])
    assert got(made, "a", "a") == ["2", "2"]
    assert len(api.asked) == 2
    made.learn(bundle("a", 3))  # the answer to a write of ours, of which the watch has yet to tell
    assert got(made, "a") == ["3"]
    assert len(api.asked) == 2
    assert made.informer is not None
    made.informer._remove("ns/a", None)
    assert (made.held, made.kept("ns/a")) == (0, None)


def test_several_are_found_by_one_list_and_only_their_own() -> None:
    api = Counting(bundle("a"), bundle("b"), bundle("other", repo="s"))
    made = cache(CacheMode.METADATA, api)
    found = asyncio.run(made.find(BY_REPO, "ns/r"))
    assert [obj["metadata"]["name"] for obj in found] == ["a", "b"]
    assert all("spec" in obj for obj in found)
    assert api.asked == ["/apis/fleet.cattle.io/v1alpha1/namespaces/ns/bundles?repo=r"]
    asyncio.run(made.find(BY_REPO, "ns/s"))
    assert api.asked[1:] == ["/apis/fleet.cattle.io/v1alpha1/namespaces/ns/bundles/other"]
    assert asyncio.run(made.find(BY_REPO, "ns/none")) == []
    assert len(api.asked) == 2


def test_an_object_that_has_gone_meanwhile_is_none() -> None:
    api = Counting(bundle("a"))
    made = cache(CacheMode.METADATA, api)
    api.objects.clear()
    assert got(made, "a") == [None]


def test_of_none_the_identity_stays() -> None:
    made = cache(CacheMode.NONE, Counting(bundle("a")))
    told = made.known("ns/a")
    assert told is not None
    assert "annotations" not in told["metadata"]
    assert repo_key_of(told) == "ns/r"
