"""What all bodies share: the frozen strict model, and the forms of salts, months, days, instants and amounts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """What every body shares: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Salt = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22}$")]
"""16 random bytes in base64url: without them the digest would betray the person to guessing."""
Month = Annotated[str, Field(pattern=r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])$")]
Day = Annotated[str, Field(pattern=r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
Instant = Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,6})?\+08:00$")]
Fen = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Months = Annotated[int, Field(ge=0, le=1200)]
FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
