"""The configuration in the panel: what is set and where, what became of the newest file, databases of places."""

import json

from forms import text_of

from gatekeeper.config.origin import Origin


async def test_the_page_shows_what_is_set_and_all_of_it_when_asked(gate, admin):
    gate.gatekeeper.reloads.origin = Origin("/etc/gate/config.yaml", {"public_url": "/etc/gate/config.yaml:3"})
    seen = await text_of(await admin.get("/_gate/admin/config"))
    assert f"public_url {gate.url} config.yaml:3" in seen
    assert "tokens.access_ttl" not in seen
    everything = await text_of(await admin.get("/_gate/admin/config?show=all"))
    assert "tokens.access_ttl" in everything
    assert "15m default" in everything


async def test_the_secret_of_the_gate_is_in_no_answer(gate, admin):
    secret = gate.config.storage.secret.get_secret_value()
    for path in ("config?show=all", "api/config"):
        answer = await admin.get(f"/_gate/admin/{path}")
        assert (answer.status, secret in await answer.text()) == (200, False)


async def test_a_refused_file_is_shown_with_its_faults_until_a_good_one_comes(gate, admin):
    gate.gatekeeper.reload(None)
    gate.gatekeeper.reloads.faults = ("config.yaml:7: rules[0].path: must begin with / <b>",)
    answer = await admin.get("/_gate/admin/config")
    page = await answer.text()
    assert "config.yaml:7: rules[0].path: must begin with / &lt;b&gt;" in page
    call = json.loads(await (await admin.get("/_gate/admin/api/config")).text())
    assert (call["good"], len(call["faults"])) == (False, 1)
    gate.gatekeeper.reload(gate.config)
    call = json.loads(await (await admin.get("/_gate/admin/api/config")).text())
    assert (call["good"], call["faults"], call["since"]) == (True, [], "2027-01-15T08:00:00Z")


async def test_what_waits_for_a_restart_is_named(gate, admin):
    gate.gatekeeper.reloads.origin = Origin("config.yaml", {}, waiting=("tokens.access_ttl",))
    seen = await text_of(await admin.get("/_gate/admin/config"))
    assert "only a restart puts it in force: tokens.access_ttl" in seen
    assert "15m restart" in seen


async def test_the_database_of_places_has_its_date_and_every_page_its_attribution(gate, admin):
    """issue 6.1"""
    call = json.loads(await (await admin.get("/_gate/admin/api/config")).text())
    (database,) = call["databases"]
    assert (database["key"], database["knows"]) == ("geo.database", ["country"])
    assert "iptoasn.com" in database["attribution"]
    page = await (await admin.get("/_gate/admin/config")).text()
    assert f'<time datetime="{database["built"]}">' in page
    assert "impossible travel is not evaluated" in page
    link = '<a href="https://iptoasn.com" rel="noopener noreferrer">https://iptoasn.com</a>'
    assert link in await (await admin.get("/_gate/admin/logins")).text()


async def test_reading_again_comes_back_to_this_page(gate, admin):
    asked = []
    gate.gatekeeper.reloads.request = lambda: asked.append(1)
    answer = await admin.submit("/_gate/admin/rules/reload", {"why": "new rules", "page": "config"})
    assert (answer.headers["Location"], asked) == ("/_gate/admin/config?done=reload-asked", [1])


async def test_health_on_the_overview_leads_to_the_pages_of_its_parts(gate, admin):
    running = gate.gatekeeper.reloader.running
    running.upstreams["api"] = Standing([("http://127.0.0.1:9000", True), ("http://127.0.0.1:9001", False)])
    answer = await admin.get("/_gate/admin/")
    page, seen = await answer.text(), await text_of(answer)
    for page_of, name in [
        ("config#upstreams", "upstream api"),
        ("config#state", "configuration"),
        ("config#places", "places"),
        ("bans", "bans"),
        ("mail", "mail queue"),
    ]:
        assert f'href="/_gate/admin/{page_of}">{name}</a>' in page, name
    assert ("upstream api 1 of 2 up" in seen, "mail queue 0 waiting" in seen, " d old" in seen) == (True, True, True)
    config = await admin.get("/_gate/admin/config")
    whole = await config.text()
    assert all(f'id="{part}"' in whole for part in ("upstreams", "state", "places"))
    assert "http://127.0.0.1:9000 up http://127.0.0.1:9001 down" in await text_of(config)
    call = json.loads(await (await admin.get("/_gate/admin/api/config")).text())
    (upstream,) = call["upstreams"]
    assert upstream["targets"][1] == {"address": "http://127.0.0.1:9001", "up": False}


class Standing:
    """An upstream, as far as it is looked at here."""

    def __init__(self, found):
        self.found = found

    def standings(self):
        return self.found

    async def close(self):
        """It has no connections."""
