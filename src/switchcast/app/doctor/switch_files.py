"""What can be seen of FreeSWITCH on this host: the processes that run, and the files that they were set up by.

Its folder of settings is the one that a running FreeSWITCH was started with (``-conf``, or beside its program), else
the first of the usual places that is there. A FreeSWITCH in a container of this host is read by way of ``/proc``, where
that is allowed. Passwords and keys are compared here and go no further.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from switchcast.app.config.stock_xml import StockSettings, read_stock
from switchcast.app.doctor.openssl_files import openssl_of
from switchcast.app.doctor.switch_xml import Element, filled_in, read_elements, read_variables, unknown_variables
from switchcast.endpoints.esl_options import DEFAULT_PASSWORD
from switchcast.errors import ConfigurationError
from switchcast.guard.doctor.switch_facts import (
    EventSocketFile,
    ModuleAnswers,
    ModuleFile,
    ModulesFile,
    SwitchFacts,
    SwitchProcess,
    UnreadPart,
    groups_of,
)
from switchcast.system.processes import Process, find_processes

__all__ = ["default_url", "read_switch", "with_answers"]

USUAL_FOLDERS: Final = (
    "etc/freeswitch",
    "usr/local/freeswitch/conf",
    "usr/local/etc/freeswitch",
    "opt/freeswitch/conf",
)
"""Where packages and builds have their settings, below the root."""

_AS_ROOT: Final = "run it as root: sudo switchcast doctor"
_MEND: Final = "mend that line; what FreeSWITCH has made of its files is shown by: fs_cli -x 'xml_locate root'"
_ASK: Final = "ask the running switch: fs_cli -x 'xml_locate root' shows its files with everything filled in"
_MODULE: Final = "mod_event_multicast"
_MODULE_LISTS: Final = ("modules.conf.xml", "pre_load_modules.conf.xml", "post_load_modules.conf.xml")


def read_switch(
    psk: bytes | None = None,
    known_psk: bool = True,
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
) -> SwitchFacts:
    """What can be seen; what cannot is in ``unread``. Raises nothing for what it meets; reads files, so it takes time.

    ``psk`` is the endpoint's pre-shared key, to be compared with the module's unless ``known_psk`` is false.
    """
    reading = _Reading(psk, known_psk, os.environ if environ is None else environ)
    try:
        processes = find_processes("freeswitch", root)
    except OSError as error:
        processes = ()
        reading.unread.append(UnreadPart("running programs", f"/proc cannot be read: {error.strerror}", _AS_ROOT))
    folder, looked_in = _folder(processes, root)
    if folder is not None:
        reading.read(folder)
    return SwitchFacts(
        processes=tuple(_seen(process) for process in processes),
        folder=None if folder is None else str(folder),
        module=reading.module,
        event_socket=reading.event_socket,
        modules=reading.modules,
        unread=tuple(reading.unread),
        looked_in=looked_in,
    )


def with_answers(switch: SwitchFacts, answers: ModuleAnswers | UnreadPart) -> SwitchFacts:
    """``switch`` with what it answered over its event socket, or why it did not."""
    if isinstance(answers, ModuleAnswers):
        return replace(switch, answers=answers)
    return replace(switch, unread=(*switch.unread, answers))


def default_url(switch: SwitchFacts) -> str | None:
    """The URL of what FreeSWITCH on this host is set up for, without its key; ``None`` where it is not.

    ``multicast:`` where a group is among its destinations, else ``udp:``.
    """
    module = switch.module
    if module is None:
        return None
    hosts = ",".join(f"[{address}]" if ":" in address else address for address in module.address)
    if not groups_of(module.address):
        return f"udp://{hosts}:{module.port}"
    return f"multicast://{hosts}:{module.port}?ttl={module.ttl}"


def _seen(process: Process) -> SwitchProcess:
    version, legacy, known = openssl_of(process)
    return SwitchProcess(process.pid, process.same_network, version, legacy, known)


def _folder(processes: tuple[Process, ...], root: Path) -> tuple[Path | None, tuple[str, ...]]:
    """The folder of settings, and the places where was looked."""
    looked: list[str] = []
    for base, place in [*_folders_of(processes), *((root, place) for place in USUAL_FOLDERS)]:
        path = base / place.lstrip("/")
        looked.append(str(path))
        try:
            if path.is_dir():
                return path, tuple(looked)
        except OSError:
            continue
    return None, tuple(looked)


def _folders_of(processes: tuple[Process, ...]) -> Iterator[tuple[Path, str]]:
    for process in processes:
        here = process.folder or "/"
        if conf := process.argument("-conf"):
            yield process.root, os.path.join(here, conf)
        if base := process.argument("-base"):
            yield process.root, os.path.join(here, base, "conf")
        if process.executable is not None:
            yield process.root, os.path.join(os.path.dirname(os.path.dirname(process.executable)), "conf")
        if process.root.name == "root" and process.root.parent == process.proc:
            yield from ((process.root, place) for place in USUAL_FOLDERS)


@dataclass
class _Reading:
    """The files of one folder, as they come."""

    psk: bytes | None
    known_psk: bool
    environ: Mapping[str, str]
    module: ModuleFile | None = None
    event_socket: EventSocketFile | None = None
    modules: ModulesFile | None = None
    unread: list[UnreadPart] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def read(self, folder: Path) -> None:
        """Read what the doctor looks at below ``folder``."""
        for name in ("vars.xml", "freeswitch.xml"):
            if self._there("FreeSWITCH's variables", folder / name):
                try:
                    self.variables = read_variables(folder / name, self.environ, self.variables)
                except ConfigurationError as error:
                    self._unread("FreeSWITCH's variables", error)
        configs = folder / "autoload_configs"
        loaded = self._modules(configs)
        self._module(configs / "event_multicast.conf.xml")
        if loaded is None or "mod_event_socket" in loaded:
            self._event_socket(configs / "event_socket.conf.xml")

    def _unread(self, what: str, error: ConfigurationError) -> None:
        how = _AS_ROOT if "cannot be read" in str(error) else _MEND
        self.unread.extend(UnreadPart(what, line, how) for line in str(error).splitlines())

    def _there(self, what: str, path: Path) -> bool:
        """Whether the file is there; one that may not even be looked for is unread."""
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self.unread.append(UnreadPart(what, f"{path}: cannot be read: {error.strerror}", _AS_ROOT))
            return False
        return True

    def _elements(self, what: str, path: Path) -> list[Element] | None:
        if not self._there(what, path):
            return None
        try:
            return read_elements(path)
        except ConfigurationError as error:
            self._unread(what, error)
            return None

    def _modules(self, configs: Path) -> set[str] | None:
        """The modules that FreeSWITCH loads at its start; ``None`` where that is not known."""
        lists = {name: self._elements("the modules that FreeSWITCH loads", configs / name) for name in _MODULE_LISTS}
        if lists[_MODULE_LISTS[0]] is None:
            return None
        loaded = {
            name: {each.attributes.get("module", "") for each in elements or () if each.name == "load"}
            for name, elements in lists.items()
        }
        where = next((name for name, modules in loaded.items() if _MODULE in modules), None)
        self.modules = ModulesFile(str(configs / (where or _MODULE_LISTS[0])), where is not None)
        return set().union(*loaded.values())

    def _module(self, path: Path) -> None:
        what = "the settings of FreeSWITCH's module"
        elements = self._elements(what, path)
        if elements is None:
            return
        if unknown := next(unknown_variables(elements, self.variables), None):
            name, line = unknown
            why = f"{path}:{line}: $${{{name}}} is set where only the running switch knows it"
            self.unread.append(UnreadPart(what, why, _ASK))
            return
        if self._beyond(what, path, elements):
            return
        try:
            settings = read_stock(path, self.variables, self.environ)
        except ConfigurationError as error:
            self._unread(what, error)
            return
        self.module = ModuleFile(
            path=str(path),
            address=settings.address,
            port=settings.port,
            bindings=settings.bindings,
            ttl=settings.ttl,
            loopback=settings.loopback,
            source_address=settings.source_address,
            source_address_ipv6=settings.source_address_ipv6,
            keyed=settings.psk is not None,
            key_agrees=self._agrees(settings),
            endpoint_keyed=self.psk is not None,
            lines=settings.lines,
        )

    def _beyond(self, what: str, path: Path, elements: list[Element]) -> bool:
        """Whether the file takes in others, or sets something by a command or a server; then that is noted."""
        for each in elements:
            command = each.attributes.get("cmd", "").lower()
            if each.name == "X-PRE-PROCESS" and command not in {"set", "env-set"}:
                why = f"{path}:{each.line}: X-PRE-PROCESS {command} brings in what only the running switch knows"
                self.unread.append(UnreadPart(what, why, _ASK))
                return True
        return False

    def _agrees(self, settings: StockSettings) -> bool | None:
        if not self.known_psk:
            return None
        if settings.psk is None or self.psk is None:
            return settings.psk is None and self.psk is None
        return hmac.compare_digest(settings.psk.encode(), self.psk)

    def _event_socket(self, path: Path) -> None:
        what = "the settings of FreeSWITCH's event socket"
        elements = self._elements(what, path)
        if elements is None or self._beyond(what, path, elements):
            return
        variables = read_variables(path, self.environ, self.variables)
        values: dict[str, str] = {}
        lines: dict[str, int] = {}
        acls: list[str] = []
        for element in elements:
            name = element.attributes.get("name", "").lower()
            if element.name != "param" or name not in {"listen-ip", "listen-port", "password", "apply-inbound-acl"}:
                continue
            written = element.attributes.get("value", "")
            value = filled_in(written, variables)
            if value is None:  # nothing is made of it, and the other params count all the same
                why = f"{path}:{element.line}: {name} needs a variable that only the running switch knows"
                self.unread.append(UnreadPart(what, why, _ASK))
                value = written
            values[name], lines[name] = value, element.line
            if name == "apply-inbound-acl" and value:
                acls.append(value)
        port = values.get("listen-port", "")
        self.event_socket = EventSocketFile(
            path=str(path),
            listen_ip=values.get("listen-ip", "") or "127.0.0.1",
            port=int(port) if port.isascii() and port.isdigit() else 8021,
            default_password=values.get("password", "").encode() in {b"", DEFAULT_PASSWORD},
            acls=tuple(acls),
            lines=lines,
        )
