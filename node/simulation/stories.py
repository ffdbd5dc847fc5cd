"""The stories of the demo: each step does one real thing and says whether it came out as it must.

`query`: one city, then the whole network with one city stopped, then again with all. `refusals`: policy,
expired certificate, forged body, forged signature, replay, stopped city. A step that does not come out as
expected makes the demo fail; refusals are expected here, so a missing one is the failure.
"""

import asyncio
import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.membership.managed import ended_certificate
from node.membership.setup import city_of
from node.records import service as records
from node.records.service import CityAnswer, Enquiry, new_salt
from node.simulation.lumpsum import tell_lumpsum
from node.simulation.network import DemoCity
from node.simulation.people import story_people
from node.simulation.retirement import tell_retirement
from node.simulation.telling import ASKED, ASKING, SECONDS, STOPPED, NotAsExpected, Telling, expect
from node.simulation.transfer import tell_transfer
from node.transport.client import NoAnswer, PeerClients
from node.transport.tls import TlsIdentity
from protocol.certificates import Purpose, parse_certificate
from protocol.claims import JSON_TYPE, Claims, Who, Why, describe_body
from protocol.envelope import MessageKey, RawReply, seal
from protocol.messages import RecordKind, RecordQuery, Subject, format_body
from protocol.suites import parse_json, parse_statement


def _subject(number: int) -> Subject:
    life = story_people()[number]
    return Subject(id_type="01", id_number=life.id_number, name=life.name)


def _purpose(telling: Telling, item: str, reference: str) -> tuple[Why, Who]:
    office = telling.network.city(ASKING).name_zh
    return Why(item=item, basis="STATUTORY", ref=reference), Who(
        office=office, officer=telling.running.node.vault.pseudonym("clerk-450400"), role="clerk"
    )


async def _consultation(telling: Telling, text: str) -> str:
    node = telling.running.node
    number: str = await telling.running.writer.submit(
        lambda tx: records.open_consultation(
            tx, node.vault, text, member=ASKING, actor="clerk-450400", now=telling.opening.now()
        )
    )
    return number


async def _ask(telling: Telling, record: RecordKind, person: int, item: str, cities: list[str]) -> list[CityAnswer]:
    reference = await _consultation(telling, "演示：本人到窗口咨询")
    why, who = _purpose(telling, item, reference)
    enquiry = Enquiry(record, _subject(person), why, who)
    asked = records.ask_network(telling.running.asking, enquiry, cities, random=os.urandom, seconds=SECONDS)
    return [answer async for answer in asked]


async def tell_query(telling: Telling) -> None:
    """One question to one city; then to the whole network while one city is away; then with all of them."""

    async def away() -> tuple[str, str]:
        await asyncio.to_thread(telling.network.stop, STOPPED)
        try:
            return await _ask_everybody(telling, away=STOPPED)
        finally:
            telling.network.start(STOPPED)

    async def back() -> tuple[str, str]:
        await asyncio.to_thread(telling.network.wait, STOPPED)
        return await _ask_everybody(telling, away="")

    await telling.step("ask-one-city", ASKED, lambda: _ask_one(telling))
    await telling.step("ask-network-one-stopped", STOPPED, away)
    await telling.step("ask-network-all", ASKING, back)


async def _ask_one(telling: Telling) -> tuple[str, str]:
    (answer,) = await _ask(telling, RecordKind.CONTRIBUTIONS, 0, "PEN-LUMPSUM", [ASKED])
    said = f"{answer.slug} {answer.detail}"
    expect(answer.outcome == "answer", f"中山未答复：{said}", f"no answer from {ASKED}: {said}")
    months = sum(line["months"] for line in answer.lines if line["insurance"] == "110")
    withheld = len(answer.withheld)
    expect(months > 0 and withheld > 0, "答复内容不符", "the answer is not what the registry holds")
    return (
        f"中山答复：养老缴费 {months} 个月，隐去 {withheld} 个字段",
        f"{ASKED} answered: {months} months, {withheld} fields withheld",
    )


async def _ask_everybody(telling: Telling, *, away: str) -> tuple[str, str]:
    others = [city.code for city in telling.network.cities if city.code != ASKING]
    answers = await _ask(telling, RecordKind.ENROLMENT, 1, "INS-CERT", others)
    silent = [one.member for one in answers if one.outcome == "no-answer"]
    expect(silent == ([away] if away else []), f"未应答的城市：{silent}", f"cities without an answer: {silent}")
    found = [one.member for one in answers if one.outcome == "answer"]
    expect(ASKED in found, "中山应有记录", f"{ASKED} should have a record")
    slowest = max(one.milliseconds for one in answers if one.outcome != "no-answer")
    told, said = (f"（{away} 停机）", f" ({away} stopped)") if away else ("", "")
    return (
        f"{len(answers)} 城并行{told}：{len(found)} 城有记录，最慢 {slowest} 毫秒",
        f"{len(answers)} cities in parallel{said}: {len(found)} with a record, slowest {slowest} ms",
    )


async def tell_refusals(telling: Telling) -> None:
    """Everything that must be refused, is."""
    await telling.step("policy", ASKED, lambda: _policy(telling))
    await telling.step("expired-certificate", ASKED, lambda: _expired(telling))
    await telling.step("forged-body", ASKED, lambda: _forged_body(telling))
    await telling.step("forged-signature", ASKED, lambda: _forged_signature(telling))
    await telling.step("replay", ASKED, lambda: _replay(telling))


async def _policy(telling: Telling) -> tuple[str, str]:
    (answer,) = await _ask(telling, RecordKind.BALANCE, 0, "CARD-SERVICE", [ASKED])
    expect(
        answer.outcome == "refused" and answer.slug == "policy-denied" and answer.signed,
        f"应为 policy-denied，实为 {answer.outcome} {answer.slug}",
        f"expected policy-denied, got {answer.outcome} {answer.slug}",
    )
    return "社保卡事项查账户余额：policy-denied，已签名", "balance for a card service: policy-denied, signed"


async def _expired(telling: Telling) -> tuple[str, str]:
    identity = expired_identity(telling.network.city(ASKING), telling)
    trust = telling.running.keeper
    clients = PeerClients(lambda: identity, lambda: trust.current, telling.opening.now, 1_000_000)
    try:
        await clients.request(trust.current.manifest.members[ASKED], "GET", "/v1/health", seconds=SECONDS)
    except NoAnswer as refused:
        slug = refused.refusal.slug if refused.refusal else refused.reason
        expect(
            slug == "certificate-expired",
            f"应为 certificate-expired，实为 {slug}",
            f"expected certificate-expired, got {slug}",
        )
        return f"过期的 TLS 证书：{slug}（连接阶段）", f"expired TLS certificate: {slug} (while connecting)"
    finally:
        await clients.close()
    raise NotAsExpected("过期证书被接受了", "an expired certificate was accepted")


def expired_identity(city: DemoCity, telling: Telling) -> TlsIdentity:
    """Return a TLS certificate of this city that has ended."""
    node = telling.running.node
    names = (city.name_zh, city.name_en)
    described = city_of(node.settings.member.network, city.code, names, city.endpoint, node.passphrase)
    pem, key = ended_certificate(city.home / "certs", described, Purpose.TLS, now=telling.opening.now())
    certificate = parse_certificate(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))
    return TlsIdentity(certificate, pem.encode(), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def _crafted(telling: Telling) -> tuple[Claims, bytes]:
    why, who = _purpose(telling, "INS-CERT", await _consultation(telling, "演示：伪造与重放"))
    query = RecordQuery(salt=new_salt(os.urandom), record=RecordKind.VOUCHER, subject=_subject(0))
    body = format_body(query)
    trust, issued = telling.running.keeper.current, int(telling.opening.now().timestamp())
    claims = Claims(
        net=trust.manifest.network, ver="1", iss=ASKING, aud=ASKED, iat=issued, exp=issued + 120,
        jti=telling.opening.new_id(), msg="record.query", man=trust.manifest.label, why=why, who=who,
        body=describe_body(body),
    )  # fmt: skip
    return claims, body


async def _post(telling: Telling, statement: bytes, body: bytes) -> RawReply:
    running = telling.running
    member = running.keeper.current.manifest.members[ASKED]
    raw: RawReply
    raw, _ = await running.clients.post_message(member, statement, body, JSON_TYPE, seconds=SECONDS)
    return raw


def _slug(raw: RawReply) -> str:
    return str(parse_json(raw.body).get("slug", "")) if raw.status >= 400 else f"HTTP {raw.status}"


async def _forged_body(telling: Telling) -> tuple[str, str]:
    claims, body = await _crafted(telling)
    raw = await _post(
        telling, seal(claims, telling.running.keyring.current.message), body.replace(b"voucher", b"balance")
    )
    expect(
        _slug(raw) == "digest-mismatch",
        f"应为 digest-mismatch，实为 {_slug(raw)}",
        f"expected digest-mismatch, got {_slug(raw)}",
    )
    return "正文被改：digest-mismatch", "body changed on the way: digest-mismatch"


async def _forged_signature(telling: Telling) -> tuple[str, str]:
    claims, body = await _crafted(telling)
    genuine = telling.running.keyring.current.message
    raw = await _post(telling, seal(claims, MessageKey(genuine.certificate, generate_private_key(SECP256R1()))), body)
    expect(
        _slug(raw) == "bad-signature",
        f"应为 bad-signature，实为 {_slug(raw)}",
        f"expected bad-signature, got {_slug(raw)}",
    )
    return "他人密钥冒签：bad-signature", "signed with another key: bad-signature"


async def _replay(telling: Telling) -> tuple[str, str]:
    claims, body = await _crafted(telling)
    key = telling.running.keyring.current.message
    statement = seal(claims, key)
    first, second = await _post(telling, statement, body), await _post(telling, statement, body)
    same = first.status == second.status == 200 and first.body == second.body
    payloads = [parse_statement(one.statement).claims for one in (first, second)]
    expect(same and payloads[0] == payloads[1], "重放未得到同一答复", "the repeat did not get the same reply")
    other = await _post(telling, seal(claims.model_copy(update={"exp": claims.exp + 1}), key), body)
    expect(
        _slug(other) == "replay-conflict",
        f"应为 replay-conflict，实为 {_slug(other)}",
        f"expected replay-conflict, got {_slug(other)}",
    )
    return (
        "原文重放得到同一答复；同号异文：replay-conflict",
        "same text: same reply, executed once; same number, other text: replay-conflict",
    )


STORIES: Final = {
    "lumpsum": tell_lumpsum,
    "transfer": tell_transfer,
    "retirement": tell_retirement,
    "query": tell_query,
    "refusals": tell_refusals,
}
"""In the order in which they are told."""
