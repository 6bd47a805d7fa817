"""The page of the doctor against its code and its tests: every finding has its section, and is made for real."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from switchcast.guard.doctor.switch_safety import LEGACY, shield

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
FOR_REAL: Final = (
    "test_doctor_cli.py",
    "test_doctor_interfaces.py",
    "test_doctor_namespaces.py",
    "test_doctor_platforms.py",
    "test_doctor_provoked.py",
    "test_doctor_queues.py",
    "test_doctor_shipped.py",
)
"""Tests in which the doctor runs on hosts that have the fault."""
MADE_FACTS_ONLY: Final = {"clock-jumps", "clock-offset", "udp-memory-full"}
"""Findings that cannot be made without harm: all processes of a machine share its clock and its memory for UDP."""


def codes_in_code() -> set[str]:
    """Every code that a finding of the doctor can have: of ``code=`` and of what it takes its value from."""
    found = set()
    for path in (ROOT / "src/switchcast/guard/doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code":
                found |= constants(node.value)
        if path.stem == "filtering":
            found |= set(re.findall(r'"(firewall-[a-z-]+)"', path.read_text(encoding="utf-8")))
    return found


def constants(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_code_has_its_section_and_every_section_its_code() -> None:
    sections = re.findall(r"^#### ([a-z0-9-]+)$", PAGE, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == codes_in_code()
    assert PAGE.count(" Mend: ") + PAGE.count("\nMend: ") == len(sections)


def test_commands_that_the_page_gives_whole_are_the_findings_own() -> None:
    for mend in (shield(4242).how, LEGACY):
        assert f"\n{mend}\n```" in PAGE


def strings_in(path: Path) -> set[str]:
    """Every string that stands in a file of Python."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_finding_is_made_for_real_but_for_those_that_the_page_names() -> None:
    named = set().union(*(strings_in(ROOT / "tests" / name) for name in FOR_REAL))
    assert codes_in_code() - named == MADE_FACTS_ONLY
    (told,) = re.findall(r"^Not made for real: (.*?)\.$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", told)) == MADE_FACTS_ONLY
