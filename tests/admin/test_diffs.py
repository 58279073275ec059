"""What a change made different, in lines for people."""

from factories import NOW

from admin.diffs import Line, Value, lines, why


def _values(*texts):
    return tuple(Value(text) for text in texts)


def test_of_lists_it_is_said_what_came_and_went_and_how_much_stayed():
    assert lines({"roles": ["admin", "staff"]}, {"roles": ["staff", "auditor"]}) == [
        Line("roles", _values("admin"), _values("auditor"), 1)
    ]
    assert lines({"roles": ["a", "b"]}, {"roles": ["b", "a"]}) == [Line("roles", said="in another order")]


def test_what_is_the_same_is_not_said_and_the_reason_stands_by_itself():
    before, after = {"locked": False, "name": "Ada"}, {"locked": True, "name": "Ada", "why": "lost laptop"}
    assert lines(before, after) == [Line("locked", _values("no"), _values("yes"))]
    assert why(after) == "lost laptop"
    assert (why(before), why(None), why({"why": 3}), lines(None, None)) == (None, None, None, [])


def test_sections_are_followed_to_the_keys_that_differ():
    before = {"limits": {"login_per_ip": "20/minute", "default": "1/s"}, "logs.level": "info"}
    after = {"limits": {"login_per_ip": "30/minute", "default": "1/s"}, "logs.level": "info"}
    (line,) = lines(before, after)
    assert (line.name, line.gone, line.came) == ("limits › login per ip", _values("20/minute"), _values("30/minute"))


def test_rules_are_named_and_their_digests_are_not_shown():
    one, two, three = ({"name": name, "digest": "0123456789abcdef"} for name in ("one", "two", "three"))
    changed = {"name": "two", "digest": "fedcba9876543210"}
    assert lines({"rules": [one, two]}, {"rules": [three, changed]}) == [
        Line("rules › one", said="removed"),
        Line("rules › two", said="changed"),
        Line("rules › three", said="added"),
    ]
    assert lines({"rules": [one, two]}, {"rules": [two, one]}) == [Line("rules", said="in another order")]
    assert lines({"api": "0123456789abcdef"}, {"api": "fedcba9876543210"}) == [Line("api", said="changed")]


def test_what_is_only_there_before_or_after_is_one_sided():
    assert lines(None, {"kind": "address", "until": None}) == [
        Line("kind", came=_values("address")),
        Line("until", came=_values("none")),
    ]
    assert lines({"kind": "address"}, None) == [Line("kind", gone=_values("address"))]
    assert lines({}, {"api": {"targets": ["http://a", "http://b"]}, "more": {}}) == [
        Line("api › targets", came=_values("http://a", "http://b")),
        Line("more", came=_values("")),
    ]


def test_times_are_times():
    (line,) = lines(None, {"signs_from": "2027-01-15T08:00:00+00:00"})
    assert line.came[0].moment == NOW


def test_odd_values_are_shown_all_the_same():
    for odd in ([{"x": 1}], [[1], [2]], {"name": None}, 7, "2027-01-15T08:61:00+00:00", ["a", {"b": 1}]):
        assert lines({"x": odd}, {"x": "y"})
        assert lines({"x": "y"}, {"x": odd})
    assert lines({"x": [{"name": 1}]}, {"x": [{"name": 2}]})
