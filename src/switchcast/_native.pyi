"""The native surface of switchcast.

Everything that touches each datagram is here; nothing here knows URLs, settings or logging. Batches cross this border
as lists. Users import these names from ``switchcast``; this module is not public.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, final

__all__ = [
    "ESSENTIAL_HEADERS",
    "EVENT_NAMES",
    "LIMITS",
    "MAX_DATAGRAM_IPV4",
    "MAX_DATAGRAM_IPV6",
    "REJECT_REASONS",
    "SEALED_DICTIONARY",
    "TRAILER",
    "CaptureReader",
    "CaptureWriter",
    "Event",
    "Inventory",
    "Matcher",
    "Policy",
    "Receiver",
    "ReliableReceiver",
    "ReliableSender",
    "SealedFrames",
    "Sender",
    "StockFrames",
    "TracedFrames",
    "TrustCheck",
    "__version__",
    "key_id",
    "public_key",
    "resendable",
    "stock_misreads",
]

__version__: Final[str]
EVENT_NAMES: Final[tuple[str, ...]]
"""The names of FreeSWITCH's event types in the switch's own order, the last of them ``ALL``."""
ESSENTIAL_HEADERS: Final[tuple[str, ...]]
"""The headers of which the first passes every policy as it is: they say which event it is, where from and when."""
REJECT_REASONS: Final[tuple[str, ...]]
"""Every reason for which a datagram can be rejected, as counters and ``RejectedDatagram.reason`` name it."""
LIMITS: Final[Mapping[str, int]]
"""The limits that hostile input runs into, by name; ``native/src/limits.rs`` gives the unit and threat of each."""
TRAILER: Final[bytes]
"""The 21 bytes that end a stock event."""
SEALED_DICTIONARY: Final[bytes]
"""The Zstandard dictionary that sealed frames name by the id 1."""
MAX_DATAGRAM_IPV4: Final[int]
MAX_DATAGRAM_IPV6: Final[int]

@final
class Event:
    """One FreeSWITCH event: immutable, over the bytes it came as, each header decoded when it is read.

    It is a read-only mapping of header names to values. Names are looked up without regard to case and keep the case
    they came in; of a repeated header a look-up takes the first, as the switch does. Order is kept. Values are text:
    percent-decoded UTF-8, bytes that are not UTF-8 as lone surrogates (``surrogateescape``), ``_undef_`` as the empty
    string that the switch means by it. The ``Content-Length`` line that frames a body is not a header here: the body's
    length is ``len(event.body)``.

    Two events are equal when their wire text is; where and when they were received, and what vouches for them, does not
    count.
    """

    def __new__(
        cls,
        name: str,
        headers: Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str | Sequence[str]]] | None = None,
        body: bytes | str | None = None,
    ) -> Event:
        """Build an event: ``Event-Name: name`` first, then ``headers`` in order.

        A value that is a list becomes an array (``ARRAY::one|:two``). Values come back unchanged from any switchcast
        reader: a ``%`` in front of two hex digits, and the text ``_undef_``, are escaped, which stock reads right too.
        Raises ``ValueError`` for a header name that is empty, too long, or holds a line break or a NUL, and for an
        array without elements or with one that holds ``|:``.
        """

    @staticmethod
    def from_headers(
        headers: Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str | Sequence[str]]],
        body: bytes | str | None = None,
        *,
        encoded: bool = False,
        exact: bool = False,
    ) -> Event:
        """Build an event from nothing but headers: no name is added, order and repetition are kept.

        ``encoded`` takes the values as they stand on the wire, unchanged (``ValueError`` for a line break in one).
        ``exact`` encodes just as the switch does, so that ``%41`` stays ``%41`` and reads back as ``A``.
        """

    @staticmethod
    def from_plain(
        text: bytes,
        source: str | None = None,
        received: int | None = None,
        trust: Literal["stock", "local", "member", "signed"] = "local",
        signer: str | None = None,
    ) -> Event:
        """Read what ``event plain`` sends: headers, an empty line, then ``Content-Length`` bytes of body.

        The others become the properties of their names; ``ValueError`` for a ``signer`` of what is not ``signed``, or
        none where it is. Raises ``RejectedDatagram``.
        """

    @staticmethod
    def from_json(text: str | bytes) -> Event:
        """Read one object as ``event json`` or ``to_json`` writes it; a list is an array, names with a leading ``_``
        other than ``_body`` are skipped. Raises ``RejectedDatagram`` with the reason ``bad_json``."""

    def to_plain(self) -> bytes:
        """The wire text: headers, an empty line, the body; what ``event plain`` carries and ``from_plain`` reads."""

    def to_json(self) -> str:
        """One line of JSON as ``event json`` writes it: decoded values, arrays as lists, ``Content-Length`` and
        ``_body`` when there is a body. A repeated header, which the switch writes as a repeated key, is a list of its
        values. A byte that is not UTF-8 is a lone surrogate escape (``\\udc80`` to ``\\udcff``), which Python and
        ``from_json`` read back."""

    def json_rebuilds(self) -> bool:
        """Whether ``Event.from_json(event.to_json())`` has the very bytes of this event: not where a repeated header's
        values do not stand together, or a value is encoded as the switch would not. Costs far less than trying."""

    def to_xml(self) -> str:
        """What ``event xml`` writes: ``<event><headers>…</headers>``, values percent-encoded, then the body."""

    def to_dict(self) -> dict[str, str | list[str]]:
        """Decoded headers in order; arrays as lists, and a repeated header as the list of its values."""

    def with_headers(self, headers: Iterable[tuple[str, str | Sequence[str]]]) -> Event:
        """A copy with ``headers`` appended behind the ones that are there. All that is no header is kept."""

    def with_origin(self, source: str | None, received: int | None) -> Event:
        """A copy with another ``source`` and ``received``; ``trust`` and ``signer`` are kept."""

    def with_text(self, text: bytes, /) -> Event:
        """The event that ``text`` is, as for ``from_plain``, with this one's ``source``, ``received``, ``trust`` and
        ``signer``: for what is made out of it. Raises ``RejectedDatagram``."""

    def with_trust(self, trust: Literal["stock", "local", "member", "signed"], signer: str | None = None) -> Event:
        """A copy with another ``trust`` and ``signer``."""

    @property
    def name(self) -> str:
        """``Event-Name``, or an empty string."""
    @property
    def subclass(self) -> str | None:
        """``Event-Subclass``: the kind of a CUSTOM event."""
    @property
    def sender(self) -> str | None:
        """``Multicast-Sender``: the switch name that the sending module wrote. Anyone can write it."""
    @property
    def core_uuid(self) -> str | None:
        """``Core-UUID``: one run of one FreeSWITCH."""
    @property
    def sequence(self) -> int | None:
        """``Event-Sequence``: counts the events of that run; ``None`` when absent or not a number."""
    @property
    def timestamp(self) -> int | None:
        """``Event-Date-Timestamp``: microseconds since 1970 UTC; ``None`` when absent or not a number."""
    @property
    def unique_id(self) -> str | None:
        """``Unique-ID``: the channel (call leg)."""
    @property
    def hostname(self) -> str | None:
        """``FreeSWITCH-Hostname``."""
    @property
    def body(self) -> bytes:
        """The body, exactly as it came; empty when there is none."""
    @property
    def source(self) -> str | None:
        """``address:port`` (``[address]:port`` for IPv6) that the datagram came from, where one did."""
    @property
    def received(self) -> int | None:
        """When it was received: nanoseconds since 1970 UTC, for display and replay only."""

    @property
    def trust(self) -> Literal["stock", "local", "member", "signed"]:
        """What vouches for it: ``stock``, nothing, for it came as a datagram that anyone could have sent; ``local``, it
        did not come over the network as a datagram; ``member``, someone who has the group's key; ``signed``, the holder
        of a signing key. docs/trust.md."""
    @property
    def signer(self) -> str | None:
        """Whose signature, where ``trust`` is ``signed``."""

    def get(self, name: str, default: str | None = None, /) -> str | None: ...
    def getall(self, name: str, /) -> list[str]:
        """Every value of a repeated header in order; empty when there is none."""
    def array(self, name: str, /) -> list[str]:
        """The elements of an array header (``ARRAY::one|:two``); a plain value is a list of one, absent is empty."""
    def raw(self, name: str, /) -> bytes | None:
        """The value as it stands on the wire."""
    def raw_items(self) -> list[tuple[bytes, bytes]]:
        """Every header in order as it stands on the wire, repeated ones each time."""
    def items(self) -> list[tuple[str, str]]:
        """Every header in order, decoded, repeated ones each time."""
    def keys(self) -> list[str]: ...
    def values(self) -> list[str]: ...
    def __getitem__(self, name: str, /) -> str: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int:
        """Number of header lines, repeated ones each counted."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[object, ...]: ...

@final
class StockFrames:
    """Stock datagrams to events and back: the trailer, the padding, and Blowfish when there is a key.

    ``psk`` is 1 to 72 bytes (``KeyTextError`` otherwise) and is never shown.
    """

    def __new__(cls, psk: bytes | None = None) -> StockFrames: ...
    def open(self, datagram: bytes, /) -> Event:
        """The event, whose ``trust`` is ``stock``. Raises ``RejectedDatagram`` with the reason."""
    def frame(self, event: Event, /, *, salt: str | None = None) -> bytes:
        """The datagram that the module would send for this event. Under a key, ``salt`` is the UUID in front (36
        characters); a fresh random one by default."""

@final
class SealedFrames:
    """Sealed frames to events and back, without the streams that carry them: for tests, tools and documentation.

    ``secret`` is a group key (32 bytes) and is never shown, ``sender`` the name of who sends, ``stream`` 16 bytes that
    are random by default, ``cipher`` what is sealed with (``chacha20-poly1305`` or ``aes-256-gcm``); ``ValueError`` for
    others. What is opened may be of any sender and stream under the same key, and under either cipher.

    Whoever seals must not use a sequence of a stream twice: two frames under one nonce betray what both of them hold.
    Nothing here watches over that, nor over frames that are opened twice; the endpoints do.
    """

    def __new__(
        cls, secret: bytes, *, sender: str, stream: bytes | None = None, cipher: str = "chacha20-poly1305"
    ) -> SealedFrames: ...
    @property
    def stream(self) -> bytes: ...
    def frame(self, event: Event, sequence: int, /) -> list[bytes]:
        """The event's frames: one, or as many fragments as it takes. ``ValueError`` beyond a mebibyte."""
    def open(self, frames: Sequence[bytes], /) -> Event:
        """The event whose frames these are, in any order. Raises ``RejectedDatagram`` with the reason for a frame that
        is not authentic, ``ValueError`` when one is missing or they are of more than one event."""
    def control(self, kind: str, payload: bytes, sequence: int, /) -> bytes:
        """The control frame of this kind (``beacon``, ``hello``, ``welcome``, ``request``, ``refusal``). Control frames
        have a sequence of their own."""
    def message(self, frame: bytes, /) -> dict[str, object]:
        """What a control frame says, by the names that docs/sealed.md gives. Raises ``RejectedDatagram``."""
    def sign(self, events: Sequence[Event], first: int, seed: bytes, /) -> bytes:
        """The signature frame behind these events, 1 to 64, of which the first was sent as ``first``; by the Ed25519
        key that has this seed of 32 bytes."""
    def signer(self, signature: bytes, events: Sequence[Event], signers: Mapping[str, bytes], /) -> str:
        """Who of ``signers`` (names, each with its public key) signed just these events in this frame. Raises
        ``RejectedDatagram`` with the reason ``bad_signature`` when nobody did."""
    @staticmethod
    def header(frame: bytes, /) -> dict[str, object]:
        """What stands in front of a frame in the clear, authentic or not: ``kind``, ``key`` (as ``key_id`` tells it),
        ``sender``, ``stream``, ``sequence``, ``fragment``, ``fragments``, ``repair`` (whether it says that it is sent
        again), ``cipher`` and ``dictionary``. Raises ``RejectedDatagram``."""

@final
class TracedFrames:
    """Traced datagrams to events and back, without the streams that carry them: for tests, tools and documentation.

    ``secret`` is a group key (32 bytes), which is never shown, or ``None`` for datagrams without proof; ``stream`` 16
    bytes that are random by default; ``ValueError`` for others. What is opened may be of any stream.
    """

    def __new__(cls, secret: bytes | None = None, *, stream: bytes | None = None) -> TracedFrames: ...
    @property
    def stream(self) -> bytes: ...
    def frame(self, event: Event, sequence: int, /) -> bytes:
        """The event's datagram: as stock would send it, with its stream, ``sequence`` (from 1) and, with a key, MAC."""
    def open(self, datagram: bytes, /) -> Event:
        """The event, without these headers: of trust ``member``, without a key ``stock``. Raises ``RejectedDatagram``,
        as with the reasons ``untraced``, ``malformed_stamp``, ``unknown_key`` and ``not_authentic``."""
    @staticmethod
    def stamp(datagram: bytes, /) -> dict[str, object] | None:
        """The ``stream``, ``sequence`` and ``key`` (as ``key_id`` tells it, ``None`` without a MAC) that a datagram
        names, authentic or not; ``None`` when it names none. Raises ``RejectedDatagram``."""

def key_id(secret: bytes, /) -> str:
    """A group key's name on the wire, eight hexadecimal digits that tell nothing of the key.

    Raises ``ValueError``, without the key in it, when it has not 32 bytes.
    """

def public_key(seed: bytes, /) -> bytes:
    """The 32 bytes by which others verify what the Ed25519 ``seed`` (RFC 8032) signs.

    Raises ``ValueError``, without the seed in it, when it has not 32 bytes.
    """

@final
class TrustCheck:
    """Whose events are taken where something is done about them.

    By default all but those whose ``trust`` is ``stock``; ``stock`` takes these as well, ``signed`` takes none but
    signed ones, from ``signers`` when these are given.
    """

    def __new__(cls, *, stock: bool = False, signed: bool = False, signers: Sequence[str] = ...) -> TrustCheck: ...
    def refusal(self, event: Event, /) -> Literal["untrusted", "unsigned"] | None:
        """Why ``event`` is not taken: nothing vouches for it, or no signature that is asked for; ``None`` if it is."""
    def select(self, events: Sequence[Event], /) -> list[Event]:
        """Those that are taken, in order."""

def resendable(events: Sequence[Event], subclasses: Sequence[str], /) -> list[Event]:
    """Those of ``events`` that may be sent to a group: neither LOG, nor CUSTOM with one of ``subclasses``, nor marked
    as having come from a group (``Multicast: yes``)."""

def stock_misreads(event: Event, /) -> list[str]:
    """What a stock receiver would read wrong in this event, one sentence each; empty when it reads it right."""

@final
class Matcher:
    """Bindings, then an optional CEL condition.

    ``bindings`` are in FreeSWITCH's own words: ``all``, or event names separated by spaces or commas, every word after
    ``CUSTOM`` a subclass. ``where`` sees ``name``, ``subclass``, ``sender``, ``node`` (this host's name, ``node``), and
    ``h["Any-Header"]``, an absent header being the empty string. Raises ``BindingError`` and ``ConditionError``.
    """

    def __new__(cls, bindings: str = "all", where: str | None = None, *, node: str = "") -> Matcher: ...
    @property
    def warnings(self) -> list[str]:
        """One sentence for each word that names no event FreeSWITCH has, with the nearest that it has."""
    @property
    def bindings(self) -> str:
        """The bindings, normalised, as ``event plain`` takes them."""
    @property
    def where(self) -> str | None: ...
    @property
    def errors(self) -> int:
        """How many events the condition failed on at run time (each counted as not matching)."""
    def matches(self, event: Event, /) -> bool: ...
    def select(self, events: Sequence[Event], /) -> list[Event]:
        """Those that match, in order."""

@final
class Policy:
    """What may pass: which events, which of their headers, and what becomes of a value. ``guard.policy`` makes it.

    ``rules`` are tried in order, and the first that names an event decides; an event that none names, or that is
    ``denied``, is withheld. A rule is ``(events, headers, denied headers, actions, body)``: an event is a pattern of a
    name, or ``("CUSTOM", pattern of a subclass)``; an action is ``(pattern, name, number, number)``, of which the first
    that fits a header decides, with the names and numbers ``pass``, ``drop``, ``mask`` (characters kept at the start
    and at the end), ``hash`` (hex digits) and ``truncate`` (characters). Patterns have ``*`` and ``?``; the case of
    ASCII letters does not count. Raises ``ValueError`` for an unknown action, and for ``hash`` without a ``key``.
    """

    def __new__(
        cls,
        rules: Sequence[
            tuple[
                Sequence[tuple[str, str | None]],
                Sequence[str],
                Sequence[str],
                Sequence[tuple[str, str, int, int]],
                bool,
            ]
        ],
        denied: Sequence[tuple[str, str | None]],
        key: bytes | None = None,
    ) -> Policy: ...
    def apply(self, events: Sequence[Event], /) -> list[Event]:
        """Those that pass, in order, rewritten where the policy says so; one that it leaves as it is, is the same
        object. Without the GIL where the batch is large."""
    def counters(self) -> dict[str, int | dict[str, int]]:
        """Counts since the start: ``passed`` and ``withheld`` by event name (one that is not FreeSWITCH's as
        ``other``), ``rewritten``, ``headers_removed``, ``bodies_removed``, ``values_masked``, ``values_hashed``,
        ``values_truncated``."""

@final
class Inventory:
    """What events hold, counted: kinds of event, their headers, sizes and senders. ``guard.audit`` makes it readable.

    A kind is an event's name, of CUSTOM events with the subclass behind it. Headers whose names differ only in the case
    of ASCII letters are one, as the first event spelt it. The bounds are those of ``LIMITS`` (``audit_*``), or lower.
    """

    def __new__(
        cls,
        *,
        most_kinds: int | None = None,
        most_headers: int | None = None,
        most_headers_of_kind: int | None = None,
        most_senders: int | None = None,
    ) -> Inventory: ...
    def add(self, events: Sequence[Event], /) -> list[tuple[str, str, str] | tuple[str, None, bytes]]:
        """Count ``events``; what of them is worth a look: ``(kind, header, value)``, or ``(kind, None, body)``.

        That is a value of a new shape (what kinds of characters stand where) for this header of this kind, and of known
        shapes the second, fourth, eighth ... if it is another value than the last one. Values are decoded, what is not
        UTF-8 replaced; values and bodies have at most ``LIMITS["audit_value_bytes"]``. Without the GIL where the batch
        is large."""
    @property
    def events(self) -> int: ...
    @property
    def event_bytes(self) -> int:
        """Of the events' plain text."""
    def coverage(self) -> float:
        """How likely the next event shows no kind, and no header of its kind, that has not been seen: 0 to 1. By Good
        and Turing: one less the share of events that show something which no other has shown, or that was beyond a
        bound. 0 before the first event."""
    def senders(self) -> dict[str, int]:
        """Events by sender: ``Multicast-Sender``, else ``FreeSWITCH-Switchname``, else an empty name."""
    def trust(self) -> dict[str, int]:
        """Events by what vouches for them, as ``Event.trust``; without those that there are none of."""
    def kinds(
        self,
    ) -> list[tuple[str, int, int, int, int, dict[str, int], list[tuple[str, int, int]], tuple[int, int]]]:
        """Each kind as first seen: its name, events, bytes of all, the smallest and the largest; events by sender;
        headers as first seen, each with its name, the events that have it, and bytes of values as they stand on the
        wire; then how many have a body, and bytes of bodies."""
    def uncounted(self) -> dict[str, int]:
        """What the bounds left out: events of other ``kinds``, ``headers`` (lines) of these kinds, events of other
        ``senders``; values of other ``shapes``, of which ever fewer are worth a look together; and how many of those
        that are were ``cut``."""

@final
class Receiver:
    """One or more UDP sockets read as one: inline while it is quiet, by a thread of its own under load.

    ``addresses``: IP addresses of one or both families, multicast (joined) or unicast (bound). ``interface``: a name or
    an address of it, for the joins. ``sources``: source-specific joins. ``receive_buffer``: bytes asked for with
    SO_RCVBUF. ``ring_events`` and ``ring_bytes`` bound what waits for Python; beyond it events are dropped and counted
    as ``ring_overflow``. ``shared``: others on this host may listen on the same port, as on a group's they always may.
    Raises ``EndpointUnavailable``, ``EndpointDenied``, ``UrlError``.
    """

    def __new__(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        interface: str | None = None,
        sources: Sequence[str] | None = None,
        psk: bytes | None = None,
        matcher: Matcher | None = None,
        receive_buffer: int = 4194304,
        ring_events: int = 65536,
        ring_bytes: int = 67108864,
        paused: bool = False,
        shared: bool = False,
    ) -> Receiver: ...
    def resume(self) -> None:
        """Start to read, for a receiver that was made ``paused``: until then the kernel's buffer fills."""
    def fileno(self) -> int:
        """Readable when ``read`` has something to give. Never to be read or closed by the caller."""
    def read(self, max_events: int = 1024, /) -> list[Event]:
        """What has arrived, oldest first, without waiting; empty when nothing has."""
    def wait(self, timeout: float | None = None, /) -> bool:
        """Block, without the GIL, until ``read`` has something to give; False when ``timeout`` seconds passed."""
    def counters(self) -> dict[str, int]:
        """Counts since the start, by name.

        ``datagrams`` is always the sum of ``delivered``, ``unmatched``, ``ring_overflow``, ``waiting`` and the
        ``rejected_<reason>`` of every reason. ``condition_errors`` are among the unmatched; ``kernel_drops`` never
        reached us (SO_MEMINFO, or SO_RXQ_OVFL on kernels before 4.12); ``bytes`` are those of the datagrams."""
    def sockets(self) -> list[dict[str, str | int]]:
        """One row a socket: ``address``, ``port``, ``interface``, ``receive_buffer`` as the kernel granted it."""
    def close(self) -> None: ...

@final
class Sender:
    """One connected UDP socket for each destination.

    Raises ``EndpointUnavailable`` (no route), ``EndpointDenied``, ``UrlError``.
    """

    def __new__(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        interface: str | None = None,
        source: str | None = None,
        ttl: int = 1,
        loopback: bool = True,
        psk: bytes | None = None,
        sender: str | None = None,
        send_buffer: int = 4194304,
    ) -> Sender: ...
    def send(self, events: Sequence[Event], /) -> int:
        """Send as many of ``events`` as the queues take without waiting; how many at the head of the list every
        destination is done with. Come back with the rest of the same list a moment later, or ``abandon`` it. A queue
        that stays full for 0.2 s loses the event, counted as ``queue_full``.

        ``Multicast-Sender`` is added, as the last header, to an event that has none: ``sender``, else the event's
        FreeSWITCH-Switchname. A destination that fails is counted and does not stop the others. An event that no
        datagram can carry is counted as ``too_large`` and skipped.
        """
    def abandon(self) -> None:
        """Forget how far each destination got in a list that ``send`` has not finished and will not be given again."""
    def take_too_large(self) -> tuple[str, int, int] | None:
        """Name, size and limit (bytes) of the last event that was too large; told once."""
    def counters(self) -> dict[str, int]:
        """``datagrams``, ``bytes``, ``too_large``, ``queue_full``, ``errors`` since the start, all destinations: an
        event and a destination is counted in just one of them (and in ``bytes``)."""
    def destinations(self) -> list[dict[str, str | int]]:
        """One row a destination: ``address``, ``port``, ``kind``, ``datagrams``, ``errors``, ``last_error``."""
    def close(self) -> None: ...

@final
class ReliableReceiver:
    """A ``Receiver`` for the modes ``traced`` and ``sealed``: it puts each sender's events in order, asks for those
    that are missing, and tells in-band which will not come. A thread of its own reads and asks.

    What is missing stands among the events as ``CUSTOM switchcast::gap`` (see ``switchcast.line.gaps``) with the trust
    ``local``: ``Gap-Reason``, ``Gap-Events``, ``Gap-Sender``, ``Gap-Stream`` (hex) and ``Gap-Range``, the first and the
    last sequence, as ``17-42``; ``17-``, without ``Gap-Events``, when nobody can know the last. What the ring has no
    room for is told in the same way, with the reason ``overflow``.

    ``keys``: 1 to 4 group keys of 32 bytes; without them ``traced`` only detects loss. ``repair``: whether to ask.
    ``signers``: names and Ed25519 public keys. ``hold_unsigned``: events wait for a signature, and those that none
    covers are rejected. ``deliver_stock``: whether ``traced`` takes datagrams without proof. The rest is as for
    ``Receiver``; ``ValueError`` for keys of a wrong length.
    """

    def __new__(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        mode: str,
        keys: Sequence[bytes] | None = None,
        repair: bool = True,
        signers: Sequence[tuple[str, bytes]] | None = None,
        hold_unsigned: bool = False,
        deliver_stock: bool = True,
        interface: str | None = None,
        sources: Sequence[str] | None = None,
        matcher: Matcher | None = None,
        receive_buffer: int = 4194304,
        ring_events: int = 65536,
        ring_bytes: int = 67108864,
        paused: bool = False,
        shared: bool = False,
    ) -> ReliableReceiver: ...
    def resume(self) -> None:
        """Start to read, for a receiver that was made ``paused``: until then the kernel's buffer fills."""
    def fileno(self) -> int:
        """Readable when ``read`` has something to give. Never to be read or closed by the caller."""
    def read(self, max_events: int = 1024, /) -> list[Event]:
        """What has arrived, events and gap records in each stream's order, without waiting."""
    def wait(self, timeout: float | None = None, /) -> bool:
        """Block, without the GIL, until ``read`` has something to give; False when ``timeout`` seconds passed."""
    def rekey(self, keys: Sequence[bytes], /) -> None:
        """Take what is under any of these keys from now on. Streams go on."""
    def streams(self) -> list[dict[str, Any]]:
        """One row a stream: ``sender``, ``stream`` (hex), ``address`` that is asked, ``admitted`` (``welcome``,
        ``beacon`` or ``unproven``), ``silent``, ``ended``, and counts. Of those ``next - first`` is at all times the
        sum of ``delivered``, ``gaps``, ``signatures``, ``rejected`` and ``held`` (they wait for a signature);
        ``waiting`` are there but behind a hole; ``requests`` went out; ``repaired`` came because they were asked for,
        ``spurious`` of themselves after that; ``duplicates`` were there already."""
    def counters(self) -> dict[str, int]:
        """Counts since the start, by name: ``datagrams``, ``bytes``, ``delivered`` (read by Python, gap records
        included), ``unmatched``, ``condition_errors``, ``ring_overflow``, ``waiting``, ``kernel_drops``, ``unsent``
        requests, a ``rejected_<reason>`` for every reason, and what the session counts."""
    def sockets(self) -> list[dict[str, str | int]]:
        """One row a socket: ``address``, ``port``, ``interface``, ``receive_buffer`` as the kernel granted it."""
    def close(self) -> None: ...

@final
class ReliableSender:
    """A ``Sender`` for the modes ``traced`` and ``sealed``: it keeps what it sent and sends it again to those who ask.

    One unconnected socket an address family sends to all destinations and hears their requests; a thread of its own
    answers, and says how far the stream got while nothing is sent. By ``name`` receivers know that a stream takes the
    place of an earlier one; no two senders of a group may share it. ``keys`` as for ``ReliableReceiver``, the sending
    one first. ``keep`` bytes are kept for ``keep_for`` seconds, unless ``repair`` is off. ``signing`` is an Ed25519
    seed of 32 bytes. The rest is as for ``Sender``; ``ValueError`` for keys of a wrong length.
    """

    def __new__(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        mode: str,
        name: str,
        keys: Sequence[bytes] | None = None,
        cipher: str = "chacha20-poly1305",
        repair: bool = True,
        keep: int = 67108864,
        keep_for: float = 30.0,
        signing: bytes | None = None,
        interface: str | None = None,
        source: str | None = None,
        ttl: int = 1,
        loopback: bool = True,
        sender: str | None = None,
        send_buffer: int = 4194304,
    ) -> ReliableSender: ...
    def send(self, events: Sequence[Event], /) -> int:
        """Send as many of ``events`` as the queues take without waiting; how many at the head of the list are on their
        way. Come back with the rest of the same list a moment later. Raises ``EndpointClosed`` after ``end``."""
    def abandon(self) -> None:
        """As for ``Sender``; what ``send`` has taken goes on its way all the same."""
    def take_too_large(self) -> tuple[str, int, int] | None:
        """Name, size and limit (bytes) of the last event that was too large; told once."""
    def rekey(self, keys: Sequence[bytes], /) -> None:
        """Send under the first of these keys from now on, and take what is under any."""
    def stream(self) -> str:
        """The stream that it sends now, in hex."""
    def counters(self) -> dict[str, int]:
        """As for ``Sender``, and ``heard`` datagrams from receivers, ``unsent`` answers, a ``rejected_<reason>`` for
        every reason, and what the session counts."""
    def destinations(self) -> list[dict[str, str | int]]:
        """One row a destination: ``address``, ``port``, ``kind``, ``datagrams``, ``errors``, ``last_error``."""
    def fileno(self) -> int:
        """Readable when it has ended. Never to be read or closed by the caller."""
    def end(self, longest: float = 5.0, /) -> None:
        """Send no more, tell the receivers so, and answer them as long as they ask, ``longest`` seconds at most.
        Returns at once; ``fileno`` says when it is over."""
    def close(self) -> None:
        """End at once."""

@final
class CaptureReader:
    """Captures (pcap, pcapng) to UDP payloads, fed in pieces of any size; IP fragments are put together.

    Ethernet (VLAN tags included), raw IP, Linux cooked (v1, v2) and BSD loopback link types.
    """

    def __new__(cls) -> CaptureReader: ...
    def feed(self, data: bytes, /) -> list[tuple[int, str, int, str, int, bytes]]:
        """``(time_ns, source, source_port, destination, destination_port, payload)`` for each datagram complete by
        now; times in nanoseconds since 1970 UTC. Raises ``ValueError`` when this is no capture."""
    def finish(self) -> str | None:
        """To be called at the end of the file: what was cut short, or ``None`` when nothing was."""
    def counters(self) -> dict[str, int]:
        """``packets``, ``datagrams``, ``not_udp``, ``malformed``, ``fragments``, ``incomplete``, ``unknown_link`` and
        ``evicted`` (fragments given up for want of room)."""

@final
class CaptureWriter:
    """UDP payloads to a capture that Wireshark opens: raw IP link type, nanosecond times, checksums right."""

    def __new__(cls, format: str = "pcapng") -> CaptureWriter: ...
    def header(self) -> bytes: ...
    def packet(
        self, time_ns: int, source: str, source_port: int, destination: str, destination_port: int, payload: bytes, /
    ) -> bytes:
        """One record. Raises ``ValueError`` for addresses of two families, or a payload too long for its family."""
