"""CLI verbs of the outbox: `outbox list|retry|give-up`."""

from typing import Any, Final

import typer
from rich.table import Table

from node.outbox import service
from node.terminal import Opening, Terminal

STATES: Final = ("waiting", "dead", "delivered", "refused", "given-up")


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    outbox = typer.Typer(
        no_args_is_help=True, help=terminal.text("发件箱：未送达、死信、重试", "what waits to be delivered")
    )
    _mount_list(outbox, terminal, opening)
    _mount_changes(outbox, terminal, opening)
    app.add_typer(outbox, name="outbox")


def _mount_list(outbox: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @outbox.command("list", help=terminal.text("未送达的消息和原因", "messages not delivered, and why"))
    def list_messages(
        peer: str = typer.Option(None, help=terminal.text("城市代码", "city code")),
        state: str = typer.Option(None, help=" | ".join(STATES)),
        limit: int = typer.Option(50, min=1, max=200),
        after: str = typer.Option(
            None, help=terminal.text("上一页末尾给出的游标", "cursor that the previous page gave")
        ),
    ) -> None:
        if state is not None and state not in STATES:
            raise typer.BadParameter(" | ".join(STATES), param_hint="--state")
        with opening.node().database.reading() as session:
            lines, more = service.list_messages(session, peer=peer, state=state, after=after, limit=limit)
        following = f"tongban outbox list --after {more}" if more else "tongban outbox retry NUMBER"
        terminal.finish({"messages": lines, "after": more}, show=[_table(terminal, lines)], next_step=following)


def _table(terminal: Terminal, lines: list[dict[str, Any]]) -> Any:
    if not lines:
        return terminal.text("没有积压", "nothing waits")
    table = Table(box=None, pad_edge=False)
    for zh, en in (("编号", "number"), ("城市", "city"), ("办件", "case"), ("状态", "state"), ("次数", "tries"),
                   ("下次尝试", "next attempt"), ("原因", "last said")):  # fmt: skip
        table.add_column(terminal.text(zh, en))
    for one in lines:
        when = (one["next_at"] or "")[:19]
        table.add_row(one["jti"], one["peer"], one["line"], one["state"], str(one["attempts"]), when, one["slug"] or "")
    return table


def _mount_changes(outbox: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @outbox.command("retry", help=terminal.text("立即重试一条", "try one at once"))
    def retry(number: str = typer.Argument(..., metavar="NUMBER")) -> None:
        async def work(running: Any) -> None:
            await running.writer.submit(lambda tx: running.cases.room.outbox.retry(tx, number, actor=opening.actor()))

        opening.run(work)
        told = terminal.text("✔ 将立即重试", "✔ it is tried at once")
        terminal.finish({"jti": number}, show=[told], next_step="tongban outbox list")

    @outbox.command(
        "give-up",
        help=terminal.text("放弃一条死信，其后的消息继续", "end a dead letter for good; what follows it goes"),
    )
    def give_up(
        number: str = typer.Argument(..., metavar="NUMBER"),
        reason: str = typer.Option(..., help=terminal.text("理由", "reason")),
    ) -> None:
        async def work(running: Any) -> None:
            actor = opening.actor()
            await running.writer.submit(
                lambda tx: running.cases.room.outbox.give_up(tx, number, reason=reason, actor=actor)
            )

        opening.run(work)
        told = terminal.text("✔ 已放弃", "✔ given up")
        terminal.finish({"jti": number}, show=[told], next_step="tongban outbox list")
