"""A client of the public API, written from its description alone, with its clients' habits.

It knows an operation by its id: method, path, query, body and answer are those that the description
names. Every answer is held against the description; `EXCEPTIONS` names each place where an answer
of ours is another one, and why. Amounts of intake are another: `INTAKE_DECIMALS` must be number.
"""

import copy
import json
import os
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.described import Strict
from tests.service import ROOT

# Data of our workplace, beside the checkout; it is no part of the project.
FILE = ROOT.parent / "shared" / "reference" / "public-api-leads.json"

# What we answer where the description says otherwise: by shape and member, the value, and why.
EXCEPTIONS: dict[tuple[str, str], tuple[Any, str]] = {
    ("LeadMetadata", "trustedFormUrl"): (None, "a lead may come without a certificate"),
    ("LeadTableRow", "email"): ("", "a lead may come with a phone only"),
    ("SourceTableRow", "apiKey"): (None, "a key is shown once, when it is made"),
}
# Refusals are always application/problem+json; the description has application/json for some.
PROBLEM = "application/problem+json"
# Statuses that any operation may have, and the description does not tell of everywhere.
ALWAYS = {"400", "404", "405", "409", "410", "411", "413", "415", "422", "500", "503"}


def load() -> dict[str, Any]:
    """Return the description; without it, skip, or fail where CI says that it must be there."""
    if not FILE.exists():
        sentence = "The public API's description is not beside this checkout."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    description: dict[str, Any] = read_as_meant(json.loads(FILE.read_text()))
    return description


def read_as_meant(told: Any) -> Any:
    """Return the description as its clients read it: what may be null may be so whole.

    It says "null or object, and all of LeadContact", or "null or text, one of M, F": by the letter,
    null is neither.
    """
    if isinstance(told, list):
        return [read_as_meant(one) for one in told]
    if not isinstance(told, dict):
        return told
    made = {name: read_as_meant(one) for name, one in told.items()}
    if isinstance(made.get("type"), list) and "null" in made["type"]:
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
        if "allOf" in made:
            made["anyOf"] = [{"type": "null"}, {"allOf": made.pop("allOf")}]
    return made


def without_exceptions(name: str, value: Any, description: dict[str, Any]) -> Any:
    """Return an answer of a shape without the members that are named exceptions."""
    shape = description["components"]["schemas"][name]
    made = copy.copy(value)
    for member, schema in shape.get("properties", {}).items():
        if member not in made:
            continue
        if (name, member) in EXCEPTIONS and made[member] == EXCEPTIONS[name, member][0]:
            del made[member]
            shape["required"] = [one for one in shape.get("required", []) if one != member]
        else:
            made[member] = below(schema, made[member], description)
    return made


def below(schema: dict[str, Any], value: Any, description: dict[str, Any]) -> Any:
    """Return a value without the exceptions in it, by the shape that its schema names."""
    if isinstance(value, list):
        return [below(schema.get("items", {}), one, description) for one in value]
    for one in (schema, *schema.get("allOf", []), *schema.get("anyOf", [])):
        if "$ref" in one and isinstance(value, dict):
            return without_exceptions(one["$ref"].rpartition("/")[2], value, description)
        if one is not schema and "allOf" in one:
            return below(one, value, description)
    return value


class ReferenceClient:
    """Calls operations by their ids, with a token for a business or the key of a source."""

    def __init__(self, token: str = "", source_key: str = "") -> None:
        self.description = load()
        self.keys = {"Bearer": token, "SourceKey": source_key}
        self.called: set[str] = set()
        self.client = Client()

    def operation(self, id: str) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and what is told of an operation."""
        for path, methods in self.description["paths"].items():
            for method, told in methods.items():
                if told["operationId"] == id:
                    return method.upper(), path, told
        raise KeyError(id)

    def call(self, id: str, /, body: Any = None, *, raw: bytes = b"", **named: Any) -> Any:
        """Return the answer to an operation as JSON, None for none; whatever status it has."""
        return self.ask(id, body, raw=raw, **named)[1]

    def ask(
        self, id: str, /, body: Any = None, *, raw: bytes = b"", **named: Any
    ) -> tuple[int, Any]:
        """Return status and answer; `raw`: the body as it is written."""
        method, path, told = self.operation(id)
        self.called.add(id)
        places = {one["name"]: one["in"] for one in told.get("parameters", [])}
        assert named.keys() <= places.keys(), named.keys() - places.keys()
        query = {name: given(one) for name, one in named.items() if places[name] == "query"}
        path = path.format(**{name: one for name, one in named.items() if name not in query})
        (scheme,) = told["security"][0]
        data = raw or (b"" if body is None else json.dumps(unset_left_out(body)).encode())
        response = self.client.generic(
            method,
            path,
            data,
            content_type="application/json" if data else "",
            QUERY_STRING=urlencode(query, doseq=True),
            headers={
                "Authorization": f"Bearer {self.keys[scheme]}",
                "Accept": "text/plain;q=0.9",
                "User-Agent": "reference client",
            },
        )
        return response.status_code, self.read(told, response)

    def read(self, told: dict[str, Any], response: Any) -> Any:
        """Return the answer, which must be one that is described, but for the exceptions."""
        status = str(response.status_code)
        if status in ALWAYS and status not in told["responses"]:
            contents: dict[str, Any] = {}
        else:
            contents = told["responses"][status].get("content", {})
        if response.status_code == 204:
            assert response.content == b""
            return None
        answer = json.loads(response.content)
        kind = response.headers["Content-Type"]
        if response.status_code >= 400:
            assert kind == PROBLEM
        else:
            assert kind in contents
        for content in contents.values():
            description = copy.deepcopy(self.description)
            schema = content["schema"]
            known = below(schema, answer, description)
            checker = Strict(
                {**schema, "components": description["components"]},
                format_checker=Strict.FORMAT_CHECKER,
            )
            wrong = [f"{one.json_path}: {one.message}" for one in checker.iter_errors(known)]
            assert not wrong, f"{told['operationId']}: {wrong}"
        return answer


def given(value: Any) -> Any:
    """Return a value as clients write it into a query."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else value


def unset_left_out(body: Any) -> Any:
    """Return a body without what is null: clients leave out what nobody has set."""
    if isinstance(body, dict):
        return {name: unset_left_out(one) for name, one in body.items() if one is not None}
    if isinstance(body, list):
        return [unset_left_out(one) for one in body]
    return body


def typed(value: Any) -> Any:
    """Return a value in which numbers of another JSON type differ."""
    if isinstance(value, dict):
        return {name: typed(one) for name, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    return type(value).__name__, value
