"""The demonstration of a language model: the Verilated core continues a line of text, character by character.

python -m sim.demo_lm --text "the company said" --characters 200
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from golden.macs import fan_out, theoretical_macs
from golden.reference import Oracle
from hw.boards import BOARDS
from hw.build_folder import ROOT, Build, configure
from hw.fit import estimate
from hw.vendor import DEVICES
from sim.report import Comparison, compare
from sim.session import Session
from sim.verilate import SimulationError, compile_core

MODEL = ROOT / "models" / "ptb-char" / "ptb-char.safetensors"
TEXT = "the company said it "  #: that is continued where nobody types
DEVICE = "lfe5u-85f"
END = "\n"  #: what every text starts from


@dataclass
class Tally:
    """What was counted so far: characters read by the core, what each took, and how all compares with the oracle."""

    to_logits: list[int] = field(default_factory=list)  # cycles
    cycles: list[int] = field(default_factory=list)  # until nothing is under way any more
    events: list[int] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)
    theory: list[int] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return all(comparison.exact for comparison in self.comparisons)

    @property
    def first(self) -> str:
        """The first difference, in words."""
        for number, comparison in enumerate(self.comparisons):
            for difference in comparison.first:
                return f"character {number}: {difference}"
        return ""


class Speaker:
    """A network of characters on the Verilated core, the oracle beside it.

    Parameters
    ----------
    build : Build
        Of a model that :mod:`golden.lm.convert` made of a network of characters.
    session : Session
        On its core, with its image.

    Raises
    ------
    ValueError
        If the model is of no characters.
    """

    def __init__(self, build: Build, session: Session):
        self.network, self.session, self.tally = build.compiled.network, session, Tally()
        self.characters = characters_of(build)
        self._oracle = Oracle(self.network)
        self._state = self._oracle.initial_state(1)
        self._one = 1 << -self.network.input_exponent

    def read(self, character: str) -> np.ndarray:
        """Let core and oracle read a character; return the core's logits of the next one, float64 (characters,)."""
        inputs = np.zeros((1, 1, self.network.inputs), np.int64)
        inputs[..., self.characters.index(character)] = self._one
        trace = self._oracle.run(inputs, self._state)
        self._state = trace.state
        result = self.session.step(inputs[0, 0])
        (step,) = result.steps
        tally = self.tally
        tally.to_logits.append(int(step["output"] - step["first_input"] + 1))
        tally.cycles.append(result.cycles)
        tally.events.append(int(step["events"].sum()))
        tally.macs.append(int(step["macs"].sum()))
        tally.theory.append(int(theoretical_macs(self.network, trace, inputs).sum()))
        tally.comparisons.append(compare(self.network, trace, inputs, result, ends=False))
        return np.ldexp(
            result.dense_outputs(self.network.inputs)[0].astype(np.float64), self.network.readout.sum_exponent
        )


def characters_of(build: Build) -> str:
    """Return the characters that a model reads and writes, in the order of its inputs and outputs."""
    network, characters = build.compiled.network, build.model.provenance.get("characters", "")
    readout = 0 if network.readout is None else network.readout.units
    one_fits = 0 <= -network.input_exponent <= network.input_bits - 2
    if not characters or not len(characters) == network.inputs == readout or not one_fits:
        raise ValueError(
            f"model {build.model.name} is no network of characters; give one that python -m golden.lm.convert made of "
            "python -m golden.train lm --preset characters"
        )
    return characters


def spell(text: str, characters: str) -> str:
    """Return a text in a model's characters, in lower case where it has no upper case.

    Raises
    ------
    ValueError
        Naming the first character that it does not have.
    """
    spelt = [next((c for c in (character, character.lower()) if c in characters), "") for character in text]
    if "" in spelt:
        known = "".join(sorted(set(characters) - {END}))
        raise ValueError(f"the model does not know the character {text[spelt.index('')]!r}; it knows {known}")
    return "".join(spelt)


def choose(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """Draw an index by softmax of logits over a temperature; the largest logit's at temperature 0."""
    if temperature == 0:
        return int(logits.argmax())
    weights = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(logits), p=weights / weights.sum()))


def dense_macs(build: Build) -> int:
    """Return the MACs of a character in the dense network of this shape: one row of inputs, and every unit's list."""
    inputs, *layers = fan_out(build.compiled.network)
    return inputs.dense + sum(group.dense * len(group.forward) for group in layers)


def counters(build: Build, tally: Tally, frequency: float, dense: int) -> Table:
    """Return what was counted as a table for people."""
    table = Table(show_header=False)
    mean = {name: float(np.mean(getattr(tally, name))) for name in ("to_logits", "cycles", "events", "macs", "theory")}
    microseconds = mean["cycles"] / frequency
    efficiency = mean["macs"] / (build.config.lanes * mean["cycles"])
    sums = {
        name: sum(getattr(comparison, name) for comparison in tally.comparisons)
        for name in ("updates", "update_differences", "outputs", "output_differences", "count_differences")
    }
    for name, value in (
        ("characters read by the core", f"{len(tally.cycles):,}"),
        ("cycles a character, to its logits", f"{mean['to_logits']:,.0f} (worst {max(tally.to_logits):,})"),
        ("cycles a character, until all is done", f"{mean['cycles']:,.0f} (worst {max(tally.cycles):,})"),
        (f"time a character at {frequency:g} MHz", f"{microseconds:,.1f} us, {1e6 / microseconds:,.0f} a second"),
        ("lane efficiency, MACs / (lanes x cycles)", f"{efficiency:.3f}"),
        ("events a character", f"{mean['events']:,.1f} of {build.compiled.network.source_count:,} sources"),
        ("MACs a character, counted", f"{mean['macs']:,.0f}"),
        ("MACs a character, theory from the oracle's activity", f"{mean['theory']:,.0f}"),
        ("MACs a character, dense", f"{dense:,} ({dense / max(mean['macs'], 1):.1f} times as many)"),
        ("RTL against oracle, logits that differ", f"{sums['output_differences']} of {sums['outputs']:,}"),
        ("RTL against oracle, unit updates that differ", f"{sums['update_differences']} of {sums['updates']:,}"),
        ("steps whose counts differ from theory", f"{sums['count_differences']} of {len(tally.cycles):,}"),
    ):  # fmt: skip
        table.add_row(name, value)
    return table


def converse(build: Build, text: str, options: argparse.Namespace, console: Console) -> Tally:
    """Let the core read a text and continue it; show both, and the counters, as they grow."""
    rng, dense = np.random.default_rng(options.seed), dense_macs(build)
    frequency, shown = BOARDS[options.board].frequency, Text(text, "bold")
    with Session(build.config, build.compiled.words) as session, Live(console=console, refresh_per_second=8) as live:
        speaker = Speaker(build, session)

        def read(character: str) -> np.ndarray:
            logits = speaker.read(character)
            live.update(Group(shown, "", counters(build, speaker.tally, frequency, dense)))
            return logits

        for character in END + text:
            logits = read(character)
        for _ in range(options.characters):
            character = speaker.characters[choose(logits, options.temperature, rng)]
            shown.append(character)
            logits = read(character)
    return speaker.tally


def fit_line(build: Build) -> str:
    """Return a sentence of what the core takes of :data:`DEVICE`, by estimate."""
    found = estimate(build.config, DEVICES[DEVICE])
    verb = "fits" if found.fits else "does not fit"
    return f"by estimate it {verb} an {DEVICE.upper()}: it takes {found.told(list(found.takes))}"


def a_line(options: argparse.Namespace, characters: str, console: Console) -> str:
    """Return the text to continue, spelt: the option's, or what somebody types, or :data:`TEXT`.

    What is typed is asked for again until the model knows its characters; without a terminal nothing is.
    """
    while options.text is None and sys.stdin.isatty():
        try:
            return spell(console.input("begin a line, and the core continues it: ") or TEXT, characters)
        except ValueError as error:
            console.print(str(error))
        except EOFError:
            break
    return spell(TEXT if options.text is None else options.text, characters)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim.demo_lm",
        description="Build a network of characters for an ECP5-85F, let its Verilog read a line and continue it, and "
        "compare every logit, every unit's update and every count with the integer oracle. Exits with status 1 if "
        "anything differs.",
        epilog='example: python -m sim.demo_lm --text "the company said" --characters 100 --temperature 0',
    )
    parser.add_argument("--model", type=Path, default=MODEL, help="model file (default: the bundled network)")
    parser.add_argument("--text", help="to continue (default: typed at the terminal)")
    parser.add_argument("--characters", type=int, default=200, help="to write (default: %(default)s)")
    parser.add_argument(
        "--temperature", type=float, default=0.6, help="of drawing a character; 0: always the likeliest (default: 0.6)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of drawing characters (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=16, help="multiply-accumulates a cycle (default: %(default)s)")
    parser.add_argument("--board", choices=sorted(BOARDS), default="ulx3s-85f", help="whose clock (default: ulx3s-85f)")
    options = parser.parse_args(arguments)
    if options.characters < 0 or not 0 <= options.temperature < np.inf or options.seed < 0:
        parser.error("--characters, --temperature and --seed must be at least 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    try:
        with console.status("dealing the network to lanes"):
            build = configure(options.model, options.lanes, split_banks=False)
        characters = characters_of(build)
        weights = int(build.compiled.image.count.sum())
        units = " + ".join(str(layer.units) for layer in build.compiled.network.layers)
        console.print(
            f"{build.model.name}: {units} units, {weights:,} weights that are not 0, {build.config.lanes} lanes;"
        )
        console.print(fit_line(build))
        text = a_line(options, characters, console)
        with console.status("compiling the Verilog with Verilator (a minute or two, once)"):
            compile_core(build.config)
        tally = converse(build, text, options, console)
    except (ValueError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if tally.first:
        console.print(f"first difference: {tally.first}")
    return 0 if tally.exact else 1


if __name__ == "__main__":
    sys.exit(main())
