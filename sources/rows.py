"""New rows made quickly: by position, as Django makes them of what it reads."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


@cache
def _defaults(model: type[models.Model]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Return the defaults of a model's columns, in their order, and what makes those of some."""
    plain: dict[str, Any] = {}
    made = {}
    for one in model._meta.concrete_fields:
        plain[one.attname] = None
        if one.has_default() and callable(one.default):
            made[one.attname] = one.default
        else:
            plain[one.attname] = one.get_default()
    return plain, made


def new(model: type[M], values: Mapping[str, Any]) -> M:
    """Return a new instance with these values by the names of its columns, the rest by default.

    As `model(**values)`, which takes three times as long for a hundred columns; foreign keys are
    given by id. Raises ValueError for a name that is none.
    """
    plain, made = _defaults(model)
    row = {**plain, **values}
    if len(row) > len(plain):
        raise ValueError(sorted(row.keys() - plain.keys()))
    for name, make in made.items():
        if name not in values:
            row[name] = make()
    return model(*row.values())
