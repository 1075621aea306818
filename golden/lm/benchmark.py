"""Measure how fast language models train: seconds an epoch, and who computes the recurrence how much faster.

    python -m golden.lm.benchmark
    python -m golden.lm.benchmark --preset flagship --windows 20 --profile

Tokens are random; nothing is read or written. For each way of computing the steps it prints the milliseconds of a
window (forward, backward, optimizer), of its recurrent layers alone, and the seconds an epoch of Penn Treebank takes at
that pace, beside the plain loop over :mod:`golden.egru`. Runs take turns, so that all see the same machine; the best
turn counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from golden.lm.corpus import SIZES
from golden.lm.errors import ERRORS
from golden.lm.model import LanguageModel
from golden.lm.program import CHUNK
from golden.lm.recurrence import padded
from golden.lm.settings import PRESETS, Settings, preset
from golden.lm.steps import STEPS, choose_device, default_dtype, default_steps


class Candidate:
    """A model with one way of computing the steps, and what a window took each time."""

    def __init__(self, settings: Settings, steps: str, dtype: torch.dtype, device: torch.device, chunk: int) -> None:
        torch.manual_seed(0)
        self.settings, self.device = settings, device
        words, self.epoch_tokens = SIZES["ptb", settings.characters][:2]
        self.model = LanguageModel(words, settings).to(device)
        self.model.choose(steps, dtype, chunk)
        self.name = f"{steps}, {str(dtype).removeprefix('torch.')}" + f", {chunk}" * steps.endswith("-graph")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.tokens = torch.randint(words, (settings.bptt + 1, settings.batch), device=device)
        x = self.model.embedding(self.tokens[:-1]).detach()
        width = padded(x.shape[2], device) if self.model.padded else x.shape[2]
        self.x = functional.pad(x, (0, width - x.shape[2])).to(self.model.dtype)
        self.whole: list[float] = []
        self.layers: list[float] = []

    def window(self) -> None:
        """Train on one window."""
        output = self.model(self.tokens[:-1])
        self.model.loss(output.y, self.tokens[1:]).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def recurrence(self) -> None:
        """Go through the recurrent layers of one window, forward and backward."""
        y = self.model.recur(self.x, None).outputs[-1]
        y.backward(y.detach())
        self.optimizer.zero_grad(set_to_none=True)

    def measure(self, windows: int) -> None:
        """Add the mean milliseconds over some windows."""
        for run, kept in ((self.window, self.whole), (self.recurrence, self.layers)):
            kept.append(1000 * self._seconds(run, windows))

    def _seconds(self, run: Callable[[], None], windows: int) -> float:
        self._wait()
        began = time.perf_counter()
        for _ in range(windows):
            run()
        self._wait()
        return (time.perf_counter() - began) / windows

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golden.lm.benchmark", description="Measure how fast language models train."
    )
    parser.add_argument("--preset", choices=PRESETS, help="default: flagship on cuda, small elsewhere")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, help="default: plain and the fastest, on cuda both kinds of graphs"
    )
    parser.add_argument(
        "--profile", action="store_true", help="then show where a window of the last one spends its time"
    )
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=[CHUNK], metavar="N", help="of steps in graphs, each to be compared"
    )
    parser.add_argument("--windows", type=int, default=3, metavar="N", help="in a turn (default 3)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of each (default 3)")
    parser.add_argument("--threads", type=int, metavar="N", help="of a processor (default: one for each core)")
    parser.add_argument("--batch", type=int, metavar="N", help="default: the preset's")
    parser.add_argument("--layers", type=int, nargs="+", metavar="N", help="units of each, the last as the embedding")
    parser.add_argument("--bptt", type=int, metavar="N", help="default: the preset's")
    return parser.parse_args(arguments)


def candidates(options: argparse.Namespace) -> list[Candidate]:
    """Return what is to be measured, the plain loop first."""
    device = choose_device(options.device)
    cuda = device.type == "cuda"
    settings = Settings(**preset(options.preset or ("flagship" if cuda else "small"), "ptb", "egru"))
    layers = tuple(options.layers or settings.layers)
    settings = replace(
        settings, batch=options.batch or settings.batch, bptt=options.bptt or settings.bptt,
        layers=layers, embedding=layers[-1],
    )  # fmt: skip
    names = options.steps or (["plain", "triton-graph", "fused-graph"] if cuda else ["plain", default_steps(device)])
    made = []
    for name in names:
        dtypes = [torch.float32] if name == "plain" or not cuda else []
        dtypes += [torch.bfloat16] * (name != "plain" and default_dtype(device) == torch.bfloat16)
        for dtype in dtypes:
            for chunk in options.chunks if name.endswith("-graph") else options.chunks[:1]:
                made.append(Candidate(settings, name, dtype, device, chunk))
    return made


def rows(compared: list[Candidate]) -> list[tuple[str, ...]]:
    """Return the lines of the table, headings first; ratios are to the first candidate."""
    first = compared[0]
    lines: list[tuple[str, ...]] = [
        ("steps", "ms a window", "ms in layers", "s an epoch", "times faster", "times faster, layers")
    ]
    for each in compared:
        whole, layers = min(each.whole), min(each.layers)
        count = each.epoch_tokens / (each.settings.batch * each.settings.bptt)
        lines.append(
            (each.name, f"{whole:.2f}", f"{layers:.2f}", f"{whole * count / 1000:.2f}",
             f"{min(first.whole) / whole:.2f}", f"{min(first.layers) / layers:.2f}")
        )  # fmt: skip
    return lines


def describe(candidate: Candidate) -> str:
    tokens, settings = candidate.tokens, candidate.settings
    where = torch.cuda.get_device_name(tokens.device) if tokens.is_cuda else f"cpu, {torch.get_num_threads()} threads"
    words, features = candidate.model.embedding.weight.shape
    shape = "-".join(map(str, (features, *settings.layers)))
    known = f"{words} {'characters' if settings.characters else 'words'}"
    return f"{shape}, batch {settings.batch}, {settings.bptt} steps, {known}; {where}, torch {torch.__version__}"


def profile(candidate: Candidate) -> str:
    """Return a table of the kernels, or operations, in which one window spends most time."""
    cuda = candidate.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU, *[torch.profiler.ProfilerActivity.CUDA] * cuda]
    with torch.profiler.profile(activities=kinds) as found:
        candidate.measure(1)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    return found.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=70)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        compared = candidates(options)
        print(describe(compared[0]), flush=True)
        for turn in range(options.turns + 1):
            for each in compared:
                each.measure(options.windows)
                if turn == 0:  # compiling, capturing, first touch of memory
                    each.whole.clear()
                    each.layers.clear()
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = rows(compared)
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    if options.profile:
        print(profile(compared[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
