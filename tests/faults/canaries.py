"""Canaries: personal data that exists nowhere else, so that one occurrence anywhere is a leak (T21, figure 23)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from urllib.parse import quote

from protocol.messages import Subject

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
COMMON = "安柏晨冬恩芳刚海吉康兰敏宁平青荣诗桃文雪英泽"


@dataclass(frozen=True)
class Canaries:
    """One person's data; each is unique per run and reproducible by seed."""

    name: str
    id_number: str
    account: str
    phone: str
    token: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self.name, self.id_number, self.account, self.phone, self.token

    @property
    def subject(self) -> Subject:
        return Subject(id_type="01", id_number=self.id_number, name=self.name)

    @property
    def sentence(self) -> str:
        """All of them in one text, with what breaks lines and terminals between them."""
        return "\r\n\x1b[31m".join(self.texts)

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Yield each canary as text, as JSON escapes it and as URLs do."""
        for text in self.texts:
            yield text, text.encode()
            yield text, json.dumps(text)[1:-1].encode()
            yield text, quote(text).encode()

    def found_in(self, places: Mapping[str, bytes]) -> list[str]:
        """Return which canary occurs where; case makes no difference."""
        forms = sorted({(text, form.lower()) for text, form in self.forms()})
        lowered = {place: data.lower() for place, data in places.items()}
        return [f"{text} in {place}" for place, data in lowered.items() for text, form in forms if form in data]


def make_canaries(seed: int) -> Canaries:
    """Return the canaries of a seed; the id number is valid."""
    source = Random(f"canaries-{seed}")
    digits = "".join(source.choices("0123456789", k=16))
    return Canaries(
        name="鎏" + "".join(source.choices(COMMON, k=3)),
        id_number=valid_number(source),
        account="622" + digits,
        phone="139" + digits[:8],
        token=f"canary{source.getrandbits(128):032x}",
    )


def valid_number(source: Random) -> str:
    """Return a resident id number with its check character (GB 11643)."""
    born = date(1970, 1, 1) + timedelta(days=source.randrange(10_000))
    body = f"442000{born:%Y%m%d}{source.randrange(1, 1000):03d}"
    remainder = sum(int(digit) * weight for digit, weight in zip(body, WEIGHTS, strict=True)) % 11
    return body + "10X98765432"[remainder]


def files_below(home: Path) -> dict[str, bytes]:
    """Return every file of a node directory: database, write-ahead log, operating log, settings, keys."""
    return {str(path.relative_to(home.parent)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
