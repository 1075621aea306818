"""``python -m sim.run --input text``: its options, and the run from them to the table."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from golden.lm.corpus import SPLITS
from golden.lm.native import CompilerError
from hw.fit_lanes import default_cell_units
from sim.long_report import exact, figures, result_table, sentence
from sim.long_run import RESULT, Folder, Record, describe, plan, run_here, write_text
from sim.memories import IDEAL, MEMORIES, pack
from sim.text import Text, read_text
from sim.text_core import Chunk, Setup, TextCore, configure
from sim.verilate import SimulationError

ROOT = Path("build") / "text"  #: of results folders that nobody names
CHUNK_MIN = 2  #: the first token of a text takes longer where another one follows


def add_arguments(parser: argparse.ArgumentParser) -> set[str]:
    """Add the options of long runs; return their names, those that mean nothing with another input."""
    group = parser.add_argument_group(
        "long runs of text (--input text)",
        "A language model, trained weights or integers, reads a text token by token; every unit, logit and count is "
        "compared with the oracle. Chunks of tokens are checked one by one and kept in a folder; a run that is "
        "stopped goes on from them with --resume.",
    )
    add = group.add_argument
    taken = [
        add("--corpus", default="ptb", metavar="NAME", help="folder of the text in --data (default: ptb)"),
        add("--data", type=Path, default=Path("data"), metavar="DIR", help="folder of corpora (default: data)"),
        add("--split", choices=SPLITS, default="test", help="which text of it (default: test)"),
        add("--tokens", type=int, metavar="N", help="only the first so many words or characters of it"),
        add("--sequences", type=int, default=1, metavar="K", help="cut the text into so many (default: 1)"),
        add("--chunk", type=int, default=50, metavar="N", help="tokens checked and kept at a time (default: 50)"),
        add("--jobs", type=int, default=1, metavar="N", help="simulations side by side (default: 1)"),
        add("--lists", choices=("auto", "chip", "memory"), default="auto", help="where lists are (default: on chip if "
            "an ECP5-85F has room for them, else in external memory)"),
        add("--memory", choices=("ideal", *MEMORIES), default="ideal", help="external memory (default: ideal)"),
        add("--core-mhz", type=float, default=100.0, metavar="F", help="clock of the core (default: 100)"),
        add("--weight-bits", type=int, choices=(8, 4), help="of trained weights: integers of so many (default: 8)"),
        add("--row-bits", type=int, choices=(16, 8), help="of trained weights: of the embedding's rows (default: 16)"),
        add("--out", type=Path, metavar="DIR", help=f"results folder (default: one in {ROOT}, named by what is run)"),
        add("--resume", action="store_true", help="go on with the results folder if it is there"),
        add("--scheduler", metavar="ADDRESS", help="run chunks on the workers of a dask scheduler, such as "
            "tcp://host:8786 (extra `distributed`)"),
    ]  # fmt: skip
    return {action.dest for action in taken}


def run_text(options: argparse.Namespace, console: Console) -> int:
    """Run what the options say; return the exit status: 1 at any difference, 2 at bad input, 130 if stopped.

    SIGTERM stops it as Ctrl-C does, which does not reach a program in the background.
    """
    folder, before = None, signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        text, setup = _prepare(options, console)
        core = TextCore(text.network, text.activity, setup)
        with console.status("compiling the Verilog with Verilator (a minute or two, once)"):
            model = core.build()
        run = describe(text, setup, model, options.chunk)
        out = options.out or ROOT / f"{text.model.name}-{run['digest'][:8]}"
        folder = Folder(out, run, resume=options.resume)
        done = _run(options, text, core, folder)
    except (ValueError, SimulationError, CompilerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = f"; {len(folder.records)} chunks are in {folder.path}, --resume goes on" if folder else ""
        print(f"stopped{kept}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    console.print(result_table(run, done))
    console.print(f"all figures: {out / RESULT}", soft_wrap=True)
    if done["first_difference"]:
        console.print(f"first difference: {sentence(done['first_difference'], text.unit)}", soft_wrap=True)
    return 0 if exact(done) else 1


def _prepare(options: argparse.Namespace, console: Console) -> tuple[Text, Setup]:
    """Check the options before anything takes time; read model and text, and choose a core."""
    for name, least in (("chunk", CHUNK_MIN), ("jobs", 1)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} is {getattr(options, name)}; it must be at least {least}")
    if options.json and not options.json.absolute().parent.is_dir():
        raise ValueError(f"cannot write {options.json}: there is no folder {options.json.parent}; make it first")
    memory = IDEAL.name if options.memory == "ideal" else options.memory
    pack(MEMORIES[memory], core_mhz=options.core_mhz)  # raises where the clock is wrong
    cell_units = options.cell_units or default_cell_units(max(options.lanes, 1))
    text = read_text(options, console)
    config = configure(text.network, text.activity, lanes=options.lanes, cell_units=cell_units, lists=options.lists)
    return text, Setup(config, options.mode, memory, options.core_mhz)


def _run(options: argparse.Namespace, text: Text, core: TextCore, folder: Folder) -> Record:
    """Run the chunks that are missing, and return the figures of all."""

    def missing() -> Iterator[Chunk]:
        there = set(folder.records)
        return (chunk for chunk in plan(text, options.chunk) if (chunk.sequence, chunk.number) not in there)

    tokens = sum(len(record["tokens"]) for record in folder.records.values())
    with _progress(text, tokens) as tell:

        def keep(record: Record) -> None:
            folder.add(record)
            tell(record)

        if options.scheduler:
            from sim.distributed import run_there

            run_there(options.scheduler, text, core, missing(), keep, begin=folder.create)
        else:
            folder.create()
            run_here(core, missing(), options.jobs, keep)
    done = figures(folder.run, folder.records.values())
    if done["tokens"] != text.inputs.size:
        raise ValueError(f"{folder.path} has {done['tokens']} tokens of {text.inputs.size}; run them with --resume")
    folder.finish(done)
    if options.json:
        write_text(options.json, json.dumps({"run": folder.run, **done}, indent=1) + "\n")
    return done


@contextmanager
def _progress(text: Text, tokens: int) -> Iterator[Callable[[Record], None]]:
    """Show a bar that begins at so many tokens; yield what moves it on by a chunk's record."""
    columns = (
        TextColumn("simulating"), BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + text.unit + "s"),
        TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    console, began, before = Console(stderr=True), time.monotonic(), tokens
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=text.inputs.size, completed=tokens, rate="", left="")

        def tell(record: Record) -> None:
            nonlocal tokens
            tokens += len(record["tokens"])
            rate = (tokens - before) / max(time.monotonic() - began, 1e-9)
            left = timedelta(seconds=round((text.inputs.size - tokens) / rate))
            bar.update(task, completed=tokens, rate=f"{rate:,.2f} a second", left=f"{left} left")
            if record["first_difference"]:
                console.print(f"difference: {sentence(record['first_difference'], text.unit)}", soft_wrap=True)

        yield tell
