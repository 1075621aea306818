"""Files that are written whole or not at all."""

import os
import stat

import pytest

from golden.files import write_whole


@pytest.mark.parametrize("content", ("text, é\n", b"bytes \xff"))
def test_what_is_written_is_there_and_nothing_else(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("before")
    assert write_whole(path, content) == path
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "after")
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["file"]
