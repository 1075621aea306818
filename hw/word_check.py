"""What the words of a memory image are compared with, found out a cycle before the loader takes each."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from golden.image import MAGIC, VERSION, Kind
from hw.config import CoreConfig
from hw.vendor.generic import Relay

DESCRIPTION_BITS = 3  #: of an address in the description of a network or a layer
#: Fields of a network's record, in its order.
NETWORK_FIELDS = ("inputs", "layer_count", "readout", "rows", "output_base", "outputs")


#: Codes of each kind of record in its header; a state is not part of an image.
STATE_CODE = 12
KINDS = {
    "begin": [Kind.BEGIN], "network": [Kind.NETWORK], "layer": [Kind.LAYER], "directory": [Kind.DIRECTORY],
    "entry": [Kind.ENTRY], "unit": [Kind.UNIT, *(Kind.BIAS + gate for gate in range(len(GATES))), STATE_CODE],
    "state": [STATE_CODE], "end": [Kind.END],
}  # fmt: skip


def memory_depths(config: CoreConfig) -> dict[str, int]:
    """Return the rows of each kind of memory that an image fills."""
    return {"directory": config.sources, "entries": config.entries, "units": config.rows << config.lane_bits}


class Owner(data.Struct):
    """What there is of a record's number: a lane, a cell unit, a layer."""

    lane: 1
    cell: 1
    layer: 1


class RecordKind(data.Struct):
    """What kind of record a header begins, none if there is no such kind; ``unit``: or biases, or a state."""

    begin: 1
    network: 1
    layer: 1
    directory: 1
    entry: 1
    unit: 1
    state: 1
    end: 1


class Findings(data.Struct):
    """What there is to know of a word whatever it is: each field is meant for one kind of word."""

    no_header: 1
    kind: RecordKind
    owner: Owner
    inside: data.StructLayout({"directory": 1, "entries": 1, "units": 1})
    is_magic: 1
    is_version: 1
    is_config: 1
    has_wide_sums: 1  #: no wider than those here
    network: data.StructLayout(dict.fromkeys(NETWORK_FIELDS, 1))
    has_rows: 1
    has_row: 1
    is_description: 1  #: as an address: of a word of a description
    has_forward: 1
    has_recurrent: 1
    is_checksum: 1


def is_below(value: Value, limit: int) -> Value:
    """Return whether an unsigned value is less than a limit, with a carry chain no longer than the limit needs."""
    bits = (limit - 1).bit_length()
    return ~value[bits:].any() & (value[:bits] < limit)


class WordCheck(wiring.Component):
    """Compare a word with all that it could be compared with.

    One word a cycle, latency two cycles.

    Members
    -------
    word : In(32), checksum : In(32)
        The checksum of what came before, a cycle later.
    found : Out(Findings)
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({"word": In(32), "checksum": In(32), "found": Out(Findings)})

    def elaborate(self, platform):
        m = Module()
        config = self._config
        found = Signal(Findings, reset_less=True)
        # So many comparisons that each kind of them has the word in registers of its own.
        copies = []
        for name in ("codes", "values", "sizes", "rows"):
            m.submodules[f"word_of_{name}"] = relay = Relay(32)
            m.d.comb += relay.i.eq(self.word)
            copies.append(relay.o)
        code, value, word, rows = copies
        base, count, row_bits = rows[:16], rows[16:], config.rows.bit_length()
        limits = (config.sources, config.layers, 1, config.rows, config.sources, 65535)
        m.d.comb += self.found.eq(found)
        m.d.sync += [
            found.no_header.eq(code[28:].any() | (code[:16] == 0)),
            *(found.kind[name].eq(Cat(code[24:28] == one for one in codes).any()) for name, codes in KINDS.items()),
            found.owner.lane.eq(is_below(code[16:24], config.lanes)),
            found.owner.cell.eq(is_below(code[16:24], config.cell_units)),
            found.owner.layer.eq(is_below(code[16:24], config.layers)),
            *(found.inside[name].eq(is_below(word, depth)) for name, depth in memory_depths(config).items()),
            found.is_magic.eq(value == MAGIC),
            found.is_version.eq(value == VERSION),
            found.is_config.eq(value == config.config_id),
            found.has_wide_sums.eq(is_below(word, config.acc_bits + 1)),
            *(
                found.network[name].eq(is_below(word, most + 1) & (word.any() | (name == "readout")))
                for name, most in zip(NETWORK_FIELDS, limits, strict=True)
            ),
            # A sum of short numbers, as both are in range.
            found.has_rows.eq(
                count.any()
                & is_below(base, config.rows + 1)
                & is_below(count, config.rows + 1)
                & (base[:row_bits] + count[:row_bits] <= config.rows)
            ),
            found.has_row.eq(is_below(rows[10:26], config.rows)),
            found.is_description.eq(~word[DESCRIPTION_BITS:].any()),
            found.has_forward.eq(base.any()),
            found.has_recurrent.eq(base != count),
            found.is_checksum.eq(value == self.checksum),
        ]
        return m
