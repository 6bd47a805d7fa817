"""What a switch's answers to the commands of a snapshot say: text in, plain values out.

``sofia xmlstatus`` says that it is XML, and is none: mod_sofia escapes contact and User-Agent, and writes Call-ID and
user as they are, and a Call-ID may hold ``<`` and ``>`` (RFC 3261). An XML parser would lose all registrations to one
such telephone, so the answer is read as what it is: lines, each a value between two tags. There are no entities to
expand but those of the five characters that are escaped, each once.

An answer that is not whole is an error, never a part of what it should be: half a list would end what it leaves out.
"""

from __future__ import annotations

import json
import re
from typing import Final

from switchcast.errors import AnswerError

__all__ = [
    "CALLS",
    "CHANNELS",
    "CORE",
    "NAME",
    "PROFILES",
    "box_count",
    "core_uuid",
    "mailbox_question",
    "profiles",
    "registration_question",
    "registrations",
    "rows",
    "status",
    "switch_name",
    "version",
]

NAME: Final = "switchname"
CORE: Final = "global_getvar core_uuid"
CHANNELS: Final = "show channels as json"
CALLS: Final = "show calls as json"
PROFILES: Final = "sofia xmlstatus"
_NO_PROFILE: Final = "Invalid Profile!"
_SHOWN: Final = 60
"""Characters of an answer that an error shows."""
_MOST_NAME: Final = 256

_CORE_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_COUNTS: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):[0-9]{1,9}:[0-9]{1,9}")
_VERSION: Final = re.compile(r"FreeSWITCH Version (\S{1,128})")
_REGISTRATION: Final = re.compile(
    r"^[ \t]*<registration>\n"
    r"[ \t]*<call-id>(.*)</call-id>\n"
    r"[ \t]*<user>(.*)</user>\n"
    r"[ \t]*<contact>(.*|[^<]*)</contact>\n"
    r"[ \t]*<agent>(.*|[^<]*)</agent>\n"
    r"[ \t]*<status>(.*)</status>\n"
    r"(?:[ \t]*<ping-status>(.*)</ping-status>\n)?"
    r"(?:[ \t]*<(?:ping-time|host)>.*\n)*"
    r"[ \t]*<network-ip>(.*)</network-ip>\n"
    r"[ \t]*<network-port>(.*)</network-port>$",
    re.MULTILINE,
)
"""The lines of one registration, in mod_sofia's order; older ones have no ping-status and no ping-time."""
_PROFILE: Final = re.compile(r"^<profile>\n<name>(.*)</name>\n<type>profile</type>$", re.MULTILINE)
_ESCAPED: Final = re.compile(r"&(lt|gt|amp|quot|apos|#39);")
_MEANT: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "#39": "'"}

_UNITS: Final = {"year": 31_536_000_000, "day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000}
_PART: Final = re.compile(r"([0-9]{1,9}) (year|day|hour|minute|second|millisecond)s?\b")
_STATUS: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(pattern, re.MULTILINE), names)
    for pattern, names in (
        (r"^(\d{1,12}) session\(s\) since startup", ("Session-Since-Startup",)),
        (
            r"^(\d{1,12}) session\(s\) - peak (\d{1,12}), last 5min (\d{1,12})",
            ("Session-Count", "Session-Peak-Max", "Session-Peak-FiveMin"),
        ),
        (
            r"^(\d{1,12}) session\(s\) per Sec out of max (\d{1,12}), peak (\d{1,12}), last 5min (\d{1,12})",
            ("Session-Per-Sec-Last", "Session-Per-Sec", "Session-Per-Sec-Max", "Session-Per-Sec-FiveMin"),
        ),
        (r"^(\d{1,12}) session\(s\) max", ("Max-Sessions",)),
        (r"^min idle cpu [\d.]{1,12}/(\d{1,3}(?:\.\d{1,6})?)", ("Idle-CPU",)),
    )
)
"""The lines of ``status``, and what HEARTBEAT calls the figures in them."""


def registration_question(profile: str) -> str:
    """The command that lists who is registered at a SIP profile."""
    return f"sofia xmlstatus profile {profile} reg"


def mailbox_question(account: str) -> str:
    """The command that counts the messages of ``user@domain``."""
    return f"vm_boxcount {account}|all"


def rows(command: str, text: str) -> tuple[dict[str, str], ...]:
    """The rows of a ``show … as json``; raises ``AnswerError``. A value that is no text is told as JSON has it."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise AnswerError(command, f"not JSON but {_shown(text)}") from None
    found = answer.get("rows", []) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise AnswerError(command, f"no rows in {_shown(text)}")
    if answer.get("row_count") != len(found):
        raise AnswerError(command, f"it says {_shown(str(answer.get('row_count')))} rows and lists {len(found)}")
    return tuple({name: _text(value) for name, value in row.items()} for row in found)


def profiles(text: str) -> tuple[str, ...]:
    """The SIP profiles that ``sofia xmlstatus`` lists, each once though it is listed for each transport."""
    _whole(PROFILES, text, "</profiles>")
    return tuple(dict.fromkeys(_PROFILE.findall(text)))


def registrations(profile: str, text: str) -> tuple[dict[str, str], ...]:
    """Who is registered at ``profile``, by column, with ``profile`` added; nobody where there is no such profile.

    Raises ``AnswerError`` where the answer is cut short.
    """
    if text.strip() == _NO_PROFILE:
        return ()
    _whole(registration_question(profile), text, "</profile>")
    listed = text.count("<registration>\n")
    found = [
        {
            "profile": profile,
            "call-id": call_id,
            "user": user,
            "contact": _ESCAPED.sub(_unescaped, contact) if "&" in contact else contact,
            "agent": _ESCAPED.sub(_unescaped, agent) if "&" in agent else agent,
            "status": status,
            "ping-status": ping,
            "network-ip": ip,
            "network-port": port,
        }
        for call_id, user, contact, agent, status, ping, ip, port in _REGISTRATION.findall(text)
    ]
    if len(found) != listed:
        raise AnswerError(registration_question(profile), f"of {listed} registrations {len(found)} can be read")
    return tuple(found)


def box_count(command: str, text: str) -> tuple[int, int]:
    """Messages new and saved, of the four numbers of ``vm_boxcount …|all``; raises ``AnswerError``."""
    found = _COUNTS.fullmatch(text.strip())
    if found is None:
        raise AnswerError(command, f"no four numbers but {_shown(text)}")
    return int(found[1]), int(found[2])


def status(text: str) -> dict[str, str]:
    """What ``status`` says, by the names that HEARTBEAT has for it; raises ``AnswerError``."""
    if not text.startswith("UP "):
        raise AnswerError("status", f"not how it is but {_shown(text)}")
    up_time = text[3:].partition("\n")[0].strip()
    parts = _PART.findall(up_time[:256])
    milliseconds = sum(int(number) * _UNITS.get(unit, 1) for number, unit in parts)
    told = {"Up-Time": up_time[:256], "Uptime-msec": str(milliseconds)} if parts else {}
    for pattern, names in _STATUS:
        if found := pattern.search(text):
            told |= dict(zip(names, found.groups(), strict=True))
    return told


def version(text: str) -> str:
    """The version that ``version`` tells, as HEARTBEAT has it; raises ``AnswerError``."""
    found = _VERSION.match(text)
    if found is None:
        raise AnswerError("version", f"no version but {_shown(text)}")
    return found[1]


def core_uuid(text: str) -> str:
    """The Core-UUID that ``global_getvar core_uuid`` tells; raises ``AnswerError``."""
    if not _CORE_UUID.fullmatch(text.strip()):
        raise AnswerError(CORE, f"no Core-UUID but {_shown(text)}")
    return text.strip()


def switch_name(text: str) -> str:
    """What a switch calls itself (``switchname``); raises ``AnswerError``."""
    name = text.strip()
    if not name or len(name) > _MOST_NAME or name.startswith("-ERR") or "\n" in name:
        raise AnswerError(NAME, f"no name but {_shown(text)}")
    return name


def _whole(command: str, text: str, end: str) -> None:
    """Raise ``AnswerError`` unless the answer ends as it should."""
    if not text.rstrip().endswith(end):
        reason = "it is cut short" if text.lstrip().startswith("<") else f"no list but {_shown(text)}"
        raise AnswerError(command, reason)


def _unescaped(found: re.Match[str]) -> str:
    return _MEANT[found[1]]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _shown(text: str) -> str:
    """The beginning of an answer, as one line without control characters."""
    line = text.strip().partition("\n")[0]
    return ascii(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…") if line else "nothing"
