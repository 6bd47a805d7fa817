"""Group keys, signing keys, and who may sign: the files that hold them.

::

    # group.key                                                                   what sealed and traced are under
    3f9a01c2 b2sgbm90IGEga2V5LCBqdXN0IGFuIGV4YW1wbGUgaGVyZSE= send 2026-11-23
    77aa01bc YW5vdGhlciBvbmUsIHRoYXQgaXMgbm8ga2V5IGVpdGhlciE= receive 2027-02-23
    key id   the 32 bytes of the secret in base64             state   made

    # fs1.signing                                                                 what one host signs with
    ed25519 b2sgbm90IGEga2V5LCBqdXN0IGFuIGV4YW1wbGUgaGVyZSE= 2026-11-23

    # signers                                                                     whom one believes; public
    fs1.example.com dGhlIHB1YmxpYyBrZXkgb2YgYSBob3N0LCBub3Qgc2VjcmV0IQ==

Keys of a group stand in the order in which they were made. One has the state ``send``; what comes in may be under any
of them. Those behind it are to be sent with next, those in front of it were sent with before: so a file says by itself
which step of a rotation is next. Comments begin with ``#`` and stay where they are when a file is changed.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar

from switchcast._native import LIMITS, key_id, public_key
from switchcast.errors import KeyFileError, SwitchcastError, UsageError
from switchcast.private_files import credential_path, read_owned

__all__ = [
    "GroupKey",
    "GroupKeys",
    "KeyFile",
    "SigningKey",
    "is_signer_name",
    "load_any_key",
    "load_group_keys",
    "load_key_file",
    "load_signers",
    "load_signing_key",
    "new_secret",
]

State = Literal["send", "receive"]

KEY_BYTES: Final = 32
MOST_KEYS: Final = LIMITS["live_keys"]
_ID: Final = re.compile(r"[0-9a-f]{8}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SIGNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SIGNS: Final = "ed25519"

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The live keys of a group, 1 to 4 of 32 bytes each, the one that is sent with first."""

    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """Their names on the wire, in the same order."""
        return tuple(map(key_id, self.secrets))

    def __repr__(self) -> str:
        return f"<GroupKeys {' '.join(self.ids)}>"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What one host signs with: an Ed25519 seed of 32 bytes (RFC 8032), and the day on which it was made."""

    seed: bytes = field(repr=False)
    made: dt.date

    @property
    def public(self) -> str:
        """The public key in base64, as files of signers have it."""
        return base64.b64encode(public_key(self.seed)).decode()

    def text(self) -> str:
        """A file with this key in it."""
        about = "# A switchcast signing key. Secret: whoever has it can speak for its holder.\n"
        return f"{about}{_SIGNS} {base64.b64encode(self.seed).decode()} {self.made}\n"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One key of a group: 32 bytes, what it is for, and the day on which it was made."""

    secret: bytes = field(repr=False)
    state: State
    made: dt.date

    @property
    def id(self) -> str:
        """Its name on the wire."""
        return key_id(self.secret)

    @property
    def line(self) -> str:
        """The line of a file, secret and all."""
        return f"{self.id} {base64.b64encode(self.secret).decode()} {self.state} {self.made}"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A group's keys with the comments around them. A step of a rotation makes another of it; nothing is written.

    ``lines`` are comments as they stand, and keys.
    """

    lines: tuple[str | GroupKey, ...] = field(repr=False)

    @classmethod
    def new(cls, secret: bytes, made: dt.date) -> KeyFile:
        """A file with one key."""
        about = (
            "# The keys of a switchcast group. Secret: whoever has one can read the group and speak in it.",
            "# A line is: id, secret, state, day made; oldest first. 'switchcast key rotate' changes it.",
        )
        return cls((*about, GroupKey(secret, "send", made)))

    @property
    def keys(self) -> tuple[GroupKey, ...]:
        """All of them, oldest first."""
        return tuple(line for line in self.lines if isinstance(line, GroupKey))

    @property
    def sending(self) -> GroupKey:
        """The one that is sent with."""
        return next(key for key in self.keys if key.state == "send")

    @property
    def former(self) -> tuple[GroupKey, ...]:
        """Those that were sent with before."""
        return self.keys[: self.keys.index(self.sending)]

    @property
    def following(self) -> tuple[GroupKey, ...]:
        """Those that are to be sent with next."""
        return self.keys[self.keys.index(self.sending) + 1 :]

    def live(self) -> GroupKeys:
        """The keys as a node takes them."""
        rest = (key.secret for key in self.keys if key is not self.sending)
        return GroupKeys((self.sending.secret, *rest))

    def text(self) -> str:
        """The file, secrets and all."""
        return "".join(f"{line.line if isinstance(line, GroupKey) else line}\n" for line in self.lines)

    def add(self, secret: bytes, made: dt.date) -> KeyFile:
        """First step: one more key, to receive with. Raises ``UsageError`` where that is not the next step."""
        if self.following:
            raise UsageError(f"key {self.following[0].id} is there to be sent with next; switch to it first (--switch)")
        if len(self.keys) >= MOST_KEYS:
            raise UsageError(f"there are {len(self.keys)} keys, and at most {MOST_KEYS} are live; --retire former ones")
        return KeyFile((*self.lines, GroupKey(secret, "receive", made)))

    def switch(self) -> KeyFile:
        """Second step: send with the next key. Raises ``UsageError`` where there is none."""
        if not self.following:
            raise UsageError("there is no key to switch to; add one first (--add)")
        states: Mapping[GroupKey, State] = {self.sending: "receive", self.following[0]: "send"}
        return KeyFile(
            tuple(
                replace(line, state=states[line]) if isinstance(line, GroupKey) and line in states else line
                for line in self.lines
            )
        )

    def retire(self) -> KeyFile:
        """Third step: without the keys that were sent with before. Raises ``UsageError`` where there are none."""
        if not self.former:
            raise UsageError("there is no former key to retire; add one (--add) and switch to it (--switch) first")
        return KeyFile(tuple(line for line in self.lines if line not in self.former))


def load_group_keys(source: str, environ: Mapping[str, str] | None = None, *, looking: bool = False) -> GroupKeys:
    """The live keys in the file that ``source`` names: a path, or ``credential:NAME``.

    ``looking`` is as in ``private_files.read_owned``. Raises ``EndpointDenied`` or ``EndpointUnavailable`` when the
    file cannot be had or others can have it, ``KeyFileError`` when something in it is wrong.
    """
    return load_key_file(source, environ, looking=looking).live()


def load_key_file(source: str, environ: Mapping[str, str] | None = None, *, looking: bool = False) -> KeyFile:
    """The same with comments, states and dates."""
    return _load(source, environ, _parse_group, looking=looking)


def load_any_key(
    source: str, environ: Mapping[str, str] | None = None, *, looking: bool = False
) -> KeyFile | SigningKey:
    """The keys in a file of either kind; otherwise as ``load_group_keys``."""
    return _load(source, environ, _parse_either, looking=looking)


def load_signing_key(source: str, environ: Mapping[str, str] | None = None, *, looking: bool = False) -> SigningKey:
    """The signing key in the file that ``source`` names; otherwise as ``load_group_keys``."""
    return _load(source, environ, _parse_signing, looking=looking)


def load_signers(
    source: str, environ: Mapping[str, str] | None = None, *, looking: bool = False
) -> tuple[tuple[str, bytes], ...]:
    """Who may sign, by name, with the 32 bytes of the public key; otherwise as ``load_group_keys``.

    Others may read the file, but not write it. A name may have several keys, as while one of them is replaced.
    """
    return _load(source, environ, _parse_signers, looking=looking, others="write")


def _load(
    source: str,
    environ: Mapping[str, str] | None,
    parse: Callable[[Iterator[_Line]], Read],
    *,
    looking: bool,
    others: Literal["read", "write"] = "read",
) -> Read:
    try:
        path = credential_path(source, environ) or source
    except ValueError as error:
        raise KeyFileError(f"{source}: {error}") from None
    content = read_owned(path, others=others, looking=looking)
    try:
        return parse(_lines_of(content))
    except _WrongLineError as error:
        raise KeyFileError(f"{path}:{error.number}: {error}" if error.number else f"{path}: {error}") from None


class _WrongLineError(SwitchcastError):
    """What is wrong with a line, 0 for the file as a whole. Its words are ours alone."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True, slots=True)
class _Line:
    """A line: a comment (or nothing), as which it has no ``words``, or else its words."""

    number: int
    text: str = field(repr=False)
    words: tuple[str, ...] = field(repr=False)

    def wrong(self, reason: str) -> _WrongLineError:
        return _WrongLineError(self.number, reason)

    def key(self, place: int, what: str) -> bytes:
        """The 32 bytes that the word at ``place`` stands for."""
        try:
            secret = base64.b64decode(self.words[place], validate=True)
        except binascii.Error:
            secret = b""
        if len(secret) != KEY_BYTES or base64.b64encode(secret).decode() != self.words[place]:
            raise self.wrong(f"{what} is not {KEY_BYTES} bytes in base64, 44 characters; copy the line anew")
        return secret

    def date(self, place: int) -> dt.date:
        """The day that the word at ``place`` stands for."""
        try:
            if _DATE.fullmatch(self.words[place]):
                return dt.date.fromisoformat(self.words[place])
        except ValueError:
            pass
        raise self.wrong("the day on which it was made is not written as 2026-11-23")


def _lines_of(content: bytes) -> Iterator[_Line]:
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            text = line.decode().rstrip()
        except UnicodeDecodeError:
            raise _WrongLineError(number, "is no text in UTF-8; copy the file anew") from None
        if not text.replace("\t", " ").isprintable():
            raise _WrongLineError(number, "has control characters; copy the file anew, as text")
        words = () if text.lstrip().startswith("#") else tuple(text.split())
        yield _Line(number, text, words)


def _parse_either(given: Iterator[_Line]) -> KeyFile | SigningKey:
    lines = list(given)
    signs = any(line.words[:1] == (_SIGNS,) for line in lines)
    return _parse_signing(iter(lines)) if signs else _parse_group(iter(lines))


def _parse_group(given: Iterator[_Line]) -> KeyFile:
    lines: list[str | GroupKey] = []
    places: dict[bytes, int] = {}
    sending = 0
    for line in given:
        if not line.words:
            lines.append(line.text)
            continue
        key = _group_key(line)
        if key.secret in places:
            raise line.wrong(f"key {key.id} stands in line {places[key.secret]} already; leave one out")
        if key.id in {other.id for other in lines if isinstance(other, GroupKey)}:
            raise line.wrong(f"another key has the id {key.id} too; make a new one")
        if len(places) == MOST_KEYS:
            raise line.wrong(f"one key more than the {MOST_KEYS} that can be live; retire former ones")
        if key.state == "send" and sending:
            raise line.wrong(f"line {sending} has the key to send with; write receive in one of the two")
        sending = line.number if key.state == "send" else sending
        places[key.secret] = line.number
        lines.append(key)
    if not places:
        raise _WrongLineError(0, "holds no key; make one with: switchcast key new FILE")
    if not sending:
        raise _WrongLineError(0, "has no key to send with; write send in place of receive in one line")
    return KeyFile(tuple(lines))


def _group_key(line: _Line) -> GroupKey:
    if line.words[0] == _SIGNS:
        raise line.wrong("this is a signing key; name it as sign_key_file")
    if len(line.words) != 4:
        raise line.wrong(f"has {_count(line.words)}; a key is id, secret, state and day made")
    secret = line.key(1, "the secret")
    if line.words[2] not in {"send", "receive"}:
        raise line.wrong("the state is neither send nor receive")
    key = GroupKey(secret, "send" if line.words[2] == "send" else "receive", line.date(3))
    if not _ID.fullmatch(line.words[0]) or line.words[0] != key.id:
        raise line.wrong(f"the id is not {key.id}, which is that of the secret; one of them has changed")
    return key


def _parse_signing(given: Iterator[_Line]) -> SigningKey:
    found: SigningKey | None = None
    for line in given:
        if not line.words:
            continue
        if _ID.fullmatch(line.words[0]):
            raise line.wrong("this is a group's key; name it as key_file")
        if line.words[0] != _SIGNS or len(line.words) != 3:
            raise line.wrong(
                f"a signing key is {_SIGNS}, secret and day made; make one with: switchcast key new --signing"
            )
        if found is not None:
            raise line.wrong("a second signing key; leave one out")
        found = SigningKey(line.key(1, "the secret"), line.date(2))
    if found is None:
        raise _WrongLineError(0, "holds no signing key; make one with: switchcast key new --signing FILE")
    return found


def _parse_signers(given: Iterator[_Line]) -> tuple[tuple[str, bytes], ...]:
    signers: list[tuple[str, bytes]] = []
    places: dict[bytes, int] = {}
    for line in given:
        if not line.words:
            continue
        if line.words[0] == _SIGNS:
            raise line.wrong("this is a secret; what belongs here is printed by: switchcast key show --public FILE")
        if len(line.words) != 2:
            raise line.wrong(f"has {_count(line.words)}; a signer is a name and a public key, which is no secret")
        if not is_signer_name(line.words[0]):
            raise line.wrong("a name has letters, digits, '.', '_' and '-', 64 at most")
        key = line.key(1, "the public key")
        if key in places:
            raise line.wrong(f"line {places[key]} has the same key; of two holders neither could be told")
        places[key] = line.number
        signers.append((line.words[0], key))
    if not signers:
        raise _WrongLineError(0, "names nobody; write a line for each: switchcast key show --public FILE prints it")
    return tuple(signers)


def _count(words: tuple[str, ...]) -> str:
    return f"{len(words)} word{'' if len(words) == 1 else 's'}"


def is_signer_name(name: str) -> bool:
    """Whether ``name`` can stand in a file of signers."""
    return bool(_SIGNER.fullmatch(name))


def new_secret() -> bytes:
    """32 bytes from the system's source of randomness."""
    return os.urandom(KEY_BYTES)
