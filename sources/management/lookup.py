"""What the commands share: finding a source, and ending with a clear error."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.db.models import Q

from sources.models import Business, Source


class ClearCommand(BaseCommand):
    """A command whose ordinary troubles end with a sentence and not with a traceback."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ValidationError as error:
            fields = error.message_dict if hasattr(error, "error_dict") else {}
            told = [
                f"{field}: {' '.join(sentences)}" if field != "__all__" else " ".join(sentences)
                for field, sentences in fields.items()
            ]
            raise CommandError("; ".join(told or error.messages)) from None
        except OverflowError:
            raise CommandError("A date or a number of days is too far away.") from None
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database is not ready (has manage.py migrate been run?): {error}"
            ) from None


def source_by(text: str) -> Source:
    """Return the source with this id or, if only one has it, this name; raises CommandError."""
    wanted = Q(name=text)
    if is_uuid(text):
        wanted |= Q(id=text)
    found = list(Source.objects.filter(wanted).select_related("business")[:2])
    if not found:
        raise CommandError(f'No source has the id or name "{text}".')
    if len(found) > 1:
        raise CommandError(f'Several sources are called "{text}": give the id.')
    return found[0]


def business_by(text: str | None) -> Business:
    """Return the business with this id or name; raises CommandError.

    None is the only one that there is.
    """
    rows = Business.objects.all()
    if text is not None:
        rows = rows.filter(Q(name=text) | (Q(id=text) if is_uuid(text) else Q()))
    found = list(rows[:2])
    if not found:
        told = f'has the id or name "{text}"' if text is not None else "is there yet"
        raise CommandError(f"No business {told}.")
    if len(found) > 1:
        raise CommandError("There are several businesses: name one with --business.")
    return found[0]


def is_uuid(text: str) -> bool:
    """Say whether `text` can be the id of a row."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
