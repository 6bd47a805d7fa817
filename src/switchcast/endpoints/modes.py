"""The wire mode of ``multicast:`` and ``udp:`` endpoints, and the keys that go with it.

==================  ======================================================================  =================
option              meaning                                                                 default
==================  ======================================================================  =================
``mode``            ``stock``, ``traced`` or ``sealed``                                     stock
``key_file``        the file of the group's keys, or ``credential:NAME``                    none
``cipher``          ``chacha20-poly1305`` or ``aes-256-gcm``, of what is sent               chacha20-poly1305
``repair``          whether what is lost is asked for, and sent again for those who ask     yes
``keep``            bytes that are kept to send again                                       64MiB
``keep_for``        how long they are kept                                                  30s
``sign_key_file``   the file with this host's signing key: what is sent is signed           none
``signers_file``    the file that says whose signatures are believed                        none
``stock``           in traced mode, datagrams without proof: ``deliver`` or ``reject``      deliver
==================  ======================================================================  =================

``Mode.of`` reads a URL's options and no file, ``Mode.loaded`` the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar, get_args

from switchcast.endpoints.url import SECRET_OPTIONS, EndpointUrl, parse_boolean
from switchcast.errors import UrlError
from switchcast.keys import GroupKeys, SigningKey, load_group_keys, load_signers, load_signing_key
from switchcast.quantities import parse_duration, parse_size

__all__ = ["CIPHERS", "KEY_FILES", "MODES", "MODE_OPTIONS", "Cipher", "Mode", "ModeName", "StockPolicy", "mistakes"]

ModeName = Literal["stock", "traced", "sealed"]
Cipher = Literal["chacha20-poly1305", "aes-256-gcm"]
StockPolicy = Literal["deliver", "reject"]

Choice = TypeVar("Choice", bound=str)

MODES: Final[tuple[ModeName, ...]] = get_args(ModeName)
CIPHERS: Final[tuple[Cipher, ...]] = get_args(Cipher)
STOCK_POLICIES: Final[tuple[StockPolicy, ...]] = get_args(StockPolicy)
KEY_FILES: Final = ("key_file", "sign_key_file", "signers_file")
MODE_OPTIONS: Final = (
    "mode",
    "key_file",
    "cipher",
    "repair",
    "keep",
    "keep_for",
    "sign_key_file",
    "signers_file",
    "stock",
)
"""The options of an endpoint's URL, and the keys of its table in a configuration."""
_NEED_KEYS: Final = ("cipher", "repair", "keep", "keep_for", "sign_key_file", "signers_file")
_PRE_SHARED: Final = ("psk", "psk_file")

KEEP: Final = 64 * 1024 * 1024
LEAST_KEEP: Final = 1024 * 1024
"""Bytes: less would not hold the largest event."""
MOST_KEEP: Final = 16 * 1024 * 1024 * 1024
KEEP_SECONDS: Final = 30.0
LEAST_KEEP_SECONDS: Final = 1.0
"""Seconds: in less nobody has asked often enough."""
MOST_KEEP_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How an endpoint's events stand on the wire, and all that its native sockets have to be told for that.

    ``keys``, ``signing`` and ``signers`` are what is in the files, once it is ``loaded``. ``keep`` is in bytes,
    ``keep_for`` in seconds. ``repair`` is never on without a file of keys.
    """

    name: ModeName = "stock"
    cipher: Cipher = "chacha20-poly1305"
    repair: bool = False
    keep: int = KEEP
    keep_for: float = KEEP_SECONDS
    stock: StockPolicy = "deliver"
    key_file: str | None = None
    sign_key_file: str | None = None
    signers_file: str | None = None
    keys: GroupKeys | None = None
    signing: SigningKey | None = None
    signers: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, url: EndpointUrl) -> Mode:
        """The mode that the options of ``url`` ask for. Raises ``UrlError``."""
        given = dict(url.options)
        for option, sentence in mistakes(given):
            raise UrlError(f"{url}: {_named(option, given)}: {sentence}")
        key_file = given.get("key_file")
        return cls(
            name=_one_of(MODES, given.get("mode", "stock")),
            cipher=_one_of(CIPHERS, given.get("cipher", CIPHERS[0])),
            repair=bool(parse_boolean(given.get("repair", "no" if key_file is None else "yes"))),
            keep=parse_size(given.get("keep", KEEP)),
            keep_for=parse_duration(given.get("keep_for", KEEP_SECONDS)),
            stock=_one_of(STOCK_POLICIES, given.get("stock", STOCK_POLICIES[0])),
            key_file=key_file,
            sign_key_file=given.get("sign_key_file"),
            signers_file=given.get("signers_file"),
        )

    @property
    def is_stock(self) -> bool:
        """Whether nothing but the module's own datagrams are sent and understood."""
        return self.name == "stock"

    def options(self) -> dict[str, str]:
        """The options of a URL that ask for this mode, without those that say what holds anyway."""
        usual = Mode(name="stock", repair=self.key_file is not None)
        given = {option: getattr(self, _FIELDS.get(option, option)) for option in MODE_OPTIONS}
        return {
            option: _text(value)
            for option, value in given.items()
            if value != getattr(usual, _FIELDS.get(option, option))
        }

    def loaded(self) -> Mode:
        """The same with what is in the files that have not been read yet.

        Raises ``EndpointDenied``, ``EndpointUnavailable`` or ``KeyFileError``, each with the mend.
        """
        keys, signing, signers = self.keys, self.signing, self.signers
        if keys is None and self.key_file is not None:
            keys = load_group_keys(self.key_file)
        if signing is None and self.sign_key_file is not None:
            signing = load_signing_key(self.sign_key_file)
        if not signers and self.signers_file is not None:
            signers = load_signers(self.signers_file)
        return replace(self, keys=keys, signing=signing, signers=signers)


_FIELDS: Final = {"mode": "name"}
"""Options whose field is called otherwise."""


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.15g}"


def mistakes(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with an endpoint's options, beside whether its files can be read: the option, and what would do."""
    wrong = set()
    for option, check in _VALUES.items():
        try:
            if option in given:
                check(given[option])
        except ValueError as error:
            wrong.add(option)
            yield option, str(error)
    if "mode" not in wrong:
        told = wrong - {"key_file"}  # of which enough has been said
        yield from _misfits(
            {option: given[option] for option in given if option not in told}, given.get("mode", "stock")
        )


def _misfits(given: Mapping[str, str], mode: str) -> Iterator[tuple[str, str]]:
    """Options that do not go together."""
    named = [option for option in MODE_OPTIONS[1:] if option in given]
    if mode == "stock":
        if named:
            verb = "goes" if len(named) == 1 else "go"
            yield named[0], f"{', '.join(named)} {verb} with mode traced or sealed; add one of them"
        return
    for option in _PRE_SHARED:
        if option in given:
            yield option, f"is for stock datagrams; mode {mode} has a key_file in its place"
    if "key_file" not in given:
        if mode == "sealed":
            yield "mode", "sealed needs a key_file; make one with: switchcast key new FILE"
        elif keyless := [option for option in _NEED_KEYS if option in given]:
            yield keyless[0], "needs a key_file; make one with: switchcast key new FILE"
        elif given.get("stock") == "reject":
            yield "stock", "without a key_file every datagram is stock, so none would be delivered; add one"
    if "stock" in given and mode != "traced":
        yield "stock", f"is for mode traced; mode {mode} never takes stock datagrams; leave it out"


def _named(option: str, given: Mapping[str, str]) -> str:
    return f"{option}={given[option]}" if option in given and option not in SECRET_OPTIONS else option


def _one_of(allowed: tuple[Choice, ...], text: str) -> Choice:
    return next(each for each in allowed if each == text)


def _check_choice(allowed: tuple[str, ...]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in allowed:
            raise ValueError(f"none of {', '.join(allowed)}")

    return check


def _check_boolean(text: str) -> None:
    if parse_boolean(text) is None:
        raise ValueError("neither yes nor no")


def _check_keep(text: str) -> None:
    if not LEAST_KEEP <= parse_size(text) <= MOST_KEEP:
        raise ValueError("out of range; 1MiB, which is the largest event, to 16GiB are allowed")


def _check_keep_for(text: str) -> None:
    if not LEAST_KEEP_SECONDS <= parse_duration(text) <= MOST_KEEP_SECONDS:
        raise ValueError("out of range; 1s to 1h are allowed")


def _check_file(text: str) -> None:
    if not text or "\0" in text:
        raise ValueError("names no file; write a path, or credential:NAME for one of systemd's credentials")


_VALUES: Final[Mapping[str, Callable[[str], None]]] = {
    "mode": _check_choice(MODES),
    "repair": _check_boolean,
    "cipher": _check_choice(CIPHERS),
    "stock": _check_choice(STOCK_POLICIES),
    "keep": _check_keep,
    "keep_for": _check_keep_for,
    **dict.fromkeys(KEY_FILES, _check_file),
}
