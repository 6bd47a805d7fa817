"""The command line of a simulated switch: what ``api`` and ``bgapi`` answer.

Commands answer as the recorded switch did or, where the recording has no answer, in the form its source gives them.
Tables (``show``) are views of the switch's own state, their columns those of FreeSWITCH's core database.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Final
from xml.sax.saxutils import escape

from switchcast._native import Event
from switchcast.simulation.registrar import PROFILE, SipRegistration
from switchcast.simulation.stage import DOMAIN, SECOND, Mailbox
from switchcast.simulation.switch import MAX_SESSIONS, SESSIONS_PER_SECOND, Channel, Registration, Switch
from switchcast.simulation.templates import local, new_uuid

__all__ = ["COMMANDS", "VERSION", "call_rows", "channel_rows", "registration_rows", "run"]

VERSION = "1.11.2-release+git~20260809T162310Z~3f13ad1b1d~64bit"
_RULER = "=" * 97

_MODULES: Final = frozenset(
    {"mod_commands", "mod_conference", "mod_dptools", "mod_event_socket", "mod_loopback", "mod_sofia", "mod_voicemail"}
)

Row = dict[str, str]

_CHANNEL: Final[Mapping[str, str]] = {
    "direction": "Call-Direction",
    "name": "Channel-Name",
    "cid_name": "Caller-Caller-ID-Name",
    "cid_num": "Caller-Caller-ID-Number",
    "ip_addr": "Caller-Network-Addr",
    "dest": "Caller-Destination-Number",
    "dialplan": "Caller-Dialplan",
    "context": "Caller-Context",
    "read_codec": "Channel-Read-Codec-Name",
    "read_rate": "Channel-Read-Codec-Rate",
    "read_bit_rate": "Channel-Read-Codec-Bit-Rate",
    "write_codec": "Channel-Write-Codec-Name",
    "write_rate": "Channel-Write-Codec-Rate",
    "write_bit_rate": "Channel-Write-Codec-Bit-Rate",
    "presence_id": "Channel-Presence-ID",
    "callee_name": "Caller-Callee-ID-Name",
    "callee_num": "Caller-Callee-ID-Number",
    "call_uuid": "Channel-Call-UUID",
}
"""Columns that the channel's newest event tells."""
_CHANNEL_COLUMNS: Final = (
    "uuid direction created created_epoch name state cid_name cid_num ip_addr dest application application_data "
    "dialplan context read_codec read_rate read_bit_rate write_codec write_rate write_bit_rate secure hostname "
    "presence_id presence_data accountcode callstate callee_name callee_num callee_direction call_uuid "
    "sent_callee_name sent_callee_num initial_cid_name initial_cid_num initial_ip_addr initial_dest "
    "initial_dialplan initial_context"
).split()
_CALL_COLUMNS: Final = (
    "uuid direction created created_epoch name state cid_name cid_num ip_addr dest presence_id presence_data "
    "accountcode callstate callee_name callee_num callee_direction call_uuid hostname sent_callee_name sent_callee_num"
).split()
_OTHER_LEG_COLUMNS: Final = [name for name in _CALL_COLUMNS if name not in ("call_uuid", "hostname")]
_REGISTRATION_COLUMNS: Final = (
    "reg_user realm token url expires network_ip network_port network_proto hostname metadata"
).split()


def channel_rows(switch: Switch) -> list[Row]:
    """``show channels``: the channels that are up, oldest first."""
    return [_channel_row(switch, channel) for channel in switch.channels.values()]


def call_rows(switch: Switch) -> list[Row]:
    """``show calls``: a row a call; a leg that is not bridged is a call by itself, its ``b_`` columns empty."""
    rows = []
    callees = {callee for _, callee in switch.calls.values()}
    for channel in switch.channels.values():
        if channel.uuid in callees:
            continue
        row = _channel_row(switch, channel)
        pair = switch.calls.get(channel.uuid)
        other = switch.channels.get(pair[1]) if pair else None
        theirs = _channel_row(switch, other) if other else {}
        rows.append(
            {name: row[name] for name in _CALL_COLUMNS}
            | {f"b_{name}": theirs.get(name, "") for name in _OTHER_LEG_COLUMNS}
            | {"call_created_epoch": row["created_epoch"] if other else ""}
        )
    return rows


def registration_rows(switch: Switch) -> list[Row]:
    """``show registrations``: who is registered here."""
    return [
        {
            "reg_user": r.user,
            "realm": DOMAIN,
            "token": r.call_id,
            "url": f"sofia/internal/sip:{_address(r)}",
            "expires": str(r.expires),
            "network_ip": r.network_ip,
            "network_port": r.network_port,
            "network_proto": "udp",
            "hostname": switch.hostname,
            "metadata": "",
        }
        for r in switch.registrations.values()
    ]


def run(switch: Switch, word: str, argument: str) -> str:
    """What the switch answers to ``word argument``."""
    command = COMMANDS.get(word)
    return command(switch, argument) if command else f"-ERR {word} Command not found!\n"


def _channel_row(switch: Switch, channel: Channel) -> Row:
    newest, first, doing = channel.latest, channel.created, channel.executing
    created = (first.timestamp or 0) // SECOND
    told = {column: newest.get(header) or "" for column, header in _CHANNEL.items()}
    row = dict.fromkeys(_CHANNEL_COLUMNS, "") | told
    return row | {
        "uuid": channel.uuid,
        "created": local(created).decode().replace("%20", " ").replace("%3A", ":"),
        "created_epoch": str(created),
        "state": channel.state,
        "callstate": channel.call_state,
        "application": _get(doing, "Application"),
        "application_data": _get(doing, "Application-Data"),
        "hostname": switch.hostname,
        "accountcode": _get(first, "variable_accountcode"),
        "initial_cid_name": _get(first, "Caller-Caller-ID-Name"),
        "initial_cid_num": _get(first, "Caller-Caller-ID-Number"),
        "initial_ip_addr": _get(first, "Caller-Network-Addr"),
        "initial_dest": _get(first, "Caller-Destination-Number"),
        "initial_dialplan": _get(first, "Caller-Dialplan"),
        "initial_context": _get(first, "Caller-Context"),
    }


def _get(event: Event | None, name: str) -> str:
    return (event.get(name) or "") if event is not None else ""


def _address(registration: Registration) -> str:
    return f"{registration.user}@{registration.network_ip}:{registration.network_port}"


def _show(switch: Switch, argument: str) -> str:
    words = argument.split()
    what = words[0] if words else ""
    tables: dict[str, tuple[Callable[[Switch], list[Row]], list[str]]] = {
        "channels": (channel_rows, _CHANNEL_COLUMNS),
        "calls": (call_rows, [*_CALL_COLUMNS, *(f"b_{n}" for n in _OTHER_LEG_COLUMNS), "call_created_epoch"]),
        "registrations": (registration_rows, _REGISTRATION_COLUMNS),
    }
    if what not in tables:
        return "-USAGE: channels|calls|registrations [count] [as json]\n"
    make, columns = tables[what]
    rows = make(switch)
    if words[-2:] == ["as", "json"]:
        if "count" in words:
            return json.dumps({"row_count": len(rows)}, separators=(",", ":"))
        return json.dumps({"row_count": len(rows)} | ({"rows": rows} if rows else {}), separators=(",", ":"))
    table = "" if "count" in words or not rows else _csv(rows, columns)
    return f"{table}\n{len(rows)} total.\n"


def _csv(rows: list[Row], columns: list[str]) -> str:
    lines = [",".join(columns)]
    lines += [",".join(f'"{row[c]}"' if "," in row[c] else row[c] for c in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _status(switch: Switch, _: str) -> str:
    last, busiest = switch.sessions_per_second()
    up = len(switch.channels)
    return (
        f"UP {switch.uptime()}\n"
        "FreeSWITCH (Version 1.11.2-release git 3f13ad1 2026-08-09 16:23:10Z 64bit) is ready\n"
        f"{switch.sessions_since_startup} session(s) since startup\n"
        f"{up} session(s) - peak {switch.sessions_peak}, last 5min {switch.sessions_peak} \n"
        f"{last} session(s) per Sec out of max {SESSIONS_PER_SECOND}, peak {busiest}, last 5min {busiest} \n"
        f"{MAX_SESSIONS} session(s) max\n"
        "min idle cpu 0.00/99.60\n"
        "Current Stack Size/Max 240K/8192K\n"
    )


def _variables(switch: Switch) -> Row:
    return {
        "hostname": switch.hostname,
        "local_ip_v4": switch.ipv4,
        "local_ip_v6": f"fd00::{switch.index + 1:x}",
        "switch_serial": switch.core_uuid.replace("-", "")[:12],
        "core_uuid": switch.core_uuid,
        "domain": DOMAIN,
        "domain_name": DOMAIN,
        "global_codec_prefs": "PCMU,PCMA",
        "outbound_codec_prefs": "PCMU,PCMA",
        "presence_privacy": "false",
    }


def _global_getvar(switch: Switch, argument: str) -> str:
    known = _variables(switch)
    return known.get(argument, "") if argument else "".join(f"{name}={value}\n" for name, value in known.items())


def _module_exists(_: Switch, argument: str) -> str:
    """The modules whose events and commands a simulated switch has; of the group it knows nothing."""
    return "true" if argument in _MODULES else "false"


def _strftime(switch: Switch, argument: str) -> str:
    now = (switch.stage.epoch + switch.stage.now) // SECOND
    stamp = re.match(r"(\d+)\|", argument)
    if stamp:
        now, argument = int(stamp[1]), argument[stamp.end() :]
    return time.strftime(argument or "%Y-%m-%d %T", time.gmtime(now))


def _sofia(switch: Switch, argument: str) -> str:
    words = argument.split()
    if words in (["status"], ["xmlstatus"]):
        return (_sofia_overview if words == ["status"] else _sofia_overview_xml)(switch)
    if len(words) < 4 or words[0] not in ("status", "xmlstatus") or words[1] != "profile" or words[3] != "reg":
        return "-USAGE: sofia status|xmlstatus [profile internal reg [<user>]]\n"
    if words[2] != PROFILE:
        return "Invalid Profile!\n"
    rows = switch.registrar.rows(switch.epoch_seconds)
    found = [r for r in rows if len(words) < 5 or words[4] in (r.account, r.account.partition("@")[0])]
    return (_sofia_xml if words[0] == "xmlstatus" else _sofia_text)(switch, found)


def _sofia_overview(switch: Switch) -> str:
    row = f"{'internal':>25}\tprofile\t{f'sip:mod_sofia@{switch.ipv4}:5060':>51}\tRUNNING (0)\n"
    head = f"{'Name':>25}\t   Type\t{'Data':>51}\tState\n"
    return f"{head}{_RULER}\n{row}{_RULER}\n1 profile 0 aliases\n\n"


def _sofia_overview_xml(switch: Switch) -> str:
    fields = {
        "name": PROFILE,
        "type": "profile",
        "data": f"sip:mod_sofia@{switch.ipv4}:5060",
        "state": "RUNNING (0)",
    }
    lines = "".join(f"<{name}>{value}</{name}>\n" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<profiles>\n<profile>\n{lines}</profile>\n</profiles>\n'


def _sofia_status(switch: Switch, registration: SipRegistration) -> tuple[str, int]:
    seconds = registration.expires - switch.epoch_seconds
    return local(registration.expires).decode().replace("%20", " ").replace("%3A", ":"), seconds


def _sofia_text(switch: Switch, found: list[SipRegistration]) -> str:
    parts = [f"\nRegistrations:\n{_RULER}\n"]
    for r in found:
        when, seconds = _sofia_status(switch, r)
        fields = {
            "Call-ID": r.call_id,
            "User": r.account,
            "Contact": r.contact,
            "Agent": r.agent,
            "Status": f"Registered(UDP)(unknown) EXP({when}) EXPSECS({seconds})",
            "Ping-Status": r.ping_status,
            "Ping-Time": "0.00",
            "Host": switch.hostname,
            "IP": r.network_ip,
            "Port": r.network_port,
            "Auth-User": r.auth_user,
            "Auth-Realm": r.auth_realm,
            "MWI-Account": r.account,
        }
        parts += [f"{name + ':':<12}\t{value}\n" for name, value in fields.items()] + ["\n"]
    return "".join([*parts, f"Total items returned: {len(found)}\n{_RULER}\n"])


def _sofia_xml(switch: Switch, found: list[SipRegistration]) -> str:
    parts = ['<?xml version="1.0" encoding="ISO-8859-1"?>\n<profile>\n  <registrations>\n']
    for r in found:
        when, seconds = _sofia_status(switch, r)
        fields = {
            "call-id": r.call_id,
            "user": r.account,
            "contact": r.contact,
            "agent": r.agent,
            "status": f"Registered(UDP)(unknown) exp({when}) expsecs({seconds})",
            "ping-status": r.ping_status,
            "ping-time": "0.00",
            "host": switch.hostname,
            "network-ip": r.network_ip,
            "network-port": r.network_port,
            "sip-auth-user": r.auth_user,
            "sip-auth-realm": r.auth_realm,
            "mwi-account": r.account,
        }
        lines = "".join(f"        <{name}>{escape(value)}</{name}>\n" for name, value in fields.items())
        parts.append(f"    <registration>\n{lines}    </registration>\n")
    return "".join([*parts, "  </registrations>\n</profile>\n"])


def _sofia_contact(switch: Switch, argument: str) -> str:
    user, _, domain = argument.rpartition("/")[2].partition("@")
    found = switch.registrar.find(f"{user}@{domain or DOMAIN}", switch.epoch_seconds)
    return f"sofia/{PROFILE}/{found.uri}" if found else "error/user_not_registered"


def _uuid_kill(switch: Switch, argument: str) -> str:
    """Hang up; a cause may be given, but the call's events keep the one that was recorded."""
    words = argument.split()
    if not words:
        return "-USAGE: <uuid> [cause]\n"
    channel = switch.channels.get(words[0])
    if channel is None:
        return "-ERR No such channel!\n"
    channel.call.hang_up()
    return "+OK\n"


def _originate(switch: Switch, argument: str) -> str:
    wanted = re.match(r"(?:\{(?P<options>[^}]*)\})?(?P<url>\S+)\s+\S", argument)
    if wanted is None or switch.originate is None:
        return "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>]\n"
    leg = re.search(r"origination_uuid=([0-9a-fA-F-]{36})\b", wanted["options"] or "")
    kind, _, rest = wanted["url"].partition("/")
    if kind == "loopback":
        user = None
    elif kind == "user":
        user = rest.partition("@")[0]
        if user not in switch.registrations:
            return "-ERR USER_NOT_REGISTERED\n"
    else:
        return "-ERR CHAN_NOT_IMPLEMENTED\n"
    return f"+OK {switch.originate(user, leg[1] if leg else None).legs[0]}\n"


def _vm_boxcount(switch: Switch, argument: str) -> str:
    """New messages; with ``|all``: new, saved, new urgent and saved urgent ones."""
    account, _, how = argument.partition("|")
    box = switch.mailboxes.get(account.partition("@")[0]) or Mailbox()
    answers = {"": str(box.new), "new": str(box.new), "saved": str(box.saved), "all": f"{box.new}:{box.saved}:0:0"}
    return answers.get(how, "0")


def _reloadxml(switch: Switch, _: str) -> str:
    switch.play_now("reloadxml")
    return "+OK [Success]\n"


COMMANDS: Final[Mapping[str, Callable[[Switch, str], str]]] = {
    "create_uuid": lambda switch, _: new_uuid(switch.stage.rng).decode(),
    "echo": lambda _, argument: argument,
    "global_getvar": _global_getvar,
    "hostname": lambda switch, _: switch.hostname,
    "module_exists": _module_exists,
    "originate": _originate,
    "reloadxml": _reloadxml,
    "show": _show,
    "sofia": _sofia,
    "sofia_contact": _sofia_contact,
    "status": _status,
    "strftime": _strftime,
    "switchname": lambda switch, _: switch.name,
    "uptime": lambda switch, _: f"{switch.uptime_micros // SECOND}\n",
    "uuid_exists": lambda switch, argument: "true" if argument in switch.channels else "false",
    "uuid_kill": _uuid_kill,
    "version": lambda *_: f"FreeSWITCH Version {VERSION} (git 3f13ad1 2026-08-09 16:23:10Z 64bit)\n",
    "vm_boxcount": _vm_boxcount,
}
"""Each command that a simulated switch knows, by its name."""
