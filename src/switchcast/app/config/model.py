"""The tables of the configuration file, put together from those of the features.

``FileSettings`` is the whole file. pydantic-settings reads it from two sources: the environment (``environment``), and
the file itself. What one table says about another is compared in ``checks``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from switchcast.app.api.settings import ApiSettings
from switchcast.app.health import SETTING
from switchcast.app.listen import is_local, parse_listen
from switchcast.bus import QUEUE_EVENTS, Overflow
from switchcast.endpoints.modes import Cipher, ModeName, StockPolicy
from switchcast.errors import UsageError
from switchcast.guard.policy import PolicySettings
from switchcast.rules.settings import RuleSettings
from switchcast.settings import Duration, Settings, Size, check_trust
from switchcast.views.peers import PeersSettings
from switchcast.views.picture import ViewsSettings

__all__ = [
    "ControlSettings",
    "Document",
    "EndpointSettings",
    "FileSettings",
    "LoggingSettings",
    "MetricsSettings",
    "NodeSettings",
    "RouteSettings",
]

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path (``sun_path`` of unix(7), less its NUL)."""

Name = Annotated[str, Field(pattern=NAME)]
"""Letters, digits, ``.``, ``_`` and ``-``, at most 64: names become labels of metrics and parts of file names."""


def _listen(text: str) -> str:
    _address_of(text)
    return text


def _address_of(text: str) -> tuple[str, int]:
    try:
        return parse_listen(text, SETTING)
    except UsageError as error:
        raise ValueError(str(error).removeprefix(f"{SETTING}: ")) from None


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("write an absolute path, one that begins with /")
    return path


def _socket_path(path: str) -> str:
    if len(_absolute(path).encode("utf-8", "surrogateescape")) > LONGEST_SOCKET_PATH:
        raise ValueError(f"a socket's path has at most {LONGEST_SOCKET_PATH} bytes; choose a shorter one")
    return path


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class NodeSettings(Settings):
    """The ``[node]`` table: this node itself."""

    name: str = Field(default="", min_length=1, max_length=255, examples=["fs1.example.com"])
    """What this node calls itself: ``node`` in conditions, and the sender that it never re-fires. By default the
    machine's host name, which is FreeSWITCH's own default as well."""
    state_dir: AbsolutePath = "/var/lib/switchcast"
    """Where journals are kept; by default ``$STATE_DIRECTORY``, which systemd sets, or ``/var/lib/switchcast``."""
    drain: Duration = 5.0
    """How long queues may empty themselves when the node stops."""


class LoggingSettings(Settings):
    """The ``[log]`` table: how the node tells what it does, on standard error."""

    format: Literal["console", "json"] = "console"
    """``console`` for people, ``json`` for programs."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is told."""


class MetricsSettings(Settings):
    """The ``[metrics]`` table: figures for Prometheus. Without the table there are none."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(default="127.0.0.1:9747", examples=["127.0.0.1:9747"])
    """Address and port; one that other hosts can reach needs ``allow_remote``."""
    allow_remote: bool = False
    """Whether other hosts may read the figures: nobody is asked for a password."""

    @model_validator(mode="after")
    def _check_reach(self) -> MetricsSettings:
        host, port = self.address
        if not self.allow_remote and not is_local(host):
            raise ValueError(
                f"{self.listen} can be reached from other hosts; write 127.0.0.1:{port}, or allow it by "
                "allow_remote = true"
            )
        return self

    @property
    def address(self) -> tuple[str, int]:
        """``listen`` as host and port."""
        return parse_listen(self.listen, SETTING)


class ControlSettings(Settings):
    """The ``[control]`` table: the socket by which ``switchcast status`` and ``peers`` ask the running node."""

    socket: Annotated[str, AfterValidator(_socket_path)] = "/run/switchcast/control.sock"
    """Its absolute path."""


class EndpointSettings(Settings):
    """An ``[endpoints.NAME]`` table: one end of the line."""

    url: str = Field(
        min_length=1, examples=["multicast://239.192.1.1:4242?interface=eth0", "esl://127.0.0.1:8021", "file:a.jsonl"]
    )
    """Where it is: the endpoint's URL, without secrets."""
    password_file: str | None = Field(
        default=None, examples=["/etc/switchcast/esl.password", "credential:esl.password"]
    )
    """The file that holds the event socket's password, readable by its owner only, or ``credential:NAME``."""
    psk_file: str | None = Field(default=None, examples=["/etc/switchcast/group.psk", "credential:group.psk"])
    """The file that holds the group's pre-shared key, readable by its owner only, or ``credential:NAME``."""
    mode: ModeName | None = None
    """How events of multicast: and udp: stand on the wire: ``stock`` (the default), ``traced`` or ``sealed``."""
    key_file: str | None = Field(default=None, examples=["/etc/switchcast/group.key", "credential:group.key"])
    """The file of the group's keys, readable by its owner only, or ``credential:NAME``."""
    cipher: Cipher | None = None
    """What is sent is encrypted with: ``chacha20-poly1305`` (the default) or ``aes-256-gcm``. Either is read."""
    repair: bool | None = None
    """Whether what was lost is asked for, and sent again to those who ask; by default if there is a ``key_file``."""
    keep: Size | None = Field(default=None, examples=["64MiB"])
    """How much is kept to send again; by default 64MiB."""
    keep_for: Duration | None = Field(default=None, examples=["30s"])
    """How long it is kept; by default 30s."""
    sign_key_file: str | None = Field(default=None, examples=["/etc/switchcast/fs1.signing", "credential:fs1.signing"])
    """The file of this host's signing key, readable by its owner only, or ``credential:NAME``."""
    signers_file: str | None = Field(default=None, examples=["/etc/switchcast/signers"])
    """The file that says whose signatures are believed: names and public keys."""
    stock: StockPolicy | None = None
    """In mode traced, what is done with datagrams that prove nothing: ``deliver`` (the default) or ``reject``."""
    queue: int = Field(default=QUEUE_EVENTS, ge=1, le=10_000_000)
    """Events that wait in front of it when it is a sink."""
    overflow: Overflow = "drop-oldest"
    """What is done when that queue is full."""


class RouteSettings(Settings):
    """A ``[[route]]`` table: from one endpoint to others, and what may go that way."""

    name: Name | None = None
    """By default ``FROM-to-TO``."""
    source: str = Field(alias="from", min_length=1, examples=["switch"])
    """The endpoint that events come from."""
    to: tuple[str, ...] = Field(min_length=1, examples=[["group"]])
    """The endpoints that they go to."""
    bindings: str = Field(default="all", examples=["HEARTBEAT MESSAGE_WAITING CUSTOM sofia::register"])
    """Which events, in FreeSWITCH's own words."""
    where: str | None = Field(default=None, examples=["sender != node"])
    """Which of those: a condition in CEL."""
    policy: str | None = Field(default=None, examples=["cluster", "monitoring", "all"])
    """What of them may leave: a name under ``[policies]`` or a shipped one. By default ``cluster`` when an endpoint in
    ``to`` is multicast: or udp:, else ``all``."""
    allow: tuple[str, ...] = Field(default=(), examples=[["192.0.2.0/24", "2001:db8::7"]])
    """Addresses and networks that datagrams may come from. Empty: any."""
    deduplicate: bool = False
    """Whether an event that came already, by another path, is dropped."""
    trust: Literal["stock"] | None = None
    """``stock``: events that nothing vouches for may go to a switch too; any host that reaches the group can send
    those."""
    require: Literal["signed"] | None = None
    """``signed``: only signed events may go this way."""
    signers: tuple[str, ...] = ()
    """Whose signature it must be, by the names in signers_file. Empty: any signer's."""

    @model_validator(mode="after")
    def _trust_as_meant(self) -> RouteSettings:
        check_trust(self.trust, self.require, self.signers)
        return self


class Document(PydanticBaseSettingsSource):
    """Tables that have been read already, as a source for pydantic-settings."""

    def __init__(self, settings: type[BaseSettings], tables: dict[str, Any]) -> None:
        super().__init__(settings)
        self._tables = tables

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not asked for: the tables are given as a whole."""
        return self._tables.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tables


class FileSettings(BaseSettings):
    """The configuration of a switchcast node."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, case_sensitive=True, use_attribute_docstrings=True, title="switchcast"
    )
    sources: ClassVar[tuple[dict[str, Any], ...]] = ()
    """The tables to read, those that win first. ``read`` makes a class of its own with them."""

    node: NodeSettings = NodeSettings()
    """This node itself."""
    log: LoggingSettings = LoggingSettings()
    """How the node tells what it does."""
    metrics: MetricsSettings | None = None
    """Figures for Prometheus; off without the table."""
    api: ApiSettings | None = None
    """The node over HTTP, for programs and dashboards; off without the table."""
    control: ControlSettings = ControlSettings()
    """The socket by which the command line asks the running node."""
    peers: PeersSettings = PeersSettings()
    """Who counts as there."""
    views: ViewsSettings = ViewsSettings()
    """The picture of the cluster that this node keeps."""
    endpoints: dict[Name, EndpointSettings] = Field(default_factory=dict)
    """What events come from and go to, by name."""
    policies: dict[Name, PolicySettings] = Field(default_factory=dict)
    """What may leave this host, by name."""
    route: tuple[RouteSettings, ...] = ()
    """Which way events go."""
    rule: tuple[RuleSettings, ...] = ()
    """Which events become actions on this host."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the tables given to ``read``: not this process's own environment, no file of variables."""
        return tuple(Document(settings_cls, tables) for tables in cls.sources)

    @classmethod
    def read(cls, *tables: dict[str, Any]) -> FileSettings:
        """The settings that ``tables`` make, the first of them winning. Raises pydantic's ``ValidationError``."""
        bound = type(cls.__name__, (cls,), {"sources": tables, "__module__": __name__})
        settings: FileSettings = bound()
        return settings
