"""The Locust user: a worker of a phase that the shape is running."""

from __future__ import annotations

from locust import User
from locust.exception import StopUser


class LoadUser(User):
    """Works through one of the phases under way and ends. Its environment has a `loadgen.session.Crew`."""

    def work(self) -> None:
        """One task for the whole phase: Locust's scheduling of single tasks costs more than a request does."""
        self.environment.crew.work(self.environment.events.request.fire)
        raise StopUser

    tasks = [work]  # noqa: RUF012  # Locust's metaclass reads a plain list
