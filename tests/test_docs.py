"""What the documents name is there: files and headings that they link to, commands and options that they give."""

from __future__ import annotations

import functools
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/*.md")])
FENCED = re.compile(r"^( *)```\w*\n(.*?)^ *```", re.M | re.S)
INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.M)
OURS = ("golden", "hw", "sim", "firmware", "formal", "tests")


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


@functools.cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    made: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(page), re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        plain = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        made.add(next(name for n in range(99) if (name := f"{plain}-{n}" if n else plain) not in made))
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def code(page: Path) -> Iterator[str]:
    """Yield the pieces of code of a page, each a line of a block or a span within a line."""
    text = page.read_text()
    for block in [block for _, block in FENCED.findall(text)] + INDENTED.findall(prose(page)):
        yield from block.replace("\\\n", " ").splitlines()
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose(page)))


def commands() -> dict[str, dict[str, set[tuple[str, str]]]]:
    """Return, by module, the options given to it, each with the word after the module's name and the page."""
    found: dict[str, dict[str, set[tuple[str, str]]]] = {}
    for page in PAGES:
        for line in code(page):
            for module, rest in re.findall(r"python -m ([\w.]+)([^|;#&]*)", line):
                if module.partition(".")[0] in OURS:
                    word = re.match(r" +([\w-]+)", rest)
                    about = (word[1] if word and not word[1].startswith("-") else "", page.name)
                    options = found.setdefault(module, {})
                    for option in re.findall(r"(?<= )--?[a-z][\w-]*", rest):
                        options.setdefault(option, set()).add(about)
    return found


COMMANDS = commands()


@pytest.mark.parametrize("module", sorted(COMMANDS))
def test_commands(module, monkeypatch, capsys):
    """Each is a module that can be run, and its help, or that of the subcommand, has every option."""

    @functools.cache
    def help_of(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", [module, *words, "--help"])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(program), run_name="__main__")
        assert end.value.code == 0
        return capsys.readouterr().out

    program = ROOT.joinpath(*module.split("."))
    program = next(path for path in (program.with_suffix(".py"), program / "__main__.py") if path.is_file())
    if module.startswith("hw.litex"):
        pytest.importorskip("litex", reason="litex is not installed (extra litex)")
    unknown = []
    for option, uses in COMMANDS[module].items():
        for word, page in uses:
            known = re.compile(rf"(?<![\w-]){re.escape(option)}(?![\w-])")
            if not known.search(help_of()) and not (word and known.search(help_of(word))):
                unknown.append(f"{page}: {option}")
    assert not unknown


def test_make_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        (page.name, target)
        for page in PAGES
        for line in code(page)
        for target in re.findall(r"^make ([a-z-]+)", line.strip())
    }
    assert len(named) > 10
    assert not {(page, target) for page, target in named if target not in targets}
