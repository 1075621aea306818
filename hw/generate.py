"""Generation without a host: the word that a core finds most likely becomes its next input."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.event import INDEX_BITS, RESTORE_FLAG, InputBeat

COUNT_BITS = 16
UNDER_WAY_BITS = 6


class Generate(wiring.Component):
    """Pass on a host's input, and between its steps send words: each is the best output of the step before.

    Goes between a host's input stream and a core's. While nothing is generated, the host's beats pass in the same
    cycle, unchanged. ``start`` asks for ``limit`` words: once the host's step under way has ended, and all steps that
    the core has been sent are complete, the best output of the last one is sent as a step of input, and so on after
    each step. It ends behind the last beat of the last word; or, with nothing sent of it, where the best output is
    ``end_word``, a step had no output, or none was completed since the reset. The host's input waits meanwhile, and
    passes again from the next cycle on. The outputs of all steps leave the core as always: the best one of the last
    word's step is for the host.

    The first beat of a word is offered 2 cycles after ``done`` of the step before; a word is 1 or 2 beats, one a cycle.
    Without ``done``, as of a core without a network, generation waits until ``stop``. It is to be reset with the core.

    Parameters
    ----------
    config : CoreConfig
        Of the core; for the width of a value.

    Members
    -------
    i : In(stream.Signature(InputBeat)), o : Out(stream.Signature(InputBeat))
        Nothing of the host's input passes in the middle of a word, and no word in the middle of a host's step; that
        begins with a beat that neither restores a state nor ends a step. The host is held back, too, while
        ``2**6 - 1`` steps are under way, far more than a core takes.
    done : In(1), best_index : In(16), best_valid : In(1)
        A step is complete, and what its best output was: when the last beat of its output is transferred, with
        ``best_index`` and ``best_valid`` of :class:`hw.output.Output`, which are this step's then.
    start : In(1)
        Ask for generation, for one cycle or more; taken while ``busy`` is low.
    stop : In(1)
        End it before the next word, and forget what is asked for; for one cycle or more.
    limit : In(16)
        Words to send; taken with ``start``.
    wide : In(1), value, high_value : In(signed(value_bits))
        A word ``t`` is the event ``(t, value)``; if ``wide`` the events ``(2 t, high_value)``, ``(2 t + 1, value)``,
        see :mod:`golden.lm.integer`; all of them are sources below ``2**15``. They stay while ``busy``, as the
        following.
    end_word : In(16), has_end_word : In(1)
        The word that ends a text.
    busy : Out(1)
        Generation is asked for or goes on.
    count : Out(16)
        Words sent since ``start``.
    """

    def __init__(self, config: CoreConfig):
        value = signed(config.value_bits)
        beats = stream.Signature(InputBeat(config))
        super().__init__({
            "i": In(beats), "o": Out(beats), "done": In(1), "best_index": In(INDEX_BITS), "best_valid": In(1),
            "start": In(1), "stop": In(1), "limit": In(COUNT_BITS),
            "wide": In(1), "value": In(value), "high_value": In(value),
            "end_word": In(INDEX_BITS), "has_end_word": In(1), "busy": Out(1), "count": Out(COUNT_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # Steps that the core was sent and has not completed; what the last one it completed found.
        under_way, word, has_word = Signal(UNDER_WAY_BITS), Signal(INDEX_BITS), Signal()
        sent, full, completes = Signal(), Signal(), Signal()
        m.d.comb += [
            sent.eq(self.o.valid & self.o.ready & self.o.payload.last),
            completes.eq(self.done & (under_way != 0)),
            full.eq(under_way.all()),
        ]
        m.d.sync += under_way.eq(under_way + sent - completes)
        with m.If(completes):
            m.d.sync += [word.eq(self.best_index), has_word.eq(self.best_valid)]

        # The host's beats.
        passing, passes, within, offered = Signal(), Signal(), Signal(), Signal()
        host = self.i.payload
        m.d.comb += [passes.eq(passing & ~full), offered.eq(self.i.valid & passes)]
        with m.If(offered & self.o.ready):
            m.d.sync += within.eq(~host.last & (within | ~host.index[RESTORE_FLAG.bit_length() - 1]))

        # The words, of which the first event of two is the even one.
        left, first, stopped = Signal(COUNT_BITS), Signal(), Signal()
        ends, sends, waits = Signal(), Signal(), Signal()
        is_end = ~has_word | (self.has_end_word & (word == self.end_word))
        m.d.comb += ends.eq((left == 0) | is_end)
        o = self.o.payload
        m.d.comb += [
            self.o.valid.eq(offered | sends),
            self.i.ready.eq(passes & self.o.ready),
            o.eq(host),
        ]
        with m.If(sends):
            m.d.comb += [
                o.index.eq(Mux(self.wide, (word << 1) | ~first, word)),
                o.value.eq(Mux(self.wide & first, self.high_value, self.value)),
                o.last.eq(~(self.wide & first)),
                o.user.eq(0),
            ]

        with m.If(self.stop):
            m.d.sync += stopped.eq(1)
        with m.FSM():
            with m.State("PASS"):
                m.d.comb += passing.eq(1)
                with m.If(~self.busy):
                    m.d.sync += [self.busy.eq(self.start), stopped.eq(self.stop)]
                    with m.If(self.start):
                        m.d.sync += [self.count.eq(0), left.eq(self.limit)]
                with m.Elif(stopped):
                    m.d.sync += self.busy.eq(0)
                # No step is under way that would have to be finished, and no beat offered that would have to stay.
                with m.Elif(Mux(offered, self.o.ready & host.last, ~within)):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += waits.eq(1)
                with m.If(stopped | ((under_way == 0) & ends)):
                    m.d.sync += self.busy.eq(0)
                    m.next = "PASS"
                with m.Elif(under_way == 0):
                    m.d.sync += first.eq(1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += sends.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += first.eq(0)
                    with m.If(o.last):
                        m.d.sync += [left.eq(left - 1), self.count.eq(self.count + 1)]
                        m.next = "WAIT"
                        with m.If(left == 1):
                            m.d.sync += self.busy.eq(0)
                            m.next = "PASS"
        return m
