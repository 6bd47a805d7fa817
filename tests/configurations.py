"""Configurations for tests, written into a folder of their own, with secrets that must never show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keyfiles import MADE, forms, group, secret, written

from switchcast.app.config import Configuration, load
from switchcast.errors import ConfigurationError
from switchcast.keys import SigningKey

ESL_PASSWORD = "4-hedgehogs-and-a-tuba"  # noqa: S105 - a test's own
GROUP_KEY = "seven-slow-herons"
HASH_KEY = "sixteen-bytes-or-more-of-key"
SIGNING = SigningKey(secret(9), MADE)
SECRETS = (ESL_PASSWORD, GROUP_KEY, HASH_KEY, *forms(secret(0)), *forms(secret(1)), *forms(SIGNING.seed))

TWO_ENDPOINTS = """\
[endpoints.switch]
url = "esl://127.0.0.1:8021"
password_file = "{folder}/esl.password"

[endpoints.group]
url = "multicast://239.192.1.1:4242?interface=lo"
psk_file = "{folder}/group.psk"
"""

KEYED = """\
[endpoints.group]
url = "multicast://239.192.1.1:4242?interface=lo"
mode = "sealed"
key_file = "{folder}/group.key"
cipher = "aes-256-gcm"
keep = "128MiB"
keep_for = "1m"
sign_key_file = "{folder}/fs1.signing"
signers_file = "{folder}/signers"

[endpoints.side]
url = "udp://127.0.0.1:4243"
mode = "traced"
key_file = "{folder}/group.key"
stock = "reject"

[[route]]
from = "group"
to = ["side"]
"""

FULL = (
    """\
[node]
name = "fs1.example.com"
state_dir = "{folder}"
drain = "10s"

[log]
format = "json"
level = "debug"

[metrics]
listen = "127.0.0.1:9748"

[control]
socket = "{folder}/control.sock"

[peers]
timeout = "90s"

[views]
refresh = "2m"

[views.nodes]
timeout = "3m"

[views.registrations]
multiple = "yes"

"""
    + TWO_ENDPOINTS
    + """
[endpoints.archive]
url = "file:{folder}/events.jsonl"
queue = 1000
overflow = "block"

[policies.small]
events = "HEARTBEAT CUSTOM sofia::register"
headers = ["from-*", "to-*"]
values = {{ "to-user" = "hash", "from-user" = "mask all but last 2" }}
key_file = "{folder}/hash.key"

[[route]]
name = "out"
from = "switch"
to = ["group", "archive"]
bindings = "HEARTBEAT CUSTOM sofia::register sofia::unregister"
where = 'h["expires"] != "0"'
policy = "small"

[[route]]
from = "group"
to = ["switch"]
allow = ["192.0.2.0/24", "2001:db8::7"]
deduplicate = true
trust = "stock"

[[rule]]
name = "lamp"
on = "MESSAGE_WAITING"
run = ["/usr/local/bin/lamp", "{{h[MWI-Message-Account]}}"]
once_per = {{ key = "{{h[MWI-Message-Account]}}", interval = "1m" }}

[[rule]]
name = "tell"
on = "HEARTBEAT"
[rule.webhook]
url = "https://hooks.example.com/beat"
headers = {{ "X-Token" = "not-for-show" }}
secret_file = "{folder}/hash.key"

[[rule]]
name = "echo"
on = "CUSTOM example::ping"
emit = {{ to = ["group"], subclass = "example::pong" }}
"""
)


def lay_out(folder: Path, text: str, name: str = "switchcast.toml") -> Path:
    """``text`` as a configuration in ``folder``, which ``{folder}`` in it stands for, beside the secrets."""
    for file, text_of_it in (("esl.password", ESL_PASSWORD), ("group.psk", GROUP_KEY), ("hash.key", HASH_KEY)):
        written(folder / file, f"{text_of_it}\n")
    written(folder / "group.key", group(2))
    written(folder / "fs1.signing", SIGNING)
    written(folder / "signers", f"fs1.example.com {SIGNING.public}\n", 0o644)
    path = folder / name
    path.write_text(text.format(folder=folder))
    return path


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Configuration:
    """The configuration that ``text`` is, under ``environ`` and nothing else."""
    return load(lay_out(folder, text), environ or {})


def outcome(path: Path, environ: Mapping[str, str] | None = None) -> Configuration | ConfigurationError:
    """What ``path`` is, under ``environ`` and nothing else: one of the two, never another error."""
    try:
        return load(path, environ or {})
    except ConfigurationError as error:
        return error
