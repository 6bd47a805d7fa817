"""From a checked configuration to the parts that a node runs: routes, policies, and what rules act through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from switchcast.app.config import Configuration, ConfiguredEndpoint
from switchcast.endpoints import Endpoint, EndpointUrl, make_endpoint
from switchcast.guard.policy import PolicySettings, RedactionPolicy, compile_policy, shipped
from switchcast.node import Policy, Route, Sink, Source, unchanged
from switchcast.private_files import read_secret

__all__ = ["Assembly", "action_endpoints", "make_endpoints"]

EVERYTHING = "all"
"""The shipped policy that changes nothing: where it is meant, no policy runs at all."""
_GROUPS = frozenset({"multicast", "udp"})


@dataclass(eq=False)
class Assembly:
    """What a configuration makes. Policies that are the same as in ``previous`` are taken over, with their counts.

    ``sinks`` are those that events of our own go to, whether or not a route leads there. Raises ``SwitchcastError``
    where something cannot be made.
    """

    configuration: Configuration
    previous: Assembly | None = None
    policies: dict[str, RedactionPolicy] = field(default_factory=dict, init=False)
    routes: tuple[Route, ...] = field(init=False)
    sinks: tuple[Sink, ...] = field(init=False)
    _made_from: dict[str, tuple[PolicySettings, bytes | None]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        configuration = self.configuration
        for name in dict.fromkeys(route.policy or EVERYTHING for route in configuration.routes):
            if name != EVERYTHING or name in configuration.policies:
                self.policies[name] = self._policy(name)
        self.previous = None  # or every reload would keep all before it
        self.routes = tuple(
            Route(
                self._source(route.source),
                [self._sink(name) for name in route.to],
                bindings=route.bindings,
                where=route.where,
                policy=self._policy_of(route.policy),
                allow=route.allow,
                deduplicate=route.deduplicate,
                name=route.name or "",
                trust=route.trust,
                require=route.require,
                signers=route.signers,
            )
            for route in configuration.routes
        )
        emitted = [name for rule in configuration.rules if rule.emit is not None for name in rule.emit.to]
        self.sinks = tuple(self._sink(name) for name in dict.fromkeys([*emitted, *configuration.peers.to]))

    def _source(self, name: str) -> Source:
        endpoint = self.configuration.endpoints[name]
        return Source(endpoint.url, name=name, spec=endpoint.fingerprints, keys=endpoint.keys)

    def _sink(self, name: str) -> Sink:
        endpoint = self.configuration.endpoints[name]
        return Sink(
            self._signed(endpoint.url),
            name=name,
            spec=endpoint.fingerprints,
            keys=endpoint.keys,
            overflow=endpoint.overflow,
            limit=endpoint.queue,
        )

    def _signed(self, url: EndpointUrl) -> EndpointUrl:
        """A group is sent to under this node's name, by which the node knows its own events when it hears them back."""
        if url.scheme not in _GROUPS or url.text("sender") is not None:
            return url
        return replace(url, options=(*url.options, ("sender", self.configuration.node.name)))

    def _policy_of(self, name: str | None) -> Policy:
        return self.policies.get(name or EVERYTHING, unchanged)

    def _policy(self, name: str) -> RedactionPolicy:
        settings = self.configuration.policies.get(name) or shipped(name)
        key = None if settings.key_file is None else read_secret(settings.key_file)
        if self.previous is not None and self.previous._made_from.get(name) == (settings, key):
            policy = self.previous.policies[name]
        else:
            policy = compile_policy(name, settings, key)
        self._made_from[name] = settings, key
        return policy


def action_endpoints(configuration: Configuration) -> Mapping[str, ConfiguredEndpoint]:
    """The event sockets that rules act through, by name.

    They get connections of their own: a command that a switch is slow to answer holds up no event of a route.
    """
    return {
        action.endpoint: configuration.endpoints[action.endpoint]
        for rule in configuration.rules
        for action in (rule.esl_api, rule.esl_event)
        if action is not None
    }


def make_endpoints(named: Mapping[str, ConfiguredEndpoint]) -> dict[str, Endpoint]:
    """Endpoints for ``named``, each opened by its first use."""
    return {name: make_endpoint(endpoint.url) for name, endpoint in named.items()}
