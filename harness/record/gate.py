"""`gate.json` as types: what two arms, measured in pairs, say of each other. Its JSON Schema is generated from here.

Effects are candidate against baseline and signed as measured: positive is more. Whether more is worse is the metric's
`direction`. An effect is a share of the baseline (0.03 is +3 %) where `scale` is relative, else in the metric's unit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from harness.record.models import ExperimentArm
from harness.record.savable import SavableModel

GateVerdict = Literal["pass", "regress", "improve", "inconclusive"]
ArmName = Literal["baseline", "candidate"]
Scale = Literal["relative", "absolute"]


class _Model(SavableModel, BaseModel):
    pass


class PairValue(_Model):
    """One metric in one valid pair. Of a stored baseline, whose runs have no partner, one of the two is null."""

    pair: int
    baseline: float | None
    candidate: float | None


class Effect(_Model):
    """One metric over all valid pairs. `low` and `high` null: no bound on that side, too few pairs for the confidence."""

    metric: str
    unit: str
    direction: Literal["lower", "higher", "none"] = Field(description="which way is better")
    scale: Scale
    values: list[PairValue] = []
    baseline: float | None = Field(default=None, description="mean over the pairs (relative scale: geometric)")
    candidate: float | None = None
    effect: float | None = Field(default=None, description="mean paired effect, candidate against baseline")
    low: float | None = None
    high: float | None = None
    confidence: float | None = Field(default=None, description="of the interval from low to high, both sides together")
    noise: float | None = Field(default=None, description="standard deviation of the paired effects")
    p_difference: float | None = Field(default=None, description="two-sided, that there is no difference; not adjusted")
    reason: str | None = Field(default=None, description="why there is no effect")


class Primary(Effect):
    """A metric that decides. The p-values are one-sided, exact over all sign flips, and small where the sentence is false."""

    threshold: float = Field(description="practical threshold stated beforehand, on the scale of the effect")
    threshold_text: str = Field(description="as the scenario has it")
    p_regress: float | None = Field(default=None, description="that it is worse by no more than the threshold")
    p_regress_holm: float | None = Field(
        default=None, description="the same, adjusted by Holm over the primary metrics"
    )
    p_pass: float | None = Field(default=None, description="that it is worse by the threshold or more")
    p_improve: float | None = Field(default=None, description="that it is better by no more than the threshold")
    p_improve_holm: float | None = None
    mde: float | None = Field(
        default=None, description="smallest true worsening that would have been found with the power in mde_power"
    )
    mde_power: float | None = None
    verdict: GateVerdict
    sentence: str = Field(description="the verdict in words")


class GatePair(_Model):
    """One pair, in the order of execution."""

    pair: int
    seed: int
    order: list[ArmName]
    runs: dict[ArmName, str] = Field(description="run ids; one is missing where the pair was cut short")
    valid: bool
    reasons: list[str] = Field(default=[], description="why it is not valid, each beginning with the arm")
    machine: bool = Field(
        default=False, description="not valid because the machine was too busy: it was measured again"
    )


class Look(_Model):
    """One look at the data: after how many valid pairs, at which one-sided level, and what it said."""

    pairs: int
    alpha: float
    verdict: GateVerdict


class Findings(_Model):
    """Runs that failed their expectations or died; a candidate that does so where the baseline does not is worse."""

    baseline: int = Field(description="pairs in which only the baseline failed")
    candidate: int = Field(description="pairs in which only the candidate failed")
    both: int
    p: float | None = Field(default=None, description="exact sign test, one-sided: the candidate fails no more often")
    examples: list[str] = []


class Difference(_Model):
    """Something in which the environments of the two sides differ, beside what is compared on purpose."""

    what: str
    baseline: str
    candidate: str


class Blamed(_Model):
    """One thing that grew with the regression, ranked: 1 explains most."""

    rank: int
    kind: Literal["request", "task", "metric", "allocation"]
    name: str = Field(description="such as `patch BundleDeployment/status (changed nothing)`")
    unit: str
    baseline: float = Field(description="mean over the pairs")
    candidate: float
    growth: float = Field(description="candidate minus baseline")
    pairs_grown: int = Field(description="pairs in which it grew")
    pairs: int
    sentence: str
    callers: list[str] = Field(default=[], description="of an allocation site: who called, innermost first")


class GateEnvironment(_Model):
    """Where the experiment was measured."""

    fingerprints: list[str] = Field(description="of all machines of its runs; one, unless told to compare across")
    machine: str
    versions: dict[str, str]
    cluster: str
    differences: list[Difference] = []


class Gate(_Model):
    """`experiments/ID/gate.json`: derived from the runs of the experiment, can be made again from them."""

    schema_: Literal["harness.gate/v1"] = Field(default="harness.gate/v1", alias="schema")
    experiment_id: str
    scenario: str
    profile: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    baseline: ExperimentArm
    candidate: ExperimentArm
    verdict: GateVerdict
    advisory: bool = Field(description="the baseline was not interleaved: the verdict informs, it does not decide")
    exit_code: int
    interrupted: bool = False
    reasons: list[str] = Field(description="why the verdict is what it is")
    warnings: list[str] = []
    alpha: float = Field(description="one-sided error rate of each decision, over all looks together")
    pairs_planned: int
    pairs_valid: int
    early: bool = Field(default=True, description="it might have ended at a look before the last")
    stopped_early: bool = False
    looks: list[Look] = []
    primary: list[Primary]
    secondary: list[Effect] = []
    findings: Findings
    pairs: list[GatePair]
    environment: GateEnvironment
    blame: list[Blamed] = Field(default=[], description="of a regression: what grew, ranked")
