"""Prove the properties of the hardware: ``python -m formal``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from formal import (
    accumulate,
    broadcast,
    bus,
    cell_group,
    drains,
    fanout,
    lists,
    output,
    paths,
    queue,
    ranking,
    wishbone,
)
from formal.proof import ToolError, find_tools

PROOFS = [
    proof
    for subject in (
        paths,
        queue,
        bus,
        broadcast,
        fanout,
        lists,
        accumulate,
        drains,
        cell_group,
        output,
        ranking,
        wishbone,
    )  # fmt: skip
    for proof in subject.PROOFS
]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m formal",
        description="Prove properties of the hardware with SymbiYosys, for all inputs: by k-induction where the table "
        "says so, else for all runs of as many cycles as it says. Every cover of a proof must be reached, too.",
        epilog="example: python -m formal --only queue",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only proofs whose name contains this")
    parser.add_argument("--list", action="store_true", help="list the proofs and check none")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/formal"),
        help="folder for designs, logs and traces (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    options.proofs = [proof for proof in PROOFS if options.only in proof.name]
    if not options.proofs:
        parser.error(f"no proof's name contains {options.only!r}; --list shows them all")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if everything holds, 1 if something does not, 2 if a tool is missing."""
    options = parse(arguments)
    table = Table("proof", *(Column(name, no_wrap=True) for name in ("mode", "depth", "covers", "seconds", "result")))
    work, failures = options.work.resolve(), []
    try:
        if not options.list:
            find_tools(work)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for proof in progress.track(options.proofs, description="proofs"):
                row = [proof.name, proof.mode, str(proof.depth)]
                if not options.list:
                    outcome = proof.check(work)
                    if not outcome.holds:
                        failures.append(f"{proof.name}: {outcome.reason}")
                    row += [
                        str(outcome.covers),
                        f"{outcome.seconds:.1f}",
                        "holds" if outcome.holds else "[red]fails[/red]",
                    ]
                table.add_row(*row)
    except (ToolError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console().print(table)
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
