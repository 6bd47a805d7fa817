"""Why a leg ended: FreeSWITCH's names of causes, with the numbers and words of Q.850 where it has them.

Numbers up to 127 are those of ITU-T Q.850; FreeSWITCH's own begin behind (``switch_types.h``).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CAUSES", "NORMAL", "cause_text"]

CAUSES: Final[dict[str, tuple[int, str]]] = {
    "NONE": (0, "no cause given"),
    "UNALLOCATED_NUMBER": (1, "unallocated number"),
    "NO_ROUTE_TRANSIT_NET": (2, "no route to the transit network"),
    "NO_ROUTE_DESTINATION": (3, "no route to destination"),
    "CHANNEL_UNACCEPTABLE": (6, "channel unacceptable"),
    "CALL_AWARDED_DELIVERED": (7, "call awarded and delivered"),
    "NORMAL_CLEARING": (16, "normal call clearing"),
    "USER_BUSY": (17, "user busy"),
    "NO_USER_RESPONSE": (18, "no user responding"),
    "NO_ANSWER": (19, "no answer from user"),
    "SUBSCRIBER_ABSENT": (20, "subscriber absent"),
    "CALL_REJECTED": (21, "call rejected"),
    "NUMBER_CHANGED": (22, "number changed"),
    "REDIRECTION_TO_NEW_DESTINATION": (23, "redirection to new destination"),
    "EXCHANGE_ROUTING_ERROR": (25, "exchange routing error"),
    "DESTINATION_OUT_OF_ORDER": (27, "destination out of order"),
    "INVALID_NUMBER_FORMAT": (28, "invalid number format"),
    "FACILITY_REJECTED": (29, "facility rejected"),
    "RESPONSE_TO_STATUS_ENQUIRY": (30, "response to status enquiry"),
    "NORMAL_UNSPECIFIED": (31, "normal, unspecified"),
    "NORMAL_CIRCUIT_CONGESTION": (34, "no circuit available"),
    "NETWORK_OUT_OF_ORDER": (38, "network out of order"),
    "NORMAL_TEMPORARY_FAILURE": (41, "temporary failure"),
    "SWITCH_CONGESTION": (42, "switching equipment congestion"),
    "ACCESS_INFO_DISCARDED": (43, "access information discarded"),
    "REQUESTED_CHAN_UNAVAIL": (44, "requested channel not available"),
    "PRE_EMPTED": (45, "preempted"),
    "FACILITY_NOT_SUBSCRIBED": (50, "facility not subscribed"),
    "OUTGOING_CALL_BARRED": (52, "outgoing call barred"),
    "INCOMING_CALL_BARRED": (54, "incoming call barred"),
    "BEARERCAPABILITY_NOTAUTH": (57, "bearer capability not authorized"),
    "BEARERCAPABILITY_NOTAVAIL": (58, "bearer capability not available"),
    "SERVICE_UNAVAILABLE": (63, "service or option not available"),
    "BEARERCAPABILITY_NOTIMPL": (65, "bearer capability not implemented"),
    "CHAN_NOT_IMPLEMENTED": (66, "channel type not implemented"),
    "FACILITY_NOT_IMPLEMENTED": (69, "facility not implemented"),
    "SERVICE_NOT_IMPLEMENTED": (79, "service or option not implemented"),
    "INVALID_CALL_REFERENCE": (81, "invalid call reference"),
    "INCOMPATIBLE_DESTINATION": (88, "incompatible destination"),
    "INVALID_MSG_UNSPECIFIED": (95, "invalid message"),
    "MANDATORY_IE_MISSING": (96, "mandatory information element missing"),
    "MESSAGE_TYPE_NONEXIST": (97, "message type not known"),
    "WRONG_MESSAGE": (98, "message not compatible with the call's state"),
    "IE_NONEXIST": (99, "information element not known"),
    "INVALID_IE_CONTENTS": (100, "invalid information element"),
    "WRONG_CALL_STATE": (101, "wrong call state"),
    "RECOVERY_ON_TIMER_EXPIRE": (102, "recovery on timer expiry"),
    "MANDATORY_IE_LENGTH_ERROR": (103, "wrong length of an information element"),
    "PROTOCOL_ERROR": (111, "protocol error"),
    "INTERWORKING": (127, "interworking"),
    "ORIGINATOR_CANCEL": (487, "the caller gave up"),
    "CRASH": (500, "the switch crashed"),
    "SYSTEM_SHUTDOWN": (501, "the switch was shut down"),
    "LOSE_RACE": (502, "another telephone was faster"),
    "MANAGER_REQUEST": (503, "by command"),
    "BLIND_TRANSFER": (600, "blind transfer"),
    "ATTENDED_TRANSFER": (601, "attended transfer"),
    "ALLOTTED_TIMEOUT": (602, "its time was up"),
    "USER_CHALLENGE": (603, "asked for credentials"),
    "MEDIA_TIMEOUT": (604, "no media came any more"),
    "PICKED_OFF": (605, "picked up elsewhere"),
    "USER_NOT_REGISTERED": (606, "user not registered"),
    "PROGRESS_TIMEOUT": (607, "no progress in time"),
    "INVALID_GATEWAY": (608, "no such gateway"),
    "GATEWAY_DOWN": (609, "the gateway is down"),
    "INVALID_URL": (610, "invalid URL"),
    "INVALID_PROFILE": (611, "no such profile"),
    "NO_PICKUP": (612, "nothing to pick up"),
}
"""FreeSWITCH's name: its number, and what that means."""

_MOST_OF_Q850: Final = 127

NORMAL: Final = frozenset(
    {"NORMAL_CLEARING", "NONE", "ORIGINATOR_CANCEL", "LOSE_RACE", "PICKED_OFF", "BLIND_TRANSFER", "ATTENDED_TRANSFER"}
)
"""Causes that tell of no trouble."""


def cause_text(cause: str, code: int | None = None) -> str:
    """``17 user busy``; without a number where that is none of Q.850's, and that alone where the name is not known."""
    if not cause:
        return ""
    number, words = CAUSES.get(cause, (code, ""))
    standard = number is not None and (not words or 0 < number <= _MOST_OF_Q850)
    return " ".join(part for part in (str(number) if standard else "", words) if part)
