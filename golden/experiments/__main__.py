"""Run an experiment: train what it needs, write its JSON and its plot, print its table.

    python -m golden.experiments pruning --scale small --corpus ptb

``docs/experiments.md`` says what each shows.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

import torch
from rich.console import Console

from golden.experiments.runner import SCALES, Runner, TimeUpError
from golden.lm.errors import ERRORS
from golden.lm.steps import STEPS

NAMES = (
    "baselines", "pruning", "decay", "digits-decay", "multiplicativity", "ablations", "embedding", "last-layer",
    "others", "energy", "paper", "characters",
)  # fmt: skip
PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"


def experiment(name: str) -> ModuleType:
    """Return the module of an experiment, which has HELP, and ``run`` of a runner."""
    return importlib.import_module(f"golden.experiments.{name.replace('-', '_')}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    lines = "\n".join(f"  {name:<17} {experiment(name).HELP}" for name in NAMES)
    parser = argparse.ArgumentParser(
        prog="python -m golden.experiments",
        description="Run an experiment: train what it needs, write its JSON and its plot, print its table. What was\n"
        "trained is kept in OUT/runs, shared by all experiments, and not trained again; the same command goes on\n"
        "where it was stopped.",
        epilog=f"experiments:\n{lines}\n\nexample: python -m golden.experiments pruning --scale small --epochs 12",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME", help="one of the experiments below")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="small",
        help="preset of the networks (default small); tiny is a rehearsal; networks of characters have their own",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="networks of each kind (default 3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of a network from scratch (default: the preset's)")
    parser.add_argument(
        "--finetune", type=int, metavar="N", help="epochs after each level of pruning (default: a quarter of --epochs)"
    )
    parser.add_argument("--corpus", default="ptb", metavar="NAME", help="ptb, wikitext-2, or any folder in --data")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="folder of corpora (default data)"
    )
    parser.add_argument(
        "--tokens", type=int, metavar="N", help="use the first of the training text alone, a fourth of the others"
    )
    parser.add_argument("--out", type=Path, help="folder for all results (default build/experiments/SCALE-CORPUS)")
    parser.add_argument(
        "--write", action="store_true", help="also put the table into docs/experiments.md, JSON and plot beside it"
    )
    parser.add_argument(
        "--time-limit", type=float, metavar="MINUTES", help="stop before that; the same command goes on"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    parser.add_argument("--steps", choices=STEPS, help="who computes the recurrence (default: the fastest that works)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="of products (default: that of the steps)")
    parser.add_argument("--threads", type=int, metavar="N", help="of a processor (default: one for each core)")
    options = parser.parse_args(arguments)
    for name in ("seeds", "epochs", "finetune", "tokens", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; it must be at least 1")
    options.out = options.out or Path("build/experiments") / f"{options.scale}-{options.corpus}"
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        runner = Runner(options, console, characters=options.name == "characters")
        result = experiment(options.name).run(runner)
        stem = options.out / options.name
        result.write(stem, runner.origin())
        if options.write:
            result.put_into(PAGE, f"golden.experiments {options.name}", runner.origin()["command"])
            result.write(PAGE.parent / "experiments" / options.name, runner.origin())
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except TimeUpError:
        console.print("stopped at the time limit; the same command goes on")
        return 0
    console.print(result.table())
    console.print(f"written to {stem}.json and {stem}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
