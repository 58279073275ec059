"""Webhooks to a real receiver: signature, pinning, refusals (security 30)."""

import base64
import hmac
import json
import uuid
from hashlib import sha256
from ipaddress import ip_address, ip_network

import pytest
from factories import NOW
from hook_receiver import hook_receiver
from mail_server import silent_server

from gatekeeper.notify.messages import Kind, Message, SendingFailed
from gatekeeper.notify.outbound import JudgedResolver, Outbound, reachable
from gatekeeper.notify.outbox import Parcel
from gatekeeper.notify.webhook import Webhooks, key_of

SECRET = "a webhook secret that is long enough"
LOOPBACK = (ip_network("127.0.0.0/8"),)
MESSAGE = Message(Kind.OTP, "ada@example.com", NOW + 300, {"code": "123456", "purpose": "login", "minutes": "5"})


@pytest.fixture
async def receiver():
    async with hook_receiver() as one:
        yield one


def _parcel(url):
    return Parcel(uuid.UUID(int=7), "webhook", "otp", b"", NOW + 300, url)


def _hooks(url, allowed=LOOPBACK, timeout=10.0):
    return Webhooks({url: key_of(SECRET)}, Outbound(allowed), timeout)


async def test_an_event_is_signed_as_standard_webhooks_says(receiver):
    await _hooks(receiver.url).send(MESSAGE.dump(), _parcel(receiver.url), NOW)
    ((path, headers, body),) = receiver.calls
    assert path == "/hook"
    said = json.loads(body)
    assert said.keys() == {"type", "id", "time", "data"}
    assert (said["type"], said["id"]) == ("otp", str(uuid.UUID(int=7)))
    assert said["data"] == {"to": "ada@example.com", "code": "123456", "purpose": "login", "minutes": "5"}
    assert headers["webhook-id"] == said["id"]
    assert headers["webhook-timestamp"] == str(int(NOW))
    signed = f"{said['id']}.{int(NOW)}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_secret_in_the_standard_form_is_base64():
    assert key_of("whsec_" + base64.b64encode(b"k" * 32).decode()) == b"k" * 32
    assert key_of("whsec_ not base64") == b"whsec_ not base64"


@pytest.mark.parametrize(("status", "final"), [(500, False), (404, False), (302, False), (410, True)])
async def test_anything_but_2xx_is_a_failure_and_redirects_lead_nowhere(receiver, status, final):
    receiver.status, receiver.headers = status, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    with pytest.raises(SendingFailed, match=str(status)) as caught:
        await _hooks(receiver.url).send(MESSAGE.dump(), _parcel(receiver.url), NOW)
    assert caught.value.final is final
    assert [path for path, _, _ in receiver.calls] == ["/hook"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_private_address_is_refused_unless_it_is_listed(receiver, host):
    url = f"http://{host}:{receiver.port}/hook"
    with pytest.raises(SendingFailed, match="private address"):
        await _hooks(url, ()).send(MESSAGE.dump(), _parcel(url), NOW)
    assert receiver.calls == []


async def test_a_receiver_that_left_the_configuration_gets_nothing(receiver):
    hooks = Webhooks({}, Outbound(LOOPBACK), 10.0)
    with pytest.raises(SendingFailed, match="not configured") as caught:
        await hooks.send(MESSAGE.dump(), _parcel(receiver.url), NOW)
    assert caught.value.final
    assert receiver.calls == []


async def test_a_receiver_that_does_not_answer_is_given_up_in_time():
    async with silent_server() as port:
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(SendingFailed):
            await _hooks(url, timeout=0.2).send(MESSAGE.dump(), _parcel(url), NOW)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "192.0.2.1", "198.18.0.1", "240.0.0.1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_reachable(address):
    assert not reachable(ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are(address):
    assert reachable(ip_address(address), ())


def test_a_listed_network_covers_its_mapped_form():
    assert reachable(ip_address("::ffff:10.1.2.3"), (ip_network("10.0.0.0/8"),))
    assert not reachable(ip_address("::ffff:10.1.2.3"), (ip_network("192.168.0.0/16"),))


async def test_a_name_with_one_private_address_is_refused_as_a_whole(monkeypatch):
    import asyncio
    import socket

    async def both(host, port, **kwargs):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(OSError, match="private address"):
        await JudgedResolver(()).resolve("rebind.example", 443)


async def test_the_environments_proxy_is_not_used(receiver, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await _hooks(receiver.url).send(MESSAGE.dump(), _parcel(receiver.url), NOW)
    assert len(receiver.calls) == 1
