"""The documentation is true: its examples are run, its figures and options compared with the code's.

How a fenced block is taken, by its language:

=============  ===========================================================================================
``pycon``      a Python session, as doctest reads it; one namespace a page
``python``     a program of its own; a ``text`` block right behind it is what it prints
``console``    commands behind ``$``, each followed by what it prints, standard error included
``sh``         commands that are only read: each ``make`` target and each script in them must exist
=============  ===========================================================================================

In expected output ``...`` stands for anything, and one space for any white space, but in help texts. Commands and
programs find the plain recording as ``capture.pcap.gz``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import doctest
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from ports import free_port
from recordings import DATA

import switchcast
from switchcast import LIMITS, REJECT_REASONS
from switchcast.endpoints import SCHEMES, make_endpoint
from switchcast.errors import UrlError
from switchcast.keys import KeyFile

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text, and the output that a block behind it shows."""

    page: Path
    line: int
    language: str
    text: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every block of ``language`` in the documentation."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = list(FENCE.finditer(text))
        for fence, behind in zip_longest(fences, fences[1:]):
            if fence["language"] == language:
                close = behind is not None and behind["language"] == "text" and behind.start() - fence.end() < 3
                output = behind["text"] if behind is not None and close else None
                line = text.count("\n", 0, fence.start()) + 1
                found.append(Block(page, line, language, fence["text"], output))
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where examples are run: an empty folder with the plain recording in it."""
    shutil.copy(DATA / "stock-plain.pcap.gz", tmp_path / "capture.pcap.gz")
    return tmp_path


def run(command: list[str], desk: Path, program: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``command`` as a person at a terminal 100 columns wide would, but without colour."""
    scripts = sysconfig.get_path("scripts")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHCAST_")}
    environment |= {"PATH": f"{scripts}:{environment['PATH']}", "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    environment |= {"HOME": str(desk), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return subprocess.run(
        command,
        cwd=desk,
        env=environment,
        input=program or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def assert_printed(expected: str, printed: str, what: str) -> None:
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | (0 if what.endswith("--help") else doctest.NORMALIZE_WHITESPACE)
    if not checker.check_output(expected, printed, flags):
        difference = checker.output_difference(doctest.Example(what, expected), printed, flags)
        pytest.fail(f"{what}\n{difference}", pytrace=False)


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block with what it prints."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and not found[-1][1]:
            found[-1] = (found[-1][0] + line[2:], "")
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def test_there_are_examples() -> None:
    assert min(len(blocks(language)) for language in ("pycon", "python", "console", "sh")) > 0


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```pycon" in page.read_text(encoding="utf-8")], ids=lambda page: page.name
)
def test_sessions_show_what_python_shows(page: Path) -> None:
    # Lines that are not of a session stay in place as empty ones, so that doctest names the page's own.
    lines = [""] * page.read_text(encoding="utf-8").count("\n")
    for block in blocks("pycon"):
        if block.page == page:
            session = block.text.splitlines()
            lines[block.line : block.line + len(session)] = session
    test = doctest.DocTestParser().get_doctest("\n".join(lines), {}, page.name, str(page), 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    if said:
        pytest.fail("".join(said), pytrace=False)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_programs_run(block: Block, desk: Path) -> None:
    ended = run([sys.executable, "-"], desk, block.text)
    assert ended.returncode == 0, ended.stdout
    if block.output is not None:
        assert_printed(block.output, ended.stdout, str(block))


@pytest.mark.parametrize("block", blocks("console"), ids=str)
def test_commands_print_what_is_shown(block: Block, desk: Path) -> None:
    for command, output in commands(block):
        ended = run(["bash", "-c", command], desk)
        assert_printed(output, ended.stdout, f"{block}: {command.strip()}")


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_named_targets_and_scripts_exist(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)) <= targets
    for script in re.findall(r"^(?:bash )?((?:\./|scripts/|\.ci/)\S+)", block.text, re.MULTILINE):
        assert (ROOT / script).is_file(), script


def test_the_rust_that_is_asked_for_is_the_crates() -> None:
    asked = [
        found for page in PAGES for found in re.findall(r"Rust\S* ([\d.]+) or newer", page.read_text(encoding="utf-8"))
    ]
    crate = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert set(asked) == {crate["rust-version"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        if "://" in link["target"]:
            continue
        target = (page.parent / link["target"]).resolve() if link["target"] else page
        assert target.exists(), f"{page.name} links to {link['target']}"
        if link["anchor"]:
            assert link["anchor"] in anchors(target), f"{page.name} links to {link['target']}#{link['anchor']}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as repository viewers make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: str, heading: str, column: str) -> list[list[str]]:
    """The cells of the table under ``heading`` whose first column is called ``column``."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    table = section.split(f"| {column} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip("` |") for cell in line.split(" | ")] for line in table.splitlines()[2:]]


def test_every_limit_is_documented_with_its_figure() -> None:
    documented = {row[0]: int(row[1].replace(",", "")) for row in rows("limits.md", "Limits", "limit")}
    assert documented == dict(LIMITS)


def test_every_reject_reason_is_documented() -> None:
    documented = [row[0] for row in rows("limits.md", "Why a datagram is rejected", "reason")]
    assert documented == list(REJECT_REASONS)


def test_every_documented_counter_of_a_socket_is_there(tmp_path: Path) -> None:
    async def counted(options: str) -> set[str]:
        url = f"udp://127.0.0.1:{free_port()}{options}"
        async with switchcast.open(url, role="source") as source, switchcast.open(url, role="sink") as sink:
            return set(source.counters()) | set(sink.counters())

    key_file = tmp_path / "group.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KeyFile.new(bytes(range(32)), dt.date(2026, 1, 1)).text(), encoding="utf-8")
    stock, sealed = asyncio.run(counted("")), asyncio.run(counted(f"?mode=sealed&key_file={key_file}"))
    table = rows("limits.md", "What else is dropped, and where it is counted", "counter")
    for names, where, _ in table:
        for name in names.split("`, `"):
            beginning = name.removesuffix("<reason>")
            known = stock if where.endswith("`udp:`") else sealed if where.endswith("with a key") else None
            assert known is None or any(each == name or each.startswith(beginning) for each in known), name
    assert sum("udp:" in where for _, where, _ in table) > 1


def options_of(url: str) -> set[str]:
    """What an endpoint says that it takes when it is given an option that is like none of them."""
    with pytest.raises(UrlError, match="it takes ") as refused:
        make_endpoint(f"{url}?0=0")
    return set(str(refused.value).rpartition("it takes ")[2].split(", "))


@pytest.mark.parametrize(
    ("scheme", "url"),
    [
        ("multicast", "multicast://239.192.1.1"),
        ("udp", "udp://192.0.2.1"),
        ("esl", "esl://192.0.2.1"),
        ("sim", "sim://"),
        ("file", "file:events.jsonl"),
        ("archive", "archive:history"),
        ("memory", "memory:name"),
    ],
)
def test_every_option_of_an_endpoint_is_documented(scheme: str, url: str) -> None:
    assert {row[0] for row in rows("endpoints.md", f"{scheme}:", "option")} == options_of(url)


def test_every_scheme_is_documented() -> None:
    documented = re.findall(
        r"^## (\S+?):?$", (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert documented == list(SCHEMES)


def test_every_command_has_its_help_in_the_documentation(desk: Path) -> None:
    shown = {command.strip() for block in blocks("console") for command, _ in commands(block)}
    listed = run(["switchcast", "--help"], desk).stdout.partition("Commands:\n")[2]
    names = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    assert len(names) > 1
    assert {f"switchcast {name} --help" for name in names} <= shown
