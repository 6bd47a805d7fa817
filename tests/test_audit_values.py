"""What values give away by themselves, and that no evidence gives away what it is evidence of."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.leaks import Leak
from switchcast.guard.audit.masking import LONGEST_EVIDENCE, MOST_SHOWN, masked

CLASSIFIER = Classifier()
REVEALING = Classifier(reveal=True)
KIND = "CUSTOM some::thing"
HEADER = "X-Some"
HEADERS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        "password Caller-ANI Caller-Caller-ID-Name rpid DTMF-Digit Record-File-Path variable_sip_full_from Unique-ID "
        "API-Command-Argument Application-Data variable_caller_id host user-agent conference-name X-Some".split()
    ),
)
PIECES = st.sampled_from(
    'ARRAY:: |: sip: tel: @ < > " ;tag= password= token: Bearer inline: a=crypto: eyJ digest nonce= ://u:p@ / user/ '
    "sofia/internal/ loopback/ .wav /rec/ 10.0.0.1 :: 2001:db8::1 +4930123456 Signal= = , { } | 1795404731253321 vm "
    "valet_park:lot".split()
)
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=20).map("".join))
PASSWORDS = st.text(string.ascii_letters + string.digits + "._~+", min_size=8, max_size=40)


def leaks_of(value: str, header: str = HEADER, classifier: Classifier = CLASSIFIER) -> set[Leak]:
    return {match.leak for match in classifier.of(KIND, header, value)}


@PROPERTY
@given(HEADERS, TEXTS)
def test_any_value_of_any_header_is_classed(header: str, value: str) -> None:
    for classifier in (CLASSIFIER, REVEALING):
        matches = classifier.of("API", header, value)
        assert [match.leak for match in matches] == sorted(
            {match.leak for match in matches}, key=lambda leak: leak.rank
        )
        for match in matches:
            assert match.evidence.isprintable()
            assert 0 < len(match.evidence) <= LONGEST_EVIDENCE


@PROPERTY
@given(st.one_of(st.binary(), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_body_is_classed(body: bytes) -> None:
    for match in (*CLASSIFIER.of_body("MESSAGE", body), *REVEALING.of_body("MESSAGE", body)):
        assert match.by == "body"
        assert match.evidence.isprintable()
        assert 0 < len(match.evidence) <= LONGEST_EVIDENCE


@PROPERTY
@given(st.sampled_from([Leak.CREDENTIALS, Leak.DTMF, Leak.CONTENT]), st.text(min_size=1))
def test_of_a_secret_only_the_length_shows(leak: Leak, text: str) -> None:
    text = text.replace("/", "")
    assert masked(leak, text) == masked(leak, "\N{BULLET}" * len(text.strip()))


@PROPERTY
@given(
    st.sampled_from([Leak.NAMES, Leak.SIP, Leak.CALL, Leak.TOPOLOGY]),
    st.text(string.ascii_letters + string.digits, min_size=1),
)
def test_of_anything_else_a_quarter_shows_at_most(leak: Leak, text: str) -> None:
    shown = text[: min(MOST_SHOWN, len(text) // 4)] + "…"
    if len(text) < 4:
        shown = f"({len(text)} character{'s' * (len(text) > 1)})"
    assert masked(leak, text) == shown
    assert masked(Leak.SIP, f"sip:{text}@example.com") == f"{shown}@…"


@pytest.mark.parametrize(
    ("leak", "text", "shown"),
    [
        (Leak.NUMBERS, "1000", "(4 digits)"),
        (Leak.NUMBERS, "+49 30 123456", "…56 (10 digits)"),
        (Leak.OUTSIDE, "8.8.4.4", "8.…"),
        (Leak.INSIDE, "fd00::2", "fd00:…"),
        (Leak.CONTENT, "/rec/ann-lee.wav", "(a file, .wav)"),
        (Leak.CONTENT, "See you.", "(8 characters)"),
        (Leak.DTMF, "1234#", "(digits)"),
        (Leak.CREDENTIALS, "x", "(1 character)"),
    ],
)
def test_what_shows_of_each_class(leak: Leak, text: str, shown: str) -> None:
    assert masked(leak, text) == shown


@PROPERTY
@given(
    PASSWORDS,
    st.sampled_from(
        [
            "password={}",
            "user=a password='{}' host=10.0.0.1",
            '{{"api_key": "{}"}}',
            "{{sip_auth_password={}}}sofia/gateway/x/1000",
            "{{vm_pin={},x=1}}user/1000@10.0.0.1",
            "odbc://dsn:user:{}",
            "http://ann:{}@example.com/",
            "Bearer 0{}",
            "a=ice-pwd:{}",
        ]
    ),
    st.sampled_from(["API-Command-Argument", "X-Some", "Application-Data"]),
)
def test_no_evidence_holds_a_piece_of_a_password(password: str, form: str, header: str) -> None:
    matches = CLASSIFIER.of("API", header, form.format(password))
    assert matches[0].leak is Leak.CREDENTIALS
    assert matches == CLASSIFIER.of("API", header, form.format("x" * len(password)))


def examples() -> list[tuple[str, str]]:
    """Of every region and type of number the library's example, as E.164."""
    found = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in phonenumbers.PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None and phonenumbers.is_valid_number(number):
                found.add((region, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)))
    return sorted(found)


def test_every_example_of_a_telephone_number_is_found() -> None:
    numbers = examples()
    assert len(numbers) > 1000
    for form in ("{}", "call {} now", "sip:{}@example.com", "tel:{};ext=3", "a={},b=2", "<sip:{}@[2001:db8::1]:5060>"):
        missed = [number for _, number in numbers if Leak.NUMBERS not in leaks_of(form.format(number))]
        assert missed == [], form


@pytest.mark.parametrize("region", ["DE", "FR", "GB", "US", "JP", "BR"])
def test_a_number_as_its_country_writes_it_is_found_under_its_region(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.FIXED_LINE)
    assert number is not None
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert Leak.NUMBERS in leaks_of(f"please call {national}", classifier=Classifier(region))
    assert Leak.NUMBERS not in leaks_of(f"please call {national}")


SECONDS = st.integers(1_000_000_000, 2_147_483_647)


@PROPERTY
@example(2_147_483_647_000, "DE")
@given(
    st.one_of(
        SECONDS,
        SECONDS.map(lambda second: second * 1000),
        st.tuples(SECONDS, st.integers(0, 999_999)).map(lambda time: time[0] * 1_000_000 + time[1]),
    ),
    st.sampled_from([None, "US", "DE", "GB", "CN", "IN"]),
)
def test_a_time_is_no_telephone_number(time: int, region: str | None) -> None:
    assert leaks_of(str(time), classifier=OF_REGION[region]) == set()


OF_REGION = {region: Classifier(region) for region in (None, "US", "DE", "GB", "CN", "IN")}


@PROPERTY
@given(st.uuids(), st.sampled_from([None, "US", "DE", "GB", "CN", "IN"]))
def test_a_uuid_is_a_call_and_nothing_else(uuid: UUID, region: str | None) -> None:
    assert leaks_of(str(uuid), classifier=OF_REGION[region]) == {Leak.CALL}


@PROPERTY
@given(
    st.integers(0, 4_294_967_295).map(str),
    st.sampled_from(
        "variable_rtp_use_ssrc SSRC Event-Sequence variable_session_id from_sip_port variable_duration".split()
    ),
    st.sampled_from([None, "US", "DE", "GB"]),
)
def test_what_is_measured_is_no_telephone_number(number: str, header: str, region: str | None) -> None:
    assert leaks_of(number, header, OF_REGION[region]) == set()


PUBLIC = st.one_of(
    st.ip_addresses(network="8.0.0.0/8"), st.ip_addresses(network="193.0.0.0/11"), st.ip_addresses(network="2600::/12")
)
PRIVATE = st.one_of(
    *(
        st.ip_addresses(network=network)
        for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")
    ),
    *(st.ip_addresses(network=network) for network in ("fc00::/7", "fe80::/10", "ff02::/16", "2001:db8::/32")),
)


@PROPERTY
@given(
    st.one_of(st.tuples(PUBLIC, st.just(Leak.OUTSIDE)), st.tuples(PRIVATE, st.just(Leak.INSIDE))),
    st.sampled_from(["{}", "{}:5060", "<sip:{}:5060;transport=tcp>", "a b={}, c", "c=IN IP4 {}\r\n", "sip:1000@{}"]),
)
def test_an_address_is_inside_or_outside(address: tuple[IPv4Address | IPv6Address, Leak], form: str) -> None:
    host, leak = address
    written = f"[{host}]" if host.version == 6 and form != "{}" else str(host)
    assert leaks_of(form.format(written)) & {Leak.INSIDE, Leak.OUTSIDE} == {leak}


@pytest.mark.parametrize(
    ("value", "leak"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", Leak.CREDENTIALS),
        ("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", Leak.CREDENTIALS),
        ("Basic YWxhZGRpbjpvcGVuc2VzYW1l", Leak.CREDENTIALS),
        ('Digest username="1000", realm="x", nonce="5f4d", response="9a"', Leak.CREDENTIALS),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl", Leak.CREDENTIALS),
        ("ClueCon", Leak.CREDENTIALS),
        ("auth ClueCon", Leak.CREDENTIALS),
        ("ann.lee@example.org", Leak.SIP),
        ("sips:ann@example.org;transport=tls", Leak.SIP),
        ("sip:1000@localhost", Leak.SIP),
        ('"Ann Lee" <sip:1000@example.org>', Leak.NAMES),
        ("Ann Lee <sip:1000@example.org>", Leak.NAMES),
        ("/var/spool/recordings/2026/call.wav", Leak.CONTENT),
        ("recordings/call-7.mp3", Leak.CONTENT),
        ("o=- 1 1 IN IP4 8.8.4.4\r\nc=IN IP4 8.8.4.4", Leak.OUTSIDE),
        ("sofia/external/12345", Leak.NUMBERS),
        ("loopback/9196/default-a", Leak.NUMBERS),
        ("/usr/lib/freeswitch/mod/mod_sofia.so", Leak.TOPOLOGY),
        ("<sip:1000@10.0.0.1>;tag=as7f", Leak.CALL),
    ],
)
def test_what_gives_itself_away(value: str, leak: Leak) -> None:
    assert leak in leaks_of(value)


@pytest.mark.parametrize(
    "value",
    [
        *("", "true", "1.11.2-release+git~20260809T162310Z~3f13ad1b1d~64bit", "03:31:30", "2026-11-23 03:31:30"),
        *(
            "sofia::register",
            "Mon, 23 Nov 2026 03:31:30 GMT",
            "PCMU@8000h@20i@64000b,PCMA@8000h",
            "0.0.0.0",  # noqa: S104
            "::",
            "a::b",
        ),
        *("tone_stream://%(1000,500,440);loops=-1", "Welcome to ClueCon", "+5000", "1.5", "SIP/2.0", "-1", "a/b"),
        *("255.255.255.0", "19679af3", "mytone 440 r +5000 log hit 2", "NORMAL_CLEARING", "http://example.com/a"),
    ],
)
def test_what_is_no_alarm(value: str) -> None:
    assert leaks_of(value) == set()
    assert leaks_of(value, classifier=OF_REGION["DE"]) == set()


def test_a_prompt_is_no_recording() -> None:
    assert Leak.CONTENT not in leaks_of("/usr/share/freeswitch/sounds/en/us/callie/ivr/8000/ivr-welcome.wav")


def test_what_lies_beyond_the_bound_is_not_read() -> None:
    assert leaks_of("x " * 5000 + "ann@example.org") == set()
