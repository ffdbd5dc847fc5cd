"""CLI verbs of membership: `init`, `network`, `ping`; `packs` stands in `pack_commands`."""

import asyncio
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from node.membership import pack_commands, service
from node.membership.founding import FoundingRefused, draft_genesis
from node.membership.managed import governance_key, join_request
from node.membership.packs import Affected
from node.membership.setup import (
    JOIN_FILE,
    PASSPHRASE,
    SETTINGS_FILE,
    Answers,
    NotEmpty,
    city_of,
    join_network,
    make_home,
)
from node.storage.schema import upgrade
from node.terminal import REFUSED, UNAVAILABLE, USAGE, Opening, Terminal
from protocol.joining import JoinRefused, fingerprint, parse_join_request
from protocol.manifest import ManifestRefused, NetworkPolicy, digest_of, sign

OURS = ("本市", "this city")
THE_NETWORK = ("网络", "the network")


def mount(app: typer.Typer, terminal: Terminal, opening: Opening, *, affected: Affected | None = None) -> None:
    """Add the verbs of this room; `affected` tells which due days another calendar would move."""
    _mount_init(app, terminal, opening)
    _mount_ping(app, terminal, opening)
    network = typer.Typer(
        no_args_is_help=True, help=terminal.text("网络：创立、签名、查看", "the network: found, sign, show")
    )
    _mount_request(network, terminal, opening)
    _mount_found(network, terminal, opening)
    _mount_sign(network, terminal)
    _mount_show(network, terminal, opening)
    app.add_typer(network, name="network")
    pack_commands.mount(app, terminal, opening, affected)


def _mount_init(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @app.command(help=terminal.text("建立节点目录，或加入网络", "make a node directory, or join it to a network"))
    def init(
        member: str = typer.Option("", help=terminal.text("六位行政区划代码", "six-digit division code")),
        name: str = typer.Option("", help=terminal.text("城市中文名称", "Chinese name of the city")),
        name_en: str = typer.Option("", help=terminal.text("城市英文名称", "English name of the city")),
        network: str = typer.Option("new", help=terminal.text("名册文件，或 new", "manifest FILE, or new")),
        network_id: str = typer.Option("yizhangwang", help=terminal.text("新网络的标识", "id of the new network")),
        genesis: str = typer.Option(
            "", help=terminal.text("创始名册摘要，人工核对", "genesis digest, checked by hand")
        ),
        profile: str = typer.Option("small", help="small | postgres"),
        peer_url: str = typer.Option("", help=terminal.text("其他城市访问的网址", "what other cities call")),
        external_ca: bool = typer.Option(
            False, help=terminal.text("证书来自离线 CA", "certificates from an offline CA")
        ),
        non_interactive: bool = typer.Option(False, help=terminal.text("不提问", "ask nothing")),
    ) -> None:
        if network != "new":
            _join(terminal, opening, Path(network), genesis)
        asked = {"member": member, "name": name, "peer_url": peer_url}
        if not non_interactive:
            asked = _ask_for_missing(terminal, asked)
        answers = _answers(
            terminal, asked, name_en=name_en, network=network_id, profile=profile, managed=not external_ca
        )
        _make(terminal, opening, answers)


def _ask_for_missing(terminal: Terminal, asked: dict[str, str]) -> dict[str, str]:
    questions = {
        "member": terminal.text("本市六位行政区划代码", "Six-digit division code of this city"),
        "name": terminal.text("城市名称", "Name of the city"),
        "peer_url": terminal.text(
            "其他城市访问本节点的网址 (https://主机:8443)", "URL that other cities call (https://HOST:8443)"
        ),
    }
    return {key: value or str(typer.prompt(questions[key], err=True)) for key, value in asked.items()}


def _answers(
    terminal: Terminal, asked: dict[str, str], *, name_en: str, network: str, profile: str, managed: bool
) -> Answers:
    faults = []
    if not re.fullmatch(r"[1-9][0-9]{5}", asked["member"]):
        faults.append(("--member 为六位数字", "--member has six digits"))
    if not 1 <= len(asked["name"]) <= 80:
        faults.append(("--name 必填", "--name is needed"))
    if not re.fullmatch(r"https://[A-Za-z0-9.\-\[\]:]+", asked["peer_url"]):
        faults.append(("--peer-url 形如 https://主机:8443", "--peer-url looks like https://HOST:8443"))
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,39}", network):
        faults.append(("--network-id 为小写字母、数字和连字符", "--network-id has small letters, digits and hyphens"))
    if profile not in ("small", "postgres"):
        faults.append(("--profile 为 small 或 postgres", "--profile is small or postgres"))
    if faults:
        what = ("；".join(zh for zh, _ in faults), "; ".join(en for _, en in faults))
        terminal.fail(what, side=OURS, next_step=("tongban init --help",) * 2, code=USAGE)
    postgres = "postgresql+psycopg:///tongban"
    return Answers(
        member=asked["member"],
        name_zh=asked["name"],
        name_en=name_en or asked["name"],
        network=network,
        peer_url=asked["peer_url"].rstrip("/"),
        peer_listen="0.0.0.0:8443",
        console_listen="127.0.0.1:8000",
        database_url=postgres if profile == "postgres" else "sqlite:///data/tongban.db",
        managed=managed,
    )


def _make(terminal: Terminal, opening: Opening, answers: Answers) -> None:
    try:
        request = make_home(terminal.home, answers, random=os.urandom, now=opening.now())
    except NotEmpty:
        what = ("目录不是空的，不会覆盖任何文件", "The directory is not empty; nothing is overwritten")
        terminal.fail(what, side=OURS, next_step=("tongban init --home 新目录", "tongban init --home NEW-DIRECTORY"))
    upgrade(opening.engine())
    data: dict[str, Any] = {"home": str(terminal.home), "member": answers.member, "network": answers.network}
    if request is None:
        terminal.finish(
            data,
            show=[terminal.text("密钥与证书请求已生成于 certs/。", "Keys and certificate requests are in certs/.")],
            next_step=terminal.text(
                "CA 签发 certs/*.csr 后，将 ca.pem、tls.pem、message.pem、document.pem、crl.der 放入 certs/；"
                "tongban network request",
                "have the CA answer certs/*.csr; ca.pem, tls.pem, message.pem, document.pem, crl.der go to certs/; "
                "then tongban network request",
            ),
        )
    data["fingerprint"] = fingerprint(request)
    terminal.finish(
        data,
        show=[
            terminal.text(f"节点目录已建立：{terminal.home}", f"Node directory: {terminal.home}"),
            terminal.text(
                f"入网申请：{JOIN_FILE}，电话核对指纹 {data['fingerprint']}",
                f"Join request: {JOIN_FILE}, fingerprint to read out by phone: {data['fingerprint']}",
            ),
            terminal.text("请将 certs/governance.key 移到离线介质。", "Move certs/governance.key to offline media."),
        ],
        next_step="tongban network found JOIN-REQUEST... -o manifest.json",
    )


def _join(terminal: Terminal, opening: Opening, file: Path, genesis: str) -> None:
    if not (terminal.home / SETTINGS_FILE).exists():
        what = ("这里还没有节点目录", "There is no node directory here yet")
        terminal.fail(what, side=OURS, next_step=("tongban init --network new",) * 2, code=USAGE)
    try:
        data = file.read_bytes()
        upgrade(opening.engine())
        manifest = join_network(terminal.home, opening.node().database, data, genesis, now=opening.now())
    except OSError as fault:
        what = (f"无法读取名册：{fault.strerror}", f"The manifest cannot be read: {fault.strerror}")
        terminal.fail(what, side=OURS, next_step=("检查 --network 的文件", "check the file of --network"), code=USAGE)
    except ManifestRefused as fault:
        what = (f"名册不被接受：{fault}", f"The manifest is refused: {fault}")
        terminal.fail(
            what,
            side=THE_NETWORK,
            next_step=("与其他城市电话核对摘要", "compare the digest with the other cities by phone"),
        )
    terminal.finish(
        {"manifest": manifest.label, "members": sorted(manifest.members)},
        show=[
            terminal.text(
                f"已加入 {manifest.network}，名册第 {manifest.version} 版",
                f"Joined {manifest.network}, manifest version {manifest.version}",
            )
        ],
        next_step="tongban serve",
    )


def _mount_request(network: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @network.command(help=terminal.text("重新写出入网申请", "write the join request again"))
    def request() -> None:
        settings = opening.loaded().settings
        me = settings.member
        secret = _passphrase(terminal, None)
        city = city_of(me.network, me.code, (me.name_zh, me.name_en), settings.peer.public_url, secret)
        text = join_request(settings.dirs.certs, city)
        (terminal.home / JOIN_FILE).write_text(text, encoding="utf-8")
        told = terminal.text(f"{JOIN_FILE}，指纹 {fingerprint(text)}", f"{JOIN_FILE}, fingerprint {fingerprint(text)}")
        data = {"file": JOIN_FILE, "fingerprint": fingerprint(text)}
        terminal.finish(data, show=[told], next_step="tongban network found JOIN-REQUEST... -o manifest.json")


def _mount_found(network: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @network.command(
        help=terminal.text("由各市入网申请生成创始名册", "make a genesis manifest of the founders' join requests")
    )
    def found(
        requests: list[Path] = typer.Argument(..., metavar="JOIN-REQUEST..."),
        output: Path = typer.Option(..., "-o", "--output"),
        memorandum: str = typer.Option("", help=terminal.text("备忘录编号", "reference of the memorandum")),
        loopback: bool = typer.Option(
            False, help=terminal.text("允许回环地址，仅限演示", "allow loopback endpoints; demo only")
        ),
    ) -> None:
        try:
            parsed = [parse_join_request(path.read_text(encoding="utf-8")) for path in requests]
            policy = NetworkPolicy(loopback_endpoints=loopback)
            data = draft_genesis(
                parsed, memorandum=memorandum, documents=opening.documents(), policy=policy, now=opening.now()
            )
        except (OSError, UnicodeDecodeError, JoinRefused, FoundingRefused) as fault:
            what = (f"无法创立网络：{fault}", f"The network cannot be founded: {fault}")
            terminal.fail(what, side=THE_NETWORK, next_step=("检查各市的入网申请", "check the join requests"))
        output.write_bytes(data)
        terminal.finish(
            {"digest": digest_of(data), "members": sorted(one.member.id for one in parsed)},
            show=[terminal.text(f"创始名册摘要 {digest_of(data)}", f"Genesis digest {digest_of(data)}")],
            next_step=f"tongban network sign {output} --key governance.key",
        )


def _mount_sign(network: typer.Typer, terminal: Terminal) -> None:
    of_key = terminal.text("密钥口令文件", "file with the key's passphrase")

    @network.command("sign", help=terminal.text("用离线治理密钥签名", "sign with the offline governance key"))
    def sign_manifest(
        file: Path = typer.Argument(...),
        key: Path = typer.Option(..., help="governance.key"),
        passphrase_file: Path = typer.Option(None, help=of_key),
    ) -> None:
        try:
            signed = sign(file.read_bytes(), governance_key(key, _passphrase(terminal, passphrase_file)))
        except (OSError, ManifestRefused) as fault:
            what = (f"不能签名：{fault}", f"It cannot be signed: {fault}")
            terminal.fail(what, side=OURS, next_step=("检查文件与密钥", "check the file and the key"))
        file.write_bytes(signed)
        terminal.finish(
            {"digest": digest_of(signed)},
            show=[terminal.text(f"已签名，摘要 {digest_of(signed)}", f"Signed, digest {digest_of(signed)}")],
            next_step=f"tongban init --network {file} --genesis {digest_of(signed)}",
        )


def _passphrase(terminal: Terminal, given: Path | None) -> bytes | None:
    path = given or terminal.home / PASSPHRASE
    return path.read_bytes().strip() if path.exists() else None


def _mount_show(network: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @network.command(help=terminal.text("当前名册", "the manifest in force"))
    def show() -> None:
        with opening.node().database.reading() as session:
            manifest = service.manifest_in_force(session)
        days = (manifest.expires - opening.now()).days
        table = Table("", *terminal.text("名称|状态|地址|证书机构", "name|status|endpoint|CA").split("|"))
        rows = []
        for one in manifest.members.values():
            authority = one.authorities[0].fingerprint[:12]
            name = one.names.get(terminal.lang, one.names.get("zh", one.id))
            table.add_row(one.id, name, one.status.value, one.endpoints[0], authority)
            rows.append(
                {"id": one.id, "names": dict(one.names), "status": one.status.value, "endpoint": one.endpoints[0]}
            )
        data = {
            "network": manifest.network,
            "manifest": manifest.label,
            "days_left": days,
            "quorum": manifest.quorum,
            "members": rows,
        }
        head = terminal.text(
            f"{manifest.network} 名册第 {manifest.version} 版，剩 {days} 天，见证法定数 {manifest.quorum}",
            f"{manifest.network}, manifest version {manifest.version}, {days} days left, quorum {manifest.quorum}",
        )
        terminal.finish(data, show=[head, table], next_step="tongban ping --all", ok=days >= 0)


def _mount_ping(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @app.command(help=terminal.text("对端是否可达、版本、时钟偏差", "is a peer reachable, which version, clock offset"))
    def ping(
        peer: str = typer.Argument("", metavar="CODE"),
        every: bool = typer.Option(False, "--all", help=terminal.text("所有对端", "all peers")),
    ) -> None:
        if bool(peer) == every:
            what = ("请给出城市代码，或 --all", "Name a city, or --all")
            terminal.fail(what, side=OURS, next_step=("tongban ping --all",) * 2, code=USAGE)
        seconds = terminal.timeout or 5.0
        pinged = opening.run(lambda running: _ping(running, peer, seconds))
        columns = terminal.text("结果|版本|名册|时钟偏差|毫秒", "outcome|software|manifest|clock offset|ms")
        table = Table("", *columns.split("|"))
        for one in pinged:
            offset = "" if one.offset_seconds is None else f"{one.offset_seconds:+.2f} s"
            table.add_row(one.member, one.outcome, one.software, str(one.manifest or ""), offset, str(one.milliseconds))
        reached = [one for one in pinged if one.outcome == "pong"]
        refused = [one for one in pinged if one.refused]
        code = 0 if len(reached) == len(pinged) else REFUSED if refused else UNAVAILABLE
        data = [asdict(one) for one in pinged]
        terminal.finish(data, show=[table], next_step="tongban doctor", ok=code == 0, code=code)


async def _ping(running: Any, peer: str, seconds: float) -> list[service.Pinged]:
    manifest = running.keeper.current.manifest
    members = [peer] if peer else [one.id for one in manifest.active() if one.id != running.node.member]
    return list(await asyncio.gather(*(service.ping(running.asking, one, seconds=seconds) for one in members)))
