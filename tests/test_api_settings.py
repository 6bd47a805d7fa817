"""The ``[api]`` table: what it takes, what it says where it does not, and the extra that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from configurations import loaded
from keyfiles import written

from switchcast.errors import ConfigurationError

TOKEN = "0123456789abcdef"  # noqa: S105 - of these tests


def test_it_is_off_without_the_table_and_on_loopback_with_it(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").api is None
    settings = loaded(tmp_path, "[api]").api
    assert settings is not None
    assert settings.address == ("127.0.0.1", 8480)
    assert settings.token_file is None


def test_other_hosts_may_ask_who_have_the_token(tmp_path: Path) -> None:
    written(tmp_path / "api.token", f"{TOKEN}\n")
    settings = loaded(tmp_path, '[api]\nlisten = "[::]:8480"\ntoken_file = "{folder}/api.token"').api
    assert settings is not None
    assert settings.token_file == str(tmp_path / "api.token")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[api]\nlisten = "8480"', ":2: api.listen: \"8480\": '8480' is no address with a port; write an address"),
        ('[api]\nlisten = "fs1:8480"', "is no IP address; write an address and a port, such as 127.0.0.1:8480"),
        ('[api]\nlisten = "0.0.0.0:8480"', ":1: api: 0.0.0.0:8480 can be reached from other hosts, which must prove"),
        ('[api]\nlisten = "192.0.2.1:80"', "add token_file, or write 127.0.0.1:80"),
        ('[api]\ntoken_file = "api.token"', "token_file: ***: write an absolute path, or credential:"),
        ('[api]\ntoken_file = "/nonexistent/api.token"', ":2: api.token_file"),
        ('[api]\ntoken_file = "{folder}/open.token"', "chmod"),
        ('[api]\ntoken_file = "{folder}/short.token"', "the token in it has 15 bytes, and at least 16 are needed"),
        ("[api]\nstreams = 0", ":2: api.streams"),
        ('[api]\nrecent_size = "1KiB"', ":2: api.recent_size"),
        ("[api]\ntoken = 1", ":2: api.token: unknown key; did you mean token_file?"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_mend(tmp_path: Path, text: str, said: str) -> None:
    written(tmp_path / "open.token", TOKEN, 0o644)
    written(tmp_path / "short.token", TOKEN[:-1])
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text)
    assert said in str(raised.value)
    assert TOKEN[:-1] not in str(raised.value)
    assert raised.value.exit_code == 78


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "starlette"])
def test_without_the_extra_it_says_how_to_get_it(missing: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from switchcast.app.api import load_api
from switchcast.app.config import load
from switchcast.errors import MissingExtra
try:
    load_api()
except MissingExtra as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert ended.stdout == "[api] in the configuration needs an optional dependency: pip install 'switchcast[api]'\n"


def test_nothing_of_it_is_loaded_where_it_is_not_asked_for() -> None:
    program = """
import sys
import switchcast.app.daemon
print(sorted({"fastapi", "starlette", "uvicorn", "anyio"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
