"""The published cases as a terminal shows them: a line for each claim, and below it what was measured."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.record.claims import Claims
from harness.report import claims_text
from harness.report.results import clean

_STYLES = {"reproduced": "bold green", "not reproduced": "bold red", "not comparable": "yellow", "direction": "cyan"}


def render(claims: Claims, console: Console) -> None:
    """Print them."""
    head = Text(f"{len(claims.claims)} claims, profile {claims.profile}", "bold")
    if claims.state != "complete":
        head.append(f"  {claims.state}: the same command goes on from here", "yellow")
    console.print(head, soft_wrap=True)
    for claim in claims.claims:
        console.print()
        title = Text.assemble(
            (f"row {claim.row}  ", "bold"), (claims_text.verdict_of(claim).upper(), _STYLES[claim.verdict]),
            f"  {clean(claim.claim)}",
        )  # fmt: skip
        console.print(title, soft_wrap=True)
        off, on = (claims_text.value_text(claim.metric, value) for value in (claim.ours_off, claim.ours_on))
        for name, text in (
            ("published", claim.published),
            ("ours", f"{claim.metric} {off} -> {on}, {claims_text.change_of(claim)}"),
            ("switches", f"{claim.subject}, {claims_text.arms_of(claim)}"),
            ("result", f"{claim.sentence}; {claim.pairs} of {claim.pairs_planned} pairs valid"),
        ):
            console.print(Text(f"  {name:<10} {clean(text)}"), soft_wrap=True)
        for why in claim.invalid[:2]:
            console.print(Text(f"  not valid  {clean(why)}"), soft_wrap=True)
    for curve in claims.curves:
        console.print(Text(f"\n{curve.title}, {curve.metric}", "bold"), soft_wrap=True)
        for row in claims_text.curve_rows(curve):
            console.print(Text("  " + "  ".join(f"{cell:>16}" for cell in row)), soft_wrap=True)
    for item in claims.predictions:
        console.print(Text(f"\nrow {item.row}  {clean(item.sentence)}"), soft_wrap=True)
