"""``gatekeeper demo`` over real stores: a whole company, found by the gate's own signals; nobody of it can come in."""

import re
from random import Random

import argon2
import pytest
from factories import NOW

from gatekeeper.config.model import Config
from gatekeeper.demo.attacks import attacks
from gatekeeper.demo.people import people
from gatekeeper.demo.story import Story
from gatekeeper.demo.world import DAY
from policies.listed import Listed

FOUND = {"brute_force", "credential_stuffing", "impossible_travel", "new_country", "otp_guessing", "password_spray"}


@pytest.fixture
def filled(command):
    answer = command("demo")
    assert (answer.status, answer.err) == (0, "")
    return answer.out


def test_the_demo_fills_every_page_with_what_belongs_together(command, filled):
    assert re.match(r"141 users, [\d,]+ logins in 30 days, [\d,]+ sessions \(\d+ alive\), \d+ bans\n", filled)
    (counts,) = command.rows(
        "SELECT (SELECT count(*) FROM login_logs) AS rows, (SELECT count(*) FROM login_logs_default) AS outside,"
        " (SELECT sum(attempts) FROM login_counts WHERE grain = 'day') AS counted,"
        " (SELECT sum(attempts) FROM login_shares WHERE grain = 'day' AND kind = 'os') AS shared,"
        " (SELECT count(*) FROM login_logs l WHERE result = 'success'"
        "   AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = l.session)) AS strays,"
        " (SELECT count(*) FROM sessions JOIN users u ON u.id = user_id WHERE u.locked AND ended_at IS NULL) AS late"
    )
    assert counts["rows"] > 3000
    assert counts["counted"] == counts["shared"] == counts["rows"]
    assert (counts["outside"], counts["strays"], counts["late"]) == (0, 0, 0)
    signals = command.rows("SELECT DISTINCT unnest(signals) AS signal FROM login_logs")
    assert {row["signal"] for row in signals} >= FOUND
    actions = command.rows("SELECT DISTINCT action FROM audit_log")
    assert {row["action"] for row in actions} >= {"ban.add", "ban.lift", "user.lock", "user.unlock", "user.role"}
    listed = command("session", "list", "--json").out.splitlines()
    assert len(listed) == int(re.search(r"\((\d+) alive\)", filled)[1]) > 50


def test_only_the_admin_has_a_password_and_a_second_demo_changes_nothing(command, filled):
    holders = command.rows("SELECT u.email, u.roles FROM passwords p JOIN users u ON u.id = p.user_id")
    assert holders == [{"email": "admin@example.com", "roles": ["admin"]}]
    password = re.search(r"password  (\S+)", filled)[1]
    (row,) = command.rows("SELECT hash FROM passwords")
    assert argon2.PasswordHasher().verify(row["hash"], password)
    again = command("demo")
    assert again.status == 1
    assert again.err == "the database has users or logins already; the demo fills an empty one only\n"
    assert command.rows("SELECT count(*) AS users FROM users") == [{"users": 141}]


def test_an_admin_with_no_email_is_refused(command):
    answer = command("demo", "--email", "root")
    assert answer.status == 1
    assert answer.err.startswith("--email: 'root' ")
    assert command.rows("SELECT count(*) AS users FROM users") == [{"users": 0}]


@pytest.mark.parametrize("hour", range(0, 24, 3))
async def test_at_any_hour_every_kind_of_attack_is_in_the_story(hour):
    now = NOW + 3600.0 * hour
    random = Random(1)
    company = people(random, now)
    story = Story(Config(), random, now, lambda headers: headers["User-Agent"], Listed())
    happenings = [one for person in company for one in person.happenings(now - 30 * DAY, now)]
    told = await story.tell([*happenings, *attacks(random, now, company)])
    assert {signal for one in told.attempts for signal in one.signals} >= FOUND


async def test_a_seed_tells_one_story_without_real_people():
    async def told(seed):
        random = Random(seed)
        company = people(random, NOW)
        story = Story(Config(), random, NOW, lambda headers: headers["User-Agent"], Listed())
        return company, await story.tell(attacks(random, NOW, company))

    (company, first), (_, second), (_, other) = await told(1), await told(1), await told(2)
    kept = [(one.time, one.email, one.address, one.reason, one.signals) for one in first.attempts]
    assert kept == [(one.time, one.email, one.address, one.reason, one.signals) for one in second.attempts]
    assert [one.time for one in other.attempts] != [one.time for one in first.attempts]
    assert {person.email.partition("@")[2] for person in company} == {"example.com"}
    assert {one.email.partition("@")[2] for one in first.attempts} <= {"example.com", "example.net"}
    assert all(4_200_000_000 <= one.asn <= 4_294_967_294 for one in first.attempts), "private numbers, RFC 6996"
