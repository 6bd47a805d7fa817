"""The rows of the views, as the API describes them; ``views/`` makes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from switchcast.app.api.reply import Described

__all__ = ["CallRow", "LegRow", "MailboxRow", "NodeRow", "PresenceRow", "RegistrationRow", "ViewRow"]


class ViewRow(Described):
    """What every row of the picture says of itself."""

    node: str = Field(examples=["fs1"])
    """The switch that it is about, or whose event said so last."""
    since: float = Field(examples=[1795462923.125])
    """Since when it is so, seconds since 1970."""
    sure: Literal["asked", "told", "doubtful"] = Field(examples=["told"])
    """``asked``: the switch said so when it was asked. ``told``: an event said so. ``doubtful``: since then events of
    that node were lost, or it is down, and no answer of the switch has healed it yet."""
    trust: Literal["stock", "local", "member", "signed"] = Field(examples=["stock"])
    """What vouches for who said so, as of events."""


class NodeRow(ViewRow):
    """A switch, as its HEARTBEATs and its own answers tell it."""

    name: str = Field(examples=["fs1"])
    """What it calls itself."""
    state: Literal["up", "down"] = Field(examples=["up"])
    """``down``: nothing was heard of it for longer than the timeout."""
    version: str = Field(examples=["1.10.12-release"])
    """Its version; empty where nothing has told it."""
    core: str = Field(examples=["2f4be9a8-6a0b-4c1f-9f39-0d7c4ec6b1aa"])
    """Its Core-UUID, another after each start."""
    uptime: float | None = Field(examples=[86400.5])
    """Seconds since its start."""
    sessions: int | None = Field(examples=[42])
    """Channels now."""
    sessions_max: int | None = Field(examples=[1000])
    """Channels that it allows."""
    sessions_peak: int | None = Field(examples=[180])
    """The most channels since its start."""
    per_second: int | None = Field(examples=[3])
    """New channels in the last second."""
    per_second_max: int | None = Field(examples=[30])
    """New channels a second that it allows."""
    per_second_peak: int | None = Field(examples=[12])
    """The most new channels in a second since its start."""
    idle_cpu: float | None = Field(examples=[97.5])
    """Idle CPU in percent."""
    heartbeat_age: float | None = Field(examples=[12.5])
    """Seconds since its last HEARTBEAT."""
    silent: float = Field(examples=[0.5])
    """Seconds since any event of it was heard."""
    restarts: int = Field(examples=[0])
    """How often it has begun anew since this node listens."""
    lost: int = Field(examples=[0])
    """Events of it that are known to be lost."""
    lost_at_most: int = Field(examples=[3])
    """By the numbers of its events, so many more may be lost, or were not for us."""


class RegistrationRow(ViewRow):
    """A registered contact."""

    user: str = Field(examples=["1000@example.com"])
    """``user@domain``."""
    contact: str = Field(examples=["sip:1000@198.51.100.7:5060"])
    """Where calls for it are sent."""
    profile: str = Field(examples=["internal"])
    """The SIP profile."""
    agent: str = Field(examples=["Yealink SIP-T46U"])
    """What the phone calls itself."""
    address: str = Field(examples=["198.51.100.7:5060"])
    """The network address that it registered from."""
    expires: float | None = Field(examples=[1795466523.0])
    """When it runs out, seconds since 1970."""
    expires_in: float = Field(examples=[3599.5])
    """Seconds until then."""
    reachable: bool = Field(examples=[True])
    """Whether it answered the switch's last OPTIONS, where the switch asks."""
    call_id: str = Field(examples=["a84b4c76e66710@198.51.100.7"])
    """The SIP Call-ID of its REGISTER."""


class PresenceRow(ViewRow):
    """What a lamp on somebody's phone shows of a user."""

    user: str = Field(examples=["1000@example.com"])
    """``user@domain``."""
    state: str = Field(examples=["active"])
    """In a word: ``offline``, ``available``, ``away``, ``busy``, ``ringing``, ``active``, ``held`` or ``unknown``."""
    status: str = Field(examples=["Available"])
    """What the user last published, or was registered as."""
    rpid: str = Field(examples=["away"])
    """The same as an activity of RFC 4480."""
    proto: str = Field(examples=["sip"])
    """By which protocol."""
    calls: int = Field(examples=[1])
    """Calls of the user."""
    said: str = Field(examples=["Active (30 waiting)"])
    """The very last status, whatever made it."""
    said_rpid: str = Field(examples=["on-the-phone"])
    """Its activity."""
    expires: float | None = Field(examples=[None])
    """When it runs out, seconds since 1970, where it does."""


class MailboxRow(ViewRow):
    """A mailbox."""

    account: str = Field(examples=["1000@example.com"])
    """``user@domain``."""
    new: int | None = Field(examples=[2])
    """New messages."""
    saved: int | None = Field(examples=[5])
    """Saved messages."""
    urgent_new: int | None = Field(examples=[0])
    """New ones that are urgent."""
    urgent_saved: int | None = Field(examples=[0])
    """Saved ones that are urgent."""
    lamp: bool = Field(examples=[True])
    """Whether the lamp is lit."""


class LegRow(Described):
    """One leg of a call: a channel of a switch."""

    uuid: str = Field(examples=["6d5b2c1e-0f6a-4a57-9f4e-000000000017"])
    """Its Unique-ID."""
    node: str = Field(examples=["fs1"])
    """The switch that it is on."""
    direction: str = Field(examples=["inbound"])
    """``inbound`` or ``outbound``, as the switch sees it."""
    name: str = Field(examples=["sofia/internal/1000@example.com"])
    """The channel's name."""
    from_number: str = Field(examples=["1000"])
    """Who calls."""
    from_name: str = Field(examples=["Ada"])
    """Under which name."""
    to_number: str = Field(examples=["1001"])
    """Who is called."""
    user: str = Field(examples=["1000@example.com"])
    """Whose presence it is."""
    state: str = Field(examples=["active"])
    """The call state in a word."""
    channel_state: str = Field(examples=["CS_EXECUTE"])
    """The channel's state, as the switch names it."""
    created: float | None = Field(examples=[1795462923.125])
    """When it began, seconds since 1970."""
    answered: float | None = Field(examples=[1795462925.5])
    """When it was answered."""
    held: bool = Field(examples=[False])
    """Whether it is on hold."""
    parked: bool | str = Field(examples=[False])
    """Whether it is parked."""
    application: str = Field(examples=["bridge"])
    """The dialplan application that it is in; empty where none is known."""
    conference: str = Field(examples=[""])
    """The conference that it is in."""
    codec_read: str = Field(examples=["PCMU/8000"])
    """What it hears with."""
    codec_write: str = Field(examples=["PCMU/8000"])
    """What it speaks with."""
    bridged_to: str = Field(examples=["6d5b2c1e-0f6a-4a57-9f4e-000000000018"])
    """The leg that it is bridged to."""
    sip_call_id: str = Field(examples=["a84b4c76e66710@198.51.100.7"])
    """Its SIP Call-ID."""
    duration: float = Field(examples=[12.5])
    """Seconds since it began."""
    cause: str = Field(examples=[""])
    """Why it was hung up."""
    quality: dict[str, Any] | None = Field(examples=[{"mos": 4.5}])
    """What its last event told of the audio."""
    sure: Literal["asked", "told", "doubtful"] = Field(examples=["told"])
    """As of rows."""
    trust: Literal["stock", "local", "member", "signed"] = Field(examples=["stock"])
    """As of rows."""


class CallRow(ViewRow):
    """A call: legs that belong together, on whatever nodes."""

    id: str = Field(examples=["6d5b2c1e-0f6a-4a57-9f4e-000000000017"])
    """Its Channel-Call-UUID."""
    state: str = Field(examples=["active"])
    """``down``, ``ringing``, ``early``, ``active``, ``held``, ``parked`` or ``hangup``."""
    legs: list[LegRow]
    """Its legs, the oldest first."""
    more_legs: int = Field(examples=[0])
    """Legs that are left out here, because there are too many."""
    talking: float = Field(examples=[9.5])
    """Seconds since somebody answered."""
    duration: float = Field(examples=[12.5])
    """Seconds since it began."""
    nodes: list[str] = Field(examples=[["fs1", "fs2"]])
    """The switches that its legs are on."""
