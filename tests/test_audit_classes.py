"""What headers give away, held against the labels that were made by hand before there was a classifier."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from leak_labels import Measured, headers_of, labelled_values, labels, measure, values_by_header
from recordings import PSK

from switchcast._native import StockFrames
from switchcast.errors import UsageError
from switchcast.guard.audit.by_name import Meaning, meaning_of
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.leaks import PERSONAL, Leak
from switchcast.simulation import Cluster

LEAST_RECALL = 0.95
LEAST_OF_A_CLASS = 0.9
"""A class has few values in the held-out set: one of eleven is nine in a hundred of it."""
MOST_FALSE = 0.05
NAMES_RECORDED = 845


def found_in(values: dict[str, set[tuple[str, str]]], classifier: Classifier | None = None) -> dict[str, set[Leak]]:
    """Of each name, all that any of its values was found to give away."""
    classifier = classifier or Classifier()
    return {
        name: {match.leak for kind, value in under for match in classifier.of(kind, name, value)}
        for name, under in values.items()
    }


def assert_good(measured: Measured) -> None:
    assert len(measured.missed) <= (1 - LEAST_RECALL) * len(measured.holding), str(measured)
    assert len(measured.alarms) < MOST_FALSE * len(measured.classed), str(measured)
    assert len(measured.alarms) < MOST_FALSE * len(measured.others), str(measured)


@pytest.fixture(scope="module")
def plain_values(plain_datagrams: list[tuple[int, bytes]]) -> dict[str, set[tuple[str, str]]]:
    return values_by_header(headers_of(datagram) for _, datagram in plain_datagrams)


@pytest.fixture(scope="module")
def plain_found(plain_values: dict[str, set[tuple[str, str]]]) -> dict[str, set[Leak]]:
    return found_in(plain_values)


def test_every_name_that_was_recorded_is_labelled(plain_values: dict[str, set[tuple[str, str]]]) -> None:
    assert labels().keys() == plain_values.keys()
    assert len(plain_values) == NAMES_RECORDED


def test_the_recording_is_classed_as_it_is_labelled(plain_found: dict[str, set[Leak]]) -> None:
    measured = measure(labels(), plain_found)
    print(measured)
    assert_good(measured)


@pytest.mark.parametrize("region", ["US", "DE"])
def test_a_region_brings_no_false_alarms(plain_values: dict[str, set[tuple[str, str]]], region: str) -> None:
    """Epochs, SSRCs and counts are as long as telephone numbers."""
    others = {name: under for name, under in plain_values.items() if not labels()[name] & set(PERSONAL)}
    found = found_in(others, Classifier(region))
    assert {name for name, leaks in found.items() if leaks & set(PERSONAL)} == set()


@pytest.mark.parametrize("leak", [leak for leak in Leak if leak not in (Leak.CREDENTIALS, Leak.OUTSIDE)])
def test_each_class_is_found_where_it_is_labelled(plain_found: dict[str, set[Leak]], leak: Leak) -> None:
    """The recording holds no credentials and no public addresses; the held-out set does."""
    holding = {name for name, leaks in labels().items() if leak in leaks}
    missed = {name for name in holding if leak not in plain_found[name]}
    assert holding
    assert len(missed) <= (1 - LEAST_RECALL) * len(holding), sorted(missed)


def test_the_recording_under_a_key_is_classed_like_the_plain_one(psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(psk=PSK)
    values = values_by_header(frames.open(datagram).items() for _, datagram in psk_datagrams)
    truth = labels()
    assert values.keys() <= truth.keys()
    found = found_in(values)
    alarms = {name for name in values if found[name] & set(PERSONAL) and not truth[name] & set(PERSONAL)}
    assert alarms == set()


@pytest.mark.parametrize("origin", ["wiki", "invented", "public", "foreign-1", "foreign-2", "foreign-3", "foreign-4"])
def test_values_that_were_held_out_are_classed_too(origin: str) -> None:
    classifier = Classifier()
    rows = [row for row in labelled_values() if row.origin == origin]
    truth = {f"{row.kind} {row.header}: {row.value}": row.leaks for row in rows}
    found = {
        f"{row.kind} {row.header}: {row.value}": {
            match.leak for match in classifier.of(row.kind, row.header, row.value)
        }
        for row in rows
    }
    measured = measure(truth, found)
    print(measured)
    assert_good(measured)


@pytest.mark.parametrize("leak", list(PERSONAL))
def test_each_personal_class_is_found_in_the_held_out_values(leak: Leak) -> None:
    classifier = Classifier()
    rows = [row for row in labelled_values() if leak in row.leaks]
    missed = [
        row for row in rows if leak not in {found.leak for found in classifier.of(row.kind, row.header, row.value)}
    ]
    assert len(rows) > 1 / (1 - LEAST_OF_A_CLASS)
    assert len(missed) <= (1 - LEAST_OF_A_CLASS) * len(rows), missed


def test_every_wiki_name_is_in_the_held_out_set(wiki_examples: list[dict[str, Any]]) -> None:
    held_out = {row.header for row in labelled_values() if row.origin == "wiki"}
    frame = {"Event-Name", "Event-Date-Local", "Event-Date-GMT", "Event-Subclass", "Event-Calling-File"}
    frame |= {
        "Event-Calling-Function",
        "Event-Calling-Line-Number",
        "Task-ID",
        "Task-Group",
        "Session-Count",
        "event_type",
    }
    names = {name for example in wiki_examples for name, _ in example["headers"]}
    assert names - frame <= held_out


def test_a_copy_in_a_channel_variable_means_what_the_original_means() -> None:
    for name in (
        "sip_auth_response",
        "effective_caller_id_number",
        "Record-File-Path",
        "sip_from_display",
        "vm-password",
    ):
        plain = meaning_of("CHANNEL_ANSWER", name)
        assert plain is not Meaning.UNKNOWN
        for copy in (f"variable_{name}", f"variable_sip_h_X-{name}", f"variable_nolocal:{name}", name.upper()):
            assert meaning_of("CHANNEL_ANSWER", copy) is plain, copy


@pytest.mark.parametrize(
    "header",
    [
        *("password", "variable_sip_auth_password", "vm-password", "vm_password", "a1-hash", "nonce", "sip_auth_nonce"),
        *(
            "sip_auth_response",
            "sip_auth_cnonce",
            "conference_pin",
            "moderator-pin",
            "variable_user_pin",
            "dsn",
            "odbc-dsn",
        ),
        *(
            "Authorization",
            "variable_sip_h_Proxy-Authorization",
            "rtp_last_audio_local_crypto_key",
            "api_key",
            "X-Token",
            "X-Session-Token",
            "X-Session-Token",
        ),
    ],
)
@pytest.mark.parametrize("value", ["x", "0", "unknown", "none", "1000@203.0.113.9", "+4930123456"])
def test_any_value_of_a_credential_is_one_and_nothing_else(header: str, value: str) -> None:
    (match,) = Classifier().of("REQUEST_PARAMS", header, value)
    assert (match.leak, match.by) == (Leak.CREDENTIALS, "name")
    assert match.evidence == f"({len(value)} character{'s' if len(value) > 1 else ''})"


@pytest.mark.parametrize(
    "header", ["vm-password", "Caller-ANI", "Caller-Caller-ID-Name", "DTMF-Digit", "Unique-ID", "rpid"]
)
@pytest.mark.parametrize("value", ["", " ", "_undef_"])
def test_no_value_is_no_leak(header: str, value: str) -> None:
    assert Classifier().of("CHANNEL_ANSWER", header, value) == ()


@pytest.mark.parametrize(
    "value",
    ["unknown", "Anonymous", "0000000000", "none", "N/A", "Outbound Call", "Inbound Call", "_undef_", "default"],
)
@pytest.mark.parametrize(
    "header", ["Caller-Caller-ID-Name", "Caller-Caller-ID-Number", "Caller-ANI", "rpid", "subject"]
)
def test_a_value_that_says_nothing_is_no_leak(header: str, value: str) -> None:
    assert Classifier().of("CHANNEL_ANSWER", header, value) == ()


@pytest.mark.parametrize(
    ("kind", "header", "value", "leaks"),
    [
        ("PRESENCE_IN", "status", "Back at four, Anna", [Leak.NAMES]),
        ("PRESENCE_IN", "status", "CS_ROUTING", []),
        ("CUSTOM sofia::register", "status", "Registered(UDP-NAT)", []),
        ("PRESENCE_IN", "unique-id", "3001", [Leak.NUMBERS]),
        ("CHANNEL_ANSWER", "Unique-ID", "1000@10.0.0.1", [Leak.CALL, Leak.INSIDE]),
        ("MODULE_LOAD", "filename", "/usr/lib/freeswitch/mod/mod_x.so", [Leak.TOPOLOGY]),
    ],
)
def test_a_name_means_what_it_means_in_its_kind_of_event(kind: str, header: str, value: str, leaks: list[Leak]) -> None:
    assert [match.leak for match in Classifier().of(kind, header, value)] == leaks


@pytest.mark.parametrize(
    ("value", "leaks"),
    [
        ("{sip_auth_password=Zx9kk1}sofia/gateway/trunk/12345 &echo", [Leak.CREDENTIALS, Leak.NUMBERS]),
        ("{origination_caller_id_name='Ann Lee'}user/1000@10.1.1.1 &park", [Leak.NAMES, Leak.SIP, Leak.INSIDE]),
        ("e3ab3533-3b99-4965-8f4d-6398c3761426 12#", [Leak.DTMF, Leak.CALL]),
        ("sip|1001@pbx.example.com|1000@pbx.example.com|see you|text/plain", [Leak.CONTENT, Leak.SIP]),
        ("status", []),
        ("profile internal rescan", []),
    ],
)
def test_a_command_is_read_for_what_it_is_told(value: str, leaks: list[Leak]) -> None:
    assert [match.leak for match in Classifier().of("API", "API-Command-Argument", value)] == leaks


@pytest.mark.parametrize(
    ("value", "leaks"),
    [
        ('{"cid_name": "Ann Lee", "cid_num": "1000"}', [Leak.NUMBERS, Leak.NAMES]),
        ('{"callerName": "Ann Lee", "accessToken": "Zx9kk1"}', [Leak.CREDENTIALS, Leak.NAMES]),
        ('[{"user": {"cardNumber": 4111111111111111}}]', [Leak.CREDENTIALS]),
        ('{"codec": "PCMA", "record": true, "retryCount": 3}', []),
        ('{"password": "", "cid_name": "unknown"}', []),
        ('{"a": "' + '\\"' * 3000, []),
    ],
)
def test_members_of_json_are_read_as_headers(value: str, leaks: list[Leak]) -> None:
    """In a header and in a body alike, and of a credential no piece is left for the others to show."""
    classifier = Classifier(reveal=True)
    in_header = classifier.of("CHANNEL_ANSWER", "variable_result", value)
    in_body = classifier.of_body("BACKGROUND_JOB", value.encode())
    assert [match.leak for match in in_header] == [match.leak for match in in_body] == leaks
    assert not [match for match in in_header if match.leak is not Leak.CREDENTIALS and "4111" in match.evidence]


@pytest.mark.parametrize("pressed", ["0", "#", "*", "00", "12#"])
def test_every_key_that_was_pressed_counts(pressed: str) -> None:
    """``0`` and ``#`` say nothing under most names."""
    (match,) = Classifier().of("DTMF", "DTMF-Digit", pressed)
    assert (match.leak, match.evidence) == (Leak.DTMF, "(digits)")


def test_what_stands_in_a_url_is_decoded() -> None:
    matches = Classifier(reveal=True).of(
        "CUSTOM sofia::register", "contact", "<sip:1000@10.0.0.9;fs_path=sip%3A1000%409.9.9.9%3A5060>"
    )
    assert {match.leak for match in matches} == {Leak.SIP, Leak.OUTSIDE, Leak.INSIDE}


@pytest.mark.parametrize(
    ("value", "leaks"),
    [
        ("https://hooks.example.org/services/T024BE7LH/B024BE7LJ/x8Wq9ZkLmN0pQrStUvWx", [Leak.CREDENTIALS]),
        ("https://files.example.org/a?X-Amz-Expires=60&X-Amz-Signature=0fe1ab22cd33", [Leak.CREDENTIALS]),
        ("https://files.example.org/a?page=12345678&lang=de", []),
        ("https://docs.example.org/FreeSWITCH/Dialplan-and-Applications/mod_dptools", []),
        ("https://api.example.org/calls/E3AB3533-3B99-4965-8F4D-6398C3761426", [Leak.CALL]),
    ],
)
def test_an_address_that_is_itself_a_key(value: str, leaks: list[Leak]) -> None:
    """Whoever has such a URL may use it."""
    assert [match.leak for match in Classifier().of("CHANNEL_EXECUTE", "Application-Data", value)] == leaks


@pytest.mark.parametrize(
    ("header", "value", "leaks"),
    [
        ("variable_note_to_self", "pay 4111 1111 1111 1111 now", [Leak.CREDENTIALS]),
        ("variable_x", "378282246310005", [Leak.CREDENTIALS]),
        ("variable_x", "5555-5555-5555-4444", [Leak.CREDENTIALS]),
        ("variable_x", "4111 1111 1111 1112", []),
        ("variable_x", "1764000000123456", []),
        ("variable_x", "4111111111111111.5", []),
        ("variable_call_uepoch", "4111111111111111", []),
        ("DTMF-Digits", "4111111111111111", [Leak.DTMF]),
    ],
)
def test_a_payment_card_is_known_by_its_check_digit(header: str, value: str, leaks: list[Leak]) -> None:
    assert [match.leak for match in Classifier().of("CHANNEL_ANSWER", header, value)] == leaks
    if "x" in header:
        assert [match.leak for match in Classifier().of_body("API", value.encode())] == leaks


@pytest.mark.parametrize(
    ("value", "leaks"),
    [
        ("e3ab3533-3b99-4965-8f4d-6398c3761426 caller_pin 8642", [Leak.CREDENTIALS, Leak.CALL]),
        ("e3ab3533-3b99-4965-8f4d-6398c3761426 effective_caller_id_name Ann Lee", [Leak.NAMES, Leak.CALL]),
        ("uuid_setvar e3ab3533-3b99-4965-8f4d-6398c3761426 crm_phone 1000", [Leak.NUMBERS, Leak.CALL]),
        ("uuid_send_dtmf e3ab3533-3b99-4965-8f4d-6398c3761426 12#", [Leak.DTMF, Leak.CALL]),
        ("e3ab3533-3b99-4965-8f4d-6398c3761426 hangup_after_bridge true", [Leak.CALL]),
    ],
)
def test_what_a_command_sets_is_read_as_a_header(value: str, leaks: list[Leak]) -> None:
    matches = Classifier(reveal=True).of("API", "API-Command-Argument", value)
    assert [match.leak for match in matches] == leaks
    assert not [match for match in matches if match.leak is not Leak.CREDENTIALS and "8642" in match.evidence]


def test_each_element_of_an_array_is_looked_at() -> None:
    (match,) = Classifier().of("CHANNEL_ANSWER", "variable_callback_number", "ARRAY::unknown|:+4930123456|:1000")
    assert match.leak is Leak.NUMBERS


@pytest.mark.parametrize(
    ("kind", "body", "leaks"),
    [
        ("MESSAGE", b"See you at six", [Leak.CONTENT]),
        ("RECV_MESSAGE", "Grüße \xff".encode("latin-1"), [Leak.CONTENT]),
        ("CUSTOM sofia::error", b"in dialog", [Leak.CONTENT]),
        ("RECV_INFO", b"Signal=5\r\nDuration=160\r\n", [Leak.DTMF]),
        ("BACKGROUND_JOB", b"+OK\n", []),
        ("BACKGROUND_JOB", b"default_password=1234\nlocal_ip_v4=10.0.0.7\n", [Leak.CREDENTIALS, Leak.INSIDE]),
        ("MESSAGE", b" \n", []),
        ("API", b"", []),
    ],
)
def test_bodies(kind: str, body: bytes, leaks: list[Leak]) -> None:
    matches = Classifier().of_body(kind, body)
    assert [match.leak for match in matches] == leaks
    assert {match.by for match in matches} <= {"body"}


def test_evidence_is_masked_unless_it_is_asked_for() -> None:
    header, value = "Caller-Caller-ID-Name", "Greta Olsen"
    (masked,) = Classifier().of("CHANNEL_ANSWER", header, value)
    (revealed,) = Classifier(reveal=True).of("CHANNEL_ANSWER", header, value)
    assert (masked.evidence, revealed.evidence) == ("Gr…", value)


def test_a_region_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match='no region "XX" for telephone numbers'):
        Classifier("XX")


def test_simulated_events_are_classed_as_the_recorded_ones_are_labelled() -> None:
    """Other people, numbers and addresses under the same names.

    What is missed says nothing there: a callee is only ever ``Outbound Call``, a file a tone.
    """
    values = values_by_header(event.items() for _, _, event in Cluster(nodes=2, cps=4, seed=5, users=20).advance(15))
    truth = {name: leaks for name, leaks in labels().items() if name in values}
    measured = measure(truth, found_in(values))
    print(measured)
    assert_good(measured)


def test_without_the_library_the_extra_is_named() -> None:
    code = """
        import sys
        sys.modules["phonenumbers"] = None
        from switchcast.errors import MissingExtra
        from switchcast.guard.audit.classifier import Classifier
        try:
            Classifier()
        except MissingExtra as missing:
            print(missing)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "switchcast audit needs an optional dependency: pip install 'switchcast[audit]'"
