"""P/openapi.json as tests hold real answers of the panel's calls against it."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

API = "/_gate/admin/api/"


def _strict(schema: Any) -> Any:
    """The same, but that an object has no member that the schema does not name."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _strict(one) for name, one in schema.items()}
    if "properties" in schema and "type" in schema:
        found["additionalProperties"] = False
    return found


class PanelDocument:
    """The calls that the document has, and which of them were answered as it says."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.answered: set[tuple[str, str]] = set()
        self._schemas = _strict(document["components"]["schemas"])
        self.calls = {
            (method.upper(), path.removeprefix(API)): entry
            for path, methods in document["paths"].items()
            if path.startswith(API)
            for method, entry in methods.items()
        }

    @classmethod
    async def of(cls, gate: Any) -> PanelDocument:
        """A running gate's."""
        return cls(json.loads(await (await gate.call("GET", "/_gate/openapi.json")).text()))

    def declared(self, method: str, path: str) -> tuple[str, str]:
        """The call that an address below ``P/admin/api`` belongs to."""
        asked = path.partition("?")[0]
        fitting = [
            name for of, name in self.calls if of == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", name), asked)
        ]
        assert fitting, (method, path)
        return method, min(fitting, key=lambda name: name.count("{"))

    async def check(self, method: str, path: str, answer: Any) -> Any:
        """Fails where this is no answer that the call may have; gives the body of one that is JSON."""
        call = self.declared(method, path)
        content = self._followed(self.calls[call]["responses"][str(answer.status)])["content"]
        assert list(content) == [answer.content_type]
        if answer.status == 200:
            self.answered.add(call)
        if "schema" not in content[answer.content_type]:
            return None
        body = json.loads(await answer.text())
        schema = {**content[answer.content_type]["schema"], "components": {"schemas": self._schemas}}
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(body)
        return body

    def _followed(self, response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in response:
            return response
        return self.document["components"]["responses"][response["$ref"].rpartition("/")[2]]
