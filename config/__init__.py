"""What one node is told by its operator, and the shared documents that come with the software.

Reading order: `settings` (the tree: every setting with default, unit and meaning), `fields` (what a value may
be), `load` (TOML + environment + flags + secret files, every fault at once, `explain`), `faults` (how they are
said), `example.toml` (a complete file), `data` (catalogue of the 18 items, calendars, demo network, demo
release policy).

Only the composition roots `node/__main__.py`, `node/app.py` and `node/worker.py` import this package;
everybody else receives values. It imports pydantic and the standard library, and creates nothing.
"""
