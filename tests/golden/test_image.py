"""The memory image: every bit of a small one by hand, round trips, and refusal of anything else."""

import zlib

import numpy as np
import pytest

from golden.image import (
    RECORD_WORDS,
    Image,
    ImageError,
    LayerPlace,
    encode,
    pack_entries,
    parse,
    unpack_entries,
    write,
)


def small_image(**changes):
    """1 input, 3 units with a readout of 1, on 2 lanes of one cell unit: rows 0 and 1, then 2."""
    fields = dict(
        config_id=0xCAFE1234,
        acc_bits=20,
        inputs=1,
        readout=True,
        layers=(LayerPlace(0, 2, (-4, 5, 6, 27), 1, 3), LayerPlace(2, 1, (0, 0, 0, 0), 4, 1)),
        start=np.array([[0, 2, 2, 5], [0, 0, 0, 1]]),
        forward=np.array([[2, 0, 1, 0], [0, 0, 0, 0]]),
        count=np.array([[2, 0, 3, 0], [0, 0, 1, 0]]),
        entries=(
            pack_entries(np.array([-1, 127, 5, -128, 3]), np.array([0, 2, 0, 1, 3]), np.array([1, 0, 2, 1, 0])),
            pack_entries(np.array([-2]), np.array([1]), np.array([0])),
        ),
        threshold=np.array([[100, 200, 300, 32767, 32767, 32767]]),
        present=np.array([[1, 1, 1, 0, 1, 0]]),
        identity=np.array([[1, 2, 3, 0, 0, 0]]),
        bias=np.array([[[1, -1, 0, 0, 9, 0]], [[2, 0, 0, 0, 0, 0]], [[-3, 0, 0, 0, 0, 0]], [[0, 4, 0, 0, 0, 0]]]),
    )
    return Image(**fields | changes)


SMALL_WORDS = [
    *(0x01000004, 0, 0x54524745, 1, 0xCAFE1234, 20),
    *(0x02000006, 0, 1, 2, 1, 3, 1, 1),
    *(0x03000003, 0, 0x0002_0000, 0x1F0A0900, 0x0003_0001),
    *(0x03010003, 0, 0x0001_0002, 0x04040404, 0x0001_0004),
    *(0x04000008, 0, 0, 0x0002_0002, 2, 0x0000_0000, 2, 0x0003_0001, 5, 0x0000_0000),
    *(0x05000005, 0, 0x000004FF, 0x0000027F, 0x00000805, 0x00000580, 0x00000303),
    *(0x04010008, 0, 0, 0, 0, 0, 0, 0x0001_0000, 1, 0),
    *(0x05010001, 0, 0x000001FE),
    *(0x06000006, 0, 0x00018064, 0x000280C8, 0x0003812C, 0x00007FFF, 0x0000FFFF, 0x00007FFF),
    *(0x08000006, 0, 1, 0xFFFFFFFF, 0, 0, 9, 0),
    *(0x09000006, 0, 2, 0, 0, 0, 0, 0),
    *(0x0A000006, 0, 0xFFFFFFFD, 0, 0, 0, 0, 0),
    *(0x0B000006, 0, 0, 4, 0, 0, 0, 0),
]


def seal(words):
    """Append the END record."""
    body = np.array(words, "<u4")
    return np.concatenate([body, [0x0F000001, 0, zlib.crc32(body.tobytes())]]).astype(np.uint32)


def assert_equal(left, right):
    for name in Image.__dataclass_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if name == "entries":
            assert [list(x) for x in a] == [list(x) for x in b]
        else:
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, name


def test_small_image_word_by_word():
    assert encode(small_image()).tolist() == seal(SMALL_WORDS).tolist()


def test_round_trip():
    assert_equal(parse(encode(small_image())), small_image())


def test_entries_of_every_field_value():
    weight, gate, row = np.meshgrid(np.arange(-128, 128), np.arange(4), [0, 1, 4095, 65535])
    fields = weight.ravel(), gate.ravel(), row.ravel()
    words = pack_entries(*fields)
    assert len(set(words.tolist())) == len(words)
    for unpacked, field in zip(unpack_entries(words), fields, strict=True):
        assert np.array_equal(unpacked, field)


def test_long_runs_are_split():
    """One lane of 40,000 sources, each with two entries: neither its directory nor its entries fit in one record."""
    sources = 40000
    count = np.full((1, sources), 2)
    image = small_image(
        inputs=sources - 3,
        layers=(LayerPlace(0, 3, (0, 0, 0, 0), sources - 3, 3),),
        readout=False,
        start=np.cumsum(count, axis=1) - count,
        forward=np.arange(sources)[None] % 3,
        count=count,
        entries=(pack_entries(np.arange(2 * sources) % 251 - 125, np.tile([0, 3], sources), np.full(2 * sources, 2)),),
        threshold=np.full((1, 3), 9),
        present=np.ones((1, 3), np.int64),
        identity=np.arange(3)[None],
        bias=np.zeros((4, 1, 3), np.int64),
    )
    words = encode(image)
    assert_equal(parse(words), image)
    at, directory, entry = 0, [], []
    while at < len(words):
        kind, count, address = int(words[at]) >> 24, int(words[at]) & 0xFFFF, int(words[at + 1])
        {4: directory, 5: entry}.get(kind, []).append((address, count))
        at += 2 + count
    assert directory == [(0, RECORD_WORDS), (RECORD_WORDS // 2, 2 * sources - RECORD_WORDS)]
    assert entry == [(0, RECORD_WORDS), (RECORD_WORDS, 2 * sources - RECORD_WORDS)]


def replaced(*changes):
    """The small image's words with ``(old word, new word)`` replaced once each, sealed again."""
    words = list(SMALL_WORDS)
    for old, new in changes:
        words[words.index(old)] = new
    return seal(words)


def test_every_damaged_bit_is_noticed():
    words = encode(small_image())
    for at in range(len(words)):
        for bit in (0, 7, 16, 31):
            damaged = words.copy()
            damaged[at] ^= np.uint32(1 << bit)
            with pytest.raises(ImageError):
                parse(damaged)


def test_every_cut_is_noticed():
    words = encode(small_image())
    for length in range(len(words)):
        with pytest.raises(ImageError):
            parse(words[:length])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (seal(SMALL_WORDS)[:-3], "the image is cut short: it ends at word 94 without an END record"),
        (
            np.append(seal(SMALL_WORDS), np.uint32(0)),
            "the END record at word 94 is not the last three words, select and address 0",
        ),
        (replaced((20, 21))[:-1], "word 94 is 0x0f000001, which starts no record of a memory image that ends in time"),
        (
            np.append(replaced((20, 21))[:-1], np.uint32(1)),
            "the checksum does not match: the image is damaged; compile it again",
        ),
        (
            replaced((0x54524745, 0x54524746)),
            "magic 0x54524746, version 1: only 0x54524745, version 1 can be read",
        ),
        (
            replaced((0x06000006, 0x07000006)),
            "word 54 is 0x07000006, which starts no record of a memory image that ends in time",
        ),
        (
            replaced((0x05010001, 0x05000001)),
            "the record at word 51 (kind 5, select 0, address 0) is out of order",
        ),
        (replaced((0x03010003, 0x03020003)), "records of kind 3, select 1, have 0 words; the network needs 3"),
        (replaced((0x0001_0002, 0x0002_0002)), "the rows or outputs of the network are not those of its layers"),
        (
            replaced((0x0003_0001, 0x0002_0001)),
            "records of kind 4, select 0, have 8 words; the network needs 6",
        ),
        (replaced((0x0002_0002, 0x0002_0003)), "the directory of lane 0 does not tile its 5 entries"),
        (replaced((0x00000805, 0x00000C05)), "lane 0 has an entry for row 3; the network has 3 rows"),
        (replaced((0x0000027F, 0x000000FF)), "a list of lane 0 does not ascend"),
        (replaced((0x0B000006, 0x0B010006)), "records of kind 11, select 0, have 0 words; the network needs 6"),
        (
            seal([*SMALL_WORDS, 0x0B010001, 0, 0]),
            "records of kind 11, select 1, belong to no lane, cell unit or layer of the network",
        ),
    ],
)
def test_refusals(words, message):
    with pytest.raises(ImageError) as error:
        parse(words)
    assert str(error.value) == message


def test_files(tmp_path):
    words = encode(small_image())
    binary, text = write(words, tmp_path / "new" / "folder")
    assert (binary.name, text.name) == ("image.bin", "image.hex")
    assert sorted(path.name for path in binary.parent.iterdir()) == ["image.bin", "image.hex"]
    assert np.frombuffer(binary.read_bytes(), "<u4").tolist() == words.tolist()
    assert binary.read_bytes()[8:12] == b"EGRT"
    assert [int(line, 16) for line in text.read_text().splitlines()] == words.tolist()
    assert {len(line) for line in text.read_text().splitlines()} == {8}
