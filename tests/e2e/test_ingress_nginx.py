"""ingress-nginx in front: a real nginx with the locations that the controller writes from deploy/examples.

The controller itself wants a cluster; what it makes of the annotations is copied here from its template by hand.
"""

import fronts
import pytest
import yaml
from factories import PASSWORD
from gates import bearer, running_gate
from upstreams import Upstream, unused_port
from yarl import URL

pytestmark = pytest.mark.nginx
PREFIX = "nginx.ingress.kubernetes.io/"
DOCUMENTS = list(yaml.safe_load_all((fronts.EXAMPLES / "ingress-nginx" / "ingress.yaml").read_text()))


def _document(kind, name):
    return next(found for found in DOCUMENTS if found["kind"] == kind and found["metadata"]["name"] == name)


def ingress(places):
    """As rootfs/etc/nginx/template/nginx.tmpl has it: the location that asks, and the one that is asked about."""
    notes = {
        name.removeprefix(PREFIX): value
        for name, value in _document("Ingress", "app")["metadata"]["annotations"].items()
    }
    asks = _document("ConfigMap", notes["auth-proxy-set-headers"].partition("/")[2])["data"]
    url = URL(notes["auth-url"])
    names = notes["auth-response-headers"].split(",")
    told = "".join(
        f"auth_request_set $authHeader{place} $upstream_http_{name.replace('-', '_').lower()};\n"
        f"proxy_set_header '{name}' $authHeader{place};\n"
        for place, name in enumerate(names)
    )
    always = " always" if notes["auth-always-set-cookie"] == "true" else ""
    sign_in = f"{notes['auth-signin']}?{notes['auth-signin-redirect-param']}=$scheme://$http_host$request_uri"
    return fronts.nginx_with(
        places,
        f"""server {{
listen {places.front};
location = /_external-auth {{
    internal;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header X-Forwarded-Proto "";
    proxy_set_header X-Request-ID $request_id;
    {"".join(f"proxy_set_header '{name}' {value!r};" for name, value in asks.items())}
    proxy_set_header Host {url.host};
    proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Sent-From "nginx-ingress-controller";
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Auth-Request-Redirect $request_uri;
    proxy_http_version 1.1;
    proxy_pass http://{places.gate}{url.path};
}}
location @sign_in {{ internal; add_header Set-Cookie $auth_cookie{always}; return 302 {sign_in}; }}
location / {{
    auth_request /_external-auth;
    auth_request_set $auth_cookie $upstream_http_set_cookie;
    add_header Set-Cookie $auth_cookie{always};
    {told}
    error_page 401 = @sign_in;
    proxy_set_header Host $http_host;
    proxy_pass http://{places.app};
}}
location /_gate/ {{ proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_pass http://{places.gate}; }}
location {_paths("gatekeeper-ask")[0]} {{ return 503; }}
}}""",
    )


def _paths(name):
    (rule,) = _document("Ingress", name)["spec"]["rules"]
    return [path["path"] for path in rule["http"]["paths"]]


async def test_ingress_nginx_lets_through_leads_to_the_login_page_and_renews(postgres_dsn, redis_url, tmp_path):
    """security 3, 5"""
    place = f"127.0.0.1:{unused_port()}"
    url = f"http://{place}"
    rules = [
        {"name": "open", "path": "/open", "allow": "anyone"},
        {"name": "all", "path": "/**", "allow": "authenticated"},
    ]
    settings = {"public_url": url, "trusted_proxies": ["127.0.0.1"], "rules": rules}
    async with Upstream() as app, running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        inner, outer = gate.listening.removeprefix("http://"), app.address.removeprefix("http://")
        async with fronts.running(ingress, place, inner, outer):
            gate.url = url
            tokens = await gate.newcomer()
            assert (await gate.call("GET", "/x?y", headers=bearer(tokens) | {"X-Gate-Roles": "evil"})).status == 200
            (request,) = app.requests
            assert request.values(b"X-Gate-User") == [b"ada@example.com"]
            assert b"evil" not in app.raw
            stranger = await gate.call("GET", "/x?y")
            assert stranger.status == 302
            assert stranger.headers["Location"].startswith("https://127.0.0.1/_gate/login?next=http://127.0.0.1:")
            for name, value in {
                "X-Original-URI": "/open",
                "X-Original-URL": f"{url}/open",
                "X-Forwarded-Host": "evil",
            }.items():
                assert (await gate.call("GET", "/x", headers={name: value})).status in {302, 403}
            assert (await gate.call("GET", "/_gate/verify", headers=bearer(tokens))).status == 503
            body = {"email": "ada@example.com", "password": PASSWORD, "cookies": True}
            login = await gate.post("login", body, headers={"Sec-Fetch-Site": "same-origin"})
            refresh = login.headers.getall("Set-Cookie")[1].split(";")[0]
            answer = await gate.call("GET", "/x", headers={"Cookie": refresh})
            assert (answer.status, answer.headers["Set-Cookie"][:8]) == (200, "gate=eyJ")
