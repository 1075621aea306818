"""What a core built with ``--ranked`` tells of its outputs besides the largest, and input that it makes of them.

    device.ranking.largest()                                # indices and values, the largest first
    device.ranking.score(inputs, targets, exponent)         # log2 of the probability of an output of each step
    device.ranking.generate(20, value=100)                  # the best output as the next input, 20 times

Registers, one by one: docs/ranking.md. Numbers are those of :mod:`golden.ranking`, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware.core import PATIENCE
from firmware.requester import LinkError
from golden.fixed import VALUE_BITS_MAX
from golden.ranking import NONE, RESULT_BITS, LogProbability, scale

if TYPE_CHECKING:
    from firmware.host.device import Device

INDEX_MAX = (1 << 16) - 1  #: of an output, and of how many words are generated at once


class Ranking:
    """The ranking of a core; :attr:`firmware.host.device.Device.ranking`.

    Parameters
    ----------
    device : Device

    Raises
    ------
    LinkError
        If the core has none; by all methods, if the port or the core fails them.
    """

    def __init__(self, device: Device):
        self._device, self._core = device, device.core
        if not self._core.register("ranking")["largest"]:
            raise LinkError("this core does not rank its outputs; build one with hw.build --ranked K (docs/ranking.md)")

    def largest(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and values, int64 (k,), of the last step's largest outputs, the largest first.

        Of equal ones the lowest index first. As many as the core keeps, or all of a step that had fewer.
        """
        self._settle()
        ranks = range(self._core.register("ranking")["found"])
        words = self._core.select("rank_select", ranks, "rank_index", 2)
        indices, values = np.array(words, np.uint32).reshape(-1, 2).T
        return indices.astype(np.int64), values.view(np.int32).astype(np.int64)

    def score(
        self, inputs: ArrayLike, targets: ArrayLike, exponent: int, ends: bool | ArrayLike = True
    ) -> list[LogProbability]:
        """Run steps and return, of each, the log2 of its softmax at one output; only the largest output is taken.

        Parameters
        ----------
        inputs, ends
            As of :meth:`Device.run`.
        targets : int (steps,)
            The output that is asked for at each step: of a text, its next word.
        exponent : int
            Of the logits: ``network.readout.sum_exponent``.

        Raises
        ------
        ValueError
            If an argument has the wrong shape, or a value does not fit core or network. Nothing was sent.
        """
        values, ending = self._device.check_inputs(inputs, ends)
        wanted, most = np.asarray(targets), self._device.network.outputs - 1
        if wanted.shape != ending.shape or not np.issubdtype(wanted.dtype, np.integer):
            raise ValueError(f"targets are {wanted.dtype} {wanted.shape}; they must be integers ({len(ending)},)")
        if wanted.size and not 0 <= wanted.min() <= wanted.max() <= most:
            raise ValueError(f"targets are from {wanted.min()} to {wanted.max()}; they must be from 0 to {most}")
        scaled = scale(exponent)
        self._core.set_register("logit_scale", multiplier=scaled.multiplier, shift=scaled.shift - 1)
        told = []
        with self._largest_alone(), self._device.bar("running", len(values)) as advance:
            for number, target in enumerate(wanted.tolist()):
                self._core.set_register("target", index=target)  # taken with the step's first output
                step = slice(number, number + 1)
                list(self._device.packets(values[step], ending[step]))
                told.append(self._log_probability())
                advance(1)
        return told

    def generate(
        self, limit: int, *, value: int, high_value: int | None = None, end: int | None = None
    ) -> NDArray[np.int64]:
        """Let the core send itself the best output of each step as the next step; return these words, int64 (words,).

        The first one is the best output of the last step that was run; there are none behind a reset. Afterwards
        :attr:`Device.best` and :meth:`largest` tell of the step of the last word.

        Parameters
        ----------
        limit : int, 0 to 65535
            Words at most.
        value, high_value : int
            Of a word's event: a word t is ``(t, value)``, with ``high_value`` the two ``(2 t, high_value)`` and
            ``(2 t + 1, value)`` (:mod:`golden.lm.integer`).
        end : int, optional
            A word that ends the text; it is not sent.

        Raises
        ------
        ValueError
            If an argument does not fit core or network. Nothing was sent.
        """
        self._check(limit, value, high_value, end)
        self._settle()
        core, mask = self._core, (1 << VALUE_BITS_MAX) - 1
        words: list[int] = []
        best = core.register("best_index")["index"]
        core.set_register("generate_value", value=value & mask)
        core.set_register("generate_high", value=(high_value or 0) & mask)
        core.set_register("generate_end", index=end or 0)
        with self._largest_alone():
            core.set_register("generate", limit=limit, start=1, wide=high_value is not None, has_end=end is not None)
            while True:
                # An access takes longer than the core takes to decide what follows an output that has left.
                told = core.register("generated")
                if len(words) == told["count"] and not told["busy"]:
                    return np.array(words, np.int64)
                words.append(best)
                packet = core.receive()
                self._device.note(packet)
                if packet.events:  # a silent step has no best output, and ends it
                    best = packet.events[0][0]

    def _check(self, limit: int, value: int, high_value: int | None, end: int | None) -> None:
        network, bound = self._device.network, 1 << (self._device.identity.capacities["value_bits"] - 1)
        for name, number, low, high in (
            ("limit", limit, 0, INDEX_MAX),
            ("value", value, -bound, bound - 1),
            ("high_value", high_value, -bound, bound - 1),
            ("end", end, 0, network.outputs - 1),
        ):
            if number is not None and not low <= number <= high:
                raise ValueError(f"{name} is {number}; it must be from {low} to {high}")
        needed = network.outputs * (1 if high_value is None else 2)
        if needed > network.inputs:
            raise ValueError(
                f"the network has {network.inputs} inputs; to generate its {network.outputs} outputs it needs {needed}"
            )

    def _log_probability(self) -> LogProbability:
        self._settle()
        told = self._core.register("target_log2")
        log2 = told["log2"] - (told["log2"] >> (RESULT_BITS - 1) << RESULT_BITS)
        return LogProbability(log2 if told["found"] else NONE, bool(told["saturated"]), bool(told["found"]))

    @contextmanager
    def _largest_alone(self) -> Iterator[None]:
        """Let only the largest output of each step leave; all are ranked."""
        self._core.set_register("control", argmax_only=1)
        try:
            yield
        finally:
            self._core.set_register("control")

    def _settle(self) -> None:
        """Wait until everything is told of the last step."""
        for _ in range(PATIENCE):
            self._core.execute([])
            if self._core.status["idle"]:
                return
        raise LinkError("the core does not come to rest; take the outputs of all steps, or reset the core")
