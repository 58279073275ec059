"""What several pages of the panel share, by itself."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from admin import wording

TEMPLATES = Path(__file__).parents[2] / "admin" / "templates"
PAGES = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def said(text, **facts):
    page = PAGES.from_string(f'{{% from "cells.html" import signal_chips, moment with context %}}{text}')
    return page.render(words=wording, home="/_gate/admin", now=1000.0, **facts)


def test_of_many_signals_the_gravest_is_shown_and_the_others_are_said_on_hover_and_focus():
    many = said("{{ signal_chips(signals, 1) }}", signals=["new_address", "impossible_travel", "new_device"])
    assert '<span class="badge warn">impossible travel</span>' in many
    assert 'tabindex="0"><span aria-hidden="true">+2</span>' in many
    assert "</span>new device, new address</span>" in many
    assert "+" not in said("{{ signal_chips(signals, 1) }}", signals=["new_device"])


def test_a_signal_leads_to_its_logins_where_a_time_is_looked_at_and_is_text_whatever_it_says():
    one = said("{{ signal_chips(signals, 1, '7d') }}", signals=['<b>"&', "<i>"])
    assert 'href="/_gate/admin/logins?signal=%3Cb%3E%22%26&amp;range=7d"' in one
    assert "<b>" not in one
    assert "<i>" not in one


def test_a_time_is_whole_without_the_script():
    time = said("{{ moment(940) }}")
    assert '<span class="clock">1970-01-01 00:15:40</span> <span class="ago">1 min ago</span>' in time
