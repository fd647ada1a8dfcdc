"""Makers of JSON Schema as OpenAPI 3.1 has it: each property with what it means and an example."""

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]

# Stands in examples for the address of the service.
EXAMPLE_URL = "https://leads.example.com"
LEAD_ID = "01a20841-3c5e-7a19-8f02-4b7d90c1e6aa"
BUSINESS_ID = "01983c5a-7e21-7b40-9d3f-2c61f0a8e514"
SOURCE_ID = "01983c5b-1f0a-7c55-b1de-90a4c37e6d21"
TAG_ID = "01983c5c-55d7-7d02-8a37-4be1c09f2a68"
USER_ID = "7"


def of_type(kind: str, said: str, example: Any = None, **more: Any) -> Schema:
    """Return a schema of one JSON type; without an example it shows none."""
    shown = {} if example is None else {"examples": [example]}
    return {"type": kind, "description": said, **more, **shown}


def text(said: str, example: str | None = None, **more: Any) -> Schema:
    return of_type("string", said, example, **more)


def an_id(said: str, example: str) -> Schema:
    return text(said, example, format="uuid")


def moment(said: str, example: str = "2026-11-23T09:47:12.345Z") -> Schema:
    """Return the schema of a time as `leads.serializers.time_text` writes it."""
    return text(said, example, format="date-time")


def boolean(said: str, example: bool = False) -> Schema:
    return of_type("boolean", said, example)


def integer(said: str, example: int | None = None, **more: Any) -> Schema:
    return of_type("integer", said, example, format="int32", **more)


def number(said: str, example: float | None = None) -> Schema:
    return of_type("number", said, example, format="double")


def choice(said: str, values: Iterable[Any]) -> Schema:
    """Return the schema of one of these values, all texts or all whole numbers."""
    known = list(values)
    if isinstance(known[0], int):
        return integer(said, known[0], enum=known)
    return text(said, known[0], enum=known)


def array(said: str, items: Schema, example: list[Any] | None = None, **more: Any) -> Schema:
    return of_type("array", said, example, items=items, **more)


def texts(said: str, example: list[str], **more: Any) -> Schema:
    return array(said, {"type": "string", **more.pop("each", {})}, example, **more)


def mapping(said: str, values: Schema, example: Mapping[str, Any], **more: Any) -> Schema:
    """Return the schema of an object whose names anybody chooses."""
    return of_type("object", said, example, additionalProperties=values, **more)


def ref(name: str, said: str = "") -> Schema:
    """Return a reference to a named schema."""
    told = {"description": said} if said else {}
    return {"$ref": f"#/components/schemas/{name}", **told}


def maybe(schema: Schema) -> Schema:
    """Return the schema of the same or null."""
    if "$ref" in schema:
        said = {"description": schema["description"]}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **said}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    nullable = {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def unset(schema: Schema) -> Schema:
    """Return the schema of the same or null, which is more often null."""
    return {**maybe(schema), "examples": [None]}


def never(said: str, kind: str = "string") -> Schema:
    """Return the schema of what the public API has and this service does not know: null."""
    return {"type": [kind, "null"], "description": said, "examples": [None]}


def answered(said: str, properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """Return the schema of an object in an answer: every property is there, save the optional."""
    required = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        "description": said,
        "properties": dict(properties),
        "required": required,
    }


def asked(said: str, properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """Return the schema of an object in a request; a member that nobody knows is no error."""
    needed = list(required)
    return {
        "type": "object",
        "description": said,
        "properties": dict(properties),
        **({"required": needed} if needed else {}),
    }


def example_of(schema: Schema, named: Mapping[str, Schema]) -> Any:
    """Return an example of a schema, made of those of its parts; `named`: what references mean."""
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], named)
    if "properties" in schema:
        return {name: example_of(one, named) for name, one in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], named)]
    return None
