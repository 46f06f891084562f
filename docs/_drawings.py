"""Draws the pictures of docs/explanation: python docs/_drawings.py

Plain SVG, drawn by the standard library, so that the documentation builds without a browser and without the internet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "explanation"

#: Fill and border of each kind of box.
KINDS = {
    "code": ("#e8f1fb", "#0072b2"),
    "queue": ("#fdf0e3", "#d55e00"),
    "table": ("#e6f4ee", "#00785a"),
    "plain": ("#f6f6f6", "#777777"),
    "end": ("#f3e8f1", "#9a4f82"),
}
INK, MUTED = "#1b1f24", "#57606a"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
FONT_SIZE, LINE_HEIGHT = 13, 17
#: Estimated width of a character as a share of the font size; a text must not be wider than its box on any system's font.
CHARACTER_WIDTH = 0.53

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with lines of text; the first line of several is bold."""

    x: float
    y: float
    width: float
    height: float

    def at(self, side: str, along: float = 0.5) -> Point:
        """A point of a side (`left`, `right`, `top`, `bottom`), at a fraction of its length from the left or the top."""
        across, down = self.x + self.width * along, self.y + self.height * along
        return {
            "left": (self.x, down),
            "right": (self.x + self.width, down),
            "top": (across, self.y),
            "bottom": (across, self.y + self.height),
        }[side]


@dataclass(slots=True)
class Drawing:
    """One picture. `title` is what a screen reader says."""

    title: str
    width: int
    height: int
    _parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, text: str, kind: str = "plain", *, height: float = 0) -> Box:
        """A box with text, as high as its lines need or as `height`. Raises ValueError where a line is too wide."""
        lines = text.split("\n")
        for line in lines:
            if len(line) * FONT_SIZE * CHARACTER_WIDTH > width - 8:
                raise ValueError(f"{line!r} does not fit a box of {width}: widen it or break the line")
        box = Box(x, y, width, height or len(lines) * LINE_HEIGHT + 14)
        fill, border = KINDS[kind]
        self._parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{box.height:g}' rx='6' fill='{fill}' stroke='{border}'/>"
        )
        first = y + (box.height - len(lines) * LINE_HEIGHT) / 2 + LINE_HEIGHT - 4
        for number, line in enumerate(lines):
            bold = number == 0 and len(lines) > 1
            self.text(x + width / 2, first + number * LINE_HEIGHT, line, bold=bold, colour=INK if not number else MUTED)
        return box

    def frame(self, x: float, y: float, width: float, height: float, name: str) -> None:
        """A dashed frame around what belongs together, named at its top left."""
        self._parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='8' fill='none' stroke='{MUTED}' "
            "stroke-dasharray='4 4'/>"
        )
        self.text(x + 8, y + 16, name, anchor="start", colour=MUTED)

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "middle", bold: bool = False, colour: str = INK
    ) -> None:
        """A line of text; `x` is its start, middle or end."""
        weight = " font-weight='600'" if bold else ""
        self._parts.append(
            f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}' fill='{colour}'{weight}>{escape(text)}</text>"
        )

    def notes(self, y: float, *lines: str) -> None:
        """Lines of explanation below the picture."""
        for number, line in enumerate(lines):
            self.text(20, y + 20 * number, line, anchor="start", colour=MUTED)

    def arrow(
        self, *points: Point, text: str = "", at: Point | None = None, anchor: str = "middle", dashed: bool = False
    ) -> None:
        """An arrow through points; its text stands at `at`, or above the middle of the first part."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self._parts.append(f"<polyline points='{path}' fill='none' stroke='{INK}'{dash} marker-end='url(#head)'/>")
        (x1, y1), (x2, y2) = points[:2]
        x, y = at or ((x1 + x2) / 2, (y1 + y2) / 2 - 6)
        for number, line in enumerate(text.split("\n") if text else []):
            self.text(x, y + number * (LINE_HEIGHT - 2), line, anchor=anchor, colour=MUTED)

    def svg(self) -> str:
        """The file's text."""
        return "\n".join(
            [
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width} {self.height}' width='{self.width}' "
                f"height='{self.height}' role='img' font-size='{FONT_SIZE}' {FONT}>",
                f"<title>{escape(self.title)}</title>",
                "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
                f"<path d='M0,0 L8,4 L0,8 z' fill='{INK}'/></marker></defs>",
                # A page may be light or dark; the picture brings its own paper.
                f"<rect width='{self.width}' height='{self.height}' rx='8' fill='#ffffff'/>",
                *self._parts,
                "</svg>",
                "",
            ]
        )


def jobs_way() -> Drawing:
    """From a post to its result."""
    drawing = Drawing(
        "The way of a job: from a post over its label's queue to a consumer, and back as a record", 860, 400
    )
    app = drawing.box(20, 40, 180, "application\nProducer.post(body,\nlabel='resnet50')", "code")
    http = drawing.box(20, 160, 180, "HTTP callers", "plain")
    gateway = drawing.box(20, 222, 180, "gateway\norders waiting callers", "code")
    drawing.arrow(http.at("bottom"), gateway.at("top"))
    drawing.frame(280, 16, 200, 236, "SQS: a queue per label")
    resnet = drawing.box(300, 56, 160, "resnet50.fifo", "queue")
    minilm = drawing.box(300, 106, 160, "minilm.fifo", "queue")
    placement = drawing.box(300, 192, 160, "placement queue", "queue")
    one = drawing.box(640, 40, 200, "consumer 1\nholds resnet50", "code")
    two = drawing.box(640, 130, 200, "consumer 2\nholds minilm", "code")
    registry = drawing.box(640, 222, 200, "registry\nwho holds what", "table")
    jobs = drawing.box(300, 320, 160, "jobs table\nstatus, result", "table")
    drawing.arrow(app.at("right", 0.4835), resnet.at("left"), text="1 post")
    drawing.arrow(gateway.at("right", 0.2), (240, 231.6), (240, 121.5), minilm.at("left"))
    drawing.arrow(resnet.at("right"), one.at("left", 0.656), text="2 receive")
    drawing.arrow(minilm.at("right"), two.at("left", 0.4))
    drawing.arrow(gateway.at("right", 0.6), (260, 250.8), (260, 207.5), placement.at("left"), dashed=True)
    drawing.text(292, 275, "no consumer holds the label: load request", anchor="start", colour=MUTED)
    drawing.arrow(placement.at("right"), (560, 207.5), (560, 164), two.at("left", 0.71), dashed=True)
    drawing.text(566, 187, "load it", anchor="start", colour=MUTED)
    drawing.arrow(two.at("bottom"), registry.at("top"), dashed=True)
    drawing.arrow(one.at("right", 0.5), (852, 64), (852, 344), jobs.at("right"))
    drawing.text(660, 337, "3 compute, 4 write the result, 5 delete the message", colour=MUTED)
    drawing.arrow(jobs.at("left"), (10, 344), (10, 72.5), app.at("left"))
    drawing.text(156, 337, "6 read by message id", colour=MUTED)
    return drawing


def job_states() -> Drawing:
    """The states of a job's record."""
    drawing = Drawing("The states of a job: SUBMITTED, IN_PROGRESS, and one of four ends", 780, 290)
    submitted = drawing.box(30, 96, 150, "SUBMITTED\non its queue", "queue")
    progress = drawing.box(340, 96, 160, "IN_PROGRESS\nattempt 1, 2, …", "code")
    drawing.frame(600, 10, 160, 236, "the end, written once")
    ends = [
        drawing.box(615, 38 + 50 * number, 130, name, "table" if name == "SUCCESS" else "end")
        for number, name in enumerate(("SUCCESS", "ERROR", "CANCELLED", "EXPIRED"))
    ]
    drawing.arrow(submitted.at("right", 0.3), progress.at("left", 0.3), text="a consumer starts it")
    drawing.arrow(progress.at("left", 0.75), submitted.at("right", 0.75), text="released", at=(260, 151))
    drawing.arrow(progress.at("right"), (600, 120))
    drawing.arrow(submitted.at("bottom"), (105, 222), (600, 222))
    drawing.text(116, 214, "before any start: cancelled, dead-lettered, or too late", anchor="start", colour=MUTED)
    drawing.arrow(ends[1].at("right"), (772, 103.5), (772, 266), (64, 266), submitted.at("bottom", 0.227), dashed=True)
    drawing.text(400, 282, "redriven by an operator, after a dead letter only", colour=MUTED)
    return drawing


def labels_life() -> Drawing:
    """What a label goes through."""
    drawing = Drawing("One label's life: not loaded, waiting, loading, serving, idle, evicted", 820, 290)
    absent = drawing.box(20, 40, 170, "not loaded\nnobody polls its queue", "plain")
    waiting = drawing.box(330, 40, 160, "waiting\nload request, row", "queue")
    loading = drawing.box(640, 40, 160, "loading\nclaimed by one", "code")
    serving = drawing.box(640, 160, 160, "serving\npolls its queue", "code")
    idle = drawing.box(330, 160, 160, "idle\nstill loaded", "code")
    drawing.arrow(absent.at("right"), waiting.at("left"), text="a job is posted")
    drawing.arrow(waiting.at("right"), loading.at("left"), text="a consumer takes it")
    drawing.arrow(loading.at("bottom"), serving.at("top"), text="ready", at=(728, 130), anchor="start")
    drawing.arrow(serving.at("left", 0.3), idle.at("right", 0.3), text="queue empty", at=(565, 168))
    drawing.arrow(idle.at("right", 0.75), serving.at("left", 0.75), text="a job", at=(565, 214))
    drawing.arrow(
        idle.at("left"), (105, 184), absent.at("bottom"), text="evicted: another\nlabel needs the slot", at=(216, 154)
    )
    drawing.arrow(
        serving.at("top", 0.1),
        waiting.at("bottom", 0.7),
        text="given up\nafter its turn",
        at=(580, 108),
        anchor="start",
    )
    drawing.notes(
        250,
        "A busy label that is given up after its turn still has work: the consumer sends a load request for it.",
        "A model that fails to load max_load_tries times: its jobs end as ERROR for load_cooling_seconds.",
    )
    return drawing


def who_loads_what() -> Drawing:
    """A load request and the consumers' ranks."""
    drawing = Drawing("Who loads what: a load request on the placement queue, and ranks from the registry", 840, 340)
    producer = drawing.box(20, 60, 170, "producer\nposts to label X", "code")
    queue = drawing.box(300, 60, 170, "placement queue\none request per label", "queue")
    registry = drawing.box(300, 230, 170, "registry\nleased rows", "table")
    first = drawing.box(600, 20, 220, "consumer A: rank 0\nfree slot, or coldest label", "code")
    second = drawing.box(600, 110, 220, "consumer B: rank 1\nkeeps requests over 1 s old", "code")
    third = drawing.box(600, 200, 220, "consumer C: rank 2\nkeeps requests over 2 s old", "code")
    drawing.box(600, 290, 220, "others: look at the registry", "plain")
    drawing.arrow(registry.at("left", 0.5), (105, 254), producer.at("bottom"), dashed=True)
    drawing.text(116, 180, "does anyone", anchor="start", colour=MUTED)
    drawing.text(116, 196, "hold X?", anchor="start", colour=MUTED)
    drawing.arrow(producer.at("right"), queue.at("left"), text="load request")
    drawing.arrow(queue.at("right", 0.3), first.at("left"), text="")
    drawing.text(530, 50, "taken", colour=MUTED)
    drawing.arrow(queue.at("right", 0.7), second.at("left", 0.3), dashed=True)
    drawing.arrow(second.at("left", 0.6), (480, 139), (430, 139), queue.at("bottom", 0.77), dashed=True)
    drawing.text(590, 156, "out of turn: back", anchor="end", colour=MUTED)
    drawing.arrow(first.at("right", 0.5), (832, 44), (832, 272), (520, 272), registry.at("right", 0.87))
    drawing.arrow(third.at("left", 0.7), registry.at("right", 0.3), dashed=True)
    drawing.text(535, 218, "same view", colour=MUTED)
    drawing.text(535, 266, "A claims X", colour=MUTED)
    return drawing


def flow_control() -> Drawing:
    """How the gateway picks the next request."""
    drawing = Drawing("Flow control: bands by priority, labels, keys and flows in turn, room of the label", 840, 330)
    callers = drawing.box(20, 120, 130, "callers\nlabel, priority,\nkey, flow", "plain")
    drawing.frame(210, 16, 330, 250, "waiting, in the gateway's memory")
    bands = [
        drawing.box(
            230, 44 + 72 * number, 290, f"band of priority {priority}\nlabels, keys and flows take turns", "code"
        )
        for number, priority in enumerate(("10", "0", "-10"))
    ]
    gate = drawing.box(600, 100, 110, "room?\nper label", "plain")
    queue = drawing.box(750, 40, 76, "resnet50\n.fifo", "queue")
    other = drawing.box(750, 170, 76, "minilm\n.fifo", "queue")
    for band in bands:
        drawing.arrow(callers.at("right", 0.5), band.at("left"))
    drawing.arrow(bands[0].at("right"), gate.at("left", 0.3), text="first", at=(574, 80))
    drawing.arrow(bands[1].at("right"), gate.at("left", 0.6), text="then", at=(568, 118))
    drawing.arrow(bands[2].at("right"), gate.at("left", 0.9), text="last", at=(576, 196))
    drawing.arrow(gate.at("right", 0.3), queue.at("left"))
    drawing.arrow(gate.at("right", 0.7), other.at("left"))
    drawing.notes(
        290,
        "Each request has one outcome: dispatched, queue-full, ttl, no-consumer, shutting-down or caller-left.",
        "A label without room holds back its own requests in every band, and no other label's.",
    )
    return drawing


def autoscaling() -> Drawing:
    """The loop from the backlog to the number of tasks."""
    drawing = Drawing("Autoscaling: the backlog function, two policies, the ECS service, and back", 840, 330)
    queues = drawing.box(20, 30, 170, "queues\nmessages per label", "queue")
    registry = drawing.box(20, 210, 170, "registry\ncost of a job, loads", "table")
    function = drawing.box(260, 110, 170, "backlog function\neach minute", "code")
    from_zero = drawing.box(510, 30, 310, "RequiresConsumer = 1\nwork, and no task runs or starts: 0 → 1", "plain")
    track = drawing.box(
        510, 120, 310, "BacklogSecondsPerDesiredTask\ntarget tracking: seconds of work per task", "plain"
    )
    service = drawing.box(600, 220, 130, "ECS service\ndesired count", "code")
    tasks = drawing.box(290, 228.5, 130, "consumers", "code")
    drawing.arrow(queues.at("right"), function.at("left", 0.3))
    drawing.arrow(registry.at("right", 0.3), function.at("left", 0.7))
    drawing.arrow(function.at("right", 0.3), from_zero.at("left"))
    drawing.arrow(function.at("right", 0.6), track.at("left"))
    drawing.arrow(from_zero.at("right", 0.5), (832, 54), (832, 256), service.at("right", 0.75))
    drawing.arrow(track.at("bottom"), service.at("top"))
    drawing.arrow(service.at("left"), tasks.at("right"), text="starts and stops tasks")
    drawing.arrow(tasks.at("left"), registry.at("right", 0.7083), text="measure", at=(240, 238))
    drawing.notes(
        295,
        "Seconds of a task, not messages: each label's jobs count at what consumers measured that they cost.",
        "In-flight jobs, loads of unloaded labels, and the work that arrives meanwhile count too.",
    )
    return drawing


DRAWINGS = {
    "a-jobs-way.svg": jobs_way,
    "job-states.svg": job_states,
    "one-labels-life.svg": labels_life,
    "who-loads-what.svg": who_loads_what,
    "flow-control.svg": flow_control,
    "autoscaling.svg": autoscaling,
}


if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw().svg(), "utf-8")
