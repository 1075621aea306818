"""The demonstration of a language model, with a small random network of characters."""

import dataclasses
import io
import json
import sys

import numpy as np
import pytest

from golden.fanout import compile
from golden.macs import fan_out
from golden.network import Model, save
from golden.reference import Oracle, run
from hw.build_folder import Build, read_network
from sim import demo_lm
from tests.networks import random_fixed_network
from tests.sim.test_simulator import CONFIG

CHARACTERS = "\n abcdefgN"


def network(**changes):
    drawn = random_fixed_network(
        np.random.default_rng(4), inputs=len(CHARACTERS), layers=[20], outputs=len(CHARACTERS), weight_density=0.3
    )
    return dataclasses.replace(drawn, **{"input_exponent": -6, **changes})


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.safetensors"
    save(Model("small", fixed=network(), provenance={"characters": CHARACTERS}), path)
    return path


@pytest.fixture(autouse=True)
def shared_core(monkeypatch):
    """Use the core that other tests have compiled."""

    def configure(path, lanes, *, split_banks):
        assert not split_banks
        loaded = read_network(path)
        return Build(loaded, CONFIG, compile(loaded.fixed, CONFIG.capacity))

    monkeypatch.setattr(demo_lm, "configure", configure)


def written(text, count, logit_of):
    """Return a text and its continuation by the largest logits that a whole run of the oracle has."""
    for _ in range(count):
        inputs = 64 * np.eye(len(CHARACTERS), dtype=int)[[CHARACTERS.index(c) for c in "\n" + text]]
        text += CHARACTERS[int(logit_of(inputs[:, None])[-1, 0].argmax())]
    return text


def test_continues_a_line_and_counts(model, capsys, monkeypatch):
    assert demo_lm.main(["--model", str(model), "--text", "BadNe", "--characters", "9", "--temperature", "0"]) == 0
    printed = capsys.readouterr().out
    assert written("badNe", 9, lambda inputs: run(network(), inputs).logits).split("\n")[0] in printed
    lists = fan_out(network())
    dense = 3 * 20 + 20 * (3 * 20) + 20 * len(CHARACTERS)
    assert lists[0].dense == 3 * 20
    words = " ".join(printed.split())
    for row in (
        "small: 20 units, ",
        "by estimate it fits an LFE5U-85F: it takes ",
        "characters read by the core │ 15 │",
        f"MACs a character, dense │ {dense:,} (",
        f"logits that differ │ 0 of {15 * len(CHARACTERS)} │",
        f"unit updates that differ │ 0 of {15 * 20} │",
        "steps whose counts differ from theory │ 0 of 15 │",
    ):
        assert row in words
    macs = [line.split("│")[2].strip() for line in printed.splitlines() if "MACs a character, " in line]
    assert macs[0] == macs[1] and float(macs[0].replace(",", "")) > 0


def test_a_seed_draws_the_same_characters_again(model, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        options = ["--text", "a", "--characters", "40", "--temperature", "3", "--seed", seed]
        assert demo_lm.main(["--model", str(model), *options]) == 0
        texts.append(capsys.readouterr().out.split("┌")[0])
    assert texts[0] == texts[1] != texts[2]


def test_reads_what_is_typed_or_else_a_line_of_its_own(model, capsys, monkeypatch):
    monkeypatch.setattr(demo_lm, "TEXT", "cab")
    monkeypatch.setattr(sys, "stdin", io.StringIO("dad\n"))
    options = ["--model", str(model), "--characters", "0"]
    assert demo_lm.main(options) == 0 and "cab\n" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert demo_lm.main(options) == 0 and "dad\n" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("zzz\nace\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert demo_lm.main(options) == 0
    printed = capsys.readouterr().out
    assert "does not know the character 'z'" in printed and "ace\n" in printed
    assert demo_lm.main(options) == 0 and "cab\n" in capsys.readouterr().out  # the end of the input


def test_choices_follow_the_softmax():
    logits, rng = np.array([0.0, 1.0, -1e4, 2.0]), np.random.default_rng(0)
    drawn = np.bincount([demo_lm.choose(logits, 0.5, rng) for _ in range(4000)], minlength=4) / 4000
    assert drawn == pytest.approx(np.exp(logits / 0.5) / np.exp(logits / 0.5).sum(), abs=0.03)
    assert demo_lm.choose(logits, 0, rng) == 3


def test_a_difference_is_counted_and_is_the_exit_status(model, capsys, monkeypatch):
    def other(drawn):
        bias = drawn.readout.bias + (np.arange(len(CHARACTERS)) == 2)
        return Oracle(
            dataclasses.replace(drawn, readout=dataclasses.replace(drawn.readout, bias=bias.astype(np.int32)))
        )

    monkeypatch.setattr(demo_lm, "Oracle", other)
    assert demo_lm.main(["--model", str(model), "--text", "ab", "--characters", "2"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "logits that differ │ 5 of 50 │" in printed
    assert "first difference: character 0: sequence 0 step 0 output 2: " in printed


@pytest.mark.parametrize(
    ("changes", "provenance", "options", "message"),
    [
        ({}, {}, [], "model small is no network of characters; give one that python -m golden.lm.convert made of"),
        ({}, {"characters": "ab"}, [], "model small is no network of characters; give one that python -m golden.lm"),
        ({"input_exponent": -8}, {"characters": CHARACTERS}, [], "model small is no network of characters; give one"),
        ({}, {"characters": CHARACTERS}, ["--text", "az"], "the model does not know the character 'z'; it knows  N"),
    ],
)
def test_bad_input_is_one_sentence(changes, provenance, options, message, tmp_path, capsys):
    path = tmp_path / "small.safetensors"
    save(Model("small", fixed=network(**changes), provenance=provenance), path)
    assert demo_lm.main(["--model", str(path), "--characters", "0", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + message) and error.count("\n") == 1
    assert demo_lm.main(["--model", str(tmp_path / "none"), "--characters", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bad_options_are_refused(capsys):
    for option in ("--characters", "--temperature", "--seed"):
        with pytest.raises(SystemExit) as end:
            demo_lm.main([option, "-1"])
        assert end.value.code == 2
        assert "must be at least 0" in json.dumps(capsys.readouterr().err)
