"""Show the stages of a build while they run: how long each has taken and what its log says last."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

TAIL_BYTES = 4096


@dataclass
class _Stage:
    name: str
    log: Path
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None  #: once it has ended


class Display:
    """A live table of stages; :meth:`watch` is a :data:`hw.tools.Watch`.

    Also remembers how long each stage took.
    """

    def __init__(self, console: Console):
        self._stages: list[_Stage] = []
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        self._live.__enter__()
        return self

    def __exit__(self, *failure) -> None:
        self._live.__exit__(*failure)

    @contextlib.contextmanager
    def watch(self, name: str, log: Path) -> Iterator[None]:
        """Show a stage while the context lasts; stages may run side by side."""
        stage = _Stage(name, log)
        self._stages.append(stage)
        try:
            yield
        finally:
            stage.seconds = time.monotonic() - stage.started

    def seconds(self) -> dict[str, float]:
        """Return how long each stage took that has ended."""
        return {stage.name: stage.seconds for stage in self._stages if stage.seconds is not None}

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for stage in list(self._stages):
            running = stage.seconds is None
            seconds = time.monotonic() - stage.started if running else stage.seconds
            said = last_line(stage.log) if running else "done"
            table.add_row(
                self._spinner if running else "", stage.name, f"{seconds:.0f} s", Text(said, no_wrap=True, style="dim")
            )
        return table


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES), os.SEEK_SET)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
