"""What a core tells of its outputs besides the largest, and input that it makes of them: ``docs/ranking.md``."""

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden import ranking
from hw.config import CoreConfig
from hw.event import INDEX_BITS, NULL_INDEX, InputBeat, OutputBeat
from hw.generate import Generate
from hw.log_probability import LogProbability
from hw.top_k import VALUE_BITS_MAX, TopK

#: Ports of :class:`hw.generate.Generate` that software has.
GENERATION = ("start", "stop", "limit", "wide", "value", "high_value", "end_word", "has_end_word", "busy", "count")


class Ranking(wiring.Component):
    """Stand between a core and its host, and rank the outputs of each step; see the three components.

    Outputs pass in the same cycle. All of them are ranked, also where ``argmax_only`` lets the largest alone pass: it
    takes the place of the step's last beat, and the core's own ``argmax_only`` must be low. To be held in reset while
    the core has no network; events pass all the same.

    Members
    -------
    host : In(stream.Signature(InputBeat)), i : Out(stream.Signature(InputBeat))
        Input of the host, to the core.
    o : In(stream.Signature(OutputBeat)), outputs : Out(stream.Signature(OutputBeat))
        Output of the core, to the host.
    best_index, best_value, best_valid : In
        As of :class:`hw.output.Output`.
    argmax_only : In(1)
    rank : In(4), index : Out(16), value : Out(signed(32)), found : Out(5)
        ``select``, ``index``, ``value`` and ``count`` of :class:`hw.top_k.TopK`.
    target : In(16), multiplier : In(18), shift : In(5), log2 : Out(signed(26)), saturated, target_seen : Out(1)
        Of :class:`hw.log_probability.LogProbability`.
    start, stop, limit, wide, generated_value, high_value, end_word, has_end_word : In; busy, count : Out
        Of :class:`hw.generate.Generate`, whose ``value`` is ``generated_value`` here.
    idle : Out(1)
        Nothing is generated, and all is told of the steps that have left.
    """

    def __init__(self, config: CoreConfig):
        self._config, self._generate = config, Generate(config)
        generate = self._generate.signature.members
        beats = stream.Signature(InputBeat(config)), stream.Signature(OutputBeat())
        super().__init__({
            "host": In(beats[0]), "i": Out(beats[0]), "o": In(beats[1]), "outputs": Out(beats[1]),
            "best_index": In(INDEX_BITS), "best_value": In(signed(VALUE_BITS_MAX)), "best_valid": In(1),
            "argmax_only": In(1),
            "rank": In(4), "index": Out(INDEX_BITS), "value": Out(signed(VALUE_BITS_MAX)), "found": Out(5),
            "target": In(INDEX_BITS), "multiplier": In(ranking.MULTIPLIER_BITS), "shift": In(5),
            "log2": Out(signed(ranking.RESULT_BITS)), "saturated": Out(1), "target_seen": Out(1),
            **{_named(name): generate[name] for name in GENERATION},
            "idle": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.generate = generate = self._generate
        m.submodules.top = top = TopK(self._config.ranked, value_bits=self._config.acc_bits)
        m.submodules.probability = probability = LogProbability()

        # The host's events, or words in their place.
        wiring.connect(m, wiring.flipped(self.host), generate.i)
        wiring.connect(m, generate.o, wiring.flipped(self.i))
        for name in GENERATION:
            mine, its = getattr(self, _named(name)), getattr(generate, name)
            m.d.comb += its.eq(mine) if generate.signature.members[name].flow is In else mine.eq(its)

        # Outputs are seen as the core hands them over.
        beat, taken, passes = self.o.payload, Signal(), Signal()
        m.d.comb += [
            passes.eq(~self.argmax_only | beat.last),
            self.outputs.valid.eq(self.o.valid & probability.ready & passes),
            self.o.ready.eq(probability.ready & (self.outputs.ready | ~passes)),
            self.outputs.payload.eq(beat),
            taken.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.argmax_only):
            m.d.comb += [
                self.outputs.payload.index.eq(self.best_index),
                self.outputs.payload.value.eq(self.best_value),
            ]
            with m.If(~self.best_valid):
                m.d.comb += [self.outputs.payload.index.eq(NULL_INDEX), self.outputs.payload.value.eq(0)]
        m.d.comb += [
            generate.done.eq(taken & beat.last),
            generate.best_index.eq(self.best_index),
            generate.best_valid.eq(self.best_valid),
            top.valid.eq(taken),
            top.beat.eq(beat),
            top.select.eq(self.rank),
            self.index.eq(top.index),
            self.value.eq(top.value),
            self.found.eq(top.count),
            probability.valid.eq(taken),
            probability.beat.eq(beat),
            *(getattr(probability, name).eq(getattr(self, name)) for name in ("target", "multiplier", "shift")),
            *(getattr(self, name).eq(getattr(probability, name)) for name in ("log2", "saturated", "target_seen")),
        ]

        # Of the two the probability is the later.
        untold = Signal(2)
        m.d.sync += untold.eq(untold + (taken & beat.last) - probability.done)
        m.d.comb += self.idle.eq((untold == 0) & ~generate.busy)
        return m


def _named(port: str) -> str:
    """Return the name of a port of generation among those of the other components."""
    return "generated_value" if port == "value" else port
