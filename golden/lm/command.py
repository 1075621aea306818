"""The part of ``python -m golden.train`` that trains language models: options and tables."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from golden.checkpoint import TrainingError
from golden.fit import Record
from golden.lm import distributed
from golden.lm.corpus import load_corpus
from golden.lm.errors import ERRORS
from golden.lm.logged import LoggedRun, trainer_of
from golden.lm.settings import PRESETS, Settings, preset
from golden.lm.steps import STEPS, choose_device

EPILOG = """examples:
  python -m golden.train lm --corpus ptb --preset small --sparsity 0.85
  python -m golden.train lm --corpus ptb --preset characters
  python -m golden.train lm --corpus ptb --preset flagship --epochs 400 --time-limit 9 --out build/flagship --resume
  torchrun --nproc-per-node 4 -m golden.train lm --corpus wikitext-2 --preset flagship
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options: which corpus, where and how to run, then all settings."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", default="ptb", metavar="NAME", help="ptb, wikitext-2, or any folder in --data")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="folder of corpora (default data)"
    )
    parser.add_argument("--preset", choices=PRESETS, default="small", help="settings to start from (default small)")
    parser.add_argument(
        "--out", type=Path, help="folder for log, checkpoint and weights (default build/lm-CORPUS-CELL)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder, if there is one"
    )
    parser.add_argument("--init", type=Path, nargs="+", metavar="FILE", help="weights to start from; zeros stay pruned")
    parser.add_argument("--time-limit", type=float, metavar="MINUTES", help="stop with a checkpoint before this time")
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=1.0,
        metavar="MINUTES",
        help="least time between checkpoints (default 1)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    parser.add_argument("--steps", choices=STEPS, help="who computes the recurrence (default: the fastest that works)")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), help="of products (default: bfloat16 where it is faster)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of a processor (default: one for each core)")
    group = parser.add_argument_group("settings (defaults are those of the preset)")
    for item in fields(Settings):
        option, text = f"--{item.name.replace('_', '-')}", item.metadata["help"]
        if isinstance(item.default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
        elif isinstance(item.default, tuple):
            kind = int if item.name == "layers" else float
            group.add_argument(option, type=_numbers(kind), metavar="N,N,...", help=text)
        else:
            metavar = {int: "N", float: "X", str: "NAME"}[type(item.default)]
            group.add_argument(option, type=type(item.default), metavar=metavar, help=text)


def _numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def numbers(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(",") if part)

    return numbers


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the preset's settings, changed by the options that were given."""
    given = {item.name: getattr(options, item.name) for item in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    return Settings(**{**preset(options.preset, options.corpus, given.get("cell", "egru")), **given})


def run(options: argparse.Namespace) -> int:
    """Train; return the exit status."""
    began = time.monotonic()
    console = Console()
    try:
        settings = settings_of(options)
        device = distributed.start(choose_device(options.device).type)
        console.quiet = distributed.rank() > 0
        if options.threads is not None:
            if options.threads < 1:
                raise TrainingError(f"--threads is {options.threads}; it must be at least 1")
            torch.set_num_threads(options.threads)
        corpus = load_corpus(options.corpus, options.data, characters=settings.characters)
        trainer = trainer_of(settings, corpus, device, options.steps, options.precision, options.init)
        directory = options.out or Path("build") / f"lm-{options.corpus}-{settings.cell}"
        run_ = LoggedRun(trainer, directory, options, began)
        finished = run_.train(console)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    finally:
        distributed.stop()
    if finished:
        console.print(result_table(run_.metrics))
    else:
        console.print(f"stopped at the time limit after epoch {len(trainer.history) - 1}; --resume goes on")
    console.print(f"written to {directory}")
    return 0


def result_table(metrics: Record) -> Table:
    """Return the metrics of a run as a table for people."""
    table = Table(title=f"{metrics['sparsity']:.1%} of the prunable weights are zero")
    table.add_column("text")
    for column in ("perplexity", "bits a token", "activity of each layer", "MACs a token", "with decoder"):
        table.add_column(column, justify="right")
    for split in ("valid", "test"):
        row = metrics[split]
        activity = " ".join(f"{share:.1%}" for share in row["activity"])
        macs = (f"{row[name] / 1e6:.3f} M" for name in ("macs", "macs_with_decoder"))
        table.add_row(split, f"{row['perplexity']:.2f}", f"{row['bits']:.4f}", activity, *macs)
    return table
