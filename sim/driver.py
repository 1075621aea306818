"""The C driver runs handwritten digits on the simulated core; all that it reads is compared with the oracle.

python -m sim.driver --images 50
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedNetwork
from golden.reference import Trace, run
from hw.build_folder import DIGITS, configure
from sim.inputs import Inputs, read_inputs
from sim.top_library import ENDS_SEQUENCE, ENDS_STEP, Device
from sim.verilate import SimulationError

#: ``enum egret_counter``
STEPS, EVENTS, MACS, STEP_EVENTS, STEP_MACS = 1, 6, 7, 8, 9
KINDS = ("outputs", "largest outputs", "states", "counters")


@dataclass
class Comparison:
    """How many numbers of each kind were compared, and how many of them differ."""

    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    differ: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def check(self, kind: str, got: np.ndarray, wanted: np.ndarray) -> None:
        if got.shape != wanted.shape:
            raise ValueError(f"{kind} of shape {got.shape}; the oracle has {wanted.shape}")
        self.compared[kind] += wanted.size
        self.differ[kind] += int((got != wanted).sum())


def run_images(device: Device, network: FixedNetwork, inputs: Inputs, trace: Trace, *, progress: bool) -> Comparison:
    """Run sequences step by step; compare outputs and counts of every step, and states of all but the last.

    Behind the end of a sequence states are 0, so there are none to read of its last step.
    """
    steps, batch, _ = inputs.integers.shape
    ends = np.zeros((steps, batch), bool)
    ends[-1] = True
    events = theoretical_events(trace, inputs.integers)
    macs = theoretical_macs(network, trace, inputs.integers, sequence_end=ends)
    outputs = trace.logits if trace.logits is not None else trace.y[-1]
    groups = range(events.shape[2])
    done = Comparison()
    device.call("egret_clear_counters")
    sequences = track(range(batch), "images", console=Console(stderr=True), transient=True, disable=not progress)
    for image in sequences:
        for step in range(steps):
            values = inputs.integers[step, image]
            sent = [(int(index), int(values[index])) for index in np.flatnonzero(values)]
            got, _ = device.run_step(sent, ENDS_SEQUENCE if ends[step, image] else ENDS_STEP)
            wanted = outputs[step, image]
            done.check("outputs", got, wanted)
            if wanted.any():
                best = int(wanted.argmax())
                done.check("largest outputs", np.array(device.best()), np.array([best, wanted[best]]))
            for kind, theory in ((STEP_EVENTS, events), (STEP_MACS, macs)):
                done.check("counters", np.array([device.counter(kind, g) for g in groups]), theory[step, image])
            if not ends[step, image]:
                states = device.states()
                for name, array in (("h", trace.h), ("fires", trace.fires)):
                    done.check("states", states[name], np.concatenate([layer[step, image] for layer in array]))
    for kind, theory in ((EVENTS, events), (MACS, macs)):
        done.check("counters", np.array([device.counter(kind, g) for g in groups]), theory.sum(axis=(0, 1)))
    done.check("counters", np.array(device.counter(STEPS)), np.array(steps * batch))
    return done


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sim.driver",
        description="Load the digits network with the C driver into egret.v, simulated, run real handwritten digits, "
        "and compare every output, state and counter that the driver reads with the integer oracle.",
    )
    parser.add_argument("--images", type=int, default=50, help="test images, 1 to 360 (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=8, help="lanes of the core (default: %(default)s)")
    parser.add_argument("--model", type=Path, default=DIGITS, help="model file (default: the bundled digits)")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        build = configure(options.model, options.lanes)
        network = build.compiled.network
        inputs = read_inputs(f"digits:{options.images}", network)
        trace = run(network, inputs.integers)
        with Console(stderr=True).status("compiling egret.v and the driver (a minute or two, once)"):
            device = Device(build.config)
        with device:
            device.load(build.compiled.words)
            done = run_images(device, network, inputs, trace, progress=True)
            fault, cycles = device.fault(), device.cycles
    except (ValueError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"{options.images} handwritten digits, run by the C driver", show_header=False)
    for kind in KINDS:
        table.add_row(f"{kind} that differ from the oracle's", f"{done.differ[kind]} of {done.compared[kind]:,}")
    table.add_row("the core's error", "none" if fault == (0, 0) else f"{fault[0]}, detail {fault[1]}")
    table.add_row("cycles simulated", f"{cycles:,}")
    console.print(table)
    return int(any(done.differ.values()) or fault != (0, 0))


if __name__ == "__main__":
    sys.exit(main())
