"""``switchcast key``: what it prints and does, its exit codes, and that no command ever prints a secret unasked."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from configurations import lay_out
from keyfiles import MADE, assert_hidden, group, secret, written

from switchcast._native import key_id, public_key
from switchcast.app.cli import key, main
from switchcast.keys import SigningKey, load_group_keys, load_key_file, load_signers, load_signing_key

DAY = dt.date(2027, 2, 23)


class Shell:
    """Runs the command line as ``switchcast`` does, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """What it prints, errors too; it leaves with ``code``."""
        self._monkeypatch.setattr(sys, "argv", ["switchcast", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = self._capsys.readouterr()
        assert left.value.code == code, printed
        assert printed.err.startswith("switchcast: ") if code else not printed.err, printed
        return printed.out + printed.err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(key, "_today", lambda: DAY)
    return Shell(monkeypatch, capsys)


def test_a_new_key_is_its_owners_and_is_named(shell: Shell) -> None:
    printed = shell("key", "new", "group.key")
    keys = load_group_keys("group.key")
    assert printed.splitlines()[0] == f"group.key: a new key, {keys.ids[0]}"
    assert "copy the file to every host of the group" in printed
    assert stat.S_IMODE(os.stat("group.key").st_mode) == 0o600
    assert load_key_file("group.key").sending.made == DAY
    assert_hidden(printed, *keys.secrets)
    assert shell("key", "new", "group.key", code=2) == (
        "switchcast: group.key: exists already, and is not written over; choose another name\n"
    )
    assert load_group_keys("group.key") == keys


def test_new_keys_differ(shell: Shell) -> None:
    ids = set()
    for number in range(20):
        shell("key", "new", f"{number}.key")
        ids.add(load_group_keys(f"{number}.key").ids)
    assert len(ids) == 20


def test_the_line_of_a_new_signing_key_is_a_signer(shell: Shell) -> None:
    printed = shell("key", "new", "--signing", "--name", "fs1.example.com", "fs1.signing")
    signing = load_signing_key("fs1.signing")
    assert printed.splitlines()[-1] == f"fs1.example.com {signing.public}"
    written(Path("signers"), printed.splitlines()[-1])
    assert load_signers("signers") == (("fs1.example.com", public_key(signing.seed)),)
    assert (
        shell("key", "show", "--public", "--name", "fs1.example.com", "fs1.signing")
        == Path("signers").read_text() + "\n"
    )
    assert_hidden(printed + shell("key", "show", "fs1.signing") + shell("key", "list", "fs1.signing"), signing.seed)


def test_a_signer_is_called_as_its_host_unless_it_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "fs9")
    assert shell("key", "new", "--signing", "a").splitlines()[-1].startswith("fs9 ")
    monkeypatch.setattr(socket, "gethostname", lambda: "a host")
    assert "'a host' is no name of a signer" in shell("key", "show", "--public", "a", code=2)
    assert "'fs/1' is no name of a signer" in shell("key", "new", "--signing", "--name", "fs/1", "b", code=2)
    assert not Path("b").exists()


def test_show_has_ids_and_the_secret_only_when_asked(shell: Shell) -> None:
    file = group(2)
    written(Path("group.key"), file)
    ids = [each.id for each in file.keys]
    assert shell("key", "show", "group.key") == f"{ids[0]} send\n{ids[1]} receive\n"
    assert shell("key", "show", "--secret", "group.key") == file.text()
    written(Path("copy"), shell("key", "show", "--secret", "group.key"))
    assert load_key_file("copy") == file


def test_list_has_ids_states_and_ages(shell: Shell) -> None:
    file = group(3).switch()
    written(Path("group.key"), file)
    written(Path("fs1.signing"), SigningKey(secret(5), DAY))
    ids, public = [each.id for each in file.keys], SigningKey(secret(5), DAY).public
    assert shell("key", "list", "group.key") == (
        f"{ids[0]}  receive  made 2026-11-23, 92 days ago; was sent with before\n"
        f"{ids[1]}  send     made 2026-11-23, 92 days ago\n"
        f"{ids[2]}  receive  made 2026-11-23, 92 days ago; to be sent with next\n"
    )
    assert shell("key", "list", "fs1.signing", "group.key").splitlines()[0] == (
        f"fs1.signing: {public}  sign     made 2027-02-23, today"
    )
    rows = [json.loads(line) for line in shell("key", "list", "--json", "group.key", "fs1.signing").splitlines()]
    assert [row["id"] for row in rows] == [*ids, public]
    assert [row.get("rotation") for row in rows] == ["former", "current", "next", None]
    assert rows[0] == {
        "file": "group.key",
        "id": ids[0],
        "state": "receive",
        "made": "2026-11-23",
        "days": 92,
        "rotation": "former",
    }


@pytest.mark.parametrize(
    ("days", "words"),
    [(-1, "in the future"), (0, "today"), (1, "yesterday"), (2, "2 days ago"), (1500, "1,500 days ago")],
)
def test_ages_are_told_as_people_do(shell: Shell, days: int, words: str) -> None:
    text = group().text().replace(str(MADE), str(DAY - dt.timedelta(days)))
    written(Path("a"), text)
    assert shell("key", "list", "a").endswith(f", {words}\n")


def test_rotate_takes_one_step_after_the_other_and_says_what_is_next(shell: Shell) -> None:
    written(Path("group.key"), group())
    old = key_id(secret(0))
    standing = shell("key", "rotate", "group.key")
    assert standing == (
        f"group.key: sends with {old}, made 2026-11-23, 92 days ago\n"
        "To go over to a new key: switchcast key rotate group.key --add\n"
    )
    added = shell("key", "rotate", "group.key", "--add")
    new = load_key_file("group.key").following[0].id
    assert added.startswith(
        f"group.key: added {new}, to receive with; still sends with {old}\nNext: copy group.key to "
    )
    assert added.endswith(
        f"'switchcast status' shows {new} on all of them:\nswitchcast key rotate group.key --switch\n"
    )
    assert added.splitlines()[1:] == shell("key", "rotate", "group.key").splitlines()[2:]
    switched = shell("key", "rotate", "group.key", "--switch")
    assert load_group_keys("group.key").ids == (new, old)
    assert switched.startswith(f"group.key: sends with {new} now; {old} is still received\nNext: copy group.key to ")
    assert switched.endswith("switchcast key rotate group.key --retire\n")
    assert switched.splitlines()[1:] == shell("key", "rotate", "group.key").splitlines()[2:]
    retired = shell("key", "rotate", "group.key", "--retire")
    assert load_group_keys("group.key").ids == (new,)
    assert retired.startswith(
        f"group.key: sends with {new}; what is under a former key is rejected\nLast: copy group.key "
    )
    assert shell("key", "rotate", "group.key").endswith("--add\n")


@pytest.mark.parametrize(
    ("keys", "step", "words"),
    [
        (1, "--switch", "group.key: there is no key to switch to; add one first (--add)"),
        (1, "--retire", "group.key: there is no former key to retire"),
        (2, "--add", "is there to be sent with next; switch to it first (--switch)"),
        (2, "--retire", "group.key: there is no former key to retire"),
    ],
)
def test_a_step_that_is_not_next_changes_nothing(shell: Shell, keys: int, step: str, words: str) -> None:
    path = written(Path("group.key"), group(keys))
    before = path.stat()
    assert words in shell("key", "rotate", "group.key", step, code=2)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_two_steps_at_once_are_refused(shell: Shell) -> None:
    written(Path("group.key"), group())
    for steps in itertools.combinations(("--add", "--switch", "--retire"), 2):
        assert "three steps, with a reload of every host after each" in shell(
            "key", "rotate", "group.key", *steps, code=2
        )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list", "none"), 69, "none: no such file, though it should hold keys"),
        (("show", "open"), 77, "open: others may read this secret (mode 0644); run: chmod 600 open"),
        (("rotate", "open", "--add"), 77, "run: chmod 600 open"),
        (("rotate", "none", "--add"), 69, "none: no such file"),
        (("rotate", "."), 77, ".: is a directory"),
        (("rotate", "signing"), 78, "signing:2: this is a signing key; name it as sign_key_file"),
        (("list", "wrong"), 78, "wrong:3: has 1 word; a key is id, secret, state and day made"),
        (("show", "--public", "group"), 2, "group: a group's keys have no public half"),
        (("show", "--public", "--secret", "group"), 2, "--secret and --public are two things; ask for one"),
        (("show", "--name", "fs1", "signing"), 2, "--name goes with --public"),
        (("new", "--name", "fs1", "a"), 2, "--name goes with --signing: a group's key has no name"),
        (("new", "nowhere/a"), 69, "nowhere/a: cannot be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_clear_line(shell: Shell, arguments: tuple[str, ...], code: int, words: str) -> None:
    written(Path("group"), group())
    written(Path("open"), group(), 0o644)
    written(Path("signing"), SigningKey(secret(5), MADE))
    written(Path("wrong"), f"# a\n\n{base64.b64encode(secret(4)).decode()}\n")
    printed = shell("key", *arguments, code=code)
    assert words in printed
    assert printed.count("\n") == 1
    assert_hidden(printed, *(secret(number) for number in range(6)))


SEALED = """\
[endpoints.group]
url = "multicast://239.192.1.1:4242?interface=lo"
mode = "sealed"
key_file = "{folder}/group.key"
sign_key_file = "{folder}/fs1.signing"
signers_file = "{folder}/signers"
[endpoints.side]
url = "udp://127.0.0.1:4243?mode=traced&key_file={folder}/group.key"
[[route]]
from = "group"
to = ["side"]
"""


def test_no_command_prints_a_secret_unasked(shell: Shell, tmp_path: Path) -> None:
    signing = SigningKey(secret(5), MADE)
    written(tmp_path / "group.key", group(2))
    written(tmp_path / "fs1.signing", signing)
    written(tmp_path / "signers", f"fs1 {signing.public}\n")
    path = lay_out(tmp_path, SEALED)
    said = shell("config", "check", path) + shell("config", "show", path) + shell("config", "show", "--json", path)
    said += shell("key", "rotate", "group.key") + shell("key", "rotate", "group.key", "--switch")
    said += shell("key", "list", "group.key", "fs1.signing") + shell("key", "show", "group.key")
    url = f"multicast://239.192.1.1:4242?interface=lo&mode=sealed&key_file={tmp_path}/group.key"
    said += shell("--verbose", "tail", f"{url}&sign_key_file={tmp_path}/group.key", "--for", "1ms", code=78)
    said += shell("tail", f"{url}&signers_file={tmp_path}/fs1.signing", "--for", "1ms", code=78)
    said += shell("stats", url.replace("sealed", "seeled"), "--for", "1ms", code=2)
    for name in ("group.key", "fs1.signing", "signers"):
        whole = Path(name).read_text()
        for damaged in (whole.replace("=", "", 1), whole * 2, whole.split()[-2]):
            written(Path(name), damaged)
            said += shell("config", "check", path, code=78) + shell("run", path, code=78)
        written(Path(name), whole)
    written(tmp_path / "a.toml", SEALED.format(folder=tmp_path).replace(f"{tmp_path}/group.key", group().sending.line))
    said += shell("config", "check", "a.toml", code=78)
    assert len(said) > 4_000
    assert_hidden(said, secret(0), secret(1), secret(5))
