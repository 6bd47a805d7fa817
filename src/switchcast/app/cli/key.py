"""``switchcast key``: make, show, rotate and list the keys of groups, and the keys that hosts sign with.

A secret is printed by ``show --secret`` only. After each step of a rotation the next one is told, with what has to be
done on other hosts before it.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
from collections.abc import Callable
from typing import Annotated, Any

import typer

from switchcast import private_files
from switchcast.app.cli.asking import to_a_reader
from switchcast.app.cli.helping import Command
from switchcast.errors import UsageError
from switchcast.keys import (
    GroupKey,
    KeyFile,
    SigningKey,
    is_signer_name,
    load_any_key,
    load_key_file,
    new_secret,
)

__all__ = ["app"]

app = typer.Typer(name="key", help="Make, show, rotate and list keys.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[str, typer.Argument(metavar="FILE", help="A file of keys.")]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The signer's name, if it is not this host's.")
]


@app.command(cls=Command)
def new(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write, which must not exist yet.")],
    *,
    signing: Annotated[bool, typer.Option("--signing", help="A key that this host signs with, not a group's.")] = False,
    name: Name = None,
) -> None:
    """Make a key, in a file that only its owner may read.

    switchcast key new /etc/switchcast/group.key
    """
    if name is not None and not signing:
        raise UsageError("--name goes with --signing: a group's key has no name")
    if signing:
        signer = _signer(name)
        key = SigningKey(new_secret(), _today())
        private_files.create(file, key.text().encode())
        print(f"{file}: a new signing key")
        print("Next: add this line, which is no secret, to the signers file of every host that is to believe this one:")
        print(f"{signer} {key.public}")
        return
    keys = KeyFile.new(new_secret(), _today())
    private_files.create(file, keys.text().encode())
    print(f"{file}: a new key, {keys.sending.id}")
    print("Next: copy the file to every host of the group, for the node's user only, and name it as key_file there.")


@app.command(cls=Command)
def show(
    file: File,
    *,
    secret: Annotated[bool, typer.Option("--secret", help="Print the file, secrets and all, to be copied.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Print a signing key's line for signers files.")] = False,
    name: Name = None,
) -> None:
    """Show which keys a file holds.

    They are named by their ids; a secret is shown only when it is asked for.

    switchcast key show --public /etc/switchcast/fs1.signing
    """
    if secret and public:
        raise UsageError("--secret and --public are two things; ask for one")
    if name is not None and not public:
        raise UsageError("--name goes with --public")
    signer = _signer(name) if public else ""
    keys = load_any_key(file, looking=True)
    with to_a_reader():
        if secret:
            print(keys.text(), end="")
        elif isinstance(keys, SigningKey):
            print(f"{signer} {keys.public}" if public else f"signing key, public {keys.public}")
        elif public:
            raise UsageError(f"{file}: a group's keys have no public half; name the file of a signing key")
        else:
            for key in keys.keys:
                print(f"{key.id} {key.state}")


@app.command("list", cls=Command)
def list_(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of keys.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one object a line.")] = False,
) -> None:
    """List the keys in files.

    Id, state, day and age, and which comes next in a rotation; never a secret.

    switchcast key list /etc/switchcast/*.key
    """
    read = [(file, load_any_key(file, looking=True)) for file in files]
    with to_a_reader():
        for file, keys in read:
            for row in _rows(keys):
                if as_json:
                    print(json.dumps({"file": file} | row))
                else:
                    where = f"{file}: " if len(files) > 1 else ""
                    print(f"{where}{row['id']}  {row['state']:<7}  made {row['made']}, {_age(row['days'])}{_as(row)}")


@app.command(cls=Command)
def rotate(
    file: File,
    *,
    add: Annotated[bool, typer.Option("--add", help="First step: a new key, to receive with.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Second step: send with it.")] = False,
    retire: Annotated[bool, typer.Option("--retire", help="Third step: without the former one.")] = False,
) -> None:
    """Go over to a new key in three steps, losing nothing. Without an option, say which step is next.

    A step is for every host of the group: the next one is safe when all of them have done it.

    switchcast key rotate /etc/switchcast/group.key --add
    """
    if add + switch + retire > 1:
        raise UsageError("--add, --switch and --retire are three steps, with a reload of every host after each; do one")
    if not (add or switch or retire):
        print(_standing(file, load_key_file(file, looking=True)))
    elif add:
        after = _change(file, lambda keys: keys.add(new_secret(), _today()))
        print(f"{file}: added {after.following[0].id}, to receive with; still sends with {after.sending.id}")
        print(_next_step(file, after))
    elif switch:
        after = _change(file, KeyFile.switch)
        print(f"{file}: sends with {after.sending.id} now; {_ids(after.former)} is still received")
        print(_next_step(file, after))
    else:
        after = _change(file, KeyFile.retire)
        print(f"{file}: sends with {after.sending.id}; what is under a former key is rejected")
        print(f"Last: copy {file} to every other host, or run the same there, and reload each.")


def _change(file: str, step: Callable[[KeyFile], KeyFile]) -> KeyFile:
    """Take ``step`` from what the file holds; nobody else changes it meanwhile."""
    with private_files.locked(file):
        before = load_key_file(file, looking=True)
        try:
            after = step(before)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from None
        private_files.replace(file, after.text().encode())
    return after


def _standing(file: str, keys: KeyFile) -> str:
    """Where a rotation stands, and what is next."""
    sending = keys.sending
    said = [f"{file}: sends with {sending.id}, made {sending.made}, {_age((_today() - sending.made).days)}"]
    if keys.following:
        said.append(f"{_ids(keys.following)} is received, and to be sent with next")
    if keys.former:
        said.append(f"{_ids(keys.former)} was sent with before, and is still received")
    if not keys.following and not keys.former:
        return f"{said[0]}\nTo go over to a new key: switchcast key rotate {file} --add"
    return "\n".join([*said, _next_step(file, keys)])


def _next_step(file: str, keys: KeyFile) -> str:
    """What is to be done on the other hosts, and then here."""
    if keys.following:
        return (
            f"Next: copy {file} to every other host and reload each (systemctl reload switchcast), this one too.\n"
            f"Then, when 'switchcast status' shows {keys.following[0].id} on all of them:\n"
            f"switchcast key rotate {file} --switch"
        )
    return (
        f"Next: copy {file} to every other host, or run the same there, and reload each, this one too; in any order.\n"
        f"Then, when 'switchcast status' has shown {keys.sending.id} first on all of them for a minute:\n"
        f"switchcast key rotate {file} --retire"
    )


def _rows(keys: KeyFile | SigningKey) -> list[dict[str, Any]]:
    if isinstance(keys, SigningKey):
        return [_row(keys.public, "sign", keys.made)]
    return [_row(key.id, key.state, key.made) | {"rotation": _part_of(keys, key)} for key in keys.keys]


def _row(name: str, state: str, made: dt.date) -> dict[str, Any]:
    return {"id": name, "state": state, "made": str(made), "days": (_today() - made).days}


def _part_of(keys: KeyFile, key: GroupKey) -> str:
    return "next" if key in keys.following else "former" if key in keys.former else "current"


def _as(row: dict[str, Any]) -> str:
    words = {"next": "; to be sent with next", "former": "; was sent with before"}
    return words.get(row.get("rotation", ""), "")


def _age(days: int) -> str:
    if days < 0:
        return "in the future"
    return "today" if days == 0 else "yesterday" if days == 1 else f"{days:,} days ago"


def _ids(keys: tuple[GroupKey, ...]) -> str:
    return " and ".join(key.id for key in keys)


def _signer(name: str | None) -> str:
    signer = socket.gethostname() if name is None else name
    if not is_signer_name(signer):
        raise UsageError(
            f"{signer!r} is no name of a signer: letters, digits, '.', '_' and '-', 64 at most; give --name"
        )
    return signer


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
