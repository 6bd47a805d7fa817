"""What FreeSWITCH's own side of it says: its module against the endpoint examined, and what it does to itself.

The module's file counts only where the module runs or may: a switch that leaves the group to a node of ours has the
file all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from switchcast.guard.doctor import switch_safety
from switchcast.guard.doctor.facts import Facts, Unchecked, version_of
from switchcast.guard.doctor.ports import owner_text
from switchcast.guard.doctor.switch_facts import ModuleFile, SwitchFacts, groups_of, is_local
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.links import find_link

__all__ = ["check", "unchecked"]

_RELOAD = "fs_cli -x reloadxml"


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the switch on this host, or with the one that was asked."""
    switch = facts.switch
    if switch is None or not switch.found:
        return
    yield from _elsewhere(facts, switch)
    yield from _not_loaded(switch)
    ended = list(_inactive(facts, switch))
    yield from ended
    module = switch.module
    if module is not None and _may_run(switch):
        yield from _source_address(facts, module)
        if facts.target.groups and facts.target.mode != "sealed":  # which the module neither sends nor reads
            yield from _group(facts, module)
            yield from _port(facts, module)
            yield from _key(facts, module)
        yield from _bindings(module)
        yield from _ttl(facts, module)
        yield from _loopback(facts, module)
        yield from _not_reloaded(switch, module)
    yield from switch_safety.check(facts, switch, ended=bool(ended))


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What of the switch could not be seen."""
    switch = facts.switch
    if switch is None:
        return
    if not switch.found and switch.looked_in:
        where = ", ".join(switch.looked_in)
        why = f"no FreeSWITCH runs here as far as can be seen, and there are no settings of one in {where}"
        how = "run it on the host of the switch, or give the URL of its event socket: esl://HOST:8021"
        yield Unchecked("FreeSWITCH's own settings", why, how)
    for part in switch.unread:
        yield Unchecked(part.what, part.why, part.how)
    yield from switch_safety.unchecked(switch)


def _param(module: ModuleFile, name: str, value: object, effect: str) -> Mend:
    """Another value in the module's file, and the command that has it read."""
    return Mend(f'<param name="{name}" value="{value}"/>\n{_RELOAD}', f"The line in {module.path}. {effect}")


def _may_run(switch: SwitchFacts) -> bool:
    """Whether the module is loaded, or cannot be known not to be."""
    if switch.answers is not None and switch.answers.loaded is not None:
        return switch.answers.loaded
    return switch.modules is None or switch.modules.loads_module


def _elsewhere(facts: Facts, switch: SwitchFacts) -> Iterator[Finding]:
    apart = [process.pid for process in switch.processes if process.same_network is False]
    if not apart or len(apart) < len(switch.processes):
        return
    url = facts.target.url
    yield Finding(
        code="switch-elsewhere",
        severity=Severity.WARNING,
        title="FreeSWITCH runs in another network than this: what is found here need not hold for it.",
        evidence=(f"process {apart[0]} (freeswitch) is in another network namespace",),
        cause="A container has interfaces, routes, groups and ports of its own, and a group that is joined outside is "
        "not heard inside.",
        mends=(
            Mend(f"nsenter --target {apart[0]} --net switchcast doctor '{url}'", "Looks at the network of the switch."),
            Mend("run the container with the host's network (--network host)", "Both have the same network."),
        ),
    )


def _not_loaded(switch: SwitchFacts) -> Iterator[Finding]:
    if _may_run(switch):
        return
    answers, modules = switch.answers, switch.modules
    if answers is not None and answers.loaded is False:
        evidence = f"{answers.url} says that mod_event_multicast is not loaded"
    else:
        evidence = f"{modules.path if modules else 'modules.conf.xml'} does not load mod_event_multicast"
    yield Finding(
        code="switch-module-not-loaded",
        severity=Severity.NOTICE,
        title="FreeSWITCH does not load mod_event_multicast.",
        evidence=(evidence,),
        cause="Then the switch itself neither sends to the group nor hears it. That is right where a switchcast node "
        "does so for it.",
        mends=(
            Mend(
                '<load module="mod_event_multicast"/>\nfs_cli -x "load mod_event_multicast"',
                "The line in modules.conf.xml; the switch sends and hears by itself, now and after the next start.",
            ),
            Mend(
                "switchcast run with routes between esl://127.0.0.1:8021 and the group",
                "The node does it, with a policy in between.",
            ),
        ),
    )


def _inactive(facts: Facts, switch: SwitchFacts) -> Iterator[Finding]:
    evidence = []
    if switch.answers is not None and switch.answers.active is False:
        evidence.append(f"{switch.answers.url}: multicast_peers says that the module is inactive")
    elif silent := _without_socket(facts, switch):
        evidence.append(silent)
    else:
        return
    yield Finding(
        code="switch-module-ended",
        severity=Severity.CRITICAL,
        title="FreeSWITCH's module is loaded, but has stopped: it neither sends nor hears.",
        evidence=tuple(evidence),
        cause="One empty datagram to its port ends the module's receiver, and with it the sender, until it is loaded "
        "again; a port that it could not bind at its start does the same.",
        mends=(
            Mend('fs_cli -x "reload mod_event_multicast"', "Starts it again; calls are not touched."),
            switch_safety.shield(switch.module_port),
        ),
    )


def _without_socket(facts: Facts, switch: SwitchFacts) -> str | None:
    """That a FreeSWITCH which loads the module holds no socket on its port; only where it could be looked into."""
    module, known = switch.module, switch.module_known
    here = [process for process in switch.processes if process.same_network]
    if not known or not here or module is None or module.port != facts.target.port:
        return None
    pids = {process.pid for process in here}
    if facts.sockets is None or facts.owners is None or pids & facts.owners.hidden:
        return None
    if any(owner.pid in pids for socket in facts.on_port for owner in facts.owners.of(socket.inode) or ()):
        return None
    return f"{known[0]}, and process {min(pids)} (freeswitch) has no socket on port {module.port}"


def _source_address(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    for param, value, version in (
        ("source_address", module.source_address, 4),
        ("source_address_ipv6", module.source_address_ipv6, 6),
    ):
        groups = sorted(group for group in groups_of(module.address) if version_of(group) == version)
        if value is None or not groups:
            continue
        mends = [
            Mend(
                f'take <param name="{param}" value="{value}"/> out, then {_RELOAD}',
                "It hears the group. What it sends leaves by the interface that the routing table has for it.",
            )
        ]
        link = find_link(facts.links or (), value)
        if link is not None and not link.loopback:
            route = f"ip route add {groups[0]} dev {link.name} src {value}"
            mends.append(Mend(route, "Keeps the interface and the address that it sends from, once the param is out."))
        yield Finding(
            code="switch-source-address",
            severity=Severity.CRITICAL,
            title=f"FreeSWITCH hears no group: its {param} is set.",
            evidence=(f"{module.at(param)}: {param} is {value}", f"{module.at('address')}: {', '.join(groups)}"),
            cause="The module has one socket for both directions and binds it to that address; what is sent to a "
            "group is handed only to sockets that are bound to the group or to any address.",
            mends=tuple(mends),
        )


def _apart(facts: Facts) -> Severity:
    """How bad it is not to meet FreeSWITCH on the endpoint: nodes of ours can have a traced group to themselves."""
    return Severity.CRITICAL if facts.target.mode == "stock" else Severity.NOTICE


def _group(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    ours, theirs = groups_of(facts.target.groups), groups_of(module.address)
    missing = sorted(ours - theirs)
    if not missing:
        return
    yield Finding(
        code="switch-group-differs",
        severity=Severity.WARNING if ours & theirs else _apart(facts),
        title="FreeSWITCH on this host is on another group than the endpoint examined.",
        evidence=(
            f"{module.at('address')}: {', '.join(module.address)}",
            f"{facts.target.url}: {', '.join(sorted(ours))}",
        ),
        cause="Hosts hear each other only on a group that both have joined.",
        mends=(
            _param(
                module,
                "address",
                ",".join([*module.address, *missing]),
                "FreeSWITCH sends to these groups and hears them, besides what it has.",
            ),
            Mend(f"multicast://{module.address[0]}:{module.port} as the endpoint's URL", "The node joins its group."),
        ),
    )


def _port(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    if module.port == facts.target.port:
        return
    yield Finding(
        code="switch-port-differs",
        severity=_apart(facts),
        title=f"FreeSWITCH uses port {module.port}, the endpoint examined port {facts.target.port}.",
        evidence=(f"{module.at('port')}: {module.port}", f"{facts.target.url}: {facts.target.port}"),
        cause="The port is part of where a datagram goes: on another one it is not heard.",
        mends=(
            _param(module, "port", facts.target.port, "FreeSWITCH sends to that port and listens there."),
            Mend(f":{module.port} in the endpoint's URL", "The node uses FreeSWITCH's port."),
        ),
    )


def _key(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    """Whether both have the same key, or none; neither is shown."""
    if module.key_agrees is not False:
        return
    ours = ("another key" if module.keyed else "a key") if module.endpoint_keyed else "no key"
    yield Finding(
        code="switch-key-differs",
        severity=Severity.CRITICAL if module.endpoint_keyed else Severity.NOTICE,
        title="FreeSWITCH's pre-shared key is not the endpoint's."
        if module.endpoint_keyed
        else "FreeSWITCH has a pre-shared key, and the endpoint's URL names none.",
        evidence=(
            f"{module.at('psk')}: {'a key' if module.keyed else 'no key'}",
            f"{facts.target.url}: {ours}",
        ),
        cause="What was enciphered under another key, or not at all, opens to nothing, and both sides drop it.",
        mends=(
            Mend(
                "psk_file=/etc/switchcast/group.psk in the URL, with FreeSWITCH's key in that file (mode 0600)",
                "The endpoint enciphers and opens as FreeSWITCH does.",
            ),
            Mend("one psk in event_multicast.conf.xml on every host", "All of them can read each other."),
        ),
    )


def _bindings(module: ModuleFile) -> Iterator[Finding]:
    if module.bindings.split():
        return
    yield Finding(
        code="switch-sends-nothing",
        severity=Severity.WARNING,
        title="FreeSWITCH's module is bound to no event, so this switch sends none.",
        evidence=(f"{module.at('bindings')}: bindings are empty",),
        cause="The module sends what its bindings name; without any it only listens.",
        mends=(
            _param(
                module,
                "bindings",
                "HEARTBEAT PRESENCE_IN MESSAGE_WAITING CUSTOM sofia::register sofia::unregister",
                "It sends what keeps registrations, presence and lamps in step, and no calls.",
            ),
        ),
    )


def _ttl(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    if module.ttl == 0:
        yield Finding(
            code="switch-ttl-zero",
            severity=Severity.CRITICAL,
            title="What FreeSWITCH sends never leaves this host: its TTL is 0.",
            evidence=(f"{module.at('ttl')}: ttl is 0",),
            cause="A datagram to a group with a TTL of 0 is for the host that sends it.",
            mends=(_param(module, "ttl", 1, "It reaches the subnet."),),
        )
    elif module.ttl != facts.target.ttl and facts.target.groups:
        yield Finding(
            code="switch-ttl-differs",
            severity=Severity.NOTICE,
            title=f"FreeSWITCH sends with a TTL of {module.ttl}, the endpoint examined with {facts.target.ttl}.",
            evidence=(f"{module.at('ttl')}: {module.ttl}", f"{facts.target.url}: {facts.target.ttl}"),
            cause="A TTL of n passes n - 1 routers, so one side may reach hosts that the other does not.",
            mends=(_param(module, "ttl", facts.target.ttl, "Both reach equally far."),),
        )


def _loopback(facts: Facts, module: ModuleFile) -> Iterator[Finding]:
    """Only where another program on this host listens."""
    if module.loopback or facts.owners is None or not facts.target.groups or module.port != facts.target.port:
        return
    switches = {process.pid for process in facts.switch.processes} if facts.switch else set()
    others = []
    for socket in facts.on_port:
        owners = facts.owners.of(socket.inode)
        if owners and not any(owner.pid in switches for owner in owners):
            others.append(f"{owner_text(facts, socket)} listens on port {socket.port}")
    if not others or not switches:
        return
    yield Finding(
        code="switch-loopback-off",
        severity=Severity.WARNING,
        title="Programs on this host do not hear what its FreeSWITCH sends: its loopback is off.",
        evidence=(f"{module.at('loopback')}: loopback is off, as it is by default", *others[:4]),
        cause="A sender decides whether the members on its own host get a copy, and the module's default is that "
        "they do not.",
        mends=(
            _param(
                module,
                "loopback",
                "yes",
                "Members on this host hear it; the switch knows its own events and leaves them.",
            ),
            Mend("esl://127.0.0.1:8021 as the node's source", "It takes the switch's events from the switch itself."),
        ),
    )


def _not_reloaded(switch: SwitchFacts, module: ModuleFile) -> Iterator[Finding]:
    answers = switch.answers
    if answers is None or not answers.destinations or not is_local(answers.url):
        return
    absent = [
        each for each in sorted(groups_of(module.address)) if not any(each in line for line in answers.destinations)
    ]
    if not absent:
        return
    yield Finding(
        code="switch-not-reloaded",
        severity=Severity.WARNING,
        title="FreeSWITCH runs with other settings of the module than its file has.",
        evidence=(
            f"{module.at('address')}: {', '.join(module.address)}",
            *(f"{answers.url}: multicast_peers lists {line}" for line in answers.destinations[:4]),
        ),
        cause="The file was changed after the module had read it.",
        mends=(Mend("fs_cli -x reloadxml", "The module reads its file again."),),
    )
