"""Files of keys: what is read, what is refused and in which words, and that no word of theirs is a secret."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hmac
import random
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyfiles import MADE, assert_hidden, group, secret, written

from switchcast import LIMITS
from switchcast._native import key_id, public_key
from switchcast.errors import KeyFileError, SwitchcastError, UsageError
from switchcast.keys import (
    GroupKey,
    GroupKeys,
    SigningKey,
    load_any_key,
    load_group_keys,
    load_key_file,
    load_signers,
    load_signing_key,
    new_secret,
)

SECRETS = tuple(secret(number) for number in range(6))
LINES = [line for line in group(5).text().splitlines() if not line.startswith("#")]
"""One key that sends, and four that receive."""
SIGNING = SigningKey(secret(5), MADE)
SIGNER = f"fs1.example.com {SIGNING.public}"


def test_a_key_id_is_the_beginning_of_a_derived_key() -> None:
    # HKDF-SHA256 (RFC 5869) with an empty salt, written down a second time
    extracted = hmac.digest(bytes(32), secret(0), "sha256")
    derived = hmac.digest(extracted, b"switchcast key id" + b"\x01", "sha256")
    assert key_id(secret(0)) == derived[:4].hex()


def test_a_public_key_is_that_of_its_seed() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert public_key(seed).hex() == public  # RFC 8032, section 7.1, test 1


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    for name in (key_id, public_key):
        with pytest.raises(ValueError, match=f"a key has 32 bytes, not {size}"):
            name(bytes(size))


def test_keys_are_read_as_they_were_written_the_sending_one_first(tmp_path: Path) -> None:
    path = written(tmp_path / "group.key", f"# ours\n\n{LINES[1]}\n  # and\n{LINES[0]}\n{LINES[2]}\n")
    keys = load_group_keys(str(path))
    assert keys.secrets == (secret(0), secret(1), secret(2))
    assert keys.ids == tuple(key_id(secret(number)) for number in range(3))
    file = load_key_file(str(path))
    assert file.text() == path.read_text()
    assert [[key.secret for key in part] for part in (file.former, [file.sending], file.following)] == [
        [secret(1)],
        [secret(0)],
        [secret(2)],
    ]


@pytest.mark.parametrize(
    "text",
    [
        LINES[0],
        f"{LINES[0]}\n\n",
        f"{LINES[0]}\r\n",
        LINES[0].replace(" ", "\t"),
        f"  {LINES[0].replace(' ', '   ')}  ",
    ],
)
def test_how_the_words_of_a_line_are_parted_does_not_matter(tmp_path: Path, text: str) -> None:
    assert load_group_keys(str(written(tmp_path / "a", text))).secrets == (secret(0),)


def test_as_many_keys_are_live_as_the_limit_says(tmp_path: Path) -> None:
    most = LIMITS["live_keys"]
    path = written(tmp_path / "a", "\n".join(LINES[:most]))
    assert len(load_group_keys(str(path)).secrets) == most
    written(path, "\n".join(LINES[: most + 1]))
    with pytest.raises(KeyFileError, match=f"a:{most + 1}: one key more than the {most} that can be live"):
        load_group_keys(str(path))


WORDS = LINES[0].split()
MISTAKES = [
    ("", None, "holds no key; make one with: switchcast key new FILE"),
    ("# nothing\n", None, "holds no key"),
    (LINES[1], None, "has no key to send with; write send in place of receive in one line"),
    (f"{LINES[0]}\n{LINES[1].replace('receive', 'send')}", 2, "line 1 has the key to send with; write receive in one"),
    (f"{LINES[0]}\n#\n{LINES[0].replace('send', 'receive')}", 3, f"key {WORDS[0]} stands in line 1 already"),
    (" ".join(WORDS[1:]), 1, "has 3 words; a key is id, secret, state and day made"),
    (WORDS[1], 1, "has 1 word; a key is"),
    (f"{LINES[0]} more", 1, "has 5 words"),
    (f"{LINES[1]} # a note", 1, "has 7 words"),
    (LINES[0].replace(WORDS[0], "00000000"), 1, f"the id is not {WORDS[0]}, which is that of the secret"),
    (LINES[0].replace(WORDS[0], WORDS[0].upper() + "0"), 1, f"the id is not {WORDS[0]}"),
    (LINES[0].replace(WORDS[1], LINES[1].split()[1]), 1, "one of them has changed"),
    (LINES[0].replace(WORDS[1], WORDS[1][:-4]), 1, "the secret is not 32 bytes in base64, 44 characters"),
    (LINES[0].replace(WORDS[1], WORDS[1] + "A"), 1, "the secret is not 32 bytes in base64"),
    (LINES[0].replace(WORDS[1], "-" * 44), 1, "the secret is not 32 bytes in base64"),
    (LINES[0].replace(WORDS[1], WORDS[1].replace("=", "")), 1, "the secret is not 32 bytes in base64"),
    (LINES[0].replace(WORDS[1], secret(0).hex()), 1, "the secret is not 32 bytes in base64"),
    (LINES[0].replace("send", "sends"), 1, "the state is neither send nor receive"),
    (LINES[0].replace("send", "SEND"), 1, "the state is neither send nor receive"),
    (LINES[0].replace("2026-11-23", "23.11.2026"), 1, "the day on which it was made is not written as 2026-11-23"),
    (LINES[0].replace("2026-11-23", "2026-02-30"), 1, "the day on which it was made is not written as"),
    (LINES[0].replace("2026-11-23", "20261123"), 1, "the day on which it was made is not written as"),
    (f"{LINES[0]}\nkey\N{NO-BREAK SPACE}", 2, "has 1 word"),
    (f"{LINES[0]}\n# \x1b[2J", 2, "has control characters; copy the file anew, as text"),
    (f"\ufeff{LINES[0]}", 1, "has control characters"),
    (f"{LINES[0]}\0", 1, "has control characters"),
    (SIGNING.text(), 2, "this is a signing key; name it as sign_key_file"),
    (SIGNER, 1, "has 2 words"),
]


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES)
def test_a_mistake_is_told_with_file_and_line_and_no_secret(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    path = written(tmp_path / "group.key", text)
    with pytest.raises(KeyFileError) as raised:
        load_group_keys(str(path))
    assert str(raised.value).startswith(f"{path}: " if line is None else f"{path}:{line}: ")
    assert words in str(raised.value)
    assert raised.value.exit_code == 78
    shown = "".join(traceback.format_exception(raised.value))
    assert_hidden(f"{shown}{raised.value!r}", *SECRETS)


@pytest.mark.parametrize("text", ["# \xe4\n".encode("latin-1"), LINES[0].encode("utf-16")])
def test_what_is_no_text_is_told(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(KeyFileError, match=r"a:1: is no text in UTF-8; copy the file anew"):
        load_group_keys(str(written(tmp_path / "a", text)))


def test_a_signing_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "fs1.signing", SIGNING)
    assert load_signing_key(str(path)) == SIGNING
    assert base64.b64decode(SIGNING.public) == public_key(SIGNING.seed)
    assert load_any_key(str(path)) == SIGNING
    assert load_any_key(str(written(path, group(2)))) == group(2)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# a\n", None, "holds no signing key; make one with: switchcast key new --signing FILE"),
        (LINES[0], 1, "this is a group's key; name it as key_file"),
        (SIGNER, 1, "a signing key is ed25519, secret and day made"),
        (SIGNING.text() * 2, 4, "a second signing key; leave one out"),
        (SIGNING.text().replace(" 2026-11-23", ""), 2, "a signing key is ed25519, secret and day made"),
        (SIGNING.text().replace("2026", "26"), 2, "the day on which it was made"),
        ("ed25519 x 2026-11-23", 1, "the secret is not 32 bytes in base64"),
    ],
)
def test_a_mistake_in_a_signing_key_is_told(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = written(tmp_path / "a", text)
    with pytest.raises(KeyFileError) as raised:
        load_signing_key(str(path))
    assert str(raised.value).startswith(f"{path}: {words}" if line is None else f"{path}:{line}: {words}")
    assert_hidden("".join(traceback.format_exception(raised.value)), *SECRETS)


def test_signers_are_names_with_public_keys(tmp_path: Path) -> None:
    others = [f"{name} {SigningKey(secret(number), MADE).public}" for number, name in ((1, "fs2"), (2, "fs2"))]
    path = written(tmp_path / "signers", "\n".join(["# whom we believe", SIGNER, "", *others]), 0o644)
    assert load_signers(str(path)) == (
        ("fs1.example.com", public_key(secret(5))),
        ("fs2", public_key(secret(1))),
        ("fs2", public_key(secret(2))),
    )


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "names nobody; write a line for each: switchcast key show --public FILE prints it"),
        (f"{SIGNER} 2026", 1, "has 3 words; a signer is a name and a public key"),
        (SIGNING.public, 1, "has 1 word; a signer is"),
        (f"{'n' * 65} {SIGNING.public}", 1, "a name has letters, digits, '.', '_' and '-', 64 at most"),
        (f"fs/1 {SIGNING.public}", 1, "a name has letters"),
        ("fs1 c2hvcnQ=", 1, "the public key is not 32 bytes in base64"),
        (f"{SIGNER}\nfs2 {SIGNING.public}", 2, "line 1 has the same key; of two holders neither could be told"),
        (SIGNING.text(), 2, "this is a secret; what belongs here is printed by: switchcast key show --public FILE"),
    ],
)
def test_a_mistake_among_signers_is_told(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = written(tmp_path / "signers", text)
    with pytest.raises(KeyFileError) as raised:
        load_signers(str(path))
    assert str(raised.value).startswith(f"{path}: {words}" if line is None else f"{path}:{line}: {words}")
    assert_hidden("".join(traceback.format_exception(raised.value)), *SECRETS)


WHOLE = [group(4).text(), SIGNING.text(), f"# whom we believe\n{SIGNER}\n"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.sampled_from(WHOLE), seed=st.integers(0, 2**32), edits=st.integers(1, 6))
def test_a_damaged_file_is_read_or_refused_and_never_shown(tmp_path: Path, text: str, seed: int, edits: int) -> None:
    dice, content = random.Random(seed), bytearray(text.encode())  # noqa: S311 - a test's dice
    for _ in range(edits):
        place, end = sorted(dice.randrange(len(content) + 1) for _ in range(2))
        match dice.randrange(3):
            case 0 if place < len(content):
                content[place] = dice.randrange(256)
            case 1 if end - place < 60:
                del content[place:end]
            case _:
                content[place:place] = content[place : min(end, place + 60)]
    path = str(written(tmp_path / "a", bytes(content)))
    for load in (load_group_keys, load_signing_key, load_signers, load_any_key):
        try:
            shown = repr(load(path))
        except SwitchcastError as error:
            shown = "".join(traceback.format_exception(error))
        assert_hidden(shown, *SECRETS)


def test_nothing_that_holds_a_key_shows_it() -> None:
    file = group(3)
    holders = (file, file.sending, file.live(), SIGNING, copy.copy(file), [file.keys], {"a": SIGNING})
    for shown in (f"{holders!r} {holders}", *(f"{holder!s} {holder!r}" for holder in holders)):
        assert_hidden(shown, *SECRETS)
    assert repr(file.live()) == f"<GroupKeys {' '.join(key.id for key in file.keys)}>"


def test_keys_of_the_same_secrets_are_equal() -> None:
    assert group(2).live() == group(2).live() != group(3).live()
    assert len({group(2).live(), GroupKeys((secret(0), secret(1))), GroupKeys((secret(1), secret(0)))}) == 2


# Steps of a rotation

DAY = dt.date(2027, 2, 23)


def test_a_rotation_has_three_steps() -> None:
    file = group()
    assert (file.former, file.following) == ((), ())
    added = file.add(secret(1), DAY)
    assert added.live().secrets == (secret(0), secret(1))
    switched = added.switch()
    assert switched.live().secrets == (secret(1), secret(0))
    retired = switched.retire()
    assert retired.live().secrets == (secret(1),)
    assert retired.keys == (GroupKey(secret(1), "send", DAY),)
    assert retired.lines[:2] == file.lines[:2]
    assert file == group()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda: group().switch(), "there is no key to switch to; add one first"),
        (lambda: group().retire(), "there is no former key to retire; add one"),
        (lambda: group(2).retire(), "there is no former key to retire"),
        (lambda: group(2).add(secret(9), DAY), f"key {key_id(secret(1))} is there to be sent with next; switch to it"),
        (lambda: group(4).switch().switch().switch().add(secret(9), DAY), "there are 4 keys, and at most 4 are live"),
    ],
)
def test_a_step_that_is_not_next_is_refused(step: object, words: str) -> None:
    assert callable(step)
    with pytest.raises(UsageError, match=words):
        step()


@given(st.lists(st.sampled_from(["add", "switch", "retire"]), max_size=30))
def test_whatever_steps_are_tried_a_file_stays_one(steps: list[str]) -> None:
    file, made = group(), 1
    for step in steps:
        before = file
        try:
            file = (
                file.add(secret(made), DAY) if step == "add" else file.switch() if step == "switch" else file.retire()
            )
        except UsageError:
            continue
        made += step == "add"
        assert 1 <= len(file.keys) <= LIMITS["live_keys"]
        assert [key.state for key in file.keys].count("send") == 1
        assert [key.secret for key in file.keys] == sorted(
            (key.secret for key in file.keys), key=[secret(number) for number in range(made)].index
        )
        assert before.sending.secret in file.live().secrets or step == "retire"
        assert file.sending.secret in before.live().secrets


def test_new_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert {len(new_secret()) for _ in range(10)} == {32}
