"""Controller `gitrepo`: each path of a GitRepo becomes a Bundle; the GitRepo sums them up.

Nothing is cloned. What a path "holds" is a manifest that is generated from repository, branch and path alone, so that
it is the same each time and on each machine.
"""

from __future__ import annotations

import logging

from harness.controllers.fleet import names, summary
from harness.controllers.fleet.caches import BY_CREDENTIALS, BY_REPO, repo_key_of, secret_key_of
from harness.controllers.fleet.context import (
    SUMMARY_DELAY_S,
    Context,
    is_deleted,
    now,
    on_change,
    unless_partial,
    wants_reconcile,
)
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.creations import Creations
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.resources import Object, generation_of, key_of, labels_of, name_of, namespace_of
from harness.controllers.runtime.status import condition, merge_diff


class GitRepoController:
    """Keys are those of GitRepos."""

    def __init__(self, context: Context) -> None:
        self._caches = context.caches
        self._api = context.api
        assert context.caches.bundles.informer is not None
        self._bundles = Creations(context.caches.bundles.informer, BY_REPO)
        self._users: dict[str, set[str]] = {}
        self._used: dict[str, str] = {}
        self._log = logging.getLogger("fleet.gitrepo")
        self._status = context.status_writer(context.caches.gitrepos)
        self.controller: Controller = context.controller("gitrepo", self.reconcile)
        queue = self.controller.queue
        on_change(self._caches.gitrepos, wants_reconcile, lambda event: queue.add(key_of(event.obj)))
        on_change(
            self._caches.bundles, lambda event: event.old is not None and wants_reconcile(event), self._queue_owner
        )
        sums = unless_partial(_sums_differ, whole=self._caches.bundles.whole)
        on_change(self._caches.bundles, sums, self._queue_summary)
        on_change(self._caches.secrets, lambda event: event.old is None or event.new is None, self._queue_users)

    def _queue_owner(self, event: Event) -> None:
        if key := repo_key_of(event.obj):
            self.controller.queue.add(key)

    def _queue_summary(self, event: Event) -> None:
        if key := repo_key_of(event.obj):
            self.controller.queue.add_after(key, SUMMARY_DELAY_S)

    def _queue_users(self, event: Event) -> None:
        """With the specs at hand by the index; without them those that have been seen to use it."""
        key = key_of(event.obj)
        users = self._caches.gitrepos.known_by(BY_CREDENTIALS, key)
        for user in (*map(key_of, users), *self._users.get(key, ())):
            self.controller.queue.add(user)

    def _note_user(self, gitrepo: str, secret: str | None) -> None:
        before = self._used.pop(gitrepo, None)
        if before is not None:
            self._users[before].discard(gitrepo)
            if not self._users[before]:
                del self._users[before]
        if secret is not None:
            self._used[gitrepo] = secret
            self._users.setdefault(secret, set()).add(gitrepo)

    async def reconcile(self, key: str) -> Result:
        """Create, change and delete the Bundles of one GitRepo, then write its status."""
        gitrepo = await self._caches.gitrepos.get(key)
        present = self._bundles.with_unseen(key, await self._caches.bundles.find(BY_REPO, key))
        if not self._caches.gitrepos.whole:
            self._note_user(key, None if gitrepo is None else secret_key_of(gitrepo))
        if gitrepo is None or is_deleted(gitrepo):
            await self._delete(present)
            return DONE
        if not await self._has_secret(gitrepo):
            status = self._status.latest(gitrepo).get("status") or {}
            text = f"Secret {gitrepo['spec']['clientSecretName']} does not exist"
            conditions = condition(status, "Accepted", met=False, reason="NoSecret", message=text, now=now())
            await self._status.write(gitrepo, {"conditions": conditions})
            return AGAIN
        again = False
        sums: list[Object | None] = []
        for path in gitrepo["spec"].get("paths") or ["/"]:
            wanted = make_bundle(gitrepo, path)
            bundle = present.pop(key_of(wanted), None)
            if bundle is not None:
                sums.append((bundle.get("status") or {}).get("summary"))
                await self._update(wanted, bundle)
            else:
                again |= not await self._create(wanted)
        await self._delete(present)
        status = self._status.latest(gitrepo).get("status") or {}
        fields = summary.status_fields(status, summary.of_summaries(sums), "readyBundleDeployments")
        fields["conditions"] = condition({"conditions": fields["conditions"]}, "Accepted", met=True, now=now())
        fields |= {"observedGeneration": generation_of(gitrepo), "commit": commit_of(gitrepo)}
        await self._status.write(gitrepo, fields)
        return AGAIN if again else DONE

    async def _has_secret(self, gitrepo: Object) -> bool:
        key = secret_key_of(gitrepo)
        if key is None:
            return True
        secrets = self._caches.secrets
        if secrets.metadata_suffices:
            return secrets.known(key) is not None
        return await secrets.get(key) is not None

    async def _create(self, wanted: Object) -> bool:
        """Whether the Bundle was made; False where one of its name is there that is not this GitRepo's."""
        try:
            made = await self._api.create(names.BUNDLES.path(namespace_of(wanted)), wanted)
            self._bundles.add(made)
            self._caches.bundles.learn(made)
        except ApiError as error:
            if error.status != 409:
                raise
            self._log.warning("Bundle %s exists and is not known to be of this GitRepo: it is left", key_of(wanted))
            return False
        return True

    async def _update(self, wanted: Object, present: Object) -> None:
        patch: Object = {}
        if spec := merge_diff({key: present["spec"].get(key) for key in wanted["spec"]}, wanted["spec"]):
            patch["spec"] = spec
        labels = labels_of(present)
        if missing := {key: value for key, value in labels_of(wanted).items() if labels.get(key) != value}:
            patch["metadata"] = {"labels": missing}
        if patch:
            await self._api.merge_patch(names.BUNDLES.path(namespace_of(present), name_of(present)), patch)

    async def _delete(self, bundles: dict[str, Object]) -> None:
        for bundle in bundles.values():
            if not is_deleted(bundle):
                path = names.BUNDLES.path(namespace_of(bundle), name_of(bundle))
                await self._api.delete(path, uid=bundle["metadata"]["uid"])


def commit_of(gitrepo: Object) -> str:
    """What stands for the commit: it changes with repository, branch, revision, and the images that ImageScans have set."""
    spec = gitrepo["spec"]
    text = f"{spec['repo']} {spec.get('branch', '')} {spec.get('revision', '')}"
    images = spec.get("images") or {}
    return names.digest(" ".join((text, *(f"{key}={images[key]}" for key in sorted(images)))))[:40]


def make_bundle(gitrepo: Object, path: str) -> Object:
    """The Bundle of one path, as it is created."""
    commit = commit_of(gitrepo)
    name = names.bundle_name(name_of(gitrepo), path)
    return {
        "apiVersion": names.BUNDLES.api_version,
        "kind": names.BUNDLES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace_of(gitrepo),
            "labels": {**labels_of(gitrepo), names.REPO_LABEL: name_of(gitrepo), names.COMMIT_LABEL: commit},
            "ownerReferences": [names.owner_reference(gitrepo, names.GITREPOS)],
        },
        "spec": {
            "targets": gitrepo["spec"].get("targets") or [],
            "resources": [{"name": "configmap.yaml", "content": _manifest(name, path, commit)}],
        },
    }


def _manifest(name: str, path: str, commit: str) -> str:
    lines = "".join(f"  setting-{number:02d}: {names.digest(f'{commit} {path} {number}')}\n" for number in range(10))
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines}"


def _sums_differ(event: Event) -> bool:
    old, new = ((obj or {}).get("status") or {} for obj in (event.old, event.new))
    return bool(old.get("summary") != new.get("summary"))
