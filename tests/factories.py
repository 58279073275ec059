"""What tests are made of: users, keys, tokens, sessions with sensible defaults."""

from __future__ import annotations

import secrets
import uuid
from ipaddress import ip_address, ip_network
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.config.model import RuleConfig
from gatekeeper.inbound import InboundRequest
from gatekeeper.tokens.api_keys import KeyRecord, digest_of, new_key
from gatekeeper.tokens.codec import AccessTokens
from gatekeeper.tokens.keyring import KeyRing, generate, unseal
from gatekeeper.tokens.refresh import RefreshTokens
from gatekeeper.tokens.sessions import Session, UserState
from policies.ban_list import BanList
from policies.bans import entries_of, of_user, parse_subject, whole_end
from policies.load import compile_rules
from policies.model import RequestTarget
from policies.rules import RuleBook
from policies.scopes import parse_scopes

SECRET = "a secret for tests that is long enough"
NOW = 1_800_000_000.0
ISSUER = "http://127.0.0.1:8080"
PASSWORD = "correct horse battery 9"


def key_ring(algorithm: str = "EdDSA", now: float = NOW) -> KeyRing:
    """A ring with one access key and one assertion key."""
    return KeyRing(
        [
            unseal(generate(algorithm, "access", SECRET, now), SECRET),
            unseal(generate("EdDSA", "assertion", SECRET, now), SECRET),
        ]
    )


def access_tokens(ring: KeyRing | None = None, **changes: Any) -> AccessTokens:
    """A codec over ``ring``."""
    return AccessTokens(ring or key_ring(), **{"issuer": ISSUER, "audience": "gate", "ttl": 900.0, **changes})


def refresh_tokens() -> RefreshTokens:
    """Refresh tokens under a fixed key."""
    return RefreshTokens(b"k" * 32)


def user(**changes: Any) -> UserState:
    """A user."""
    defaults: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "email": f"{secrets.token_hex(4)}@example.com",
        "email_verified": False,
        "name": "Ada",
        "roles": ("staff",),
        "locked": False,
        "epoch": 1,
        "version": 1,
    }
    return UserState(**{**defaults, **changes})


def session(owner: UserState, **changes: Any) -> Session:
    """A session of ``owner``."""
    defaults: dict[str, Any] = {
        "id": secrets.token_urlsafe(18),
        "user_id": owner.id,
        "epoch": owner.epoch,
        "generation": 1,
        "rotated_at": NOW,
        "seen_at": NOW,
        "expires_at": NOW + 30 * 86400,
        "auth_time": NOW,
        "acr": "1fa",
        "amr": ("pwd",),
    }
    return Session(**{**defaults, **changes})


def api_key(owner: UserState, *scopes: str, **changes: Any) -> tuple[str, KeyRecord]:
    """A key of ``owner`` with these scopes, as its holder and as the stores have it."""
    text = new_key()
    defaults: dict[str, Any] = {
        "digest": digest_of(text),
        "id": secrets.token_hex(8),
        "user_id": owner.id,
        "scopes": parse_scopes(scopes),
        "networks": (),
        "created_at": NOW,
        "expires_at": None,
        "revoked": False,
        "version": 1,
    }
    return text, KeyRecord(**{**defaults, **changes})


def inbound(method: str = "GET", path: str = "/things", **changes: Any) -> InboundRequest:
    """A request; ``headers`` is a dict or a list of pairs, ``now`` the time it came in."""
    pairs = changes.pop("headers", {})
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    headers = CIMultiDict([("Host", "127.0.0.1:8080"), *pairs])
    path, mark, query = path.partition("?")
    defaults: dict[str, Any] = {
        "method": method,
        "target": RequestTarget("http", "127.0.0.1", 8080, path, query if mark else None),
        "client": ip_address("192.0.2.1"),
        "peer": ip_address("192.0.2.1"),
        "headers": CIMultiDictProxy(headers),
        "raw_headers": tuple((name.encode(), value.encode()) for name, value in headers.items()),
        "request_id": "test-request",
        "received": changes.pop("now", NOW),
    }
    return InboundRequest(**{**defaults, **changes})


def rule_book(*rules: dict[str, Any]) -> RuleBook:
    """Rules as config.yaml has them, over one upstream called api."""
    configs = [RuleConfig.model_validate({"name": f"rule-{place}", **rule}) for place, rule in enumerate(rules)]
    return compile_rules(configs, ["api"])


def ban_list(*texts: str, allow: tuple[str, ...] = (), until: float | None = None, **changes: Any) -> BanList:
    """A list that is ready and holds bans on ``texts`` (``parse_subject``), or on users as ``user:<id>``."""
    bans = BanList([ip_network(network) for network in allow], **changes)
    bans.take(bans.blank())
    for text in texts:
        subject = of_user(text[5:]) if text.startswith("user:") else parse_subject(text)
        bans.apply(entries_of(subject, whole_end(until)))
    return bans
