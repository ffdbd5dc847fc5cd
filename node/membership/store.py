"""Queries of membership; nothing here commits."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.membership.tables import ManifestVersion, MemberCertificate, MemberCrl, SharedDocument, TrustGeneration

CRL_NUMBER_MAX = 2**63 - 1


def generation(session: Session) -> int:
    """Return how often manifests, CRLs or certificates have changed; 0 before the first manifest."""
    return session.execute(select(col(TrustGeneration.generation))).scalar_one_or_none() or 0


def count_change(session: Session) -> None:
    """Count a change, so that every process reads anew."""
    counted = session.execute(update(TrustGeneration).values(generation=col(TrustGeneration.generation) + 1))
    if not getattr(counted, "rowcount", 0):
        session.execute(insert(TrustGeneration).values(id=1, generation=1))


def newest_manifest(session: Session) -> ManifestVersion | None:
    """Return the version in force."""
    return session.execute(
        select(ManifestVersion).order_by(col(ManifestVersion.version).desc()).limit(1)
    ).scalar_one_or_none()


def manifest_version(session: Session, version: int) -> ManifestVersion | None:
    """Return one version."""
    return session.get(ManifestVersion, version)


def newest_crls(session: Session) -> list[MemberCrl]:
    """Return the CRL with the highest number of each CA, always in the same order."""
    newest = (
        select(col(MemberCrl.authority), func.max(col(MemberCrl.number)).label("number"))
        .group_by(MemberCrl.authority)
        .subquery()
    )
    joined = select(MemberCrl).join(
        newest, (col(MemberCrl.authority) == newest.c.authority) & (col(MemberCrl.number) == newest.c.number)
    )
    return list(session.execute(joined.order_by(col(MemberCrl.authority))).scalars())


def newest_crl_of(session: Session, member: str) -> MemberCrl | None:
    """Return the newest CRL of a member."""
    newest = (
        select(MemberCrl)
        .where(col(MemberCrl.member) == member)
        .order_by(col(MemberCrl.received_at).desc(), col(MemberCrl.number).desc())
        .limit(1)
    )
    return session.execute(newest).scalar_one_or_none()


def certificates(session: Session) -> list[MemberCertificate]:
    """Return all known message certificates."""
    return list(session.execute(select(MemberCertificate)).scalars())


def certificate(session: Session, fingerprint: str) -> MemberCertificate | None:
    """Return one message certificate."""
    return session.get(MemberCertificate, fingerprint)


def insert_manifest(session: Session, *, version: int, digest: str, data: bytes, now: datetime) -> None:
    """Insert an accepted version."""
    session.add(ManifestVersion(version=version, digest=digest, data=data, accepted_at=now))
    session.flush()


def insert_crl(session: Session, *, authority: str, number: int, member: str, der: bytes, now: datetime) -> None:
    """Insert a CRL."""
    session.add(MemberCrl(authority=authority, number=number, member=member, der=der, received_at=now))
    session.flush()


def insert_certificate(session: Session, *, fingerprint: str, member: str, der: bytes, now: datetime) -> bool:
    """Insert a message certificate; False when it is known already."""
    if session.get(MemberCertificate, fingerprint) is not None:
        return False
    session.add(MemberCertificate(fingerprint=fingerprint, member=member, der=der, received_at=now))
    session.flush()
    return True


def document(session: Session, digest: str) -> bytes | None:
    """Return a shared document that was taken in."""
    row = session.get(SharedDocument, digest)
    return bytes(row.data) if row is not None else None


def insert_document(session: Session, *, digest: str, data: bytes, now: datetime) -> bool:
    """Keep a shared document; False when it is here already, also when another process was a moment faster."""
    if documents_held(session, [digest]):
        return False
    with suppress(IntegrityError), session.begin_nested():
        session.execute(insert(SharedDocument).values(digest=digest, data=data, taken_at=now))
        return True
    return False


def documents_held(session: Session, digests: Sequence[str]) -> frozenset[str]:
    """Return which of these shared documents were taken in; their bytes are not read."""
    digest = col(SharedDocument.digest)
    return frozenset(session.execute(select(digest).where(digest.in_(digests))).scalars())


def documents(session: Session) -> list[tuple[str, datetime]]:
    """Return digest and time of the documents that were taken in, newest first."""
    rows = session.execute(
        select(col(SharedDocument.digest), col(SharedDocument.taken_at)).order_by(col(SharedDocument.taken_at).desc())
    )
    return [(digest, taken_at) for digest, taken_at in rows]
