"""Who carries a transfer: the guard against sending the same one twice, through the national system or through us.

A person's transfer out of a city is carried once at a time: by a case of ours, by the national system, or by a case
that has a national number. Opening a second one is refused with the number of the case that stands. The row is the
lock: two openings at the same time meet at its primary key. A case that closes gives up what it carried.
"""

from sqlmodel import Session

from node.funds import store
from node.funds.tables import TransferClaim
from node.funds.values import Claim, Ledger
from node.storage.encryption import shard_key
from node.storage.unit_of_work import Transaction
from protocol.errors import NotFound, TransferStands


def standing_of(session: Session, claim: Claim) -> TransferStands | None:
    """Return why a transfer may not be opened now, None when it may; for checks that change nothing."""
    row = store.claim(session, claim.subject, claim.out_city)
    return _stands(row) if row is not None and row.number != claim.number else None


def claim_transfer(ledger: Ledger, transaction: Transaction, claim: Claim) -> None:
    """Let a case carry the transfer of a person out of a city; the same claim again changes nothing.

    Raises:
        TransferStands: another case or the national system carries it, or its national number is another transfer's.
    """
    session = transaction.session
    row = store.claim(session, claim.subject, claim.out_city)
    if row is not None and row.number != claim.number:
        raise _stands(row)
    if row is None:
        _check_national(ledger, session, claim)
        national = _national_columns(ledger, claim) if claim.national_no else {}
        keys = {"shard_key": shard_key(claim.subject), "subject": claim.subject, "out_city": claim.out_city}
        store.add(session, TransferClaim, **keys, number=claim.number, **national, at=ledger.now())
    elif claim.national_no and row.national is None:
        _check_national(ledger, session, claim)
        store.change_claim(session, claim.subject, claim.out_city, **_national_columns(ledger, claim))


def carry_nationally(ledger: Ledger, transaction: Transaction, claim: Claim) -> None:
    """Note that the national system carries a transfer, without a case of ours.

    Raises:
        TransferStands: a case of ours carries it, or the number is another transfer's.
    """
    claim_transfer(ledger, transaction, Claim(claim.subject, claim.out_city, None, claim.national_no))


def note_national_no(ledger: Ledger, transaction: Transaction, number: str, out_city: str, national_no: str) -> None:
    """Note the national number that a case of ours has got for one transfer-out city.

    Raises:
        NotFound: the case carries no transfer out of that city.
        TransferStands: the number is another transfer's, or this one has another.
    """
    rows = [one for one in store.claims_of(transaction.session, number) if one.out_city == out_city]
    if not rows:
        raise NotFound("this case carries no transfer out of that city")
    claim = Claim(bytes(rows[0].subject), out_city, number, national_no)
    if rows[0].national is not None and bytes(rows[0].national) != _index(ledger, national_no):
        raise _stands(rows[0])
    claim_transfer(ledger, transaction, claim)


def release_transfer(transaction: Transaction, number: str) -> int:
    """Give up what a case carried, when it closes; return how many transfers that were."""
    return store.delete_claims(transaction.session, number)


def national_no_of(ledger: Ledger, session: Session, number: str) -> dict[str, str]:
    """Return the national numbers of a case by transfer-out city."""
    rows = [one for one in store.claims_of(session, number) if one.national_no is not None]
    return {
        one.out_city: ledger.vault.decrypt(
            bytes(one.national_no or b""), _context(bytes(one.subject), one.out_city)
        ).decode()
        for one in rows
    }


def _check_national(ledger: Ledger, session: Session, claim: Claim) -> None:
    if claim.national_no:
        other = store.claim_of_national(session, _index(ledger, claim.national_no))
        if other is not None:
            raise _stands(other)


def _stands(row: TransferClaim) -> TransferStands:
    if row.number is None:
        return TransferStands("the national system carries this transfer already", case=None, out_city=row.out_city)
    return TransferStands(f"case {row.number} carries this transfer", case=row.number, out_city=row.out_city)


def _national_columns(ledger: Ledger, claim: Claim) -> dict[str, bytes]:
    text = str(claim.national_no).encode()
    return {
        "national": _index(ledger, str(claim.national_no)),
        "national_no": ledger.vault.encrypt(text, _context(claim.subject, claim.out_city)),
    }


def _index(ledger: Ledger, national_no: str) -> bytes:
    return ledger.vault.blind_index("national-case", national_no.strip().upper())


def _context(subject: bytes, out_city: str) -> bytes:
    return b"transfer-claim:" + subject + out_city.encode()
