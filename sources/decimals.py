"""A decimal column that is exact on both databases."""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

DIGITS = 12
PLACES = 4
UNIT = Decimal(1).scaleb(-PLACES)


class ExactDecimalField(models.DecimalField):
    """A decimal with up to 8 integer digits and 4 decimals.

    PostgreSQL stores numeric(12,4). SQLite, whose decimals are floats, stores whole units of
    1/10,000. Source: DECISIONS, Intake 10; contract §3 `price`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"max_digits": DIGITS, "decimal_places": PLACES}
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "bigint" if connection.vendor == "sqlite" else f"numeric({DIGITS}, {PLACES})"

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        number = self.to_python(value)
        return int(number.scaleb(PLACES)) if connection.vendor == "sqlite" else number

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self.get_db_prep_value(value, connection)

    def from_db_value(
        self, value: Any, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Any:
        if value is None or connection.vendor != "sqlite":
            return value
        return Decimal(value).scaleb(-PLACES)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        # SQLite's own converter for decimals would read the whole number as a float: ours only.
        return [self.from_db_value]

    def get_internal_type(self) -> str:
        # Not "DecimalField", for which SQLite's backend adds casts and its float converter.
        return "ExactDecimalField"
