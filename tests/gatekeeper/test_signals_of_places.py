"""A whole gate with databases of places: sign-ins from other countries, and what is asked of whoever has no factor."""

from contextlib import asynccontextmanager

import pytest
from factories import PASSWORD
from gates import running_gate
from mmdb_writer import MMDBWriter
from netaddr import IPSet

ADA = "ada@example.com"
BERLIN = {
    "country": {"iso_code": "DE"},
    "city": {"names": {"en": "Berlin"}},
    "subdivisions": [{"names": {"en": "Land Berlin"}}],
    "location": {"latitude": 52.52, "longitude": 13.405, "accuracy_radius": 20},
}
TOKYO = {
    "country": {"iso_code": "JP"},
    "city": {"names": {"en": "Tokyo"}},
    "location": {"latitude": 35.69, "longitude": 139.75, "accuracy_radius": 20},
}
AT_HOME = {"User-Agent": "curl/8.1", "X-Forwarded-For": "5.1.1.1"}
ABROAD = {"User-Agent": "curl/8.1", "X-Forwarded-For": "6.1.1.1"}


def _database(path, records):
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-City")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture
def gate_with(postgres_dsn, redis_url, tmp_path, upstream):
    networks = {
        "5.0.0.0/8": {"autonomous_system_number": 64500, "autonomous_system_organization": "Home Net"},
        "6.0.0.0/8": {"autonomous_system_number": 64501, "autonomous_system_organization": "Away Net"},
    }

    @asynccontextmanager
    async def made(**settings):
        settings = {
            "upstreams": {"api": {"targets": [upstream.address]}},
            "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
            "trusted_proxies": ["127.0.0.0/8"],
            "geo": {
                "database": _database(tmp_path / "places.mmdb", {"5.0.0.0/8": BERLIN, "6.0.0.0/8": TOKYO}),
                "asn_database": _database(tmp_path / "asn.mmdb", networks),
            },
            **settings,
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
            await running.register(ADA)
            yield running

    return made


async def _login(gate, where):
    gate.clock.advance(60)
    answer = await gate.post("login", {"email": ADA, "password": PASSWORD}, headers=where)
    return answer.status, await answer.json()


async def _confirmed(gate):
    await gate.rows("UPDATE users SET email_verified = true RETURNING id")


async def test_whoever_comes_from_another_country_and_has_no_factor_shows_a_mailed_code(gate_with):
    async with gate_with() as gate:
        await _confirmed(gate)
        assert (await _login(gate, AT_HOME))[0] == 200
        status, asked = await _login(gate, ABROAD)
        assert (status, asked["type"], asked["methods"]) == (401, "urn:gatekeeper:mfa-required", ["otp"])
        await gate.post("otp/request", {"challenge": asked["challenge"], "purpose": "mfa"}, headers=ABROAD)
        shown = {"challenge": asked["challenge"], "code": gate.console.code(ADA, "mfa")}
        gate.clock.advance(5)
        answer = await gate.post("otp/verify", shown, headers=ABROAD)
        assert answer.status == 200, await answer.text()
        row = (await gate.rows("SELECT * FROM login_logs ORDER BY time, id"))[-1]
        assert {"new_country", "new_network", "new_address", "impossible_travel"} <= set(row["signals"])
        assert (row["city"], row["country"], row["asn"], row["as_org"]) == ("Tokyo", "JP", 64501, "Away Net")
        assert (row["action"], row["result"], row["factor"]) == ("step-up", "success", "otp")
        assert row["evidence"]["impossible_travel"]["km"] > 8000
        assert (await _login(gate, ABROAD))[0] == 200, "it is usual by now"


@pytest.mark.parametrize(
    ("confirmed", "settings"),
    [
        (False, {}),
        (True, {"mfa": {"methods": ["totp", "passkey"]}}),
        (True, {"anomalies": {"report_only": True}}),
    ],
    ids=["unconfirmed", "no mailed codes", "report only"],
)
async def test_whoever_cannot_be_asked_for_a_code_is_let_in(gate_with, confirmed, settings):
    async with gate_with(**settings) as gate:
        if confirmed:
            await _confirmed(gate)
        assert (await _login(gate, AT_HOME))[0] == 200
        assert (await _login(gate, ABROAD))[0] == 200
        row = (await gate.rows("SELECT * FROM login_logs ORDER BY time, id"))[-1]
        assert "new_country" in row["signals"]


async def test_a_mailed_code_is_no_factor_that_a_role_asks_for(gate_with):
    async with gate_with(mfa={"require_for_roles": ["staff"]}) as gate:
        await _confirmed(gate)
        assert (await _login(gate, AT_HOME))[0] == 200
        await gate.rows("UPDATE users SET roles = '{staff}' RETURNING id")
        _, asked = await _login(gate, ABROAD)
        await gate.post("otp/request", {"challenge": asked["challenge"], "purpose": "mfa"}, headers=ABROAD)
        shown = {"challenge": asked["challenge"], "code": gate.console.code(ADA, "mfa")}
        tokens = await (await gate.post("otp/verify", shown, headers=ABROAD)).json()
        reached = await gate.call("GET", "/x", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert (reached.status, reached.headers["X-Gate-Reason"]) == (401, "mfa-required")
