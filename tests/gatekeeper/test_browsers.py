"""A navigating browser is told from a program (contract: Navigating = ...)."""

import pytest
from multidict import CIMultiDict

from gatekeeper.browsers import is_navigation

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "navigate"},
        {"sec-fetch-mode": "navigate", "Accept": "*/*"},
        {"Accept": CHROME},
        {"accept": "Text/HTML;q=0.5"},
    ],
)
def test_a_navigating_browser(headers):
    assert is_navigation(CIMultiDict(headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        {"Accept": "text/htmlx, text/*"},
        {"Accept": CHROME, "X-Requested-With": "XMLHttpRequest"},
        {"Accept": CHROME, "Sec-Fetch-Mode": "cors"},
        {"Accept": CHROME, "Sec-Fetch-Mode": ""},
        {"Accept": CHROME, "Sec-Fetch-Site": "same-origin"},
        {"Accept": CHROME, "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_a_program(headers):
    assert not is_navigation(CIMultiDict(headers))
