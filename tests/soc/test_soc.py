"""The whole SoC, simulated: its program classifies real images; what is wrong in its memory it tells, and ends."""

import re
from dataclasses import replace

import pytest

from firmware.compile import ProgramError
from golden.image import Kind
from hw.build_folder import DIGITS, configure
from hw.soc.program import DRIVER, compile_program
from hw.soc.soc import MEMORY_BYTES, Soc
from sim.inputs import read_inputs
from sim.soc.check import WAYS, differences, expect, read
from sim.soc.model import compile_soc, run

LANES = 2  #: fewer than usual are compiled sooner
IMAGES = 3
TRAP_ILLEGAL = 2  #: cause, as the privileged architecture numbers them


@pytest.fixture(scope="module")
def build():
    return configure(DIGITS, LANES)


@pytest.fixture(scope="module")
def images(build):
    return read_inputs(f"digits:{IMAGES}", build.compiled.network).integers


@pytest.fixture(scope="module")
def program(build, images, tmp_path_factory):
    work = tmp_path_factory.mktemp("program")
    return compile_program(build.compiled.words.tolist(), images, work, memory_bytes=MEMORY_BYTES)


@pytest.fixture(scope="module")
def model(build):
    return compile_soc(build.config)


def flipped(program, word, bit):
    """Return a program with a bit of a word of memory changed."""
    words = list(program.words)
    words[word] ^= 1 << bit
    return replace(program, words=words)


def text_of(result):
    """Return what the driver says of a result."""
    source = "".join(path.read_text() for path in DRIVER.glob("*.c"))
    return re.search(rf'\[{result}\] = "([^"]*)"', source)[1]


def test_classifies_images(build, images, program, model, tmp_path):
    """And once more, asked to by a character: the same results from a network that is loaded anew."""
    outcome = run(model, program, tmp_path, runs=2)
    assert outcome.loaded and not outcome.error
    half = len(outcome.lines) // 2
    steps = images.shape[0] * images.shape[1]
    for lines in (outcome.lines[:half], outcome.lines[half:]):
        said = read(lines, steps)
        assert differences(said, expect(build.compiled.network, images)) == []
        for way in WAYS:
            speed = said.speed[way]
            assert 0 < speed.core <= speed.elapsed and 0 < speed.own <= speed.elapsed
    assert f"core 0x{build.config.config_id:08x}, {LANES} lanes" in outcome.lines


def assert_refused(outcome, result):
    (error,) = [line for line in outcome.lines if line.startswith("error")]
    assert error.startswith(f"error: network: {text_of(result)}")
    assert outcome.lines[-1] == "FAIL" and outcome.error and not outcome.loaded


@pytest.mark.parametrize("kind", [Kind.BEGIN, Kind.ENTRY])
def test_tells_of_a_flipped_bit_in_the_network(kind, build, program, model, tmp_path):
    words = build.compiled.words.tolist()
    at = next(at for at, word in enumerate(words) if word >> 24 == kind) + 4
    outcome = run(model, flipped(program, program.network + at, 0), tmp_path)
    assert_refused(outcome, "EGRET_IMAGE_CHECKSUM")


def test_tells_of_a_network_for_another_core(images, model, tmp_path):
    words = configure(DIGITS, LANES + 1).compiled.words.tolist()
    program = compile_program(words, images, tmp_path / "program", memory_bytes=MEMORY_BYTES)
    assert_refused(run(model, program, tmp_path), "EGRET_IMAGE_CONFIG")


def test_tells_of_an_instruction_that_there_is_not(program, model, tmp_path):
    """The first one of main() becomes 0, which is none; start.S calls main() with the first auipc and jalr of ra."""
    calls = [
        4 * at + (high & 0xFFFFF000) + ((low >> 20 ^ 0x800) - 0x800)
        for at, (high, low) in enumerate(zip(program.words, program.words[1:], strict=False))
        if high & 0xFFF == 0x097 and low & 0xFFFFF == 0x080E7
    ]
    main = calls[0]
    words = list(program.words)
    words[main // 4] = 0
    outcome = run(model, replace(program, words=words), tmp_path)
    assert outcome.lines == [f"error: trap {TRAP_ILLEGAL} at 0x{main:08x}, address 0x00000000"]
    assert outcome.error and not outcome.loaded


def test_refuses_a_program_that_does_not_fit(build, images, tmp_path):
    with pytest.raises(ProgramError, match="the program does not fit the memory"):
        compile_program(build.compiled.words.tolist(), images, tmp_path, memory_bytes=1 << 15)


def test_refuses_images_of_too_many_steps(build, images, tmp_path):
    with pytest.raises(ProgramError, match="^images have 24 steps of 8 inputs; the program takes 16 of 64 at most$"):
        compile_program([0], images.repeat(3, axis=0), tmp_path, memory_bytes=MEMORY_BYTES)


def test_refuses_a_core_with_its_lists_in_external_memory():
    config = configure(DIGITS, LANES, streamed=True).config
    with pytest.raises(ValueError, match="^gap_bits is 5; it must be 0 in this SoC, in which there is no external"):
        Soc(config, clock_hz=1e8, baud=1_000_000)
