"""Tables whose cells are never cut: names and figures are there to be copied. A terminal folds what is too wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

Cell = str | Text
_GAP = "  "


def table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, left: Sequence[str] = ()) -> None:
    """Print rows under their heads; columns are as wide as their widest cell. Those named in `left` begin at the left."""
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [
        max([cell_len(head), *(cell_len(row[number].plain) for row in texts)]) for number, head in enumerate(heads)
    ]
    for row, style in [([Text(head) for head in heads], "dim"), *((row, "") for row in texts)]:
        line = Text(style=style)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell.plain))
            line.append(_GAP if number else "")
            if number == 0 or heads[number] in left:
                line.append_text(cell).append(space)
            else:
                line.append(space).append_text(cell)
        line.rstrip()
        console.print(line, soft_wrap=True)
