"""The Locust user: a worker of the phase that the shape is running."""

from __future__ import annotations

from locust import User
from locust.exception import StopUser

from loadgen.worker import Worker


class LoadUser(User):
    """Works through the current phase and ends. Its environment is a `loadgen.session.Session`'s."""

    def work(self) -> None:
        """One task for the whole phase: Locust's scheduling of single tasks costs more than a request does."""
        session = self.environment.session
        worker = Worker(session.current, session.transport, session.now_ns, self.environment.events.request.fire)
        worker.work(session.stream.wait_for_room)
        raise StopUser

    tasks = [work]  # noqa: RUF012  # Locust's metaclass reads a plain list
