"""The body of a flat post as a DRF serializer, made from the table in `fields.py`.

It is what the published schema shows. The path of a post runs the table itself, since building a
serializer costs each request a millisecond; a test holds that the two agree.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from intake.fields import BY_NAME, FIELDS, Field, Reading, settle
from leads import normalize
from sources.names import ALIASES, fold


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


class FlatLeadSerializer(serializers.Serializer):
    """A flat post: every field is optional and nullable, one of phone and e-mail must come.

    Validates to the values by the lead's columns; errors are by the names that were sent.
    """

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = {one.name: TableField(one) for one in FIELDS}
        return fields | {alias: TableField(BY_NAME[name]) for alias, name in ALIASES.items()}

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        by_fold = {fold(name): one for name, one in self.fields.items()}
        reading = Reading()
        errors: dict[str, Any] = {}
        met: dict[str, list[tuple[str, Any]]] = {}
        for name, sent in data.items():
            one = by_fold.get(fold(name))
            if not isinstance(one, TableField):
                continue
            try:
                value = one.run_validation(sent)
            except serializers.ValidationError as error:
                errors[name] = error.detail
                reading.sent_as.setdefault(one.row.name, name)
                continue
            if value is not None:
                met.setdefault(one.row.name, []).append((name, value))
        for field_name, sent_values in met.items():
            settle(reading, BY_NAME[field_name], sent_values)
        reading.check_contact()
        for fault in reading.faults:
            errors.setdefault(fault.field, []).append(fault.detail)
        if errors:
            raise serializers.ValidationError(errors)
        return reading.values
