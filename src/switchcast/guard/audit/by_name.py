"""What a header's name says of its values, in FreeSWITCH's terms.

A table of patterns, tried in order: the first that fits a name decides. Names are compared in lower case with ``-``
for ``_``, without what FreeSWITCH puts in front of copies (``variable_``, ``sip_h_``, ``nolocal:``), so that one entry
stands for ``Caller-ANI``, ``variable_ani`` and ``sip_h_X-ANI``. Entries end on what the header is
(``*-caller-id-name``), because those who write dialplans put what they like in front.

What is decided is a ``Meaning``; ``readings.py`` says what a value with that meaning gives away.
"""

from __future__ import annotations

import re
from enum import Enum
from fnmatch import translate
from functools import lru_cache
from typing import Final

__all__ = ["MOST_NAMES", "Meaning", "meaning_of"]

MOST_NAMES: Final = 16_384
"""Names whose meaning is remembered: they come from the network."""


class Meaning(Enum):
    """What kind of thing stands under a name."""

    UNKNOWN = "unknown"
    """The name says nothing: the value must tell."""
    PLAIN = "plain"
    """An identifier or a state of the switch that tells of nobody, whatever it looks like."""
    MEASURE = "measure"
    """A time, a port, a count, a setting: its digits are no telephone number."""
    CREDENTIAL = "credential"
    DIGITS = "digits"
    """Digits that somebody pressed."""
    TEXT = "text"
    """What somebody wrote or said."""
    STATUS = "status"
    """A presence note: one of a few words, or what somebody wrote."""
    RECORDING = "recording"
    """A file that holds what somebody said."""
    PARTY = "party"
    """Whom a call is from or for: a number, an extension, a user name."""
    ROOM = "room"
    """A conference: its number, if it is one."""
    NAME = "name"
    CALLER = "caller"
    """A name and a number together."""
    CALL = "call"
    """Which call."""
    HOST = "host"
    """A host or a domain, by name or by address."""
    SYSTEM = "system"
    """Software, a module, a file, a profile, a gateway."""
    COMMAND = "command"
    """What an application or an API command is told: anything."""


_TABLE: Final[tuple[tuple[Meaning, str], ...]] = (
    (
        Meaning.PLAIN,
        """
        event-name event-subclass event-uuid job-uuid application-uuid event-calling-* presence-calling-*
        sip-auth-method sip-auth-qop sip-auth-nc sip-auth-algorithm sip-auth-stale *crypto-suite*
        *crypto-mandatory* *has-crypto *secure-media *secure-media-confirmed* auth-result *-auth-result
        *cid-type *crypto-tag sip-allow *-disposition *-cause *-codec-string *-codec-name *-codec *-sdp-type
        *privacy* *-digits-timeout channel-state *-callstate *password-policy* *password-required* *-auth-calls
        *-flags *-required *-needed *-enabled *-allowed limit-* syntax description *secretary* *dtmf-type
        *message-ext *file-ext
        """,
    ),
    (
        Meaning.MEASURE,
        """
        idle-cpu *-port *-rport port *-epoch *-uepoch *-stamp *-timestamp *-time *-time-* *-seconds *-sec *-ms
        *-msec *sec *-usec *-timeout timeout *-date *-date-* expires *-expires *-count *-counter *-total *-size
        *-len *-length length *-sequence cseq *-cseq ssrc *-ssrc *-samples samples *-rate *-bytes *-index *-line
        *-line-number *-level *-duration duration *-interval *-payload *-pt *-id-type max-* min-* *-max *-min
        max min *-max-* *-min-* *-limit *-status-code *-result-code *-word *-packet-count *-offset *-pos *-score
        *-percent* rtp-audio-* rtp-video-* session-id *-session-count session-count session-per-* session-since-*
        session-peak-* *-seq task-id member-id new-id old-id
        *-serial *-version-id *-accum *-number-of-* *-ani2 *-aniii aniii ani-ii *-duration-* uduration
        *-latency* *-jitter* *-attempt *-attempts *-retries *-tries *-failures *build-number *serial-number
        *line-number *port-number *sequence-number *order-number *invoice-number *ticket-number *case-number
        *track-number *version-number *reference-number *queue-number *-state-number
        """,
    ),
    (
        Meaning.SYSTEM,
        """
        *user-agent user-agent-* *useragent
        """,
    ),
    (
        Meaning.PARTY,
        """
        sip-auth-username *-auth-username auth-username auth-user *acl-token *auth-uri
        """,
    ),
    (
        Meaning.HOST,
        """
        sip-auth-realm sip-auth-host dialed-domain
        """,
    ),
    (
        Meaning.CREDENTIAL,
        """
        sip-auth-* *-auth-pass auth-pass *password* *passwd* *passphrase* *passcode* *-pwd pwd *-pass pass
        *secret* *-pin pin pin-* *-pin-number *-pin-code *a1-hash* nonce *-nonce cnonce nextnonce *authorization
        *-token token *-token-* *api-key *apikey *access-key *private-key *crypto-key* *-crypto crypto
        *crypto-line *srtp*key* *-psk psk *credential* *-sessid sessid *cookie *jsessionid *-otp otp
        *security-code *-cvv cvv *-cvc cvc *card-number *card-no *cardnum* *-iban iban *-ssn ssn *ice-pwd
        *zrtp-sas* *master-key *auth-key *-dsn dsn *connection-string *-bearer *-jwt jwt *encryption-key
        *hash-key *otp-code *one-time-* *basic-auth *-signature signature *-pin-* *session-key *signing-key *secure-key
        *authentication-info *push-token *rspauth ssn-* *-ssn-*
        """,
    ),
    (
        Meaning.DIGITS,
        """
        dtmf-digit dtmf dtmf-digits dtmf-string digits *digits-dialed *collected-digits *digits-collected
        *digits-received *digits-pressed *-dtmf-digits *-digits *-digit *entered-digits *read-result *-dtmf
        *terminator-used *menu-choice *menu-selection *ivr-input *pagd-input *user-input *caller-input *keypress
        *survey-answer *-pressed *-menu-exit-digit
        """,
    ),
    (
        Meaning.TEXT,
        """
        subject *-subject *transcript *transcription *-transcript-* rtt-text *rtt *message-body *message-text
        chat-body chat-text body text *-text sms *-sms-body comment *-comment comments *-note note notes *-notes
        *memo user-to-user *-uui uui *-title title *speech-result* detected-speech *-utterance utterance *asr-result
        *asr-text *stt-result *stt-text *recognition-result summary *-summary
        *transcription-partial *transcription-final *transcription-text *transcription-result *-say
        email-body *-remark* *-description-text presence-note *-prompt-text say-text *tts-text call-info-text
        content-preview chat-message
        """,
    ),
    (
        Meaning.STATUS,
        """
        rpid presence-status presence-data status-text custom-status
        """,
    ),
    (
        Meaning.RECORDING,
        """
        *record-file-path record-path *-record-path *file-path path *recording *recording-* recordings
        *recorded-file record-file-name *-record-file *record-filename *recording-file media-bug-target
        *greeting-path *-audio-file vm-message-path *message-path last-recording *fax-filename *fax-file
        record-file *-record-dir
        """,
    ),
    (
        Meaning.ROOM,
        """
        conference-name *-conference-name conference-room conference-call-key
        """,
    ),
    (
        Meaning.CALLER,
        """
        caller-id callee-id *-caller-id *-callee-id cid *-cid asserted-identity *-asserted-identity
        *preferred-identity *remote-party-id diversion *-diversion *history-info *referred-by
        """,
    ),
    (
        Meaning.NAME,
        """
        *caller-id-name *callee-id-name *cid-name *-display display-name *-display-name *displayname *full-name
        *fullname *first-name *last-name *firstname *lastname *surname *given-name *family-name *customer-name
        *contact-name *caller-name *callee-name *calling-name *called-name *person-name *real-name *realname
        *nickname *member-name *cnam *-cnam-* *ani-name hint *employee-name *patient-name *agent-name
        *user-fullname *lookup-name *vcard-fn patient *-patient customer *-customer
        """,
    ),
    (
        Meaning.PARTY,
        """
        *caller-id-number *callee-id-number *cid-number *cid-num *-ani ani *rdnis *dnis *destination-number
        *dest-number *-exten *-extension exten extension *-phone phone *phone-number *phonenumber *mobile
        *mobile-number *msisdn *telephone *-telephone-number *-cell cell *fax-number *fax-*-station-id
        *number-alias accountcode *-accountcode account-code *-account-code account *-account account-id
        *username *user-name user *-user *-user-stripped user-id *-user-id dialed-* *dialed-number
        *dialled-number *called-number *calling-number *caller-number *callee-number *billing-number
        *charge-number *callback-number *transfer-to *transfer-destination *transfer-source *transfer-history
        *forward-to *forward-number *forward-*destination *customer-id *-mailbox mailbox mailbox-* *-did did
        did-number *-ddi ddi dp-match query-from *-refer-to refer-to *park-extension *valet-extension
        *pickup-target *-agent agent *-login login *originated-legs *-msisdn-* *-imsi imsi *-imei imei
        *presence-id *-aor aor *-recipient recipient *-callee callee *-caller caller *-peer-number
        *-contact-user from-number to-number *-from-number *-to-number *contact-number *customer-number
        *-number-dialed *outbound-id *caller-username from to *-chat-to *-chat-from *-email email *-mailto
        mailto *-mail-to *-number *-ext *phone[0-9] *-destination
        """,
    ),
    (
        Meaning.SYSTEM,
        """
        core-uuid *-core-uuid freeswitch-version *-version version gateway *-gateway *gateway-name *profile-name
        profile *-profile module module-name modulename *user-agent user-agent-* *useragent sound-prefix
        *sound-prefix cc-queue *-queue-name multicast-sender *switchname *-switch-name freeswitch-switchname
        *interface-name *-dir *-directory *-context-path *mac-address *-mac mac version-*
        *firmware*
        """,
    ),
    (
        Meaning.CALL,
        """
        unique-id *-unique-id uuid *-uuid *-uuid-* *call-id *callid *from-tag *to-tag bridged-to *bridge-to
        signal-bond *-signal-bond originator *-call-key *dialog-id *session-uuid *-leg-id *billing-id *-icid
        *call-ref originate-causes *charging-vector
        """,
    ),
    (
        Meaning.HOST,
        """
        hostname *-hostname host *-host *-hosts domain *-domain domain-name *-domain-name realm *-realm *-server
        server *-proxy proxy *-registrar registrar *-fqdn freeswitch-hostname *-host-name
        """,
    ),
    (
        Meaning.COMMAND,
        """
        api-command-argument* application-data *-application-data last-arg *-arg *-command-arg *-app-arg *-data
        inline-destination job-command-arg *-argument *-arguments execute-on-* api-on-* *-hangup-hook
        bridge-channel channel-name *-channel-name dial-string *-dial-string dialstring *-bridge-args
        """,
    ),
)
_LONGEST_NAME: Final = 128
"""Characters of a name that are looked at; FreeSWITCH's own receiver keeps 122."""
_IN_FRONT: Final = re.compile(
    r"(?:variable-|nolocal:|orig-(?=core-|event-)|sip-(?:h|rh|ph|bh|bye-h|nobye-h|i)-(?:x-)?|x-(?!-))+"
)
_PATTERNS: Final = tuple(
    (meaning, re.compile("|".join(translate(pattern) for pattern in patterns.split()))) for meaning, patterns in _TABLE
)
_OF_KINDS: Final = {
    ("status", "PRESENCE_"): Meaning.STATUS,
    ("from-uri", "SEND_"): Meaning.UNKNOWN,
    ("filename", "MODULE_"): Meaning.SYSTEM,
    ("name", "MODULE_"): Meaning.SYSTEM,
    ("key", "MODULE_"): Meaning.SYSTEM,
    ("unique-id", "PRESENCE_"): Meaning.PARTY,
}
"""Names that mean something else, or anything at all, only in events whose kind begins so."""
_NAMES_OF_KINDS: Final = frozenset(name for name, _ in _OF_KINDS)


def meaning_of(kind: str, header: str) -> Meaning:
    """What stands under ``header`` in an event of this ``kind``. Costs a look-up when the name has been seen before."""
    name, meaning = _known(header[:_LONGEST_NAME])
    if name in _NAMES_OF_KINDS:
        for (other, start), of_kind in _OF_KINDS.items():
            if other == name and kind.startswith(start):
                return of_kind
    return meaning


@lru_cache(maxsize=MOST_NAMES)
def _known(header: str) -> tuple[str, Meaning]:
    """The name as it is compared, and what it means in any event."""
    name = header.lower().replace("_", "-")
    bare = _IN_FRONT.sub("", name, count=1) if _IN_FRONT.match(name) else name
    for meaning, pattern in _PATTERNS:
        if pattern.match(bare):
            return bare, meaning
    return bare, Meaning.UNKNOWN
