"""Stacks that a profiler saw: folded into text that is kept, and drawn as a flame graph.

One line per stack, outermost frame first: `frame;frame;frame samples`. `fold` cuts what every stack has in common,
leaves out threads that wait for work, and prunes what is too thin to be seen. `draw` is a function of that text
alone, so the picture in docs/performance/ can be held against it byte by byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final

SMALLEST: Final = 0.001
"""share of all samples below which a frame is not kept"""
STEMS: Final = {"run (asyncio/runners.py)": "event loop", "run (threading.py)": "thread"}
"""What stands outside these frames is the same in every stack, and is cut."""
IDLE: Final = ("_worker (concurrent/futures/thread.py)", "wait (threading.py)", "_bootstrap_inner (threading.py)")
"""A thread whose innermost frame is one of these waits for work."""

WIDTH: Final = 1200
ROW: Final = 17
LETTER: Final = 6.3
"""width of a letter of the monospaced text"""
COLOURS: Final = (
    (r"\((node|protocol)/", "#f2994a"),
    (r"\((sqlalchemy|sqlmodel|psycopg)/|<sqlalchemy", "#7fb3d5"),
    (r"\((jwt|cryptography)/|\(ssl\.py", "#a9d18e"),
    (r"\((starlette|fastapi|uvicorn|pydantic)/", "#d7bde2"),
)
OTHER: Final = "#d5d8dc"


@dataclass(slots=True)
class Frame:
    """A function where it stands: the samples in it and in what it called."""

    samples: int = 0
    called: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], samples: int) -> None:
        """Count a stack, outermost frame first."""
        self.samples += samples
        if stack:
            self.called.setdefault(stack[0], Frame()).add(stack[1:], samples)

    @property
    def depth(self) -> int:
        """Return how many frames stand on each other, this one included."""
        return 1 + max((one.depth for one in self.called.values()), default=0)

    @property
    def own(self) -> int:
        """Return the samples in this function itself."""
        return self.samples - sum(one.samples for one in self.called.values())


def read(text: str) -> Frame:
    """Return the tree of stacks.

    Raises:
        ValueError: a line has no number of samples.
    """
    root = Frame()
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        root.add(stack.split(";"), int(samples))
    return root


def fold(raw: str) -> str:
    """Return what is kept of a profiler's raw output; a pruned frame counts as time of the one that called it."""
    root = Frame()
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";") if frame]
        if frames and frames[-1] not in IDLE:
            root.add(_cut(frames), int(samples))
    least = root.samples * SMALLEST
    return "".join(f"{line}\n" for line in _lines(root, [], least))


def _cut(frames: list[str]) -> list[str]:
    for place, frame in enumerate(frames):
        if frame in STEMS:
            return [STEMS[frame], *frames[place + 1 :]]
    return frames


def _lines(frame: Frame, stack: list[str], least: float) -> Iterator[str]:
    kept = {name: one for name, one in sorted(frame.called.items()) if one.samples >= least}
    own = frame.samples - sum(one.samples for one in kept.values())
    if own and stack:
        yield f"{';'.join(stack)} {own}"
    for name, one in kept.items():
        yield from _lines(one, [*stack, name], least)


def draw(text: str) -> str:
    """Return the flame graph of folded stacks as SVG: callers below, callees above, widths by samples."""
    root = read(text)
    height = (root.depth + 1) * ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="monospace" font-size="10.5">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *_boxes(root, f"all, {root.samples} samples", 0.0, height - ROW, root.samples),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(frame: Frame, name: str, x: float, y: int, total: int) -> Iterator[str]:
    width = frame.samples / total * WIDTH
    title = escape(f"{name}: {frame.samples / total:.1%}, itself {frame.own / total:.1%}", quote=False)
    box = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" fill="{_colour(name)}"/>'
    letters = int((width - 4) / LETTER)
    label = escape(name if len(name) <= letters else name[: letters - 1] + "…", quote=False) if letters > 3 else ""
    text = f'<text x="{x + 2:.1f}" y="{y + 12}">{label}</text>' if label else ""
    yield f"<g><title>{title}</title>{box}{text}</g>"
    for callee, one in sorted(frame.called.items()):
        yield from _boxes(one, callee, x, y - ROW, total)
        x += one.samples / total * WIDTH


def _colour(name: str) -> str:
    return next((colour for pattern, colour in COLOURS if re.search(pattern, name)), OTHER)
