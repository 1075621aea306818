"""Tables that commands print, put into pages of ``docs/`` between two marks, ``<!-- NAME -->``, ``<!-- /NAME -->``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from golden.files import write_whole


class PageError(ValueError):
    """A page without the marks."""


def read_section(page: Path, name: str) -> str:
    """Return what stands between the marks, without the line ends beside them.

    Raises
    ------
    PageError
        If the marks are not there, each once, in this order.
    """
    return _parts(page, name)[1].strip("\n")


def write_section(page: Path, name: str, text: str) -> None:
    """Put a text in the place of what stands between the marks; errors are those of :func:`read_section`."""
    before, _, after = _parts(page, name)
    write_whole(page, f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->{after}")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = (headings, ["---"] * len(headings), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)


def _parts(page: Path, name: str) -> tuple[str, str, str]:
    before, begin, rest = page.read_text().partition(f"<!-- {name} -->")
    between, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end or f"<!-- {name} -->" in rest or f"<!-- /{name} -->" in after:
        raise PageError(f"{page} has not once <!-- {name} --> and then <!-- /{name} -->; put both where the table goes")
    return before, between, after
