"""Every recorded datagram opens as what was sent, and goes back on the wire as the bytes it came as.

The second witness is what FreeSWITCH's own receiver made of the same datagrams. Where it is wrong (``data/README.md``)
the difference is named here, counted, and shown to be all the difference there is.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any, NamedTuple

import pytest
import reference
from recordings import DATA, PSK

from switchcast import EVENT_NAMES, Event, StockFrames
from switchcast.errors import KeyTextError, RejectedDatagram

PLAIN = 1877
SEALED = 603

Headers = list[tuple[str, Any]]


class Refired(NamedTuple):
    """What the stock receiver showed of one datagram: ``Orig-`` headers in order without the prefix, and the body."""

    headers: Headers
    body: str | None

    def last(self, name: str) -> Any:
        """The last value of a repeated header, which is the one that a JSON reader is left with."""
        return dict(self.headers).get(name)


class Pair(NamedTuple):
    """An event as we opened it, and as the stock receiver showed it."""

    event: Event
    stock: Refired


@pytest.fixture(scope="module")
def opened(plain_datagrams: list[tuple[int, bytes]]) -> list[tuple[bytes, Event]]:
    """Each plain datagram with the event in it, in the order sent."""
    frames = StockFrames()
    return [(datagram, frames.open(datagram)) for _, datagram in plain_datagrams]


@pytest.fixture(scope="module")
def stock_lines() -> list[Headers]:
    """The stock receiver's JSON, each object as its list of members: of a repeated name, every one."""
    with gzip.open(DATA / "stock-plain.decoded.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line, object_pairs_hook=list) for line in lines]


@pytest.fixture(scope="module")
def refired(stock_lines: list[Headers]) -> list[Refired]:
    """What the stock receiver re-fired, without the events of the switch that listened."""
    return [
        Refired(
            [(name.removeprefix("Orig-"), value) for name, value in line if name.startswith("Orig-")],
            dict(line).get("_body"),
        )
        for line in stock_lines
        if dict(line).get("Event-Subclass") == "multicast::event"
    ]


@pytest.fixture(scope="module")
def pairs(opened: list[tuple[bytes, Event]], refired: list[Refired]) -> list[Pair]:
    """Each re-fired event with the one that was sent.

    The key is Core-UUID and the last Event-Sequence, for an event that was fired twice (as PRIVATE_COMMAND is) has two.
    One pair of numbers stands in two events, RECV_MESSAGE and the MESSAGE made from it: there the name decides.
    """
    sent = {identity(event.getall): event for _, event in opened}
    return [
        Pair(sent[key], stock)
        for stock in refired
        if (key := identity(lambda name, stock=stock: [stock.last(name)])) in sent
    ]


def identity(values: Any) -> tuple[str, str, str]:
    """What tells an event from every other; ``values`` gives all values of a header."""
    return values("Core-UUID")[-1], values("Event-Sequence")[-1], values("Event-Name")[-1]


def as_stock_shows(event: Event) -> Headers:
    """Our reading in the form of the stock receiver's JSON: arrays as lists, the length of the body behind."""
    shown: Headers = [
        (name, value.removeprefix("ARRAY::").split("|:") if value.startswith("ARRAY::") else value)
        for name, value in event.items()
    ]
    return [*shown, ("Content-Length", str(len(event.body)))] if event.body else shown


def by_subclass(opened: list[tuple[bytes, Event]], subclass: str) -> Event:
    """The only event of this subclass."""
    [event] = [event for _, event in opened if event.subclass == subclass]
    return event


def stock_of(pairs: list[Pair], event: Event) -> Refired:
    """What the stock receiver showed of ``event``."""
    [stock] = [pair.stock for pair in pairs if pair.event is event]
    return stock


# Every header, against the stock receiver


def test_every_plain_datagram_opens_and_names_a_known_event(opened: list[tuple[bytes, Event]]) -> None:
    names = {event.name for _, event in opened}
    assert len(opened) == PLAIN
    assert names <= set(EVENT_NAMES)
    assert len(names) == 91


def test_every_header_agrees_with_what_the_stock_receiver_decoded(pairs: list[Pair]) -> None:
    """Names, values, order and repetition of every header; what differs is listed and has a test of its own below."""
    kinds: Counter[str] = Counter()
    for event, stock in pairs:
        ours = as_stock_shows(event)
        if stock.headers == ours:
            kinds["equal"] += 1
        elif stock.headers[: len(ours)] == ours:
            kinds["equal, then headers made of body lines"] += 1
        elif as_split_by_stock(ours) == stock.headers:
            kinds["a name split at its first colon"] += 1
        elif event.get("X-Undef") == "":
            kinds["_undef_ and Latin-1 shown as they came"] += 1
        else:
            kinds[f"unexplained: {event!r}"] += 1
    assert kinds == {
        "equal": 1792,
        "equal, then headers made of body lines": 8,
        "a name split at its first colon": 9,
        "_undef_ and Latin-1 shown as they came": 1,
    }
    assert kinds["equal"] + kinds["equal, then headers made of body lines"] == 1800


def as_split_by_stock(headers: Headers) -> Headers:
    """``headers`` with a name that holds a colon cut there, and the rest of it put in front of the value."""
    return [
        (name.split(":")[0], f"{name.split(':')[1]}: {value}") if ":" in name else (name, value)
        for name, value in headers
    ]


def test_what_has_no_pair_is_accounted_for(
    opened: list[tuple[bytes, Event]], stock_lines: list[Headers], refired: list[Refired], pairs: list[Pair]
) -> None:
    own = [dict(line).get("Event-Subclass") for line in stock_lines]
    assert Counter(subclass for subclass in own if subclass != "multicast::event") == {"multicast::peerup": 1, None: 3}
    assert (len(stock_lines), len(refired), len(pairs)) == (1816, 1812, 1810)

    paired = {id(pair.event) for pair in pairs}
    assert len(paired) == len(pairs)
    unheard = [event for _, event in opened if id(event) not in paired]
    kinds = Counter(
        "0xE2 in the body" if b"\xe2" in event.body else "\\r in the body" if b"\r" in event.body else "not heard"
        for event in unheard
    )
    assert kinds == {"0xE2 in the body": 4, "\\r in the body": 2, "not heard": 61}


def test_what_the_fixture_shows_is_the_same_recording(
    decoded_events: list[dict[str, Any]], stock_lines: list[Headers]
) -> None:
    assert decoded_events == [dict(line) for line in stock_lines]


# Where the stock receiver is wrong


def test_bodies_with_the_byte_0xe2_open_though_stock_drops_them(
    opened: list[tuple[bytes, Event]], pairs: list[Pair]
) -> None:
    dropped = [event for _, event in opened if b"\xe2" in event.body and event.subclass != "test::body-magic"]
    assert [(event.name, event.body.decode()) for event in dropped] == [
        ("BACKGROUND_JOB", "ümläut ✓ — 100% %41 a:b"),
        ("RECV_MESSAGE", "héllo from 1001: 100% — line 1\r\nline 2\r\n"),
        ("MESSAGE", "héllo from 1001: 100% — line 1\r\nline 2\r\n"),
        ("CUSTOM", "Grüße ✓ 100% %41 — end\r\n"),
    ]
    assert not {id(event) for event in dropped} & {id(pair.event) for pair in pairs}


def test_a_body_with_the_whole_trailer_is_whole_though_stock_cuts_it(
    opened: list[tuple[bytes, Event]], pairs: list[Pair]
) -> None:
    event = by_subclass(opened, "test::body-magic")
    assert event.body == b"x " + reference.TRAILER + b" y"
    assert stock_of(pairs, event).body == "\nx "


def test_body_lines_with_a_colon_stay_body_though_stock_makes_headers_of_them(pairs: list[Pair]) -> None:
    forged = [pair for pair in pairs if len(pair.stock.headers) > len(as_stock_shows(pair.event))]
    assert len(forged) == 8
    for event, stock in forged:
        for name, value in stock.headers[len(as_stock_shows(event)) :]:
            assert name.strip().encode() in event.body
            assert (name, value) not in event.items()


def test_a_body_that_looks_like_an_event_forges_no_header(opened: list[tuple[bytes, Event]], pairs: list[Pair]) -> None:
    event = by_subclass(opened, "test::body-headerlike")
    assert event.body == b"Event-Name: FAKE\nContent-Length: 5\n\nhello"
    assert event.getall("Event-Name") == ["CUSTOM"]
    stock = stock_of(pairs, event)
    assert ("\nEvent-Name", "FAKE") in stock.headers
    assert stock.body == "\nhello"


def test_a_carriage_return_in_a_body_costs_no_header_though_stock_loses_them_all(
    opened: list[tuple[bytes, Event]], refired: list[Refired]
) -> None:
    swallowed = [stock for stock in refired if stock.last("Core-UUID") is None]
    assert [stock.last("Event-Name").partition("\n")[0] for stock in swallowed] == ["RECV_INFO", "CONFERENCE_DATA"]
    sent = {event.sequence: event for _, event in opened}
    info, conference = sent[819], sent[4140]
    assert (info.name, info.body, info["SIP-From-User"]) == ("RECV_INFO", b"Signal=5\r\nDuration=160\r\n", "1000")
    assert (conference.name, conference.body) == ("CONFERENCE_DATA", b"SIP/2.0 481 Failure\r\n")
    assert conference["final"] == "true"


def test_a_body_has_no_stray_newline_in_front(pairs: list[Pair]) -> None:
    """The stock receiver's bodies begin with one that was never sent; some are cut too (see the other tests)."""
    compared = [(event.body.decode("utf-8", "replace"), stock.body) for event, stock in pairs if event.body]
    assert len(compared) == 40
    assert sum(stock == "\n" + ours for ours, stock in compared) == 31


def test_a_name_with_a_colon_is_whole_though_stock_splits_it(pairs: list[Pair]) -> None:
    split = [pair for pair in pairs if "variable_nolocal:foo" in pair.event]
    assert len(split) == 9
    for event, stock in split:
        assert event["variable_nolocal:foo"] == "bar baz"
        assert stock.last("variable_nolocal") == "foo: bar baz"


def test_of_a_repeated_header_the_first_is_taken_though_json_shows_the_last(pairs: list[Pair]) -> None:
    [(event, stock)] = [pair for pair in pairs if "X-Dup" in pair.event]
    assert event["X-Dup"] == "1"
    assert event.getall("X-Dup") == ["1", "2"]
    assert stock.last("X-Dup") == "2"


def test_arrays_are_the_lists_that_stock_shows(pairs: list[Pair]) -> None:
    compared: Counter[str] = Counter()
    for event, stock in pairs:
        for name, value in stock.headers[: len(event)]:
            if isinstance(value, list):
                assert event.array(name) == value
                assert event[name] == "ARRAY::" + "|:".join(value)
                compared[name] += 1
    assert sum(compared.values()) > 150
    assert {"variable_my_arr", "variable_x_arr", "X-Arr", "X-Arr2", "variable_DP_MATCH"} <= set(compared)


def test_an_empty_value_is_empty_though_stock_shows_the_word_on_the_wire(pairs: list[Pair]) -> None:
    """The sender had an empty value and wrote ``_undef_`` for it; the stock receiver never turns that back."""
    [(event, stock)] = [pair for pair in pairs if "X-Undef" in pair.event]
    assert event["X-Undef"] == ""
    assert event.raw("X-Undef") == b"_undef_"
    assert stock.last("X-Undef") == "_undef_"
    differing = [
        (ours[0], theirs) for ours, theirs in zip(as_stock_shows(event), stock.headers, strict=True) if ours != theirs
    ]
    assert [name for name, _ in differing] == ["X-Latin1", "X-Undef"]


def test_a_value_that_is_not_utf8_keeps_its_bytes(pairs: list[Pair]) -> None:
    [(event, stock)] = [pair for pair in pairs if "X-Latin1" in pair.event]
    assert event["X-Latin1"].encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert stock.last("X-Latin1") == "caf\N{REPLACEMENT CHARACTER}"


def test_the_last_content_length_is_the_right_one(opened: list[tuple[bytes, Event]]) -> None:
    own = [event for _, event in opened if "Content-Length" in event]
    assert len(own) == 29
    wrong = [event for event in own if int(event["content-length"]) != len(event.body)]
    assert [(event["content-length"], event.body) for event in wrong] == [("12", b"before")]


# Back on the wire


def test_an_event_is_framed_as_the_bytes_it_came_as(opened: list[tuple[bytes, Event]]) -> None:
    frames = StockFrames()
    assert sum(frames.frame(event) == datagram for datagram, event in opened) == PLAIN


def test_an_event_rebuilt_from_its_raw_headers_is_the_same_bytes(opened: list[tuple[bytes, Event]]) -> None:
    frames = StockFrames()
    for datagram, event in opened:
        headers = [(reference.as_text(name), reference.as_text(value)) for name, value in event.raw_items()]
        rebuilt = Event.from_headers(headers, event.body, encoded=True)
        assert frames.frame(rebuilt) == datagram
        assert rebuilt == event


def test_an_event_rebuilt_from_its_decoded_headers_is_the_same_bytes(opened: list[tuple[bytes, Event]]) -> None:
    """But for the four whose sender's text held ``%41``, which the wire cannot tell from ``A``."""
    frames = StockFrames()
    ambiguous = []
    for datagram, event in opened:
        rebuilt = Event.from_headers(event.items(), event.body, exact=True)
        assert rebuilt.items() == event.items()
        if frames.frame(rebuilt) != datagram:
            ambiguous.append(event)
    assert [event.name for event in ambiguous] == ["API", "BACKGROUND_JOB", "CUSTOM", "CUSTOM"]
    for event in ambiguous:
        differing = [raw for _, raw in event.raw_items() if reference.encode(reference.decode(raw)) != raw]
        assert differing
        assert all(b"%41" in raw for raw in differing)


def test_the_default_escapes_write_the_same_bytes_for_what_was_recorded(opened: list[tuple[bytes, Event]]) -> None:
    """They differ from the switch's own only for text that reads as an escape, which no recorded value decodes to."""
    frames = StockFrames()
    for _, event in opened:
        rebuilt = Event.from_headers(event.items(), event.body)
        assert rebuilt == Event.from_headers(event.items(), event.body, exact=True)
        assert frames.open(frames.frame(rebuilt)) == rebuilt


def test_the_2008_examples_open_and_come_back(wiki_examples: list[dict[str, Any]]) -> None:
    frames = StockFrames()
    assert len(wiki_examples) == 7
    for example in wiki_examples:
        raw = [(name.encode(), value.encode()) for name, value in example["headers"]]
        datagram = reference.write_datagram(raw)
        event = frames.open(datagram)
        assert event.raw_items() == raw
        assert frames.frame(event) == datagram


# Under the key


def test_every_sealed_datagram_opens_and_names_a_known_event(psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(PSK)
    events = [frames.open(datagram) for _, datagram in psk_datagrams]
    assert len(events) == SEALED
    assert {event.name for event in events} <= set(EVENT_NAMES)
    assert len({event.core_uuid for event in events}) == 1
    assert all(event.sender == "vm" and event.sequence for event in events)


def test_a_sealed_datagram_framed_with_its_own_salt_is_the_same_bytes(psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(PSK)
    for _, datagram in psk_datagrams:
        event = frames.open(datagram)
        salt = datagram[:36].decode()
        assert frames.frame(event, salt=salt) == datagram
        headers = [(reference.as_text(name), reference.as_text(value)) for name, value in event.raw_items()]
        assert frames.frame(Event.from_headers(headers, event.body, encoded=True), salt=salt) == datagram


def test_a_sealed_datagram_is_what_the_reference_decrypts(psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(PSK)
    for _, datagram in psk_datagrams[::20]:
        event = frames.open(datagram)
        assert reference.read_datagram(datagram, PSK) == (event.raw_items(), event.body)


@pytest.mark.parametrize("key", [b"ClueCom", b"cluecon", b"C", b"ClueConClueCo", b"x" * 72])
def test_a_wrong_key_opens_no_sealed_datagram(key: bytes, psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(key)
    for _, datagram in psk_datagrams:
        with pytest.raises(RejectedDatagram) as rejected:
            frames.open(datagram)
        assert rejected.value.reason == "wrong_key"


def test_a_key_written_twice_is_the_same_key(psk_datagrams: list[tuple[int, bytes]]) -> None:
    """Blowfish repeats a key over its subkeys, so this is the cipher's doing and not ours."""
    datagram = psk_datagrams[0][1]
    assert StockFrames(PSK * 2).open(datagram) == StockFrames(PSK).open(datagram)


def test_sealed_and_plain_are_told_apart(
    plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]
) -> None:
    reasons: Counter[str] = Counter()
    for frames, datagrams in [(StockFrames(), psk_datagrams), (StockFrames(PSK), plain_datagrams)]:
        for _, datagram in datagrams:
            with pytest.raises(RejectedDatagram) as rejected:
                frames.open(datagram)
            reasons[rejected.value.reason] += 1
    assert reasons == {"encrypted": SEALED, "not_encrypted": PLAIN}


@pytest.mark.parametrize("key", [b"", b"x" * 73])
def test_a_key_that_stock_could_not_use_is_refused_and_not_shown(key: bytes) -> None:
    with pytest.raises(KeyTextError) as refused:
        StockFrames(key)
    assert str(len(key)) in str(refused.value)
    assert "xxx" not in str(refused.value)
