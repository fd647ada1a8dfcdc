"""The description of the API in OpenAPI 3.1, made by drf-spectacular from the URLs and our tables.

`manage.py openapi` writes it to docs/openapi.json, which is what the service answers.
"""

from __future__ import annotations

import json
import re
from typing import Any

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
)
from rest_framework.schemas.generators import BaseSchemaGenerator

from intake.problems import PROBLEM_TYPES
from leadping.api import shapes
from leadping.api.operations import (
    ALWAYS,
    FORM,
    HEADERS,
    JSON,
    OF_STATUS,
    OPERATIONS,
    PROBLEM,
    RATES,
    TAGS,
    Operation,
)
from leadping.api.schemas import EXAMPLE_URL, Schema, example_of, ref
from sources.tokens import Scope

PARTS = {"tag_id": "tagId"}
TAIL = re.compile(r"/\?\\Z$")

SOURCE_KEY: list[Schema] = [{"SourceKey": []}, {"SourceId": [], "SourceKeyHeader": []}]
# How the object in a form is written: sourceMetadata[page]=x.
ENCODING = {FORM: {"sourceMetadata": {"style": "deepObject", "explode": True}}}
IN_QUERY: Schema = {"SourceIdQuery": [], "SourceKeyQuery": []}
SECURITY_SCHEMES: dict[str, Schema] = {
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sk_…",
        "description": (
            "A token of one business, made in the console: `Authorization: Bearer sk_…`. It opens "
            "what its scopes name: "
            + "; ".join(f"`{one.value}`: {one.label[0].lower()}{one.label[1:]}" for one in Scope)
            + "."
        ),
    },
    "SourceKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "lp_src_…",
        "description": "The key of a source, alone: `Authorization: Bearer lp_src_…`. For posts.",
    },
    "SourceId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Leadping-Source-Id",
        "description": "The id of a source, together with its key in X-Leadping-Source-Key.",
    },
    "SourceKeyHeader": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Leadping-Source-Key",
        "description": "The key of a source, together with its id in X-Leadping-Source-Id.",
    },
    "SourceIdQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "sourceId",
        "description": "The id of a source that staff have opened for credentials in the query.",
    },
    "SourceKeyQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "sourceKey",
        "description": "The key of such a source, together with its id in sourceId.",
    },
}


class Described(AutoSchema):
    """Tells drf-spectacular of one method of a view what its row in the table says."""

    @property
    def operation(self) -> Operation:
        """Return the row of the table; raises KeyError if somebody forgot it."""
        return OPERATIONS[self.method, self.path]

    @property
    def scope(self) -> Scope | None:
        """Return what a token needs for it; None where the key of a source is wanted."""
        return getattr(self.view, "scopes", {}).get(self.method)

    def get_operation_id(self) -> str:
        return self.operation.id

    def get_summary(self) -> str:
        return self.operation.summary

    def get_description(self) -> str:  # type: ignore[override]
        needs = f" Needs the scope `{self.scope.value}`." if self.scope else ""
        return f"{self.operation.said}{needs}"

    def get_tags(self) -> list[str]:
        return [self.operation.tag]

    def get_auth(self) -> list[Schema]:
        if self.scope:
            return [{"Bearer": []}]
        return [*SOURCE_KEY, IN_QUERY] if self.method == "GET" else SOURCE_KEY

    def get_override_parameters(self) -> list[Any]:
        return [*self.operation.parameters, *self.headers()]

    def headers(self) -> list[OpenApiParameter]:
        """Return the headers of the answers, by the statuses that have them."""
        one = self.operation
        problems = sorted(self.problems())
        required = {name: [one.status, *problems] for name in ALWAYS}
        required |= {name: [one.status] for name in one.must_say}
        required["Leadping-Problem"] = problems
        optional = {name: [one.status, *problems] for name in RATES}
        optional |= {name: [one.status] for name in ("Leadping-Ignored-Fields", *one.says)}
        for status in problems:
            for name in OF_STATUS.get(status, ()):
                required.setdefault(name, []).append(status)
        if 409 in problems:
            required["Location"] = [*required["Location"], 409]
        return [
            header(name, statuses, is_required=found is required)
            for found in (required, optional)
            for name, statuses in found.items()
        ]

    def problems(self) -> dict[int, list[str]]:
        """Return the codes of the problems that may be answered, by status."""
        found: dict[int, list[str]] = {}
        for code in self.operation.can_refuse:
            found.setdefault(PROBLEM_TYPES[code].status, []).append(code)
        return found

    def get_request_serializer(self) -> Any:
        one = self.operation
        examples = [OpenApiExample(one.summary, value=one.example)] if one.example else []
        return {
            kind: OpenApiRequest(ref(name), examples=examples, encoding=ENCODING.get(kind))
            for kind, name in one.takes.items()
        }

    def _get_request_body(self, direction: str = "request") -> Schema | None:
        body: Schema | None = super()._get_request_body(direction)
        if body is not None:
            body["required"] = not self.operation.is_body_optional
        return body

    def get_response_serializers(self) -> Any:
        one = self.operation
        found: dict[Any, OpenApiResponse] = {}
        if one.answers is None:
            found[one.status] = OpenApiResponse(None, "Done; there is no body.")
        else:
            schema = ref(one.answers) if isinstance(one.answers, str) else one.answers
            example = OpenApiExample(one.summary, value=example_of(schema, shapes.named()))
            found[one.status, JSON] = OpenApiResponse(schema, said_of(schema), [example])
        for status, codes in sorted(self.problems().items()):
            told = " ".join(f"{PROBLEM_TYPES[code].title}." for code in codes)
            found[status, PROBLEM] = OpenApiResponse(ref("ProblemDetails"), told)
        return found


def header(name: str, statuses: list[int], *, is_required: bool) -> OpenApiParameter:
    """Return a header of the answers with these statuses."""
    schema = {key: value for key, value in HEADERS[name].items() if key != "description"}
    return OpenApiParameter(
        name,
        schema,
        OpenApiParameter.HEADER,
        description=HEADERS[name]["description"],
        required=is_required,
        response=list(statuses),
    )


def said_of(schema: Schema) -> str:
    """Return what a schema says of itself, or the schema that it names."""
    said: str = schema.get("description", "")
    return said or shapes.named()[schema["$ref"].rpartition("/")[2]]["description"]


class Endpoints(EndpointEnumerator):
    """Finds the methods of the API's paths in the URLs, as the table has them."""

    def get_path_from_regex(self, path_regex: str) -> str:
        path: str = super().get_path_from_regex(TAIL.sub("", path_regex))
        for name, told in PARTS.items():
            path = path.replace(f"{{{name}}}", f"{{{told}}}")
        return path

    def get_allowed_methods(self, callback: Any) -> list[str]:
        view = callback.cls
        return list(getattr(view, "methods", None) or view.scopes)


class Generator(SchemaGenerator):
    """Makes the whole description: paths from the URLs, shapes and problems from our tables."""

    endpoint_inspector_cls = Endpoints

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        # drf-spectacular's own wants a method of the view for each; those of intake have none.
        return BaseSchemaGenerator.create_view(self, callback, method, None)

    def get_schema(self, request: Any = None, public: bool = True) -> Schema:
        """Return the description, the same each time."""
        made: Schema = super().get_schema(request, public)
        shared: dict[str, Schema] = {}
        for path, methods in made["paths"].items():
            for method, told in methods.items():
                for code in OPERATIONS[method.upper(), path].can_refuse:
                    answer = told["responses"][str(PROBLEM_TYPES[code].status)]
                    examples = answer["content"][PROBLEM].setdefault("examples", {})
                    examples[code] = {"$ref": f"#/components/examples/{code}"}
                for status, answer in told["responses"].items():
                    name = f"Problem{status}"
                    if int(status) >= 400 and shared.setdefault(name, answer) == answer:
                        told["responses"][status] = {"$ref": f"#/components/responses/{name}"}
        made["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
        made["components"] = {
            "schemas": shapes.named(),
            "responses": dict(sorted(shared.items())),
            "examples": shapes.problem_examples(EXAMPLE_URL),
            "securitySchemes": SECURITY_SCHEMES,
        }
        return made


def description() -> str:
    """Return the description as the text of a file."""
    return json.dumps(Generator().get_schema(), indent=1, ensure_ascii=False) + "\n"
