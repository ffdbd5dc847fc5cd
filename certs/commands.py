"""The doors `tongban certs …` (experience (c)): thin, bilingual, and each answer ends with a next step.

`--json` prints one object `{"ok", "data", "refusal", "next"}`. Exit codes: 0 done, 1 refused, 2 wrong usage,
3 something needed cannot be read. `status` belongs to the node, which knows the peers.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from certs.answers import Answer, answer, say
from certs.ca import Ca, create_ca, open_ca
from certs.crl import issue_crl
from certs.csr import make_csr
from certs.faults import AlreadyThere, WrongUsage
from certs.files import PUBLIC, create_file, read_file
from certs.issue import issue, read_certificate, renew
from certs.keys import generate_ec_key, read_ec_key, read_passphrase, write_key
from certs.profiles import CRL_LIFETIME_MANAGED, CRL_LIFETIME_OFFLINE
from certs.revoke import Reason, revoke
from certs.show import days_left, report_ca, status_of
from protocol.certificates import Certificate, Crl, Purpose

app = typer.Typer(no_args_is_help=True, help="证书 · certificates: csr, issue, renew, revoke, show")
ca_app = typer.Typer(no_args_is_help=True, help="城市 CA · the city's certificate authority")
app.add_typer(ca_app, name="ca")

CaDirectory = Annotated[Path, typer.Option("--ca", help="CA 目录 · CA directory")]
Passphrase = Annotated[Path | None, typer.Option("--passphrase-file", help="口令文件 0600 · passphrase file")]
Use = Annotated[Purpose, typer.Option("--use", help="用途 · purpose")]
Days = Annotated[int | None, typer.Option("--days", help="有效天数 · days of validity")]
Output = Annotated[Path, typer.Option("--out", "-o", help="输出文件 · file to create")]
Managed = Annotated[bool, typer.Option("--managed", help="7 天 · CRL good for 7 days instead of 35")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON")]
Lang = Annotated[str | None, typer.Option("--lang", help="zh | en")]


@ca_app.command("init")
def init_ca(
    ca: CaDirectory,
    network: Annotated[str, typer.Option("--network", help="网络编号 · network id")],
    member: Annotated[str, typer.Option("--member", help="成员代码 · six-digit member code")],
    passphrase_file: Passphrase = None,
    plain_key: Annotated[bool, typer.Option("--plain-key", help="不加密 · leave the key unencrypted")] = False,
    managed: Managed = False,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """创建城市 CA · create the city's CA and its first CRL."""

    def run(now: datetime) -> Answer:
        if (passphrase_file is None) != plain_key:
            raise WrongUsage("请给出 --passphrase-file（或 --plain-key）", "give --passphrase-file (or --plain-key)")
        made = create_ca(ca, network=network, member=member, passphrase=_passphrase(passphrase_file), now=now)
        crl = issue_crl(made, now=now, lifetime=_crl_lifetime(managed))
        data = {"member": member, "network": network, "fingerprint": made.authority.fingerprint, "crl": crl.number}
        return Answer(
            data,
            say(
                f"已创建 {member} 的 CA，指纹 {made.authority.fingerprint}",
                f"CA of {member} created, fingerprint {made.authority.fingerprint}",
            ),
            f"tongban certs issue --ca {ca} --use tls",
        )

    answer(run, as_json=as_json, lang=lang)


@ca_app.command("show")
def show_ca(ca: CaDirectory, as_json: AsJson = False, lang: Lang = None) -> None:
    """显示 CA、吊销列表与已签发证书 · show CA, CRL and what was issued."""

    def run(now: datetime) -> Answer:
        report = report_ca(ca, now=now)
        crl = _crl_data(report.crl, now) if report.crl else None
        lines = [
            {
                "serial": f"{one.serial:x}",
                "purpose": one.purpose,
                "not_after": one.not_after.isoformat(),
                "days_left": days_left(one.not_after, now=now),
                "status": status_of(one, now=now),
            }
            for one in report.issued
        ]
        data = {
            "network": report.network,
            "member": report.authority.member,
            "fingerprint": report.authority.fingerprint,
            "not_after": report.authority.not_after.isoformat(),
            "crl": crl,
            "issued": lines,
        }
        texts = [f"{one['serial']}  {one['purpose']}  {one['status']}  {one['not_after']}" for one in lines]
        state = f"CRL {crl['number']} → {crl['next_update']}" if crl else "CRL —"
        head = f"{report.authority.member}  {report.authority.fingerprint}  {state}"
        text = "\n".join([head, *texts])
        return Answer(data, say(text, text), f"tongban certs ca crl --ca {ca}")

    answer(run, as_json=as_json, lang=lang)


@ca_app.command("crl")
def make_crl(
    ca: CaDirectory,
    passphrase_file: Passphrase = None,
    managed: Managed = False,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """签发新的吊销列表 · sign the next CRL."""

    def run(now: datetime) -> Answer:
        crl = issue_crl(_open(ca, passphrase_file), now=now, lifetime=_crl_lifetime(managed))
        text = f"CRL {crl.number} → {crl.next_update.isoformat()}"
        return Answer(_crl_data(crl, now), say(text, text), f"tongban certs ca show --ca {ca}")

    answer(run, as_json=as_json, lang=lang)


@app.command("csr")
def make_request(
    use: Use,
    network: Annotated[str, typer.Option("--network", help="网络编号 · network id")],
    member: Annotated[str, typer.Option("--member", help="成员代码 · six-digit member code")],
    key_file: Annotated[Path, typer.Option("--key-file", help="私钥文件 · key, created when absent")],
    out: Output,
    host: Annotated[list[str] | None, typer.Option("--host", help="主机名 · host name or address, tls only")] = None,
    passphrase_file: Passphrase = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """生成密钥与证书请求 · make a key and a signing request."""

    def run(now: datetime) -> Answer:
        passphrase = _passphrase(passphrase_file)
        is_new = not key_file.exists()
        key = generate_ec_key() if is_new else read_ec_key(key_file, passphrase=passphrase)
        request = make_csr(key, network=network, member=member, purpose=use, hosts=host or [])
        if is_new:
            write_key(key_file, key, passphrase=passphrase)
        create_file(out, request.encode(), mode=PUBLIC)
        data = {"request": str(out), "key": str(key_file), "key_created": is_new}
        return Answer(
            data,
            say(f"已生成证书请求 {out}", f"request written to {out}"),
            f"tongban certs issue --ca DIR --use {use.value} --csr {out} --out cert.pem",
        )

    answer(run, as_json=as_json, lang=lang)


@app.command("issue")
def issue_certificate(
    ca: CaDirectory,
    use: Use,
    csr: Annotated[Path, typer.Option("--csr", help="证书请求 · signing request")],
    out: Output,
    days: Days = None,
    passphrase_file: Passphrase = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """按用途签发证书 · issue by profile."""

    def run(now: datetime) -> Answer:
        _refuse_existing(out)
        pem = issue(_open(ca, passphrase_file), read_file(csr), use, now=now, days=days)
        create_file(out, pem.encode(), mode=PUBLIC)
        return _issued(read_certificate(pem.encode()), out)

    answer(run, as_json=as_json, lang=lang)


@app.command("renew")
def renew_certificate(
    ca: CaDirectory,
    use: Use,
    csr: Annotated[Path, typer.Option("--csr", help="证书请求 · signing request")],
    out: Output,
    days: Days = None,
    passphrase_file: Passphrase = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """续期；旧证书继续有效 · renew; the old certificate stays good until it ends."""

    def run(now: datetime) -> Answer:
        _refuse_existing(out)
        renewal = renew(_open(ca, passphrase_file), read_file(csr), use, now=now, days=days)
        create_file(out, renewal.pem.encode(), mode=PUBLIC)
        issued = _issued(renewal.certificate, out)
        old = [{"serial": f"{one.serial:x}", "not_after": one.not_after.isoformat()} for one in renewal.replaces]
        return Answer({**issued.data, "replaces": old}, issued.text, issued.next)

    answer(run, as_json=as_json, lang=lang)


@app.command("revoke")
def revoke_certificate(
    ca: CaDirectory,
    serial: Annotated[str, typer.Argument(help="序列号（十六进制）· serial number in hexadecimal")],
    reason: Annotated[Reason, typer.Option("--reason", help="原因 · reason")],
    since: Annotated[str | None, typer.Option("--since", help="ISO 8601；何时泄露 · compromised from")] = None,
    managed: Managed = False,
    passphrase_file: Passphrase = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """吊销证书并签发新的吊销列表 · revoke, and sign the CRL that says so."""

    def run(now: datetime) -> Answer:
        number, moment = _serial(serial), _moment(since)
        opened = _open(ca, passphrase_file)
        line, crl = revoke(opened, number, reason=reason, now=now, lifetime=_crl_lifetime(managed), since=moment)
        data = {
            "serial": f"{number:x}",
            "reason": line.reason,
            "since": line.revoked_since.isoformat() if line.revoked_since else None,
            "crl": crl.number,
        }
        return Answer(
            data,
            say(f"已吊销 {number:x}，吊销列表编号 {crl.number}", f"revoked {number:x}, CRL number {crl.number}"),
            f"tongban certs ca show --ca {ca}",
        )

    answer(run, as_json=as_json, lang=lang)


@app.command("show")
def show_certificate(
    file: Annotated[Path, typer.Argument(help="证书 PEM · certificate")], as_json: AsJson = False, lang: Lang = None
) -> None:
    """显示证书 · show a certificate file."""

    def run(now: datetime) -> Answer:
        one = read_certificate(read_file(file))
        left = days_left(one.not_after, now=now)
        text_zh = f"{one.member} {one.purpose.value}，剩余 {left} 天，指纹 {one.fingerprint}"
        text_en = f"{one.member} {one.purpose.value}, {left} days left, fingerprint {one.fingerprint}"
        return Answer({**_certificate_data(one), "days_left": left}, say(text_zh, text_en), "tongban certs status")

    answer(run, as_json=as_json, lang=lang)


def _issued(one: Certificate, out: Path) -> Answer:
    until = one.not_after.date().isoformat()
    text = say(f"已签发 {out}，有效至 {until}", f"issued {out}, valid until {until}")
    return Answer({**_certificate_data(one), "file": str(out)}, text, f"tongban certs show {out}")


def _certificate_data(one: Certificate) -> dict[str, Any]:
    return {
        "network": one.network,
        "member": one.member,
        "purpose": one.purpose.value,
        "serial": f"{one.serial:x}",
        "fingerprint": one.fingerprint,
        "not_before": one.not_before.isoformat(),
        "not_after": one.not_after.isoformat(),
    }


def _crl_data(crl: Crl, now: datetime) -> dict[str, Any]:
    return {
        "number": crl.number,
        "this_update": crl.this_update.isoformat(),
        "next_update": crl.next_update.isoformat(),
        "age_hours": (now - crl.this_update) // timedelta(hours=1),
        "revoked": len(crl.revoked),
    }


def _crl_lifetime(managed: bool) -> timedelta:
    return CRL_LIFETIME_MANAGED if managed else CRL_LIFETIME_OFFLINE


def _passphrase(file: Path | None) -> bytes | None:
    return None if file is None else read_passphrase(file)


def _open(directory: Path, passphrase_file: Path | None) -> Ca:
    return open_ca(directory, passphrase=_passphrase(passphrase_file))


def _refuse_existing(out: Path) -> None:
    if out.exists():
        # Before anything is signed: a certificate that could not be handed over would stay in the index.
        raise AlreadyThere(f"{out.name} 已存在，不会覆盖", f"{out.name} exists and is not overwritten")


def _serial(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise WrongUsage("序列号须为十六进制", "a serial number is hexadecimal") from None


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage("--since 须为 ISO 8601 时间", "--since is an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise WrongUsage("--since 须带时区，如 +08:00", "--since needs its offset, such as +08:00")
    return moment.astimezone(UTC)
