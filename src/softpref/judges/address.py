"""Where an endpoint is and what opens it: checked, sent on the wire, and taken out of everything that is shown or stored."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from softpref.errors import OptionError

KEY_VARIABLE = "OPENAI_API_KEY"
# What servers that want no key are sent: the client needs one.
NO_KEY = "none"
HIDDEN = "***"
# Parameters of a query that say which model answers; the value of any other may be a key.
PLAIN_PARAMETERS = frozenset({"api-version", "api_version", "version", "deployment", "model", "region"})
# A step of a path that looks like a key: by its beginning, or by a long run of letters and digits mixed.
_KEY_PREFIX = re.compile(r"(?:sk|pk|rk|key|token|tok|hf|gsk|xai)[-_][\w-]{6,}", re.IGNORECASE)
_LONG_MIXTURE = re.compile(r"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{20,}")
_DIGEST = 6


@dataclass(frozen=True)
class Address:
    """An endpoint's address in its parts.

    Attributes:
        shown: for messages, identities and files. It holds no secret; without one in it, it is the address as given.
        url: scheme, host and path, for the wire.
        query: parameters, for the wire.
        user: ``user:password``, for the wire; None without one.
        secrets: every text in it that may be a key.
    """

    shown: str
    url: str = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What a user and password in the address become."""
        if self.user is None:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(self.user.encode()).decode()}


def parse_address(base_url: str) -> Address:
    """The parts of ``--base_url``. Raises OptionError for what is no address of a server."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _no_address(base_url) from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in base_url):
        raise _no_address(base_url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    hidden_query = {name: value for name, value in query.items() if name.casefold() not in PLAIN_PARAMETERS}
    steps = [step for step in parts.path.split("/") if _looks_like_a_key(step)]
    user, _, place = parts.netloc.rpartition("@")
    user_parts = [part for part in unquote(user).split(":") if part]
    secrets = [*hidden_query.values(), *steps, *user_parts]
    bare = SplitResult(parts.scheme, place, parts.path, "", "")
    return Address(
        shown=_shown(bare, query, steps) if secrets else base_url,
        url=urlunsplit(bare),
        query=query,
        user=unquote(user) or None,
        secrets=tuple(secret for secret in secrets if secret),
    )


def _shown(bare: SplitResult, query: Mapping[str, str], steps: list[str]) -> str:
    """Without its secrets. A key in the path is a digest of it: two such addresses stay two judges."""
    path = "/".join(_digest(step) if step in steps else step for step in bare.path.split("/"))
    shown = (f"{name}={value if name.casefold() in PLAIN_PARAMETERS else HIDDEN}" for name, value in query.items())
    return urlunsplit((bare.scheme, bare.netloc, path, "&".join(shown), ""))


def _digest(step: str) -> str:
    return HIDDEN + hashlib.sha256(step.encode()).hexdigest()[:_DIGEST]


def _looks_like_a_key(step: str) -> bool:
    return bool(_KEY_PREFIX.fullmatch(step) or _LONG_MIXTURE.search(step))


def _no_address(base_url: str) -> OptionError:
    """What may be a key in it is not repeated."""
    shown = base_url.partition("?")[0].rpartition("@")[2]
    hint = f"http://{shown}" if re.match(r"[\w.-]+(:\d+)?(/|$)", shown) and "://" not in base_url else "http://localhost:8000/v1"
    return OptionError(f"base_url: {shown!r} is no address of a server; write it like {hint}")


def read_key() -> str:
    """The key in the environment, white space around it left out; what a server without keys is sent where it is not set.

    Raises OptionError for one that no header can carry. The message does not hold it.
    """
    key = os.environ.get(KEY_VARIABLE)
    if key is None:
        return NO_KEY
    key = key.strip()
    if not key:
        raise OptionError(f"{KEY_VARIABLE} is set but empty: give the key, or unset it for a server that wants none")
    if not (key.isascii() and key.isprintable()):
        raise OptionError(
            f"{KEY_VARIABLE} holds a line break, a control character or a letter outside ASCII, which no key has: "
            "set it to the key alone"
        )
    return key


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """The text without any of the secrets: a server may repeat them in its errors."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
