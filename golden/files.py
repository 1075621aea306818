"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write a file, which is there with all of its content or as it was before; return its path.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    content = content.encode() if isinstance(content, str) else content
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(content)
            file.flush()
            new.chmod(0o644)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    return path
