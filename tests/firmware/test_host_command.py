"""python -m firmware.host: tables, and statuses 0, 1 and 2."""

import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware.host import __main__ as command
from firmware.host import vectors
from tests.firmware.host_ports import CONFIG, serial_device


@pytest.fixture
def small(monkeypatch):
    """Let the simulated core be that of the other tests."""
    lanes = []
    monkeypatch.setattr(
        command, "configure", lambda model, count: lanes.append(count) or SimpleNamespace(config=CONFIG)
    )
    return lanes


def test_self_test(small, capsys):
    assert command.main(["selftest", "--simulate", "--lanes", "4"]) == 0
    out = capsys.readouterr().out
    assert "outputs of all steps" in out and "397" in out and small == [4]


def test_a_difference(small, capsys, monkeypatch):
    def damaged(name):
        network, values = vectors.read_vectors(name)
        values.outputs[3, 0] += 1
        return network, values

    monkeypatch.setattr("firmware.host.selftest.read_vectors", damaged)
    assert command.main(["selftest", "--simulate"]) == 1


def test_digits(small, capsys):
    assert command.main(["classify", "--simulate", "--images", "3"]) == 0
    assert "3 of 3 right (100.00%); 0 outputs" in " ".join(capsys.readouterr().out.split())
    assert command.main(["bench", "--simulate", "--images", "3"]) == 0
    out = capsys.readouterr().out
    assert "24 steps of handwritten digits, 4 lanes" in out and "cycles a step" in out


def test_digits_that_differ(small, capsys, monkeypatch):
    from firmware.host.device import Device

    run = Device.run
    monkeypatch.setattr(
        Device, "run", lambda device, inputs, ends: run(device, inputs, ends) + (inputs.any(axis=1)[:, None])
    )
    assert command.main(["classify", "--simulate", "--images", "1"]) == 1


def test_a_serial_port(capsys):
    """Through pyserial and a terminal, as on a board."""
    with serial_device(CONFIG) as name:
        assert command.main(["selftest", "--port", name]) == 0
        assert command.main(["classify", "--port", name, "--images", "2"]) == 0
    assert "397" in capsys.readouterr().out


def test_the_guide(tmp_path, capsys):
    """docs/host.md: its block of Python runs as it stands, but for the port and the folder."""
    guide = (Path(__file__).parents[2] / "docs" / "host.md").read_text()
    block = guide.split("## From Python\n\n", 1)[1].split("\n\n|", 1)[0]
    network, wanted = vectors.read_vectors("readout")
    CONFIG.compile(network).words.astype("<u4").tofile(tmp_path / "image.bin")
    with serial_device(CONFIG) as name:
        code = textwrap.dedent(block).replace("/dev/ttyUSB0", name).replace("build/digits", str(tmp_path))
        found = {"inputs": wanted.inputs}
        exec(code, found)
    assert (found["outputs"][:6] == wanted.outputs[:6]).all(), "the first sequence, which the guide's goes beyond"
    assert "'lanes': 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["selftest", "--port", "/dev/none"], "the port /dev/none does not open ("),
        (["selftest", "--simulate", "--timeout", "0"], "--timeout is 0.0; it must be more than 0 seconds"),
        (["selftest", "--simulate", "--lanes", "0"], "lanes is 0; it must be from 1 to 64"),
        (["selftest", "--overlay", "egret.bit"], "--overlay needs --build, the folder with the core's register map"),
        (["selftest", "--overlay", "egret.bit", "--build", "none"], "the register map none/egret.xml cannot be read ("),
        (["classify", "--simulate", "--images", "0"], "the input is 'digits:0'; give digits or digits:N"),
        (["bench", "--simulate", "--model", "none"], "model file none"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert command.main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1 and not told.out


@pytest.mark.parametrize("arguments", [[], ["selftest"], ["selftest", "--simulate", "--port", "x"], ["train"]])
def test_arguments_that_are_none(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_teaches(capsys, name):
    with pytest.raises(SystemExit) as caught:
        command.main([name, "--help"])
    assert caught.value.code == 0
    assert "/dev/ttyUSB0" in capsys.readouterr().out


def test_a_model_without_a_readout(tmp_path, capsys):
    vectors.write_vectors(tmp_path)
    model = tmp_path / "layers.network.safetensors"
    assert command.main(["classify", "--simulate", "--model", str(model)]) == 2
    assert "has no readout, so it classifies nothing; choose another model" in capsys.readouterr().err


def test_vectors_that_cannot_be_written(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert vectors.main([str(file)]) == 2
    assert "cannot write the vectors" in capsys.readouterr().err
