"""Files of secrets on a disk: who may have them, and that no moment of a change shows half of one or loses one."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from keyfiles import MADE, assert_hidden, group, secret, written
from sockets import PATIENCE

from switchcast import private_files
from switchcast.errors import EndpointDenied, EndpointError, EndpointUnavailable, SwitchcastError, UsageError
from switchcast.keys import SigningKey, load_group_keys, load_key_file, load_signers, load_signing_key

NOBODY = 65534
"""The user of Linux systems that may do nothing."""
SIGNERS = f"fs1 {SigningKey(secret(0), MADE).public}\n"


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user can get to."""
    assert os.geteuid() == 0, "owners can be given by root only: run the tests as root"
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


def as_nobody(code: str) -> str:
    """What ``code`` prints when a user without permissions runs it."""
    prelude = (
        f"import os, pwd, sys; sys.path[:0] = {sys.path!r}\n"
        "from switchcast import private_files; from switchcast.keys import *\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return ended.stdout + ended.stderr.rpartition("switchcast.errors.")[2]


# Who may have it


def test_of_all_modes_only_those_that_give_others_nothing_are_taken(tmp_path: Path) -> None:
    path, taken, refused = written(tmp_path / "group.key", group()), [], {}
    for mode in range(0o1000):
        path.chmod(mode)
        try:
            load_group_keys(str(path))
        except EndpointDenied as error:
            refused[mode] = str(error)
        else:
            taken.append(mode)
    assert taken == [bits << 6 for bits in range(8)]
    assert refused == {
        mode: f"{path}: others may read this secret (mode {mode:04o}); run: chmod 600 {path}"
        for mode in range(0o1000)
        if mode not in taken
    }
    assert EndpointDenied.exit_code == 77


def test_a_file_of_signers_may_be_read_by_all_and_written_by_its_owner(tmp_path: Path) -> None:
    path, taken, refused = written(tmp_path / "signers", SIGNERS), [], {}
    for mode in range(0o1000):
        path.chmod(mode)
        try:
            load_signers(str(path))
        except EndpointDenied as error:
            refused[mode] = str(error)
        else:
            taken.append(mode)
    assert taken == [mode for mode in range(0o1000) if not mode & 0o022]
    assert refused == {
        mode: f"{path}: others may change who is believed (mode {mode:04o}); run: chmod go-w {path}"
        for mode in range(0o1000)
        if mode not in taken
    }


def test_what_root_and_the_user_own_is_taken_and_nobody_elses(open_folder: Path) -> None:
    path = written(open_folder / "group.key", group())
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(
        EndpointDenied, match=r"group.key: belongs to nobody, and this runs as root; run it as nobody, or"
    ):
        load_group_keys(str(path))
    assert load_group_keys(str(path), looking=True) == group().live()
    assert as_nobody(f"print(load_group_keys({str(path)!r}))") == f"{group().live()}\n"
    os.chown(path, 4_000_000, 0)
    with pytest.raises(EndpointDenied, match="belongs to 4000000, and this runs as root"):
        load_group_keys(str(path))
    os.chown(path, 0, 0)
    assert load_group_keys(str(path)) == group().live()
    denied = "Permission denied, though it should hold keys; this runs as nobody, to whom it has to belong"
    assert denied in as_nobody(f"load_group_keys({str(path)!r})")
    signers = written(open_folder / "signers", SIGNERS, 0o644)
    asked = f"print(load_signers({str(signers)!r})[0][0])"
    assert as_nobody(asked) == "fs1\n"
    os.chown(signers, 4_000_000, 0)
    assert "belongs to 4000000, and this runs as nobody; run it as 4000000, or: chown nobody" in as_nobody(asked)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda _: None, EndpointUnavailable, "no such file, though it should hold keys"),
        (Path.mkdir, EndpointDenied, "is a directory, though it should hold keys"),
        (os.mkfifo, EndpointDenied, "is no regular file, though it should hold keys"),
        (lambda path: path.symlink_to("/dev/zero"), EndpointDenied, "is no regular file"),
        (lambda path: path.symlink_to(path), EndpointUnavailable, "Too many levels of symbolic links"),
        (lambda path: written(path, "#" * 65_537), EndpointUnavailable, "is larger than 65,536 bytes, so it is someth"),
    ],
)
def test_what_is_no_file_of_keys_is_told(
    tmp_path: Path, make: Callable[[Path], object], error: type[EndpointError], words: str
) -> None:
    make(tmp_path / "a")
    for load in (load_group_keys, load_signing_key):
        with pytest.raises(error) as raised:
            load(str(tmp_path / "a"))
        assert str(raised.value).startswith(f"{tmp_path}/a: {words}")


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    text = group().text()
    path = written(tmp_path / "a", text + "#" * (65_536 - len(text)))
    assert load_group_keys(str(path)) == group().live()


# systemd's credentials


def test_credentials_are_read_as_systemd_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    path = written(
        folder / "group.key", group(2), 0o440
    )  # the mask of an access control list shows as the group's bits
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert load_group_keys("credential:group.key") == group(2).live()
    assert load_group_keys(str(path)) == group(2).live()
    for mode in (0o444, 0o460, 0o441):
        path.chmod(mode)
        with pytest.raises(EndpointDenied, match=f"group.key: others may read this secret \\(mode {mode:04o}\\)"):
            load_group_keys("credential:group.key")
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(EndpointDenied, match="others may read"):
        load_group_keys(str(path))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "credential:group.key",
            r"\$CREDENTIALS_DIRECTORY is not set, as systemd does for a unit with LoadCredential=gro",
        ),
        ("credential:../group.key", "a credential's name has letters, digits"),
        ("credential:", "a credential's name has letters, digits"),
    ],
)
def test_a_credential_that_cannot_be_is_told(source: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SwitchcastError, match=words) as raised:
        load_group_keys(source)
    assert raised.value.exit_code == 78


# Writing


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_files.create(str(tmp_path / "a"), b"secret")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_file_is_written_over(tmp_path: Path) -> None:
    for make in (Path.touch, Path.mkdir, lambda path: path.symlink_to("/nowhere")):
        path = tmp_path / "a"
        make(path)
        with pytest.raises(UsageError, match="a: exists already, and is not written over"):
            private_files.create(str(path), b"secret")
        assert [each.name for each in tmp_path.iterdir()] == ["a"]
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_file_that_is_replaced_keeps_owner_mode_and_the_link_to_it(open_folder: Path) -> None:
    path, link = written(open_folder / "group.key", group(), 0o400), open_folder / "link"
    os.chown(path, NOBODY, NOBODY)
    link.symlink_to(path)
    private_files.replace(str(link), group(2).text().encode())
    assert link.is_symlink()
    assert path.read_text() == group(2).text()
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (NOBODY, NOBODY, 0o400)


def test_where_nothing_can_be_written_the_words_say_so(open_folder: Path) -> None:
    with pytest.raises(EndpointUnavailable, match="/nowhere/a: cannot be written: No such file or directory"):
        private_files.create("/nowhere/a", b"secret")
    path = str(open_folder / "a")
    said = as_nobody(f"private_files.create({path!r}, b'secret')")
    assert said == f"EndpointDenied: {path}: cannot be written: Permission denied\n"


@pytest.mark.parametrize("step", ["open", "fchmod", "fsync", "rename"])
def test_a_change_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = written(tmp_path / "group.key", group())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(EndpointUnavailable, match="key: cannot be written: No space left on device"):
        private_files.replace(str(path), group(2).text().encode())
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["group.key"]
    assert load_key_file(str(path)) == group()


@pytest.mark.parametrize("step", ["fchmod", "fsync", "rename"])
def test_a_command_that_is_killed_leaves_the_old_file_and_the_next_clears_up(tmp_path: Path, step: str) -> None:
    path = written(tmp_path / "group.key", group())
    code = (
        f"import os, sys; sys.path[:0] = {sys.path!r}; from switchcast import private_files\n"
        f"os.{step} = lambda *_: os.kill(os.getpid(), 9)\n"
        f"private_files.replace({str(path)!r}, b'half of someth')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert load_key_file(str(path)) == group()
    (left,) = set(tmp_path.iterdir()) - {path}
    assert mode_of(left) == 0o600
    private_files.replace(str(path), group(2).text().encode())
    assert [each.name for each in tmp_path.iterdir()] == ["group.key"]
    assert load_key_file(str(path)) == group(2)


def test_whoever_waits_for_a_change_sees_what_it_made(tmp_path: Path) -> None:
    path, seen = str(written(tmp_path / "group.key", group())), []

    def wait() -> None:
        with private_files.locked(path):
            seen.append(load_key_file(path))

    waiting = [Thread(target=wait) for _ in range(4)]
    with private_files.locked(path):
        for thread in waiting:
            thread.start()
        for keys in (2, 3):
            private_files.replace(path, group(keys).text().encode())
    for thread in waiting:
        thread.join(PATIENCE)
    assert seen == [group(3)] * 4


ADDING = """
import datetime, sys
sys.path[:0] = {paths!r}
from switchcast import private_files
from switchcast.app.cli import key
key.rotate({path!r}, add=True)
"""


def test_of_many_commands_at_once_one_takes_the_step(tmp_path: Path) -> None:
    path = written(tmp_path / "group.key", group())
    code = ADDING.format(paths=sys.path, path=str(path))
    commands = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(4)
    ]
    said = [command.communicate(timeout=PATIENCE)[0] for command in commands]
    assert sorted(command.returncode for command in commands) == [0, 1, 1, 1]
    assert sum("is there to be sent with next; switch to it first" in words for words in said) == 3
    (added,) = load_key_file(str(path)).following
    assert sum(f"added {added.id}" in words for words in said) == 1
    assert_hidden("".join(said), secret(0), added.secret)


def test_whoever_reads_during_changes_reads_a_whole_file(tmp_path: Path) -> None:
    path, ended, read = str(written(tmp_path / "group.key", group())), [], []

    def change() -> None:
        for number in range(60):
            private_files.replace(path, group(1 + number % 4).text().encode())
        ended.append(True)

    thread = Thread(target=change)
    thread.start()
    while not ended:
        read.append(load_key_file(path))
    thread.join(PATIENCE)
    assert read
    assert all(file in {group(keys) for keys in range(1, 5)} for file in read)
