"""/.well-known/oauth-authorization-server (RFC 8414): for everybody, at exactly that path, and never the upstream's."""

import pytest
from gates import running_gate
from upstreams import Upstream

PATH = "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize("express", [True, False])
async def test_it_says_who_signs_and_where_the_keys_are(postgres_dsn, redis_url, tmp_path, express):
    async with Upstream() as app:
        settings = {
            "upstreams": {"api": {"targets": [app.address]}},
            "rules": [{"name": "all", "path": "/**", "allow": "anyone"}],
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, express=express, **settings) as gate:
            answer = await gate.call("GET", PATH)
            told = await answer.json()
            assert (answer.status, answer.content_type) == (200, "application/json")
            assert told["issuer"] == gate.url
            assert told["jwks_uri"].startswith(f"{gate.url}/_gate/")
            keys = await (await gate.call("GET", told["jwks_uri"].removeprefix(gate.url))).json()
            assert keys["keys"]
            assert (told["response_types_supported"], told["grant_types_supported"]) == ([], [])
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert (await gate.call("GET", f"{PATH}?x=1")).status == 200
            assert (await gate.call("POST", PATH)).status == 405
            assert (await gate.call("GET", PATH, headers={"Host": "evil.example"})).status == 421
            assert app.requests == []
            for path in (f"{PATH}/tenant", f"{PATH}x", "/.well-known/openid-configuration"):
                assert (await gate.call("GET", path)).status == 200
                assert app.requests[-1].target == path.encode()
