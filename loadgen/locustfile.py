"""Where Locust looks for users and shape; `python -m loadgen` takes them from here, too.

By hand, with Locust's own web page: `LOADGEN_PLAN=plan.json locust -f loadgen/locustfile.py` (docs/development.md).
"""

import os

from locust import events

from loadgen.shape import PlanShape
from loadgen.users import LoadUser

__all__ = ["LoadUser", "PlanShape"]

if plan_file := os.environ.get("LOADGEN_PLAN"):
    from loadgen.byhand import attach

    events.init.add_listener(lambda environment, **_facts: attach(environment, plan_file))
