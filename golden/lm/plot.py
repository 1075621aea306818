"""Plot logs of language models: perplexity, with bits a token beside it, activity and sparsity over epochs.

python -m golden.lm.plot build/lm-ptb-egru/lm.jsonl --out curves.png
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

from golden.checkpoint import TrainingError
from golden.files import write_whole


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of the epochs in a log.

    Raises
    ------
    TrainingError
        If it cannot be read, or holds none.
    """
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        epochs = [record for record in records if "valid_perplexity" in record]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is no log of a language model ({type(error).__name__}); give the lm.jsonl of a run"
        ) from None
    if not epochs:
        raise TrainingError(f"{path} is no log of a language model (no epochs); give the lm.jsonl of a run")
    return epochs


def names(paths: Sequence[Path]) -> list[str]:
    """Return short names of logs: of their folders, of the files if these are in one, else whole paths."""
    for short in ([path.parent.name for path in paths], [path.stem for path in paths]):
        if len(set(short)) == len(paths):
            return short if len(paths) > 1 else ["run"]
    return [str(path) for path in paths]


def draw(logs: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw the logs, by name, over each other."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    perplexity, activity, sparsity = figure.subplots(1, 3)
    for color, (name, records) in enumerate(logs.items()):
        epochs = [record["epoch"] for record in records]
        style: dict[str, Any] = {"color": f"C{color}"}
        perplexity.plot(epochs, [record["valid_perplexity"] for record in records], label=f"{name}, valid", **style)
        perplexity.plot(epochs, [record["perplexity"] for record in records], ":", label=f"{name}, train", **style)
        for layer, shares in enumerate(zip(*(record["valid_activity"] for record in records), strict=True)):
            activity.plot(epochs, shares, ("-", "--", ":", "-.")[layer % 4], label=f"{name}, layer {layer}", **style)
        sparsity.plot(epochs, [record["sparsity"] for record in records], label=name, **style)
    perplexity.set_yscale("log")
    bits = perplexity.secondary_yaxis("right", functions=(np.log2, np.exp2))
    bits.yaxis.set_major_locator(MaxNLocator(6))
    bits.yaxis.set_major_formatter(ScalarFormatter())
    bits.yaxis.set_minor_locator(NullLocator())
    bits.set_ylabel("bits a token")
    for axes, title in ((perplexity, "perplexity"), (activity, "active units"), (sparsity, "pruned weights")):
        axes.set(title=title, xlabel="epoch")
        axes.legend(fontsize="x-small")
    return figure


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m golden.lm.plot", description="Plot logs of language models.")
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="lm.jsonl of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="picture to write")
    options = parser.parse_args(arguments)
    try:
        logs = {name: read_log(path) for name, path in zip(names(options.logs), options.logs, strict=True)}
        picture = io.BytesIO()
        draw(logs).savefig(picture, format=options.out.suffix[1:] or "png", dpi=120)
        write_whole(options.out, picture.getvalue())
    except (TrainingError, ValueError, OSError) as error:  # ValueError: matplotlib knows no such format
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
