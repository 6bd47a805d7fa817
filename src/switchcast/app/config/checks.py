"""What one table of the configuration says about another: names, roles, policies, addresses, conditions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from switchcast._native import Matcher
from switchcast.app.api.settings import SHORTEST_TOKEN, ApiSettings
from switchcast.app.config.endpoint_checks import EndpointChecks
from switchcast.app.config.extras import missing_extras
from switchcast.app.config.locate import Path
from switchcast.app.config.model import FileSettings, RouteSettings
from switchcast.app.config.problems import Problems
from switchcast.app.config.shapes import nearest, shape_at
from switchcast.app.config.trust_checks import TrustChecks
from switchcast.endpoints import Role
from switchcast.endpoints.places import same_place
from switchcast.errors import BindingError, ConditionError
from switchcast.guard.policy import SHIPPED, SHORTEST_KEY, PolicySettings
from switchcast.rules.settings import RuleSettings
from switchcast.settings import Settings

__all__ = ["Checks"]

LEAVES_THE_HOST: Final = frozenset({"multicast", "udp"})
"""Schemes of sinks that other hosts listen to: a route to one has the policy ``cluster`` unless it says otherwise."""
WITHOUT_ADDRESS: Final = frozenset({"esl", "sim"})
"""Schemes of sources whose events come with no sender's address."""


@dataclass
class Checks:
    """The checks over a whole file.

    ``broken`` are the names under ``[endpoints]`` and ``[policies]`` whose tables could not be read: to name one is no
    second mistake. ``places`` is the index in the file of each route and rule that could be read.
    """

    problems: Problems
    endpoints: EndpointChecks
    broken: Collection[tuple[str, str]] = ()
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    _used: set[tuple[str, str]] = field(default_factory=set)

    def check(self, settings: FileSettings) -> FileSettings:
        """``settings`` with the names and policies of routes filled in."""
        names: set[str] = set()
        routes = []
        for place, route in zip(self._places("route", settings.route), settings.route, strict=True):
            path = ("route", place)
            filled = self._route(path, route, settings)
            if filled.name in names and route.name is not None:
                self.problems.add((*path, "name"), route.name, "another route has this name; choose another")
            routes.append(_renamed(filled, names))
            names.add(routes[-1].name or "")
        self._rules(settings)
        trust = TrustChecks(self.problems, self.endpoints.made)
        for place, route in zip(self._places("route", settings.route), routes, strict=True):
            trust.route(("route", place), route)
        for place, rule in zip(self._places("rule", settings.rule), settings.rule, strict=True):
            trust.rule(("rule", place), rule)
        for index, sink in enumerate(settings.peers.to):
            self._named(sink, "sink", ("peers", "to", index), settings)
        for index, switch in enumerate(settings.views.ask or ()):
            self._switch(switch, ("views", "ask", index), settings)
        for extra_path, sentence in missing_extras(settings):
            self.problems.warn(extra_path, sentence)
        self._unused(settings)
        return settings.model_copy(update={"route": tuple(routes)})

    def policies(self, settings: FileSettings) -> dict[str, PolicySettings]:
        """The file's policies, with the paths of their secret files, which are looked at."""
        return {
            name: PolicySettings.model_validate(self._with_files(policy, ("policies", name)))
            for name, policy in settings.policies.items()
        }

    def rules(self, settings: FileSettings) -> tuple[RuleSettings, ...]:
        """The rules, with the paths of their secret files, which are looked at."""
        places = self._places("rule", settings.rule)
        return tuple(
            RuleSettings.model_validate(self._with_files(rule, ("rule", place)))
            for place, rule in zip(places, settings.rule, strict=True)
        )

    def api(self, settings: FileSettings) -> ApiSettings | None:
        """The ``[api]`` table, with the path of its token's file, which is looked at."""
        if settings.api is None:
            return None
        return ApiSettings.model_validate(self._with_files(settings.api, ("api",)))

    def _with_files(self, table: Settings, path: Path) -> Any:
        return self._resolved(table.model_dump(by_alias=True, exclude_unset=True), path)

    def _resolved(self, value: Any, path: Path) -> Any:
        """``value`` with the path of each secret file in it."""
        if isinstance(value, str) and _names_a_file(path):
            return self._secret(value, path)
        if isinstance(value, Mapping):
            return {key: self._resolved(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(each, (*path, index)) for index, each in enumerate(value)]
        return value

    def _secret(self, text: str, path: Path) -> str:
        found = self.endpoints.secret_files.look(text, path)
        if found is None:
            return text
        file, secret = found
        if path[0] == "policies" and len(secret) < SHORTEST_KEY:
            self.problems.add(
                path,
                text,
                f"the key in it has {len(secret)} bytes, and at least {SHORTEST_KEY} are needed; make one with: "
                "openssl rand -hex 32",
            )
        if path[0] == "api" and len(secret) < SHORTEST_TOKEN:
            self.problems.add(
                path,
                text,
                f"the token in it has {len(secret)} bytes, and at least {SHORTEST_TOKEN} are needed; make one with: "
                "openssl rand -hex 32",
            )
        return file

    def _places(self, key: str, tables: Collection[Any]) -> tuple[int, ...]:
        return self.places.get(key) or tuple(range(len(tables)))

    def _route(self, path: Path, route: RouteSettings, settings: FileSettings) -> RouteSettings:
        known = self._named(route.source, "source", (*path, "from"), settings)
        if known:
            self._allow((*path, "allow"), route)
        for index, sink in enumerate(route.to):
            place = (*path, "to", index)
            if sink in route.to[:index]:
                self.problems.add(place, sink, "stands twice; leave one out")
            elif sink == route.source:
                self.problems.add(place, sink, "events would go back to where they come from; name another endpoint")
            elif self._named(sink, "sink", place, settings) and known:
                self._own_place(place, sink, route.source)
        self._matching(path, route)
        return route.model_copy(
            update={
                "name": route.name or f"{route.source}-to-{'-'.join(route.to)}",
                "policy": self._policy((*path, "policy"), route, settings),
            }
        )

    def _own_place(self, path: Path, sink: str, source: str) -> None:
        if same_place(self.endpoints.made[source].url, self.endpoints.made[sink].url):
            self.problems.add(path, sink, f"writes to where {source} reads; give it another file or directory")

    def _named(self, name: str, role: Role, path: Path, settings: FileSettings) -> bool:
        """Whether there is an endpoint of this name that can be used; notes where there is none."""
        self._used.add(("endpoints", name))
        if ("endpoints", name) in self.broken:
            return False
        if name not in settings.endpoints:
            names = [*settings.endpoints, *(each for kind, each in self.broken if kind == "endpoints")]
            self.problems.add(path, name, f"there is no [endpoints.{_bare(name)}]; {_hint(name, names)}")
            return False
        self.endpoints.check_role(name, role, path)
        return name in self.endpoints.made

    def _allow(self, path: Path, route: RouteSettings) -> None:
        scheme = self.endpoints.made[route.source].url.scheme
        if route.allow and scheme in WITHOUT_ADDRESS:
            self.problems.add(
                path, None, f"events from {scheme}: have no sender's address, so none would be let in; leave it out"
            )
        for index, text in enumerate(route.allow):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                self.problems.add((*path, index), text, _address_mend(text))

    def _matching(self, path: Path, route: RouteSettings) -> None:
        try:
            self._warn((*path, "bindings"), Matcher(route.bindings).warnings)
        except BindingError as error:
            self.problems.add((*path, "bindings"), route.bindings, str(error))
        try:
            Matcher("all", route.where)
        except ConditionError as error:
            self.problems.add((*path, "where"), route.where, str(error))

    def _policy(self, path: Path, route: RouteSettings, settings: FileSettings) -> str:
        if route.policy is None:
            made = [self.endpoints.made[sink] for sink in route.to if sink in self.endpoints.made]
            return "cluster" if any(sink.url.scheme in LEAVES_THE_HOST for sink in made) else "all"
        self._used.add(("policies", route.policy))
        known = {*settings.policies, *SHIPPED}
        if route.policy not in known and ("policies", route.policy) not in self.broken:
            hint = nearest(route.policy, sorted(known))
            self.problems.add(path, route.policy, f"there is no [policies.{_bare(route.policy)}]; {hint}")
        return route.policy

    def _rules(self, settings: FileSettings) -> None:
        names: set[str] = set()
        for place, rule in zip(self._places("rule", settings.rule), settings.rule, strict=True):
            path = ("rule", place)
            if rule.name in names:
                self.problems.add((*path, "name"), rule.name, "another rule has this name; choose another")
            names.add(rule.name)
            self._warn((*path, "on"), rule.warnings)
            self._targets(path, rule, settings)

    def _targets(self, path: Path, rule: RuleSettings, settings: FileSettings) -> None:
        for key, action in (("esl-api", rule.esl_api), ("esl-event", rule.esl_event)):
            if action is None:
                continue
            self._switch(action.endpoint, (*path, key, "endpoint"), settings)
        for index, sink in enumerate(rule.emit.to if rule.emit else ()):
            self._named(sink, "sink", (*path, "emit", "to", index), settings)

    def _switch(self, name: str, path: Path, settings: FileSettings) -> None:
        """Note where ``name`` is no endpoint that a switch answers at."""
        if self._named(name, "sink", path, settings):
            scheme = self.endpoints.made[name].url.scheme
            if scheme != "esl":
                self.problems.add(path, name, f"is {scheme}: and no switch; name an esl: endpoint")

    def _unused(self, settings: FileSettings) -> None:
        if not settings.route and not settings.rule and not self.problems.found():
            self.problems.warn((), "there is no [[route]] and no [[rule]]: nothing would be done")
            return
        for kind, tables in (("endpoints", settings.endpoints), ("policies", settings.policies)):
            for name in tables:
                if (kind, name) not in self._used:
                    what = "no route and no rule" if kind == "endpoints" else "no route"
                    self._warn((kind, name), [f"{what} names it"])
        for name, policy in settings.policies.items():
            self._warn(("policies", name), policy.warnings())
            if name in SHIPPED:
                self._warn(
                    ("policies", name), ["stands in place of the policy of this name that comes with switchcast"]
                )
        for name, endpoint in settings.endpoints.items():
            url = self.endpoints.made[name].url if name in self.endpoints.made else None
            if url is None or url.scheme != "esl" or endpoint.password_file or url.text("password_file"):
                continue
            shipped = "no password_file: the password that every FreeSWITCH is shipped with is tried"
            self._warn(("endpoints", name), [shipped])

    def _warn(self, path: Path, sentences: Collection[str]) -> None:
        for sentence in sentences:
            self.problems.warn(path, sentence)


def _renamed(route: RouteSettings, names: set[str]) -> RouteSettings:
    """``route`` under a name that no other has."""
    return next(
        route if name == route.name else route.model_copy(update={"name": name})
        for name in _numbered(route.name or "")
        if name not in names
    )


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _names_a_file(path: Path) -> bool:
    """Whether ``path`` names a secret's file: by a key of ours, not by what a user called something."""
    around = shape_at(FileSettings, path[:-1])
    if around is None or around.kind != "table":
        return str(path[-2]).endswith("_files")
    return str(path[-1]).endswith("_file")


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _hint(name: str, names: Collection[str]) -> str:
    return nearest(name, names) if names else "there are no endpoints yet"


def _address_mend(text: str) -> str:
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "no IP address or network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
    return f"has bits beyond its prefix; for the network write {wider}, for one host {text.partition('/')[0]}"
