"""What the words of a memory image are compared with, found out a cycle before the loader takes each."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from golden.image import MAGIC, VERSION, Kind
from golden.streamed import LIST_BEATS_MAX
from hw.config import CoreConfig
from hw.vendor.generic import Relay

DESCRIPTION_BITS = 3  #: of an address in the description of a network or a layer


def network_fields(config: CoreConfig) -> dict[str, tuple[int, int]]:
    """Return the fields of a network's record, in its order, with the least and the most that each may be."""
    fields = {
        "inputs": (1, config.sources), "layer_count": (1, config.layers), "readout": (0, 1), "rows": (1, config.rows),
        "output_base": (1, config.sources), "outputs": (1, 65535),
    }  # fmt: skip
    if config.streamed:
        fields |= {"input_beats": (0, LIST_BEATS_MAX), "dense_readout": (0, 1)}
    return fields


#: Codes of each kind of record in its header; a state is not part of an image.
STATE_CODE = 12
KINDS = {
    "begin": [Kind.BEGIN], "network": [Kind.NETWORK], "layer": [Kind.LAYER], "directory": [Kind.DIRECTORY],
    "entry": [Kind.ENTRY], "unit": [Kind.UNIT, *(Kind.BIAS + gate for gate in range(len(GATES))), STATE_CODE],
    "state": [STATE_CODE], "end": [Kind.END],
}  # fmt: skip


def kinds(config: CoreConfig) -> dict[str, list[int]]:
    """Return the codes of each kind of record that a core knows: without lists in lanes there are no entries."""
    return {name: [] if config.streamed and name == "entry" else codes for name, codes in KINDS.items()}


def memory_depths(config: CoreConfig) -> dict[str, int]:
    """Return the rows of each kind of memory that an image fills."""
    listed = config.lists if config.streamed else config.sources
    return {"directory": listed, "entries": config.entries, "units": config.rows << config.lane_bits}


class Owner(data.Struct):
    """What there is of a record's number: a lane (one where lists are in external memory), a cell unit, a layer."""

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


class Findings(data.StructLayout):
    """What there is to know of a word whatever it is: each field is meant for one kind of word.

    ``has_wide_sums``: no wider than those here; ``is_description``: as an address, of a word of a description;
    ``is_count``: of a list in external memory.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "no_header": 1, "kind": RecordKind, "owner": Owner,
            "inside": data.StructLayout({"directory": 1, "entries": 1, "units": 1}),
            "is_magic": 1, "is_version": 1, "is_config": 1, "has_wide_sums": 1,
            "network": data.StructLayout(dict.fromkeys(network_fields(config), 1)),
            "has_rows": 1, "has_row": 1, "is_description": 1, "has_forward": 1, "has_recurrent": 1, "is_checksum": 1,
            **({"is_count": 1} if config.streamed else {}),
        })  # fmt: skip


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
        super().__init__({"word": In(32), "checksum": In(32), "found": Out(Findings(config))})

    def elaborate(self, platform):
        m = Module()
        config = self._config
        found = Signal(Findings(config), reset_less=True)
        # So many comparisons that each kind of them has the word in registers of its own.
        copies = []
        for name in ("codes", "values", "sizes", "rows"):
            m.submodules[f"word_of_{name}"] = relay = Relay(32)
            m.d.comb += relay.i.eq(self.word)
            copies.append(relay.o)
        code, value, word, rows = copies
        base, count, row_bits = rows[:16], rows[16:], config.rows.bit_length()
        m.d.comb += self.found.eq(found)
        m.d.sync += [
            found.no_header.eq(code[28:].any() | (code[:16] == 0)),
            *(
                found.kind[name].eq(Cat(code[24:28] == one for one in codes).any())
                for name, codes in kinds(config).items()
            ),
            found.owner.lane.eq(is_below(code[16:24], 1 if config.streamed else config.lanes)),
            found.owner.cell.eq(is_below(code[16:24], config.cell_units)),
            found.owner.layer.eq(is_below(code[16:24], config.layers)),
            *(found.inside[name].eq(is_below(word, depth)) for name, depth in memory_depths(config).items()),
            found.is_magic.eq(value == MAGIC),
            found.is_version.eq(value == VERSION),
            found.is_config.eq(value == config.config_id),
            found.has_wide_sums.eq(is_below(word, config.acc_bits + 1)),
            *(
                found.network[name].eq(is_below(word, most + 1) & (word.any() | (least == 0)))
                for name, (least, most) in network_fields(config).items()
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
        if config.streamed:
            m.d.sync += found.is_count.eq(is_below(word, LIST_BEATS_MAX + 1))
        return m
