"""What is compiled once and kept: built when it is not there, and whole, or not there at all."""

import pytest

from sim import native
from sim.native import kept


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_is_built_once(cache):
    for text in ("first", "second"):
        assert kept(cache / "model", lambda folder, text=text: write(folder / "built", text)).read_text() == "first"
    assert [path.name for path in cache.iterdir()] == ["model"]


@pytest.mark.parametrize(("inside", "stays"), [("", "mine"), ("program", "theirs")], ids=["file", "folder"])
def test_two_processes_at_once(cache, inside, stays):
    """The other one is done while this one builds."""

    def build(folder):
        write(cache / "model" / inside, "theirs")
        write(folder / "built" / inside, "mine")
        return folder / "built"

    path = kept(cache / "model", build)
    assert (path / inside).read_text() == stays
    assert [path.name for path in cache.iterdir()] == ["model"]


def test_what_fails_leaves_nothing(cache):
    def build(folder):
        write(folder / "built", "a part")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="^no$"):
        kept(cache / "model", build)
    with pytest.raises(FileNotFoundError):
        kept(cache / "model", lambda folder: folder / "nothing")
    assert list(cache.iterdir()) == []
