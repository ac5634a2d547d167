"""Where Locust looks for users and shape; `python -m loadgen` takes them from here, too."""

from loadgen.shape import PlanShape
from loadgen.users import LoadUser

__all__ = ["LoadUser", "PlanShape"]
