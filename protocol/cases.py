"""Bodies of cases: opening, events, receipts (protocol §6, Cases).

The number of the case stands in the statement (`why.case`), who acted in `who`, the legal time is `iat`. An event of
the responsible city carries its place, one of the accepting city what it had seen::

    {"salt": "m3Jv0C2a5v8Y0mO1nE0b9A", "event": "sign", "data": {}, "attachments": [], "seq": 1, "prev": "q7T…"}
    {"salt": "9f…", "event": "withdraw", "data": {"reason": "本人不再申请"}, "attachments": [], "seen": "q7T…"}

What may stand in `application` says the catalogue, what in `data` the procedure; both are checked where the case is.
"""

from typing import Annotated, Any

from pydantic import Field, model_validator

from protocol.bodies import Body, Salt
from protocol.claims import Digest

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CaseText = Annotated[str, Field(pattern=r"^KS[0-9]{21}$")]
EventName = Annotated[str, Field(pattern=r"^[a-z][a-z-]{1,29}$")]
Sequence = Annotated[int, Field(ge=0, lt=2**31)]
ATTACHMENTS_MAX = 64


class AttachmentRef(Body):
    """An attachment by the digest of its bytes: SHA-256 in hex, size in bytes, media type."""

    sha256: Hex
    size: Annotated[int, Field(ge=1, lt=2**40)]
    type: Annotated[str, Field(pattern=r"^[a-z]+/[a-z0-9.+-]{1,60}$")]


Attachments = Annotated[list[AttachmentRef], Field(max_length=ATTACHMENTS_MAX)]


class Versions(Body):
    """The documents under which a case is opened and stays: SHA-256 in hex."""

    catalogue: Hex
    procedures: Hex
    amounts: Hex | None = None


class Follows(Body):
    """An earlier case that this one takes up: one sent to the wrong city, or the joint application of a leg."""

    case: CaseText
    head: Digest


class CaseOpen(Body):
    """`case.open`: the application, as the accepting city took it."""

    salt: Salt
    versions: Versions
    application: dict[str, Any]
    attachments: Attachments
    follows: Follows | None = None
    leg: Annotated[str, Field(pattern=r"^[A-Z_]{2,16}$")] | None = None
    """which leg of the joint application that it follows; what it asks for is then the leg's, not the item's"""


class CaseEvent(Body):
    """`case.event`: with `seq` and `prev` the sequencer's, with `seen` a proposal of the accepting city."""

    salt: Salt
    event: EventName
    data: dict[str, Any]
    attachments: Attachments
    seq: Sequence | None = None
    prev: Digest | None = None
    seen: Digest | None = None

    @model_validator(mode="after")
    def _has_one_form(self) -> "CaseEvent":
        placed = self.seq is not None and self.prev is not None
        if placed == (self.seen is not None) or (self.seq is None) != (self.prev is None):
            raise ValueError("either seq and prev, or seen")
        return self

    @property
    def is_proposal(self) -> bool:
        """Say whether the accepting city speaks."""
        return self.seen is not None


class Place(Body):
    """Where an event stands: `head` is the transcript's after it; the opening has no `prev`."""

    seq: Sequence
    prev: Digest | None = None
    head: Digest


class Receipt(Body):
    """`receipt`: the receiver has it, and it stands there."""

    case: CaseText
    place: Place
