"""The ``[[rule]]`` table: its short forms, and what a mistake in it is told."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from switchcast.rules.settings import (
    ACTIONS,
    NEVER_VERBS,
    SAFE_VERBS,
    EmitSettings,
    EslApiSettings,
    EslEventSettings,
    LogSettings,
    OncePerSettings,
    RateSettings,
    RuleSettings,
    RunSettings,
    WebhookSettings,
)
from switchcast.settings import Settings


def read(toml: str) -> RuleSettings:
    """The rule ``r`` with these lines of TOML; ``log = "x"`` where they name no action."""
    table = tomllib.loads(toml)
    if not any(key.replace("-", "_") in ACTIONS for key in table):
        table["log"] = "x"
    return RuleSettings.model_validate({"name": "r"} | table)


def mistakes(toml: str) -> str:
    """What is said of these lines: a line for each mistake, its place first."""
    with pytest.raises(ValidationError) as refused:
        read(toml)
    return "\n".join(
        f"{'.'.join(map(str, error['loc']))}: {error['msg'].removeprefix('Value error, ')}"
        for error in refused.value.errors(include_url=False)
    )


# Forms


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ('run = ["/bin/lamp", "{name}"]', 'run = {command = ["/bin/lamp", "{name}"]}'),
        ('webhook = "https://example.com/x"', 'webhook = {url = "https://example.com/x"}'),
        ('log = "{name} came"', 'log = {message = "{name} came"}'),
        ('from = "fs1"', 'from = ["fs1"]'),
        ('rate = "10/s"', "rate = {count = 10, per = 1}"),
        ('rate = "100/min"', 'rate = {count = 100, per = "1m"}'),
        ('rate = "5 / h"', 'rate = {count = 5, per = "1h"}'),
        ('rate = "3/10s"', 'rate = {count = 3, per = "10s"}'),
        ('once-per = {key = "{name}", interval = "1h"}', 'once_per = {key = "{name}", interval = "1h"}'),
        ('run = {command = ["/x"], kill-after = "1s"}', 'run = {command = ["/x"], kill_after = "1s"}'),
        ('esl_api = {endpoint = "s", command = ["status"]}', 'esl-api = {endpoint = "s", command = ["status"]}'),
        ('emit = {to = "g", subclass = "a::b"}', 'emit = {to = ["g"], name = "custom", subclass = "a::b"}'),
    ],
)
def test_a_short_form_stands_for_the_whole(short: str, whole: str) -> None:
    assert read(short) == read(whole)


def test_what_is_read_is_typed() -> None:
    rule = read('rate = "10/min"\nonce-per = {key = "{h[Unique-ID]}", interval = "1h"}\nwebhook = "https://x.example/"')
    assert rule.rate == RateSettings(count=10, per=60.0)
    assert rule.once_per == OncePerSettings(key="{h[Unique-ID]}", interval=3600.0)
    assert isinstance(rule.webhook, WebhookSettings)
    assert (rule.kind, rule.action) == ("webhook", rule.webhook)
    assert isinstance(read('run = ["/x"]').action, RunSettings)
    assert isinstance(read('log = "x"').action, LogSettings)
    assert rule == RuleSettings.model_validate(rule.model_dump())


def test_odd_bindings_are_a_warning_and_no_error() -> None:
    assert read('on = "HEARTBEAT"').warnings == []
    [warning] = read('on = "HARTBEAT"').warnings
    assert "HEARTBEAT" in warning


def test_editors_are_told_of_both_forms() -> None:
    schema = RuleSettings.model_json_schema()
    kinds = {name: json.dumps(schema["properties"][name]) for name in ("run", "webhook", "log", "rate", "from")}
    assert all('"type": "string"' in kind for kind in kinds.values())
    assert '"array"' in kinds["run"]
    assert {name.replace("esl_", "esl-") for name in ACTIONS} <= set(schema["properties"])


# Mistakes

MISTAKES = [
    ("", "rule r does nothing; give it one of run, webhook, esl-api, esl-event, emit, log"),
    ('run = ["/x"]\nlog = "y"', "the rule r has run and log, and a rule does one thing; make two rules"),
    ('name = "two words"', "name: "),
    ('on = ""', "on: the bindings are empty"),
    ('where = \'h["x" == 1\'', "where: column "),
    ('where = "nam == 1"', "where: column "),
    ('key = "{h[x}"', "key: {h[x} is no field; there are {h[Header-Name]}, {name}, "),
    ("debounce = 0", "debounce: a length of time is more than 0"),
    ('rate = "10"', 'rate: \'10\' is no rate; write "10/s", "100/min", "5/h" or {count = 10, per = "1s"}'),
    ('rate = "0/s"', "rate: '0/s' is no rate"),
    ('rate = "5/fortnight"', "rate: '5/fortnight' is no rate"),
    ('once_per = {key = "", interval = "1h"}', 'once_per.key: a key is a template, such as "{h[Unique-ID]}"'),
    ('once_per = {key = "x"}', "once_per.interval: Field required"),
    ('delivery = "exactly-once"', "delivery: Input should be 'at-most-once' or 'at-least-once'"),
    ("concurrency = 0", "concurrency: "),
    ('once-per = {key = "a", interval = 1}\nonce_per = {key = "a", interval = 1}', "given twice, with - and with _"),
    ('frm = "fs1"', "frm: Extra inputs are not permitted"),
    # run
    ("run = []", "run.command: "),
    ('run = "/bin/lamp 1000"', 'run.command: write a list, one item for each argument, such as ["/bin/lamp", "1000"]'),
    ('run = ["lamp"]', "run.command: the program 'lamp' is not absolute; write its whole path, as /usr/bin/lamp"),
    ('run = ["./lamp"]', "run.command: the program './lamp' is not absolute; write its whole path"),
    ('run = ["{h[x]}"]', "run.command: the program may not come from an event, and '{h[x]}' holds {h[x]}"),
    ('run = ["/usr/bin/"]', "run.command: the program '/usr/bin/' is a directory; name a program in it"),
    ('run = ["/x{{}}"]', "run.command: the program '/x{{}}' holds a brace; choose one without"),
    ('run = ["/x", "a\\u0000b"]', "run.command.1: 'a\\x00b' holds a NUL"),
    ('run = ["/x", "{"]', "run.command.1: a brace at character 1 of '{' has no other half; write {{"),
    ('run = {command = ["/x"], directory = "here"}', "run.directory: the directory 'here' is not absolute"),
    ('run = {command = ["/x"], environment = {"a b" = "x"}}', "run.environment: 'a b' is no name of a variable"),
    ('run = {command = ["/x"], tiemout = 3}', "run.tiemout: Extra inputs are not permitted"),
    # webhook
    ('webhook = "ftp://example.com/"', "is no web address; write https://host/path or http://host:port/path"),
    ('webhook = "https:///x"', "is no web address"),
    ('webhook = "https://example.com:port/"', "is no web address: "),
    ('webhook = "https://{h[Host]}/x"', "the host of 'https://{h[Host]}/x' may come from an event; write host and a /"),
    ('webhook = "https://example.com{h[x]}"', "the host of 'https://example.com{h[x]}' may come from an event"),
    ('webhook = "{h[url]}"', "is no web address"),
    ('webhook = "https://me:secret@example.com/"', "a web address here holds no user or password; put them in a file"),
    ('webhook = "https://example.com/a b"', "holds a space; write it as %20"),
    ('webhook = "https://example.com/#x"', "holds a #, and what follows one is never sent"),
    ('webhook = "https://example.com/\\r\\nX: y"', "holds a carriage return, which would end the line"),
    ('webhook = {url = "https://x.example", headers = {"a b" = "c"}}', "'a b' is no HTTP header name; letters"),
    ('webhook = {url = "https://x.example", headers = {"X\\n" = "c"}}', "'X\\n' is no HTTP header name"),
    ('webhook = {url = "https://x.example", headers = {X = "a\\nb"}}', "holds a line break, which would end the line"),
    ('webhook = {url = "https://x.example", headers = {Host = "y"}}', "Host is set by the request itself"),
    ('webhook = {url = "https://x.example", secret_file = "s3cret"}', "write an absolute path, or credential:NAME"),
    ('webhook = {url = "https://x.example", header-files = {A = "s"}}', "webhook.header_files.A: 's' is no place of a"),
    ('webhook = {url = "https://x.example", method = "GET"}', "webhook.method: Input should be 'POST' or 'PUT'"),
    # esl-api
    ('esl-api = {endpoint = "s", command = ["{name}"]}', "the verb may not come from an event"),
    ('esl-api = {endpoint = "s", command = ["uuid_dump {name}"]}', "the verb may not come from an event"),
    ('esl-api = {endpoint = "s", command = ["show calls"]}', "'show calls' is no API command; write one word, and its"),
    ('esl-api = {endpoint = "s", command = "show calls"}', 'such as ["show", "calls"]'),
    ('esl-api = {endpoint = "s", command = ["uuid_kill", "x"]}', 'allow it by verbs = ["uuid_kill"]'),
    ('esl-api = {endpoint = "s", command = ["system", "x"], verbs = ["system"]}', "system would let an event run"),
    ('esl-api = {endpoint = "s", command = ["EXPAND", "x"], verbs = "EXPAND"}', "EXPAND would let an event run"),
    ('esl-api = {endpoint = "s", command = ["bgapi", "x"], verbs = "bgapi"}', "bgapi would let an event run"),
    ('esl-api = {endpoint = "s", command = ["show", "a\\nb"]}', "holds a line break"),
    ('esl-api = {command = ["status"]}', "esl-api.endpoint: Field required"),
    # esl-event, emit
    ('emit = {to = ["g"]}', 'emit: an event CUSTOM needs a subclass, such as subclass = "example::lamp"'),
    ('emit = {to = [], subclass = "a::b"}', "emit.to: "),
    ('emit = {to = ["g"], name = "TRAP", subclass = "a::b"}', "emit: only CUSTOM has a subclass; leave out name"),
    ('emit = {to = ["g"], subclass = "{name}"}', "a subclass may not come from an event"),
    ('emit = {to = ["g"], name = "all"}', "emit.name: 'all' is no event that FreeSWITCH has"),
    ('emit = {to = ["g"], name = "LAMP"}', "write CUSTOM and a subclass for one of your own"),
    ('emit = {to = ["g"], name = "TRAP", headers = {event-name = "x"}}', "event-name is not set here: name, subclass"),
    ('emit = {to = ["g"], name = "TRAP", headers = {Switchcast-Hops = "0"}}', "Switchcast-Hops is not set here"),
    ('emit = {to = ["g"], name = "TRAP", headers = {"" = "x"}}', "'' is no header name"),
    ('emit = {to = ["g"], name = "TRAP", headers = {"a\\nb" = "x"}}', "'a\\nb' is no header name"),
    ('esl-event = {endpoint = "s", subclass = "a::b", headers = {X = "a\\rb"}}', "holds a carriage return"),
    ('esl-event = {endpoint = "s", subclass = "a::b", body = "a\\u0000"}', "esl-event.body: 'a\\x00' holds a NUL"),
    # log
    ('log = "a\\nb"', "log.message: 'a\\nb' holds a line break, which would end the line; leave it out"),
    ('log = "{nam}"', "log.message: {nam} is no field; there are {h[Header-Name]}, {name}, "),
    ('log = {message = "x", level = "loud"}', "log.level: Input should be 'debug', 'info', 'warning' or 'error'"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "told"), MISTAKES, ids=[toml or "nothing" for toml, _ in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_would_do(toml: str, told: str) -> None:
    if not toml:
        with pytest.raises(ValidationError, match=told):
            RuleSettings.model_validate({"name": "r"})
        return
    assert told in mistakes(toml)
    assert len(mistakes(toml).splitlines()) == 1


def test_what_may_be_written_may_be_written() -> None:
    assert read('run = ["/usr/bin/python3", "-c", "print(1)\\nprint(2)", "-{name}"]').run is not None
    assert read('webhook = "http://[::1]:8080/x?{h[a]}"').webhook is not None
    assert read('webhook = "https://x.example?id={h[a]}"').webhook is not None
    header_files = 'header_files = {Authorization = "/etc/token", X-Key = "credential:key"}'
    assert read(f'webhook = {{url = "https://x.example", {header_files}}}').webhook is not None
    allowed = read('esl-api = {endpoint = "s", command = ["uuid_kill", "{unique_id}"], verbs = "uuid_kill"}').esl_api
    assert allowed is not None
    assert allowed.verbs == ("uuid_kill",)


def test_no_verb_is_both_safe_and_refused_always() -> None:
    assert not SAFE_VERBS & NEVER_VERBS
    for verb in SAFE_VERBS:
        assert EslApiSettings(endpoint="s", command=(verb, "{name}")).command[0] == verb


# The documentation

LEAST: dict[str, dict[str, Any]] = {
    "When a rule fires": {"name": "r", "log": "x"},
    "run": {"command": ["/x"]},
    "webhook": {"url": "https://x.example"},
    "esl-api": {"endpoint": "s", "command": ["status"]},
    "esl-event": {"endpoint": "s", "subclass": "a::b"},
    "emit": {"to": ["g"], "subclass": "a::b"},
    "log": {"message": "x"},
}
"""The headings of the page that have a table of keys, and the least that is said there."""
MODELS: dict[str, type[Settings]] = {
    "When a rule fires": RuleSettings,
    "run": RunSettings,
    "webhook": WebhookSettings,
    "esl-api": EslApiSettings,
    "esl-event": EslEventSettings,
    "emit": EmitSettings,
    "log": LogSettings,
}
PAGE = (Path(__file__).parent.parent / "docs" / "rules.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("heading", MODELS)
def test_every_key_is_documented_with_its_default(heading: str) -> None:
    """A key without a default in the table is one that has to be given, or that is empty without."""
    model, least = MODELS[heading], LEAST[heading]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    section = re.split(r"^#+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    table = section.split("| key |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    documented = {row[0].strip("`"): row[-1] for row in rows}
    assert set(documented) == set(fields) - {name.replace("esl_", "esl-") for name in ACTIONS}
    for key, shown in documented.items():
        if shown.startswith("`"):
            value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
            assert model.model_validate({key: value} | least) == model.model_validate(least), key
        else:
            field = fields[key]
            assert field.is_required() or not field.get_default(call_default_factory=True, validated_data={}), key


def test_the_examples_of_the_page_can_be_read() -> None:
    tables = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [RuleSettings.model_validate(table).name for text in tables for table in tomllib.loads(text)["rule"]] == [
        "new-voicemail"
    ]
    lines = re.findall(r"`((?:run|webhook|esl-api|esl-event|emit|log) = [^`]+)`", PAGE)
    assert {read(line).kind for line in lines} == set(ACTIONS)
