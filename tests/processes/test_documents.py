"""An official calendar travels: one city takes it in, the manifest names it, the other fetches it over mTLS."""

import hashlib
import json
from pathlib import Path
from typing import Any

from node.membership.service import calendars_in_force, take_document
from tests.processes.cities import RunningNetwork, eventually, now, running_network
from tests.processes.manifests import bring_into_force, next_version

GIVER, TAKER = CODES = ("442000", "450400")
OFFICIAL = json.dumps(
    {"year": 2027, "version": 2, "status": "official", "off": ["2027-01-01"], "work": ["2027-01-02"]}
).encode()
DIGEST = hashlib.sha256(OFFICIAL).hexdigest()
PATH = f"/v1/documents/{DIGEST}"


def is_provisional(network: RunningNetwork, code: str) -> bool | None:
    builtin = {digest: data for digest, (_, data) in network.opening.shared_documents().items()}
    with network.node(code).database.reading() as session:
        found = calendars_in_force(session, network.trust(code).manifest, builtin).by_year
    return found[2027].is_provisional if 2027 in found else None


def test_a_document_that_one_city_took_in_reaches_the_other_when_the_manifest_names_it(tmp_path: Path) -> None:
    with running_network(tmp_path, CODES, start=False, with_people=False) as network:
        network.start(GIVER)  # the taker serves later: its own poll would come at a moment of its choice
        poll(network, TAKER)
        assert fetched(network, TAKER, GIVER) == (404, None)
        network.node(GIVER).database.write(lambda tx: take_document(tx, OFFICIAL, now=now()))
        assert fetched(network, TAKER, GIVER) == (200, OFFICIAL)
        assert [is_provisional(network, code) for code in CODES] == [True, True]

        data = next_version(network, documents={"calendar-2027": DIGEST})
        for code in CODES:
            bring_into_force(network, code, data)
        assert [is_provisional(network, code) for code in CODES] == [False, None]

        poll(network, TAKER)
        assert is_provisional(network, TAKER) is False
        (entry,) = [one for one in network.log_entries(TAKER) if one["kind"] == "document"]
        assert entry["dir"] == "local"
        network.start(TAKER)
        assert fetched(network, GIVER, TAKER) == (200, OFFICIAL)


def fetched(network: RunningNetwork, reader: str, code: str) -> tuple[int, bytes | None]:
    """Return status and document; a city that has just started is busy until it has its peers' CRLs."""
    answer = eventually(
        lambda: next((one for one in [network.get(reader, code, PATH)] if one.status != 503), None),
        what=f"{code} answers",
    )
    assert answer is not None
    return answer.status, answer.body if answer.status == 200 else None


def poll(network: RunningNetwork, code: str) -> None:
    """Poll for documents now, as the scheduled job does every minute; a city's CRL goes to its peers before."""

    async def work(running: Any) -> None:
        await running.catch_up.poll_documents()

    network.opening.at(network.city(code).home).run(work)
