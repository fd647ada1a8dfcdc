"""The bodies of a flat and of a structured post as DRF serializers, made from `fields.py`.

They are what the published schema shows. The path of a post runs the table itself, since building
a serializer costs each request a millisecond; a test holds that the two agree.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from intake.fields import BY_NAME, FIELDS, FURTHER_FIELDS, SHAPE, Field, Path, is_blank
from intake.reading import OBJECT_WANTED, Reading, settle
from leads import normalize
from sources.names import ALIASES, fold

Met = dict[str, list[tuple[Path, Field, Any]]]


class TableField(serializers.Field):
    """One name of one field of the table; validates to the normalised value, None if blank."""

    def __init__(self, row: Field, **kwargs: Any) -> None:
        super().__init__(required=False, allow_null=True, **kwargs)
        self.row = row

    def run_validation(self, data: Any = empty) -> Any:
        try:
            return self.row.value(data)[0]
        except normalize.Unacceptable as error:
            raise serializers.ValidationError(error.sentence, code=error.code) from None

    def to_representation(self, value: Any) -> Any:
        return value


class TableSerializer(serializers.Serializer):
    """An object of a post, or the post: every member is optional and nullable.

    Validates to the values by the lead's columns; errors are by the names that were sent.
    """

    is_structured = False

    def __init__(self, *args: Any, rows: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows or {}

    def get_fields(self) -> dict[str, serializers.Field]:
        made: dict[str, serializers.Field] = {}
        names = dict(self.rows)
        for alias, name in ALIASES.items():
            if isinstance(names.get(name), Field):
                names.setdefault(alias, names[name])
        for name, row in names.items():
            made[name] = (
                TableField(row)
                if isinstance(row, Field)
                else TableSerializer(rows=row, required=False, allow_null=True)
            )
        return made

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        reading = Reading(self.is_structured)
        errors: dict[str, Any] = {}
        met: Met = {}
        self.collect(data, (), reading, met, errors)
        for name, sent_values in met.items():
            settle(reading, name, sent_values)
        reading.check_contact()
        for fault in reading.faults:
            errors.setdefault(fault.name, []).append(fault.detail)
        if errors:
            raise serializers.ValidationError(errors)
        return reading.values

    def collect(
        self,
        data: Mapping[str, Any],
        parents: Path,
        reading: Reading,
        met: Met,
        errors: dict[str, Any],
    ) -> None:
        """Validate each member of the object, those of objects in it too."""
        by_fold = {fold(name): one for name, one in self.fields.items()}
        for name, sent in data.items():
            one = by_fold.get(fold(name))
            path = (*parents, name)
            if isinstance(one, TableSerializer):
                number = one.fields.get("number")
                if isinstance(sent, dict):
                    one.collect(sent, path, reading, met, errors)
                    continue
                if is_blank(sent):
                    continue
                if number is None or not isinstance(sent, str):
                    errors[".".join(path)] = [OBJECT_WANTED]
                    if isinstance(number, TableField):
                        reading.sent_as.setdefault(number.row.name, path)
                    continue
                one = number
            if not isinstance(one, TableField):
                continue
            try:
                value = one.run_validation(sent)
            except serializers.ValidationError as error:
                errors[".".join(path)] = error.detail
                reading.sent_as.setdefault(one.row.name, path)
                continue
            if value is not None:
                met.setdefault(one.row.name, []).append((path, one.row, value))


class FlatLeadSerializer(TableSerializer):
    """A flat post; one of phone and e-mail must come. Source: contract §3."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, rows={one.name: one for one in FIELDS}, **kwargs)


class StructuredLeadSerializer(TableSerializer):
    """A structured post, shaped like the answer; one of phone and e-mail must come.

    Source: contract §5.
    """

    is_structured = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, rows=_rows(SHAPE), **kwargs)


def _rows(shape: Any) -> dict[str, Any]:
    """Return the shape with each name's row of the table in place of the row's name."""
    fields = BY_NAME | {one.name: one for one in FURTHER_FIELDS}
    items = shape if isinstance(shape, dict) else {name: name for name in shape}
    return {
        name: fields[target] if isinstance(target, str) else _rows(target)
        for name, target in items.items()
    }
