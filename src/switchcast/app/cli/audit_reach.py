"""What is known of the endpoint that is audited: its URL, and whether its secret is one that everybody knows."""

from __future__ import annotations

from switchcast.endpoints.esl_options import password_of
from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.audit.reach import Reach, reach_of

__all__ = ["reach_of_source"]


def reach_of_source(url: EndpointUrl, bindings: str | None = None) -> Reach:
    """``reach_of`` with the secret that ``url`` names, from its file if there is one.

    Raises ``UrlError``, and ``EndpointDenied`` or ``EndpointUnavailable`` where the file cannot be had.
    """
    secret = password_of(url) if url.scheme == "esl" else url.secret("psk")
    return reach_of(url, secret=secret, bindings=bindings)
