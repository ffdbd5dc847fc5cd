"""Scheduled work of attachments."""

import structlog

from node.attachments import cleaning
from node.attachments.service import Attachments
from node.storage.unit_of_work import Database

logger = structlog.get_logger("attachments")


def clean_up(room: Attachments, database: Database) -> None:
    """Delete what no case names after seven days, and files without a row."""
    if deleted := cleaning.clean_up(room, database):
        logger.info("attachments.cleaned", deleted=deleted)


def scan_again(room: Attachments, database: Database) -> None:
    """Examine what is held."""
    if decided := cleaning.scan_again(room, database):
        logger.info("attachments.examined", decided=decided)
