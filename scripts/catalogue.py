"""Brings the pages' catalogues up to date with the texts in templates and code. Run by `make catalogue`.

A new text gets an empty translation, one that is gone is dropped; tests/gatekeeper/pages/test_language.py wants none
empty. Where a text has only been reworded, the old translation stands beside it as fuzzy until somebody looks.
"""

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PAGES = Path(__file__).parents[1] / "gatekeeper" / "pages"
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_KEYWORDS = {"_": None, "gettext": None, "later": None, "say": None, "ngettext": (1, 2), "count": (1, 2)}


def texts() -> Catalog:
    """Every text of the pages, in the order of files and lines."""
    catalogue = Catalog(project="gatekeeper", charset="utf-8")
    options = {"templates/**.html": {"newstyle_gettext": "true"}}
    found = extract_from_dir(PAGES, _METHODS, options, keywords=_KEYWORDS)
    for file, _line, message, _comments, _context in found:
        catalogue.add(message, locations=[(file, 0)])
    return catalogue


def main() -> int:
    """Rewrite each catalogue that is not as it should be."""
    for file in sorted(PAGES.glob("locale/*/LC_MESSAGES/messages.po")):
        language = file.parent.parent.name
        old = file.read_bytes()
        catalogue = read_po(io.BytesIO(old), locale=language)
        catalogue.update(texts(), no_fuzzy_matching=False, update_header_comment=False, update_creation_date=False)
        catalogue.obsolete.clear()
        new = io.BytesIO()
        write_po(new, catalogue, width=100, include_lineno=False, sort_by_file=True, omit_header=False)
        if new.getvalue() != old:
            file.write_bytes(new.getvalue())
        empty = [message.id for message in catalogue if message.id and (not message.string or message.fuzzy)]
        print(f"{language}: {len(catalogue)} texts, {len(empty)} to translate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
