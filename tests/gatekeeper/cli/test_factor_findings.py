"""``gatekeeper check`` on second factors."""

import pytest

from gatekeeper.cli.factor_findings import factors
from gatekeeper.config.model import Config


def said(**settings) -> list[str]:
    return [str(finding) for finding in factors(Config.model_validate(settings))]


def test_what_counts_and_for_whom_is_printed():
    assert said(public_url="https://app.example.org") == ["ok    mfa            totp, passkey, otp; needed for admin"]
    assert said(mfa={"methods": [], "require_for_roles": []}) == ["ok    mfa            nothing; needed for no role"]


def test_passkeys_need_a_name_and_its_extra(monkeypatch):
    assert "public_url needs a name" in said(public_url="http://127.0.0.1:8080")[1]
    monkeypatch.setattr("gatekeeper.cli.factor_findings.find_spec", lambda _name: None)
    assert "gatekeeper[passkeys]" in said(public_url="https://app.example.org")[1]


@pytest.mark.parametrize(
    ("hosts", "others"),
    [
        (["a.app.example.org", "*.app.example.org:8443", "app.example.org:8443"], None),
        (["other.example.org", "*.example.com:443"], "not at example.com, other.example.org"),
        (["xapp.example.org"], "not at xapp.example.org"),
    ],
)
def test_hosts_where_passkeys_cannot_work_are_named(hosts, others):
    lines = said(public_url="https://app.example.org", hosts=hosts)
    assert len(lines) == (1 if others is None else 2)
    assert others is None or others in lines[1]
