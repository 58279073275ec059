"""The list in force against the plainest one there is (a list and a loop)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from factories import NOW, ban_list
from hypothesis import given
from hypothesis import strategies as st

from policies.ban_list import FOR_GOOD, BanList, PackedTimes
from policies.bans import BanKind, entries_of, of_offender, of_user, parse_subject, whole_end

# Few and near, so that networks nest and addresses hit.
V4 = st.integers(0, 255).map(lambda low: IPv4Address(0xC0000200 + low)) | st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 255).map(lambda low: IPv6Address((0x20010DB8 << 96) + (low << 60) + low))
ADDRESSES = V4 | V6
LENGTHS = {4: st.integers(1, 32), 6: st.integers(1, 128)}


@st.composite
def networks(draw):
    address = draw(ADDRESSES)
    return ip_network((address, draw(LENGTHS[address.version])), strict=False)


CHANGES = st.lists(st.tuples(networks(), st.none() | st.integers(1, 100), st.booleans()), max_size=40)


def plainly(changes, address, now):
    """Whether the last word on any network that holds the address is a ban in force."""
    last = {network: (until, lifted) for network, until, lifted in changes}
    return any(
        address in network and not lifted and (until is None or NOW + until > now)
        for network, (until, lifted) in last.items()
        if network.version == address.version
    )


def followed(changes):
    bans = ban_list()
    for network, until, lifted in changes:
        bans.apply(entries_of(parse_subject(str(network)), -1 if lifted else 0 if until is None else int(NOW) + until))
    return bans


@given(CHANGES, st.lists(ADDRESSES, min_size=1, max_size=20), st.integers(0, 120))
def test_networks_are_found_as_the_plain_loop_finds_them(changes, addresses, later):
    now = NOW + later
    bans = followed(changes)
    inside = [network[0] for network, _, _ in changes] + [network[-1] for network, _, _ in changes]
    for address in [*addresses, *inside]:
        assert (bans.of_request(address, None, now) is not None) == plainly(changes, address, now)


@given(CHANGES, st.lists(ADDRESSES, min_size=1, max_size=20), st.integers(0, 120))
def test_sweeping_changes_nothing_but_the_count(changes, addresses, later):
    now = NOW + later
    swept, kept = followed(changes), followed(changes)
    swept.sweep(now, 10_000)
    for address in addresses:
        assert swept.of_request(address, None, now) == kept.of_request(address, None, now)
    last = {network: (until, lifted) for network, until, lifted in changes}
    alive = [until for until, lifted in last.values() if not lifted and (until is None or NOW + until > now)]
    assert len(swept) == len(alive)


def test_sweeping_a_little_at_a_time_gets_everywhere():
    packed = PackedTimes(32)
    for number in range(1000):
        packed.put(number, int(NOW) + number % 2 * 100)
    left = [len(packed)]
    while left[-1] > 500:
        packed.sweep(NOW + 1, 50)
        left.append(len(packed))
    assert left == sorted(left, reverse=True)
    assert len(left) > 5  # how the keys fall into the parts is another draw in every process
    assert [packed.get(number) > 0 for number in range(4)] == [False, True, False, True]


@pytest.mark.parametrize("bits", [8, 32, 64, 128])
@given(data=st.data())
def test_packed_times_are_a_dict(bits, data):
    keys = st.integers(0, 2**bits - 1) | st.integers(0, 15) | st.integers(0, 3).map(lambda high: high << bits - 2)
    steps = data.draw(st.lists(st.tuples(keys, st.integers(2, FOR_GOOD) | st.none()), max_size=60))
    packed, plain = PackedTimes(bits), {}
    for key, time in steps:
        if time is None:
            packed.remove(key)
            plain.pop(key, None)
        else:
            packed.put(key, time)
            plain[key] = time
        assert len(packed) == len(plain)
    for key, _ in steps:
        assert packed.get(key) == plain.get(key, 0)


def test_the_narrowest_ban_says_when_it_ends():
    bans = ban_list("192.0.2.0/24")
    bans.apply(entries_of(parse_subject("192.0.2.1"), int(NOW) + 60))
    assert bans.of_request(ip_address("192.0.2.1"), None, NOW).retry_after(NOW) == 60
    assert bans.of_request(ip_address("192.0.2.2"), None, NOW).until is None


def test_the_allow_list_wins_over_address_network_country_and_agent_but_not_over_an_account():
    bans = ban_list(
        "198.51.100.0/24",
        "192.0.2.1",
        "DE",
        "agent:curl",
        "user:ada",
        allow=("192.0.2.0/24",),
        country_of=lambda _: "DE",
    )
    assert bans.of_request(ip_address("192.0.2.1"), "curl/8", NOW) is None
    assert bans.of_connection(ip_address("192.0.2.1"), None, NOW) is None
    assert bans.of_connection(ip_address("192.0.2.1"), "ada", NOW).kind is BanKind.USER
    assert bans.of_user("ada", NOW).kind is BanKind.USER
    assert bans.of_request(ip_address("198.51.100.9"), None, NOW).kind is BanKind.NETWORK
    assert bans.of_request(ip_address("203.0.113.9"), None, NOW).kind is BanKind.COUNTRY


def test_a_country_is_looked_up_only_while_one_is_banned():
    asked = []
    bans = ban_list("192.0.2.1", country_of=lambda address: asked.append(address) or "NL")
    bans.of_request(ip_address("192.0.2.9"), None, NOW)
    assert asked == []
    bans.apply(entries_of(parse_subject("nl"), 0))
    assert bans.of_request(ip_address("192.0.2.9"), None, NOW).kind is BanKind.COUNTRY
    bans.apply(entries_of(parse_subject("NL"), -1))
    asked.clear()
    assert bans.of_request(ip_address("192.0.2.9"), None, NOW) is None
    assert asked == []


def test_an_address_whose_country_is_not_known_is_of_no_banned_country():
    bans = ban_list("NL", country_of=lambda _: None)
    assert bans.of_request(ip_address("10.0.0.1"), None, NOW) is None


@pytest.mark.parametrize(
    ("pattern", "agent", "hit"),
    [
        ("sqlmap", "sqlmap/1.7", True),
        ("SQLMap", "Mozilla sqlmap/1.7", True),
        ("sqlmap*", "Mozilla sqlmap/1.7", False),
        ("*bot*crawl*", "EvilBot; crawls a lot", True),
        ("*crawl*bot*", "EvilBot; crawls a lot", False),
        ("curl/*", "curl/8.5", True),
        ("curl", "", False),
        ("curl", None, False),
    ],
)
def test_user_agents_are_matched_by_piece_or_glob_in_any_case(pattern, agent, hit):
    bans = ban_list(f"agent:{pattern}")
    for _ in range(2):  # the second time from memory
        assert (bans.of_request(ip_address("192.0.2.1"), agent, NOW) is not None) == hit


def test_a_remembered_user_agent_is_free_again_when_its_ban_is_over_or_lifted():
    bans = ban_list("agent:curl", until=NOW + 60)
    address = ip_address("192.0.2.1")
    assert bans.of_request(address, "curl/8", NOW) is not None
    assert bans.of_request(address, "curl/8", NOW + 60) is None
    bans.apply(entries_of(parse_subject("agent:curl"), 0))
    assert bans.of_request(address, "curl/8", NOW + 60) is not None
    bans.apply(entries_of(parse_subject("agent:curl"), -1))
    assert bans.of_request(address, "curl/8", NOW + 60) is None


def test_a_list_is_not_quiet_before_it_is_ready_nor_while_somebody_is_banned():
    bans = BanList()
    assert (bans.ready, bans.quiet) == (False, False)
    bans.take(bans.blank())
    assert (bans.ready, bans.quiet) == (True, True)
    bans.apply(entries_of(of_user("ada"), int(NOW) + 60))
    assert not bans.quiet
    bans.sweep(NOW + 61)
    assert bans.quiet


def test_a_new_list_takes_the_place_of_the_old_one_whole():
    bans = ban_list("192.0.2.1", "agent:curl")
    fresh = bans.blank()
    fresh.apply(entries_of(parse_subject("192.0.2.2"), 0))
    bans.of_request(ip_address("192.0.2.9"), "curl", NOW)
    bans.take(fresh)
    met = [bans.of_request(ip_address(f"192.0.2.{last}"), "curl", NOW) is not None for last in (1, 2)]
    assert met == [False, True]


def test_a_mapped_address_and_the_plain_one_are_the_same_subject():
    assert parse_subject("::ffff:192.0.2.1") == parse_subject("192.0.2.1")
    assert parse_subject("::ffff:192.0.2.0/120") == parse_subject("192.0.2.0/24")


def test_an_offender_s_ipv6_ban_is_on_its_64():
    """security 5"""
    assert of_offender(ip_address("2001:db8::1:2:3:4")).text == "2001:db8::/64"
    assert of_offender(ip_address("192.0.2.1")).text == "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.1/24", "192.0.2.0/24 is meant"),
        ("0.0.0.0/0", "everybody"),
        ("::/0", "everybody"),
        ("::ffff:0:0/96", "everybody"),
        ("XX", "no country"),
        ("nonsense", "no address"),
        ("", "no address"),
        ("192.0.2.999", "no address"),
        ("agent:ab", "three characters"),
        ("agent:***", "three characters"),
        ("agent:" + "x" * 201, "at most 200"),
        ("agent:a\nbc", "printable"),
    ],
)
def test_what_is_no_subject_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse_subject(text)


def test_a_million_bans_take_less_than_40_mib_by_their_own_arrays():
    packed = PackedTimes(32)
    for number in range(20_000):
        packed.put(number * 2654435761 % 2**32, FOR_GOOD)
    size = sum(column.buffer_info()[1] * column.itemsize for column in [*packed._keys, *packed._times] if column)
    assert size * 50 < 40 << 20


def test_a_whole_end_is_never_before_the_true_one():
    assert whole_end(NOW + 0.25) == NOW + 1
    assert whole_end(None) == 0
