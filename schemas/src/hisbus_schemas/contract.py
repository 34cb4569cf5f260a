"""What every contract model has in common: closed against change, open to new fields, silent about its input."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict


class Contract(BaseModel):
    """A message between two parties that upgrade at different times.

    Unknown fields are ignored, so a reader built for an older minor version keeps working.
    Validation errors never repeat the input, which may be a patient's.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An aware point in time, always held in UTC."""
