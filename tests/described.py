"""The committed description of the API, and whether an answer is one that it describes."""

import copy
import json
import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from leadping.api.pages import FILE

DESCRIPTION: dict[str, Any] = json.loads(FILE.read_text())
METHODS = [
    (method.upper(), path, told)
    for path, methods in DESCRIPTION["paths"].items()
    for method, told in methods.items()
]


def is_whole(checker: Any, value: Any) -> bool:
    """Say whether a value is a whole number as typed clients read them: without a fraction."""
    return isinstance(value, int) and not isinstance(value, bool)


Strict = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", is_whole),
)


def closed(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description with no member in any object but those that it names."""
    made = copy.deepcopy(description)
    for schema in made["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return made


CLOSED = closed(DESCRIPTION)


def resolved(told: Any, description: dict[str, Any] = DESCRIPTION) -> Any:
    """Return what a reference leads to; what is none, as it is."""
    while "$ref" in told:
        found: Any = description
        for part in told["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        told = found
    return told


def faults(schema: dict[str, Any], value: Any, description: dict[str, Any]) -> list[str]:
    """Return what is wrong with a value by a schema of the description, with the place of each."""
    whole = {**schema, "components": description["components"]}
    checker = Strict(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{one.json_path}: {one.message}" for one in checker.iter_errors(value)]


def path_of(method: str, path: str) -> str:
    """Return the path of a request as it is described."""
    for known_method, known, _ in sorted(METHODS, key=lambda one: "{" in one[1]):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(known))
        if method == known_method and re.fullmatch(pattern, path.rstrip("/")):
            return str(known)
    raise AssertionError(f"{method} {path} is not described")


def check(response: Any, description: dict[str, Any] | None = None) -> str:
    """Check that an answer is one that is described, with no member besides; return its problem.

    The code of the problem, "" for none.
    """
    description = closed(description) if description else CLOSED
    request = response.request
    path = path_of(request["REQUEST_METHOD"], request["PATH_INFO"])
    answers = description["paths"][path][request["REQUEST_METHOD"].lower()]["responses"]
    assert str(response.status_code) in answers, f"{path}: {response.status_code} is not described"
    answer = resolved(answers[str(response.status_code)], description)
    for name, header in answer["headers"].items():
        assert name in response.headers or not header.get("required"), f"{path}: no {name}"
    code: str = response.headers.get("Leadping-Problem", "")
    if "content" not in answer:
        assert response.content == b""
        return code
    (content,) = answer["content"].items()
    assert response.headers["Content-Type"] == content[0]
    if code:
        assert code in content[1]["examples"], f"{path}: {code} is not described"
    wrong = faults(content[1]["schema"], json.loads(response.content), description)
    assert not wrong, f"{path}: {wrong}"
    return code
