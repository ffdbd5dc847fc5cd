"""Stacks of a profiler: what is cut, what is pruned, and a drawing in which widths are samples."""

from xml.etree import ElementTree

from bench.stacks import WIDTH, draw, fold, read

SVG = "{http://www.w3.org/2000/svg}"
LOOP = "_run (node/__main__.py:300);run (uvloop/__init__.py:38);run (asyncio/runners.py:86)"
THREAD = "_bootstrap (threading.py:988);_bootstrap_inner (threading.py:1028);run (threading.py:971)"


def boxes_of(svg: str) -> dict[str, tuple[float, float, str]]:
    """Return left edge, width and label of each box by the name in its title."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):  # noqa: S314 - our own drawing
        title, box, label = group.find(f"{SVG}title"), group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert title is not None
        assert title.text is not None
        assert box is not None
        name = title.text.rpartition(": ")[0]
        text = label.text or "" if label is not None else ""
        found[name] = (float(box.attrib["x"]), float(box.attrib["width"]), text)
    return found


def test_what_all_stacks_have_in_common_is_cut_and_a_function_is_one_frame() -> None:
    lines = (f"{LOOP};seal (protocol/envelope.py:10) 3", f"{LOOP};seal (protocol/envelope.py:44) 4")
    raw = "\n".join((*lines, f"{THREAD};_run (node/u.py:1) 5"))
    assert fold(raw).splitlines() == ["event loop;seal (protocol/envelope.py) 7", "thread;_run (node/u.py) 5"]


def test_a_thread_that_waits_for_work_is_left_out() -> None:
    worker = f"{THREAD};_worker (concurrent/futures/thread.py:69)"
    raw = f"{worker} 90\n{worker};f (a.py:1) 10\n"
    assert fold(raw) == "thread;_worker (concurrent/futures/thread.py);f (a.py) 10\n"


def test_what_is_too_thin_counts_as_time_of_its_caller() -> None:
    folded = fold("a (a.py:1);b (b.py:1) 1\na (a.py:1);c (c.py:1) 1999\n")
    assert folded == "a (a.py) 1\na (a.py);c (c.py) 1999\n"
    assert read(folded).samples == 2000
    assert fold("a (a.py:1);b (b.py:1) 2\na (a.py:1);c (c.py:1) 1998\n").startswith("a (a.py);b (b.py) 2")


def test_folding_again_changes_nothing() -> None:
    folded = fold(f"{LOOP};<module> (a.py:1) 3\n{THREAD};f (node/a.py:2) 5\n")
    assert fold(folded) == folded


def test_a_box_is_as_wide_as_its_samples_and_stands_on_its_caller() -> None:
    svg = draw("a (node/a.py) 10\na (node/a.py);b (b.py) 30\nc (c.py) 60\n")
    boxes = boxes_of(svg)
    assert boxes["a (node/a.py)"][:2] == (0, 0.4 * WIDTH)
    assert boxes["b (b.py)"][:2] == (0, 0.3 * WIDTH)
    assert boxes["c (c.py)"][:2] == (0.4 * WIDTH, 0.6 * WIDTH)
    assert "<title>a (node/a.py): 40.0%, itself 10.0%</title>" in svg
    assert "<title>all, 100 samples: 100.0%, itself 0.0%</title>" in svg


def test_names_are_escaped_and_labels_fit_their_boxes() -> None:
    svg = draw("<lambda> (node/exchange/pipeline.py) 5\n<genexpr> (a&b.py) 94\nx (a.py) 1\n")
    boxes = boxes_of(svg)
    assert boxes["<genexpr> (a&b.py)"][2] == "<genexpr> (a&b.py)"
    assert boxes["<lambda> (node/exchange/pipeline.py)"][2] == "<lambda…"
    assert boxes["x (a.py)"][2] == ""


def test_the_order_of_the_lines_does_not_matter() -> None:
    lines = ["a (a.py) 10\n", "a (a.py);b (b.py) 30\n", "c (c.py) 60\n"]
    assert draw("".join(lines)) == draw("".join(reversed(lines)))
