"""Plot logs of language models: perplexity, with bits a token beside it, activity and sparsity over epochs.

python -m golden.lm.plot build/lm-ptb-egru/lm.jsonl --out curves.png
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

from golden.checkpoint import TrainingError


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
        logs = {path.parent.name if len(options.logs) > 1 else "run": read_log(path) for path in options.logs}
        picture = io.BytesIO()
        draw(logs).savefig(picture, dpi=120)
        temporary = options.out.with_name(options.out.name + ".new")
        temporary.write_bytes(picture.getvalue())
        os.replace(temporary, options.out)
    except (TrainingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
