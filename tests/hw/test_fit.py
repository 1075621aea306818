"""The estimate against what is built and what was measured."""

import functools
import io
import json
import operator
import re
from dataclasses import replace

import pytest
from amaranth import Module, signed
from amaranth.back import rtlil
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from rich.console import Console

from hw import calibrate, fit, fit_blocks
from hw.area import COMPONENTS
from hw.bare import BareCore
from hw.cell_group import CellGroup
from hw.config import CoreConfig
from hw.emit import emit
from hw.fit import Estimate, coefficients, covers, estimate
from hw.fit_blocks import inventory
from hw.fit_logic import sizes
from hw.fit_points import Point
from hw.flow import Report, Step, synthesize
from hw.queue import Queue
from hw.report import describe, print_report
from hw.uart_top import UartTop
from hw.vendor import DEVICES, rules
from hw.vendor.generic import Multiplier, PartedMemory, PipelinedMemory
from tests.hw.pins import Together

BLOCKS = {
    "ecp5": {"RAM": "DP16KD", "multiplier": "MULT18X18D"},
    "ice40": {"RAM": "SB_RAM40_4K", "SPRAM": "SB_SPRAM256KA", "multiplier": "SB_MAC16"},
    "gowin": {"RAM": "SDPX?9?B", "multiplier": "MULT18X18"},
}  # fmt: skip
ECP5, UP5K, GOWIN = DEVICES["lfe5u-85f"], DEVICES["up5k"], DEVICES["gw2a-18"]


def built(component, device) -> dict[str, int]:
    """Return how many blocks of each kind are instances in a component."""
    text = rtlil.convert(component, name="top", platform=device, emit_src=False)
    return {
        resource: count for resource, kind in BLOCKS[device.family].items()
        if (count := len(re.findall(rf"cell \\{kind} ", text)))
    }  # fmt: skip


class Memories(Component):
    """Memories that are left to Yosys, side by side: (bits, rows, written bit by bit)."""

    SHAPES = ((16, 64, False), (20, 256, False), (24, 512, False), (16, 128, True))

    def __init__(self):
        members = {"read_addr": In(10), "write_addr": In(10), "data": In(24), "en": In(24), "o": Out(24)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        words = []
        for k, (bits, rows, by_bits) in enumerate(self.SHAPES):
            m.submodules[f"memory_{k}"] = memory = Memory(shape=bits, depth=rows, init=(), attrs={"no_rw_check": 1})
            read, write = memory.read_port(), memory.write_port(**({"granularity": 1} if by_bits else {}))
            m.d.comb += [
                read.addr.eq(self.read_addr), write.addr.eq(self.write_addr), write.data.eq(self.data),
                write.en.eq(self.en),
            ]  # fmt: skip
            words.append(read.data)
        m.d.sync += self.o.eq(functools.reduce(operator.xor, words))
        return m


class TestBlocks:
    @pytest.mark.parametrize(
        ("device", "options"),
        [
            (ECP5, {"lanes": 2, "cell_units": 1, "rows": 32, "entries": 3072, "layers": 2}),
            (ECP5, {"lanes": 1, "cell_units": 1, "rows": 600, "entries": 20480, "sources": 1500, "layers": 2,
                    "acc_bits": 29, "value_bits": 17, "y_bits": 16, "forwarding": True, "counters": False}),
            (UP5K, {"lanes": 1, "cell_units": 1, "rows": 300, "entries": 1024, "layers": 2, "weight_bits": 4}),
            (GOWIN, {"lanes": 1, "cell_units": 1, "rows": 8, "entries": 1024, "sources": 16, "layers": 2,
                     "split_banks": True, "counters": False}),
            (ECP5, {"lanes": 4, "cell_units": 2, "rows": 32, "entries": 1024, "layers": 2, "hops": 2,
                    "distributed_cells": True}),
            (ECP5, {"lanes": 2, "cell_units": 1, "rows": 16, "layers": 2, "gap_bits": 4, "lists": 100}),
            (ECP5, {"lanes": 3, "cell_units": 1, "rows": 600, "sources": 8192, "acc_bits": 28, "layers": 2, "hops": 2,
                    "gap_bits": 5, "lists": 5000, "port_bits": 512, "split_banks": True, "counters": False}),
        ],
        ids=("ecp5", "ecp5-stacked", "up5k", "gowin-distributed", "ecp5-distributed-cells", "ecp5-streamed",
             "ecp5-streamed-stacked"),
    )  # fmt: skip
    def test_core(self, device, options):
        config = CoreConfig(**options)
        found = inventory(config, device.family, host_link=False)
        assert found.totals == built(BareCore(config), device)

    @pytest.mark.parametrize("ranked", [0, 3])
    def test_host_link(self, ranked):
        config = CoreConfig(lanes=1, cell_units=1, layers=2, counters=False, ranked=ranked)
        found = inventory(config, "ecp5", host_link=True)
        assert found.totals == built(UartTop(config, clock_hz=50e6, baud=1_000_000), ECP5)

    @pytest.mark.parametrize("lanes", [1, 5])
    def test_compact_core(self, lanes):
        """Its other memories are left to Yosys: see below."""
        options = {"lanes": lanes, "cell_units": 1, "entries": 4096, "sources": 4096, "layers": 2, "counters": False}
        found = inventory(CoreConfig(compact=True, **options), "ice40", host_link=True).totals
        made = built(UartTop(CoreConfig(compact=True, **options), clock_hz=50e6, baud=1_000_000), UP5K)
        assert (found["SPRAM"], found["multiplier"]) == (made["SPRAM"], made["multiplier"]) == (2 * lanes, lanes + 1)

    def test_memories_left_to_yosys(self, tmp_path):
        netlist = synthesize(emit(Memories(), "top"), "top", UP5K, tmp_path)
        cells = json.loads(netlist.read_text())["modules"]["top"]["cells"].values()
        blocks = 0
        for bits, rows, by_bits in Memories.SHAPES:
            memory = fit_blocks.Memory("", 1, 1, rows, parts=bits) if by_bits else fit_blocks.Memory("", 1, bits, rows)
            blocks += fit_blocks.Inventory.of([memory], "ice40").totals["RAM"]
        assert blocks == sum(cell["type"].startswith("SB_RAM40_4K") for cell in cells)

    def test_queue_of_results(self, tmp_path):
        """None counts for a cell unit's queue: it takes no block RAM, which Yosys would choose if it were not told."""
        group = CellGroup(CoreConfig(hops=2), 0)
        queue = Queue(shape=group.results.payload.shape(), depth=CellGroup.RESULTS_DEPTH)
        netlist = synthesize(emit(Together(queue=queue), "top", ECP5), "top", ECP5, tmp_path)
        cells = json.loads(netlist.read_text())["modules"]["top"]["cells"].values()
        assert not any(cell["type"] == BLOCKS["ecp5"]["RAM"] for cell in cells)

    @pytest.mark.parametrize("device", [ECP5, UP5K, GOWIN], ids=lambda device: device.name)
    def test_memories_and_products(self, device):
        def count(number, resource):
            return {resource: number} if number else {}

        of_family = rules(device.family)
        for bits, depth in ((1, 16), (24, 16), (24, 17), (20, 1025), (13, 9000), (50, 300)):
            blocks = sum(column.stack for column in of_family.RULES.columns(bits, depth))
            assert built(PipelinedMemory(shape=bits, depth=depth), device) == count(blocks, "RAM"), (bits, depth)
            blocks = sum(column.stack for column in of_family.RULES.columns(bits, depth, distributed=True))
            assert (blocks > 0) == (device is UP5K)
            memory = PipelinedMemory(shape=bits, depth=depth, distributed=True)
            assert built(memory, device) == count(blocks, "RAM"), (bits, depth)
        for bits, depth in ((16, 64), (24, 256), (29, 512), (24, 513)):
            blocks = 4 * sum(column.stack for column in of_family.RULES.columns(bits, depth))
            if of_family.RULES.stores_parts(depth):
                blocks = of_family.RULES.part_blocks(bits, 4)
            memory = PartedMemory(shape=signed(bits), parts=4, depth=depth)
            assert built(memory, device) == count(blocks, "RAM"), (bits, depth)
            memory = PartedMemory(shape=signed(bits), parts=4, depth=depth, distributed=True)
            assert not built(memory, device) or device is UP5K, (bits, depth)
        for a, b in ((4, 9), (7, 17), (8, 17), (16, 18), (19, 8)):
            is_block = of_family.is_block_product(signed(a), signed(b))
            assert built(Multiplier(signed(a), signed(b)), device) == count(is_block, "multiplier"), (a, b)


class TestMeasured:
    """Against the cores that ``python -m hw.calibrate`` measured and did not fit."""

    @pytest.mark.parametrize("core", coefficients()["held_out"], ids=lambda core: core["target"])
    def test_held_out(self, core):
        point = Point(core["target"], CoreConfig(**core["config"]))
        found = estimate(point.config, point.device, host_link=point.host_link).takes
        for resource, count in core["takes"].items():
            within = 0.15 if resource in ("LUT", "FF") else 0
            assert found.get(resource, 0) == pytest.approx(count, rel=within), resource

    def test_held_out_is_not_fitted(self):
        fitted, held_out = (
            [Point(core["target"], CoreConfig(**core["config"])) for core in coefficients()[kind]]
            for kind in ("fitted", "held_out")
        )
        assert {point.model for point in held_out} >= set(calibrate.OWN)
        assert not {point.name for point in fitted} & {point.name for point in held_out}

    def test_every_fitted_core_has_its_blocks(self):
        for core in coefficients()["fitted"]:
            point = Point(core["target"], CoreConfig(**core["config"]))
            found = estimate(point.config, point.device, host_link=point.host_link).takes
            blocks, made = (
                {name: n for name, n in takes.items() if n and name not in ("LUT", "FF")}
                for takes in (found, core["takes"])
            )
            assert blocks == made, core

    def test_every_fitted_core_is_told_again(self):
        """What the file was fitted by are these sizes, not earlier ones."""
        for core in coefficients()["fitted"]:
            point = Point(core["target"], CoreConfig(**core["config"]))
            found = estimate(point.config, point.device, host_link=point.host_link).takes
            for resource in core["takes"].keys() & {"LUT", "FF"}:
                assert found[resource] == pytest.approx(core["takes"][resource], rel=0.07), core

    @pytest.mark.parametrize("model", ["ecp5", "gowin", "ice40", "ice40-compact"])
    def test_every_size_has_a_coefficient(self, model):
        family, *compact = model.split("-")
        config = CoreConfig(lanes=2, cell_units=1, compact=bool(compact), counters=not compact)
        cores = [(config, False), (config, True)]
        if family == fit.BASE:
            cores += [(replace(config, gap_bits=4, lists=9), False), (replace(config, ranked=2), True)]
        labels = set()
        for core, host_link in cores:
            parts = sizes(core, inventory(core, family, host_link=host_link), host_link=host_link)
            labels |= parts.keys()
            for of_components in coefficients()["models"][model]["logic"].values():
                assert all(each.keys() <= of_components[component].keys() for component, each in parts.items())
        missing = {"list fetch", "read master", "beat spreader", "ranking"} if family != fit.BASE else set()
        missing |= {"queue of a lane", "counters"} if compact else set()
        assert labels == {label for _, label in COMPONENTS} - missing


class TestEstimate:
    def test_device_without_room(self):
        takes = {"LUT": 25_000, "FF": 100, "RAM": 57, "multiplier": 28}
        found = Estimate(DEVICES["lfe5u-25f"], takes, 80)
        assert found.over == ["LUT", "RAM"] and not found.fits
        assert found.told(found.over) == "25,000 of 24,288 LUTs and 57 of 56 block RAMs"
        assert found.told(["multiplier"]) == "28 of 28 multipliers"
        full = replace(found, takes=takes | {"LUT": 24_288, "RAM": 56})
        assert full.fits and full.crowded == ["LUT"]

    def test_more_of_anything_takes_more(self):
        base = CoreConfig(lanes=4, cell_units=2, layers=3)
        least = estimate(base, ECP5).takes
        for more in (
            {"lanes": 8}, {"cell_units": 4}, {"layers": 8}, {"acc_bits": 32}, {"hops": 2}, {"queue_depth": 64},
            {"forwarding": True}, {"rows": 512},
        ):  # fmt: skip
            found = estimate(replace(base, **more), ECP5).takes
            assert found["LUT"] > least["LUT"] and found["RAM"] >= least["RAM"], more
        assert estimate(replace(base, counters=False), ECP5).takes["FF"] < least["FF"]
        assert estimate(base, ECP5, host_link=True).takes["RAM"] == least["RAM"] + 1

    def test_more_of_lists_takes_more(self):
        base = CoreConfig(lanes=4, cell_units=2, layers=3, gap_bits=5, lists=256)
        least = estimate(base, ECP5).takes
        for more in (
            {"lanes": 8}, {"cell_units": 4}, {"layers": 8}, {"acc_bits": 32}, {"hops": 2}, {"queue_depth": 64},
            {"port_bits": 256}, {"rows": 512}, {"split_banks": True},
        ):  # fmt: skip
            found = estimate(replace(base, **more), ECP5).takes
            assert found["LUT"] > least["LUT"] and found["FF"] > least["FF"], more
            assert found["RAM"] >= least["RAM"], more
        assert estimate(replace(base, lists=8192), ECP5).takes["RAM"] > least["RAM"]
        assert estimate(replace(base, entries=16384), ECP5).takes["RAM"] == least["RAM"]

    def test_ranking_is_beside_the_core(self):
        base = CoreConfig(lanes=2, cell_units=1)
        for host_link in (False, True):
            without, with_it = (
                estimate(replace(base, ranked=ranked), ECP5, host_link=host_link).takes for ranked in (0, 8)
            )
            assert (with_it["LUT"] > without["LUT"]) == host_link
            assert with_it["multiplier"] - without["multiplier"] == 2 * host_link

    @pytest.mark.parametrize(
        ("options", "device", "message"),
        [
            ({"gap_bits": 4, "lists": 9}, GOWIN,
             "cores with lists in external memory for gw2a-18; choose an ECP5, or lists on chip"),
            ({"ranked": 4}, UP5K, "ranked cores for up5k; choose an ECP5, or no ranking"),
            ({"compact": True, "counters": False, "cell_units": 1}, ECP5,
             "compact cores for lfe5u-85f; choose an iCE40, or no compact core"),
        ],
    )  # fmt: skip
    def test_not_covered(self, options, device, message):
        config = CoreConfig(**options)
        assert not covers(config, device)
        with pytest.raises(ValueError) as caught:
            estimate(config, device)
        assert str(caught.value) == f"there is no estimate of {message}"

    def test_class_of_clock(self, monkeypatch):
        """Those with lists in external memory, and those with hops, have classes of their own."""
        names = ["mhz", "mhz_with_hops", "mhz_streamed", "mhz_streamed_with_hops"]
        model = coefficients()["models"]["ecp5"] | {name: [[1.0, k]] for k, name in enumerate(names, 1)}
        monkeypatch.setattr(fit, "coefficients", lambda: {"models": {"ecp5": model}})
        cores = [CoreConfig(hops=hops, **lists) for lists in ({}, {"gap_bits": 4, "lists": 9}) for hops in (1, 2)]
        assert [estimate(core, ECP5).mhz for core in cores] == [1, 2, 3, 4]
        del model["mhz_streamed"]
        assert estimate(cores[2], ECP5).mhz is None

    def test_lists_in_memory_on_a_board(self, capsys):
        assert fit.main(["--board", "ulx3s-85f", "--gap-bits", "5", "--lists", "256"]) == 2
        assert capsys.readouterr().err == (
            "error: gap_bits is 5; it must be 0 on a board, where there is no external memory behind the core\n"
        )
        assert fit.main(["--device", "lfe5u-85f", "--gap-bits", "5", "--lists", "256"]) == 0
        assert fit.main(["--device", "lfe5u-25f", "--gap-bits", "5", "--lists", "256", "--lanes", "16"]) == 1

    def test_command(self, capsys):
        assert fit.main(["--device", "lfe5u-85f", "--lanes", "4", "--cell-units", "2"]) == 0
        out = capsys.readouterr().out
        assert "4 lanes on lfe5u-85f, estimated" in out
        for word in ("LUTs", "83,640", "flip-flops", "block RAMs", "208", "multipliers", "156", "clock, class"):
            assert word in out, word
        assert fit.main(["--board", "tang-primer-20k", "--lanes", "16"]) == 1
        assert fit.main(["--device", "up5k", "--lanes", "3"]) == 2
        assert capsys.readouterr().err == "error: cell_units is 2; it must divide lanes, which is 3\n"


def test_report_shows_estimated_beside_actual(tmp_path):
    path = (Step("a", "", 1.0),)
    cells = {"TRELLIS_COMB": (1000, 24288), "TRELLIS_FF": (800, 24288), "DP16KD": (12, 56)}
    routed = Report("lfe5u-25f", 1, {"clk": 70.0}, cells, {"clk -> clk": path}, tmp_path, tmp_path)
    expected = Estimate(DEVICES["lfe5u-25f"], {"LUT": 1100, "FF": 800, "RAM": 12, "multiplier": 0}, 65)
    report = describe(
        {"device": "lfe5u-25f"},
        75.0,
        [routed],
        seeds=[1],
        paths=[],
        parts=[],
        tools={},
        options=[],
        seconds={},
        estimate=expected,
    )
    assert report["estimate"] == {
        "mhz_class": 65,
        "resources": {
            "LUT": {"estimated": 1100, "actual": 1000}, "FF": {"estimated": 800, "actual": 800},
            "RAM": {"estimated": 12, "actual": 12},
        },
    }  # fmt: skip
    console = Console(width=120, record=True, file=io.StringIO())
    print_report(report, console)
    text = console.export_text()
    for words in ("estimate, LUTs", "1,100 for 1,000 (+10%)", "800 for 800 (+0%)", "class of 65 MHz"):
        assert words in text, words
