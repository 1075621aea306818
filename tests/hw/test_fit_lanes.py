"""The choice of lanes by what fits, and what a build refuses because it does not."""

import re

import numpy as np
import pytest

from golden import streamed
from golden.network import Model, save
from hw import build, fit, fit_lanes
from hw.config import CoreConfig
from hw.fit_lanes import ACTIVITY, FitError, Target, candidates, check, cycles_a_step, fastest
from hw.implement import Design
from hw.vendor import DEVICES
from sim.cycle_model import Activity, CycleModel
from tests.hw.fake_tools import VERILOG, FakeTools
from tests.networks import random_fixed_network


@pytest.fixture(scope="module")
def network():
    return random_fixed_network(np.random.default_rng(0), inputs=40, layers=[128], outputs=10, weight_density=0.3)


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "network.safetensors"
    save(Model("network", None, network), path)
    return path


class TestLanes:
    def test_fastest(self, network):
        target = Target.of(None, "lfe5u-25f")
        found = list(candidates(network, target, split_banks=True))
        chosen = fastest(found, target)
        fitting = [one for one in found if one.estimate.fits]
        assert 1 < chosen.config.lanes < 64 and len(fitting) < len(found)
        assert all(one.speed <= chosen.speed / 0.98 for one in fitting if not one.estimate.crowded)
        assert all(one.config.split_banks and one.config.lanes % one.config.cell_units == 0 for one in found)

    def test_cell_units_as_given(self, network):
        found = list(candidates(network, Target.of("ulx3s-85f", None), 2))
        assert {one.config.cell_units for one in found} == {2} and found[0].config.lanes == 2

    def test_compact(self, network):
        """A compact core has one cell unit, and more lanes are worth little beside its cycles for each unit."""
        target = Target.of("icebreaker", None)
        found = list(candidates(network, target, compact=True, counters=False))
        assert {one.config.cell_units for one in found} == {1} and found[-1].config.lanes == 16
        one, *_, last = (each.cycles for each in found if each.estimate.fits)
        assert 37 * 128 < last < one

    def test_clock_of_a_board(self, network, monkeypatch):
        """A core is worth no more than the board's clock, and one that misses it is taken only if all do."""
        monkeypatch.setattr(fit, "clock_class", lambda family, fill, config: 100 if fill < 0.3 else 70)

        def choose(frequency):
            found = list(candidates(network, target := Target.of("ulx3s-85f", None, frequency)))
            return fastest(found, target), {one.mhz for one in found if one.estimate.fits}

        slow, both = choose(80.0), choose(50.0)
        assert slow[1] == {80.0, 70} and slow[0].mhz == 80.0 and max(slow[0].estimate.shares.values()) < 0.3
        assert both[1] == {50.0} and both[0].config.lanes > slow[0].config.lanes
        missed, speeds = choose(200.0)
        assert speeds == {100, 70} and not missed.meets

    def test_none_fits(self):
        huge = random_fixed_network(np.random.default_rng(0), inputs=40, layers=[400], outputs=9, weight_density=1.0)
        target = Target.of(None, "gw2a-18")
        with pytest.raises(FitError, match=r"no core for this network fits gw2a-18: .* need .*[\d,]+ of 46 block RAMs"):
            fastest(list(candidates(huge, target)), target)

    def test_nearest(self, network):
        target = Target.of(None, "lfe5u-25f")
        config = CoreConfig.fitting(network, 16, cell_units=16)
        with pytest.raises(FitError) as caught:
            check(config, network, target)
        said = re.fullmatch(
            r"16 lanes and 16 cell units need .*[\d,]+ of 56 block RAMs.* of lfe5u-25f, by estimate; the nearest that "
            r"fits has (\d+) lanes and (\d+) cell units?, and a device lfe5u-\d5f would hold it; --no-fit-check .*",
            str(caught.value),
        )
        nearest = CoreConfig.fitting(network, int(said[1]), cell_units=int(said[2]))
        assert check(nearest, network, target).fits


class TestListsInMemory:
    OPTIONS = {"streamed": True, "port_bits": 64}

    def test_fastest(self, network):
        """More lanes take fewer cycles until memory gives no more beats; of equally fast cores it is the smallest."""
        target = Target.of(None, "lfe5u-85f")
        found = list(candidates(network, target, split_banks=True, **self.OPTIONS))
        assert all(one.config.streamed and one.config.port_bits == 64 for one in found)
        cycles = {one.config.lanes: one.cycles for one in found if one.estimate.fits}
        assert cycles[4] < 0.6 * cycles[2] < 0.6**2 * cycles[1] and cycles[16] > 0.9 * cycles[8]
        assert fastest(found, target).config.lanes <= 8

    @pytest.mark.parametrize("lanes", [1, 4, 16])
    def test_cycles(self, network, lanes):
        """Against the cycle model, with a memory that keeps nobody waiting."""
        config = CoreConfig.fitting(network, lanes, cell_units=1, **self.OPTIONS)
        random = np.random.default_rng(1)
        active = [random.random((30, count)) < ACTIVITY for count in (network.inputs, network.layers[0].units)]
        model = CycleModel(config, config.compile(network))
        found = model.predict(Activity.dense(network, active, np.arange(30) == 29)).cycles / 30
        assert cycles_a_step(network, config) == pytest.approx(found, rel=0.1)

    def test_words(self):
        """Of a folded embedding, whose lists are dense, one input is active, not a fifth of them."""
        few, many = (
            random_fixed_network(np.random.default_rng(0), inputs=inputs, layers=[32], outputs=None, weight_density=1.0)
            for inputs in (20, 400)
        )
        cycles = [cycles_a_step(one, CoreConfig.fitting(one, 2, cell_units=1, **self.OPTIONS)) for one in (few, many)]
        assert cycles[0] == pytest.approx(cycles[1], rel=0.05)

    def test_nearest(self, network):
        target = Target.of(None, "lfe5u-25f")
        config = CoreConfig.fitting(network, 16, cell_units=4, **self.OPTIONS)
        with pytest.raises(FitError) as caught:
            check(config, network, target, **self.OPTIONS)
        said = re.fullmatch(
            r"16 lanes and 4 cell units need .*[\d,]+ of 24,288 LUTs.* of lfe5u-25f, by estimate; the nearest that "
            r"fits has (\d+) lanes and (\d+) cell units?, and a device lfe5u-\d5f would hold it; --no-fit-check .*",
            str(caught.value),
        )
        nearest = CoreConfig.fitting(network, int(said[1]), cell_units=int(said[2]), **self.OPTIONS)
        assert check(nearest, network, target, **self.OPTIONS).fits and nearest.streamed

    def test_lists_that_are_too_long(self, network, monkeypatch):
        """There is no such core, however large the device."""
        monkeypatch.setattr(streamed, "LIST_BEATS_MAX", 1)
        target = Target.of(None, "lfe5u-85f")
        assert fit_lanes.candidate(network, target, 2, **self.OPTIONS) is None
        with pytest.raises(FitError, match=r"it is beyond what any configuration holds"):
            fastest(list(candidates(network, target, **self.OPTIONS)), target)


class TestBuild:
    def run(self, model, *arguments):
        return build.main(["--model", str(model), "--out", "out", *arguments])

    @pytest.fixture(autouse=True)
    def tools(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return FakeTools(tmp_path / "bin", monkeypatch)

    def test_refused_before_any_tool_runs(self, model, tmp_path, capsys):
        assert self.run(model, "--board", "tang-primer-20k", "--lanes", "32") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: 32 lanes and 2 cell units need ") and error.count("\n") == 1
        assert re.search(r"[\d,]+ of 46 block RAMs", error) and "the nearest that fits has" in error
        assert [path.name for path in tmp_path.iterdir()] == ["bin"]
        assert self.run(model, "--device", "lfe5u-25f", "--lanes", "2", "--cell-units", "1") == 2
        assert "yosys is not installed" in capsys.readouterr().err

    def test_lists_in_memory_refused(self, model, tmp_path, capsys):
        command = ["--lists", "memory", "--device", "lfe5u-25f", "--lanes"]
        assert self.run(model, *command, "16") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: 16 lanes and 2 cell units need ") and error.count("\n") == 1
        assert re.search(r"[\d,]+ of 24,288 LUTs", error) and "the nearest that fits has" in error
        assert [path.name for path in tmp_path.iterdir()] == ["bin"]
        assert self.run(model, *command, "1") == 2
        assert "yosys is not installed" in capsys.readouterr().err

    def test_on_all_the_same(self, model, capsys, monkeypatch):
        design = Design({}, DEVICES["gw2a-18"], 75.0, VERILOG)
        monkeypatch.setattr(build, "design", lambda options, config: design)
        assert self.run(model, "--device", "gw2a-18", "--lanes", "32", "--no-fit-check") == 2
        assert "yosys is not installed" in capsys.readouterr().err

    @pytest.mark.parametrize("options", [(), ("--lists", "memory", "--ranked", "4")], ids=("chip", "memory"))
    def test_auto(self, options, model, capsys, monkeypatch):
        asked = []
        monkeypatch.setattr(build, "configure", lambda path, *numbers, **core: asked.append(numbers) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            self.run(model, "--device", "lfe5u-25f", "--lanes", "auto", *options)
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if "chosen" in line]
        assert [(int(row[0]), int(row[1])) for row in rows] == asked

    def test_auto_needs_a_target(self, model, capsys):
        assert self.run(model, "--lanes", "auto") == 2
        assert capsys.readouterr().err == (
            "error: --lanes auto is for what a board or a device holds; give --board or --device, too\n"
        )
        with pytest.raises(SystemExit):
            self.run(model, "--lanes", "many")
        assert "argument --lanes: 'many' is neither a number nor 'auto'" in capsys.readouterr().err
