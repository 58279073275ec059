"""Lists of bans in the panel: filters, the order by ends, pages and files (issue 7)."""

import csv
import io
import json
from ipaddress import ip_network

import pytest
from forms import text_of

from admin.ban_lists import BanFilter, BanPlace, Order, bans_asked, network_in, place_in_force, said
from gatekeeper.errors import Problem
from policies.bans import Ban, BanKind, Source, of_user, parse_subject

BANS, API = "/_gate/admin/bans", "/_gate/admin/api/bans"


@pytest.mark.parametrize(
    ("typed", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("198.51.", "198.51.0.0/16"),
        ("198.51", "198.51.0.0/16"),
        ("10.", "10.0.0.0/8"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("10", None),
        ("999.1.", None),
        ("scans", None),
        ("", None),
    ],
)
def test_what_is_typed_may_be_an_address_or_the_beginning_of_one(typed, network):
    assert network_in(typed) == (None if network is None else ip_network(network))


def test_a_query_is_read_strictly():
    query = {"find": " user:ABC ", "kind": "user", "source": "import", "order": "ends", "after": ""}
    filters, wanted = bans_asked(query)
    assert filters == {"find": "user:ABC", "kind": "user", "source": "import"}
    assert wanted == BanFilter(text="ABC", kind=BanKind.USER, source=Source.IMPORT)
    assert bans_asked({"find": "agent:evilbot"})[1] == BanFilter(text="evilbot")
    for wrong in ({"kind": "nobody"}, {"source": "x"}, {"find": "a\nb"}):
        with pytest.raises(Problem) as refused:
            bans_asked(wrong)
        assert refused.value.status == 422


@pytest.mark.parametrize("until", [1_800_000_000.25, None])
def test_the_place_of_a_row_is_read_back_in_either_order(until):
    ban = Ban(parse_subject("192.0.2.1"), Source.MANUAL, 1_700_000_000.0, until)
    assert place_in_force(said((7, ban), by_end=True), Order.ENDS) == BanPlace(7, until)
    assert place_in_force(said((7, ban), by_end=False), Order.NEWEST) == BanPlace(7)
    for order, wrong in ((Order.ENDS, "7"), (Order.NEWEST, "1.5_7")):
        with pytest.raises(Problem):
            place_in_force(wrong, order)


async def _fill(gate, admin):
    (me,) = await gate.rows("SELECT id FROM users")
    lines = [f"198.51.100.{number} # scans {number}" for number in range(60)]
    lines += ["203.0.113.0/24 until=2027-01-15T09:00:00Z # =cmd|x", "KP until=2027-01-15T08:30:00Z", "agent:*evilbot*"]
    call = {"list": "\n".join(lines), "why": "feed"}
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in admin.cookies.items()), "Origin": gate.url}
    assert (await gate.call("POST", f"{API}/import", json=call, headers=headers)).status == 200
    return str(me["id"])


async def _json(admin, path):
    return json.loads(await (await admin.get(path)).text())


async def _files(gate, admin):
    rows = list(csv.DictReader(io.StringIO(await (await admin.get(f"{BANS}.csv?find=203.0.113.7")).text())))
    assert [(row["subject"], row["reason"], row["until"]) for row in rows] == [
        ("203.0.113.0/24", "'=cmd|x", "2027-01-15T09:00:00Z")
    ]
    for path in (BANS, API):
        lines = (await (await admin.get(f"{path}.jsonl?order=ends")).text()).splitlines()
        assert [json.loads(line)["subject"] for line in lines][:2] == ["KP", "203.0.113.0/24"]
        assert len(lines) == 63
    await gate.call("GET", "/")
    over = await (await admin.get(f"{BANS}/ended.csv")).text()
    assert over.startswith("subject,kind,label,source,reason,by,since,until,lifted,lifted_by\r\n198.51.100.5,network,")
    assert json.loads(await (await admin.get(f"{API}/ended.jsonl")).text())["lifted_by"]


async def test_lists_are_filtered_ordered_paged_and_exported_alike(gate, admin):
    await _fill(gate, admin)
    first = await _json(admin, f"{API}?order=ends")
    assert [ban["subject"] for ban in first["bans"]][:2] == ["KP", "203.0.113.0/24"]
    second = await _json(admin, f"{API}?order=ends&after={first['next']}")
    assert (len(first["bans"]), len(second["bans"]), second["next"]) == (50, 13, None)
    assert len({ban["subject"] for ban in first["bans"] + second["bans"]}) == 63
    found = await _json(admin, f"{API}?find=scans+59")
    assert [ban["subject"] for ban in found["bans"]] == ["198.51.100.59"]
    assert [ban["subject"] for ban in (await _json(admin, f"{API}?kind=agent"))["bans"]] == ["agent:*evilbot*"]
    page = await (await admin.get(f"{BANS}?find=203.0.113.7&order=ends")).text()
    assert f'hx-get="{BANS}?find=203.0.113.7&amp;order=ends"' in page
    assert f'href="{BANS}.csv?find=203.0.113.7&amp;order=ends"' in page
    assert '<th scope="col" aria-sort="ascending">' in page
    assert "198.51.100" not in await text_of(await admin.get(f"{BANS}?find=203.0.113.7"))
    assert "No ban in force fits." in await text_of(await admin.get(f"{BANS}?source=otp"))
    await admin.submit(f"{BANS}/lift", {"subject": "198.51.100.5"})
    await admin.submit(BANS, {"subject": "198.51.100.5", "why": "again"})
    assert "198.51.100.5 network" in await text_of(await admin.get(f"{BANS}/ended?find=198.51.100.5"))
    assert "No ban that is over fits." in await text_of(await admin.get(f"{BANS}/ended?kind=user"))
    await _files(gate, admin)
    for wrong in ("?kind=x", "?source=x", "?order=x", "?after=x", "?order=ends&after=7", "/ended?after=7"):
        assert (await admin.get(f"{BANS}{wrong}")).status == 422, wrong
        assert (await admin.get(f"{API}{wrong}")).status == 422, wrong


async def test_a_subject_s_page_has_its_history_and_what_reaches_it(gate, admin):
    me = await _fill(gate, admin)
    page = await text_of(await admin.get(f"{BANS}?subject=203.0.113.9"))
    assert "203.0.113.9 was never banned. But wider bans reach it; those are below." in page
    assert "203.0.113.0/24" in page
    assert "198.51.100" not in page
    nobody = await text_of(await admin.get(f"{BANS}?subject=user:{me}"))
    assert "was never banned." in nobody
    assert "Nobody is banned" not in nobody
    assert of_user(me).text == me
