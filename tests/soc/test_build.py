"""The SoC as files, and as a design for a board's tools."""

import pytest

from hw.boards import BOARDS, TOP
from hw.build_folder import DIGITS, configure
from hw.soc import cpu
from hw.soc.__main__ import main
from hw.soc.build import board_design

FILES = ["VexRiscv_Full.v", "egret_soc.v", "program.hex", "ram.v"]


def test_writes_verilog_and_program(tmp_path, capsys):
    out = tmp_path / "soc"
    arguments = ["--lanes", "2", "--images", "2", "--out", str(out)]
    assert main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    text = (out / "egret_soc.v").read_text()
    assert "module egret_soc(" in text and "  VexRiscv " in text and "  soc_ram #(" in text
    words = [int(line, 16) for line in (out / "program.hex").read_text().split()]
    image = configure(DIGITS, 2).compiled.words.tolist()
    start = next(at for at in range(len(words)) if words[at : at + 8] == image[:8])
    assert words[start : start + len(image)] == image
    assert "program without network and images" in capsys.readouterr().out
    # The same again replaces it; what is no SoC is not replaced.
    (out / "ram.v").unlink()
    assert main(arguments) == 0 and (out / "ram.v").is_file()
    (out / "egret_soc.v").unlink()
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {out} exists and holds no earlier SoC; choose another --out\n"


def test_is_a_design_for_a_board():
    design = board_design(configure(DIGITS, 2).config, BOARDS["ulx3s-85f"], 40, 1_000_000)
    assert design.frequency == 40 and design.target["baud"] == 1_000_000
    for module in (TOP, "VexRiscv", "soc_ram"):
        assert f"module {module}" in design.verilog
    name, constraints = design.constraints
    assert name == f"{TOP}.lpf" and "uart_0__tx" in constraints


def test_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cpu, "PACKAGE", "no_such_package")
    assert main(["--lanes", "2", "--images", "1", "--out", str(tmp_path / "soc")]) == 2
    error = "error: the processor's Verilog is not installed; pip install --editable '.[soc]'\n"
    assert capsys.readouterr().err == error and not (tmp_path / "soc").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--images", "0"], "--images is 0; it must be more than 0"),
        (["--images", "361"], "error: the input is 'digits:361'; give digits or digits:N with N from 1 to 360"),
        (["--baud", "49000000"], "error: baud is 49000000; at a clock of 5e+07 Hz it must be at most 12500000"),
    ],
)
def test_refuses_options(arguments, message, tmp_path, capsys):
    out = tmp_path / "soc"
    try:
        status = main([*arguments, "--lanes", "2", "--out", str(out)])
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status == 2 and message in error and not out.exists()
