"""What to ask a switch for a snapshot: a conversation without I/O, whoever carries it.

::

    switchname, global_getvar core_uuid            who it is, in which run
    status, version                                how it is
    show channels as json, show calls as json      what goes on
    sofia xmlstatus                                its SIP profiles
    sofia xmlstatus profile NAME reg               who is registered, what other hosts propagated included
    vm_boxcount USER@DOMAIN|all                    messages, of the accounts that are wanted

    asking = Asking("", now, wall)
    while (command := asking.next()) is not None:
        asking.take(await api(command))
    snapshot = asking.snapshot()                   and asking.faults: what could not be read, each naming its command

What cannot be read leaves its part of the snapshot ``None``, so that the views leave that part alone. Names of profiles
and accounts come from outside, so what could end a command, or be more than one word of it, is not asked about.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from switchcast.errors import AnswerError
from switchcast.views import answers
from switchcast.views.answers import mailbox_question, registration_question
from switchcast.views.telling import Snapshot

__all__ = ["MOST_ACCOUNTS", "MOST_PROFILES", "Asking", "mailbox_questions", "questions"]

MOST_PROFILES: Final = 200
"""SIP profiles that are asked about; a switch has a handful."""
MOST_ACCOUNTS: Final = 2000
"""Mailboxes that are asked about in one snapshot: each takes a question of its own."""
_FIRST: Final = (answers.CORE, "status", "version", answers.CHANNELS, answers.CALLS, answers.PROFILES)
_PROFILE: Final = re.compile(r"[\w.+*#%~=:\[\]-]{1,128}", re.ASCII)
_ACCOUNT: Final = re.compile(r"[\w.+*#%~=-]{1,128}@[\w.:\[\]-]{1,253}", re.ASCII)


def questions(profiles: Iterable[str] = (), accounts: Iterable[str] = ()) -> list[str]:
    """The commands that a snapshot takes, in order, of a switch with these SIP profiles and mailboxes."""
    about = [registration_question(name) for name in _askable(profiles, _PROFILE, MOST_PROFILES)]
    about += [mailbox_question(name) for name in _askable(accounts, _ACCOUNT, MOST_ACCOUNTS)]
    return [answers.NAME, *_FIRST, *about]


def mailbox_questions(accounts: Iterable[str]) -> dict[str, str]:
    """The accounts among these, as far as they can be asked about, by the command that asks."""
    return {mailbox_question(name): name for name in _askable(accounts, _ACCOUNT, MOST_ACCOUNTS)}


class Asking:
    """A conversation with one switch: what to ask next, what was answered, and the snapshot that comes of it.

    ``now`` is monotonic seconds, ``wall`` since 1970: when the first question is sent. ``node`` is what the switch is
    called in its events; it is asked where that is empty. ``accounts`` (``user@domain``) are those whose mailboxes are
    wanted. ``faults`` are the answers that could not be read.
    """

    def __init__(self, node: str, now: float, wall: float, accounts: Iterable[str] = ()) -> None:
        self.faults: list[AnswerError] = []
        self._begun, self._wall, self._node, self._core = now, wall, node, ""
        self._status: dict[str, str] = {}
        self._channels: tuple[dict[str, str], ...] | None = None
        self._calls: tuple[dict[str, str], ...] | None = None
        self._registered: list[dict[str, str]] | None = None
        self._boxes: dict[str, tuple[int, int]] | None = None
        self._accounts = _askable(accounts, _ACCOUNT, MOST_ACCOUNTS)
        self._open: deque[tuple[str, Callable[[str, str], None]]] = deque()
        readers: list[Callable[[str, str], None]] = [self._take_core, self._take_status, self._take_version]
        readers += [self._take_channels, self._take_calls, self._take_profiles]
        if not node:
            self._open.append((answers.NAME, self._take_name))
        self._open += zip(_FIRST, readers, strict=True)

    def next(self) -> str | None:
        """The command to send now, the same until ``take`` has its answer; ``None`` when all has been asked."""
        return self._open[0][0] if self._open else None

    def take(self, answer: str) -> None:
        """What the switch answered to the last command."""
        command, read = self._open.popleft()
        try:
            read(command, answer)
        except AnswerError as error:
            self.faults.append(error)

    def snapshot(self) -> Snapshot:
        """What was told until now. Raises ``AnswerError`` where the switch did not say who it is."""
        if not self._node:
            raise AnswerError(answers.NAME, "without a name its rows are nobody's")
        return Snapshot(
            self._node,
            self._core,
            self._begun,
            self._wall,
            self._channels,
            self._calls,
            None if self._registered is None else tuple(self._registered),
            self._boxes,
            self._status,
        )

    def _take_name(self, _: str, answer: str) -> None:
        self._node = answers.switch_name(answer)

    def _take_core(self, _: str, answer: str) -> None:
        self._core = answers.core_uuid(answer)

    def _take_status(self, _: str, answer: str) -> None:
        self._status |= answers.status(answer)

    def _take_version(self, _: str, answer: str) -> None:
        self._status["FreeSWITCH-Version"] = answers.version(answer)

    def _take_channels(self, command: str, answer: str) -> None:
        self._channels = answers.rows(command, answer)

    def _take_calls(self, command: str, answer: str) -> None:
        self._calls = answers.rows(command, answer)

    def _take_profiles(self, command: str, answer: str) -> None:
        self._open += [(mailbox_question(name), self._take_box) for name in self._accounts]
        found = answers.profiles(answer)
        askable = _askable(found, _PROFILE, MOST_PROFILES)
        if len(askable) < len(found):
            raise AnswerError(command, f"{len(found)} profiles, of which {len(askable)} can be asked about")
        self._registered = []
        for name in reversed(askable):
            self._open.appendleft((registration_question(name), self._reader_of(name)))

    def _reader_of(self, profile: str) -> Callable[[str, str], None]:
        def read(_: str, answer: str) -> None:
            known, self._registered = self._registered, None  # nothing, unless all of it can be read
            found = answers.registrations(profile, answer)
            if known is not None:
                known += found
                self._registered = known

        return read

    def _take_box(self, command: str, answer: str) -> None:
        try:
            counts = answers.box_count(command, answer)
        except AnswerError:
            self._open.clear()  # without mod_voicemail it is the same for all that are still to be asked about
            raise
        self._boxes = {} if self._boxes is None else self._boxes
        self._boxes[command.removeprefix("vm_boxcount ").removesuffix("|all")] = counts


def _askable(names: Iterable[str], pattern: re.Pattern[str], most: int) -> list[str]:
    """The first of ``names`` that a command can carry."""
    return list(islice(filter(pattern.fullmatch, names), most))
