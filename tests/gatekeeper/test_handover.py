"""handover: a worker gets exactly the configuration that the supervisor checked."""

from __future__ import annotations

from pydantic import SecretStr

from gatekeeper.config.model import Config
from gatekeeper.handover import HandOver
from gatekeeper.store.addresses import StoreAddresses

ODD = {
    "listen": [{"address": "[::1]:8443", "tls": True, "proxy_protocol": True}, "127.0.0.1:8080"],
    "tls": {"cert": "/tls/a.pem", "more": [{"cert": "/tls/b.pem", "key": "/tls/b.key"}], "min_version": "1.3"},
    "public_url": "https://gate.example.org",
    "workers": 3,
    "trusted_proxies": ["10.0.0.0/8", "2001:db8::/32", "file:/etc/cdn.txt"],
    "storage": {"postgres": "postgresql://u:p%40ss@db/x", "redis": "rediss://:pw@r:6380/3", "secret": "s" * 40},
    "tokens": {"algorithm": "ES256", "access_ttl": "90s", "refresh_reuse_window": "1500ms"},
    "limits": {"login_per_account": "5/15minutes"},
    "sizes": {"body": "1000", "json": "3KiB"},
    "upstreams": {"one": {"targets": ["http://127.0.0.1:1"], "timeout": "2m"}, "two": {"targets": ["unix:/run/x"]}},
    "rules": [
        {"name": "a", "path": ["/x/**", "/y"], "allow": {"roles": ["staff"]}, "upstream": "one"},
        {"name": "b", "host": "*.example.org", "methods": ["GET"], "allow": "anyone", "upstream": "two"},
    ],
}


def test_configuration_arrives_as_it_was_sent() -> None:
    for config in (Config(), Config.model_validate(ODD)):
        sent = HandOver(2, config, StoreAddresses("postgresql://a", "unix://b"), ((5, 0), (6, 1)), panel=(7,))
        received = HandOver.load(sent.dump())
        assert received == sent
        assert received.config.model_dump() == config.model_dump()


def test_secrets_arrive_and_stay_hidden() -> None:
    line = HandOver(0, Config.model_validate(ODD), StoreAddresses("postgresql://a:b@c", "redis://:d@e"), ()).dump()
    assert line.count(b"\n") == 1
    received = HandOver.load(line)
    assert received.config.storage.secret == SecretStr("s" * 40)
    assert received.addresses.redis == "redis://:d@e"
    assert "s" * 40 not in repr(received)
    assert "a:b@c" not in repr(received)
