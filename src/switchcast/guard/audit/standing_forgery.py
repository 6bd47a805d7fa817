"""Who can speak where events go: with no key, with one that everybody knows, with one that proves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from switchcast.guard.audit.look import Look, keyed
from switchcast.guard.audit.suggested_text import shown
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["hijackable", "secrets_seen", "stock_psk", "unproven", "well_known_secret"]

MOST_SHOWN: Final = 8
_REGISTER: Final = "CUSTOM sofia::register"


def hijackable(look: Look) -> Iterator[Finding]:
    """Registrations go there, and nobody has to prove anything."""
    seen = look.kinds.get(_REGISTER, 0)
    kept = "registrations" in look.keep
    if not (look.anyone_may_speak and look.from_network and (seen or kept)):
        return
    evidence = [f"{look.reach.url}: {look.proof}"]
    if seen:
        evidence.append(f"{_REGISTER}: {seen:,} seen")
    if kept:
        evidence.append("registrations are among what is to be kept")
    yield Finding(
        "registrations-can-be-hijacked",
        Severity.CRITICAL,
        "Any host on the group can move any telephone's registration to an address of its own.",
        tuple(evidence),
        "mod_sofia takes over what a multicast::event says of a registration and does not ask who sent it, and a stock "
        "datagram proves nothing, under a pre-shared key no more than without. One is enough: calls to that user then "
        "go where the sender says.",
        (
            Mend(
                keyed("traced"),
                "Nodes tell their switches only what a holder of the key has sent; stock hosts read everything as "
                "before.",
            ),
            Mend(
                'on hosts that run a node: unload mod_event_multicast, and no trust = "stock" on routes to a switch',
                "No switch acts on what a stranger sends; with the module loaded it does, whatever the node does.",
            ),
        ),
    )


def unproven(look: Look) -> Iterator[Finding]:
    """Strangers are heard beside members."""
    stock = look.trust.get("stock", 0)
    if not (look.reach.keyed and look.reach.takes_stock and stock):
        return
    yield Finding(
        "unproven-events",
        Severity.NOTICE,
        "Beside what members have sent there are events that nothing vouches for.",
        (f"{look.reach.url}: {stock:,} of {sum(look.trust.values()):,} events had no valid proof",),
        "In mode traced datagrams of stock hosts are delivered too. Nothing here acts on them, but a switch that runs "
        "the module itself does.",
        (
            Mend(
                'stock = "reject"',
                "What proves nothing is dropped and counted; hosts that run the module alone are heard no more.",
            ),
        ),
    )


def well_known_secret(look: Look) -> Iterator[Finding]:
    """The key or the password is one that everybody knows."""
    url = look.reach.url
    if "psk" in look.reach.well_known:
        yield Finding(
            "well-known-key",
            Severity.CRITICAL,
            "The pre-shared key is one that everybody knows.",
            (f"{url}: psk is the one of FreeSWITCH's examples",),
            "Whoever tries it reads everything that is sent, and can send what the others take for a member's.",
            (
                Mend(
                    keyed("sealed", " and a port of its own"),
                    "Events can be read and sent by holders of the key only; stock hosts hear nothing.",
                ),
                Mend(
                    "(umask 077; openssl rand -hex 28 > /etc/switchcast/group.psk); on every host psk_file, "
                    'and <param name="psk" value="..."/> for the module',
                    "The key must at least be found out; whoever has it can still forge (stock-psk).",
                ),
            ),
        )
    if "password" in look.reach.well_known:
        yield Finding(
            "well-known-password",
            Severity.CRITICAL,
            "The event socket's password is the one that every FreeSWITCH is shipped with.",
            (f"{url}: the password is ClueCon",),
            "Whoever reaches the port has the whole switch: every event, every command, and so a shell "
            "(the API command system).",
            (
                Mend(
                    'event_socket.conf.xml: another value in <param name="password" .../>, then reload '
                    "mod_event_socket; here password_file",
                    "Who does not know it is refused. Every client of the event socket needs the new one.",
                ),
            ),
        )


def secrets_seen(places: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """One stood in what was sent: ``places`` are kinds and headers."""
    if not places:
        return
    yield Finding(
        "well-known-secret-sent",
        Severity.CRITICAL,
        "A password that everybody knows stands in events.",
        tuple(f"{shown(kind)}: {shown(header)}" for kind, header in places[:MOST_SHOWN]),
        "It is in use, so whoever hears or guesses it can log in with it, as FreeSWITCH's default or that of its "
        "sample users.",
        (
            Mend("another password where it is set", "It opens nothing any more."),
            Mend(
                "a policy that does not name these headers: "
                "switchcast audit SOURCE --keep registrations,presence,lamps --suggest FILE",
                "It is no longer sent.",
            ),
        ),
    )


def stock_psk(look: Look) -> Iterator[Finding]:
    """What the module takes for encryption."""
    if not look.reach.is_network or look.reach.encrypted != "stock psk":
        return
    yield Finding(
        "stock-psk",
        Severity.WARNING,
        "The pre-shared key hides the text from a passer-by, and proves nothing.",
        (f"{look.reach.url}: Blowfish in CBC, no authentication, the IV is 8 hexadecimal digits",),
        "Without a MAC a datagram can be altered and sent again, and is taken. With 32 bits an IV has come twice "
        "after some 77,000 datagrams, and equal beginnings then look equal. The key is used as it is, so a word can be "
        "guessed from one recorded datagram.",
        (
            Mend(
                keyed("sealed", " and a port of its own"),
                "ChaCha20-Poly1305 under a key of 256 bits: what was altered or repeated is rejected. "
                "Stock hosts hear nothing there.",
            ),
            Mend(
                keyed("traced", " and no psk"),
                "Forgeries are told apart, stock hosts still read it; but everybody else does as well.",
            ),
        ),
    )
