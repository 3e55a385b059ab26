"""The events of which a dashboard is made: typed plain data, a line of JSON each.

    run        what is looked at, and what weakens it
    metrics    one detector's figures on the test part; a trained model, or a baseline beside it
    profiles   the same by profile and by host, untested profiles named
    learnt     what a detector that was learnt without labels found when it checked itself
    watch      what a watch has found so far: counts, the rate of alerts, drift
    recording  the replay meets a recording
    score      what the detector says of a window of it
    perf       what the replay takes here, measured

A figure without a value is null, never NaN. Times are Unix seconds. Whatever evidence holds comes out as
`escaping.visible` shows it, at most `LONGEST` characters of it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from vestige.checkpoint import Pooling
from vestige.escaping import visible
from vestige.evaluation.figures import ClassRow, Confusion, DelayResult, GroupTable
from vestige.evaluation.record import IntervalResult, Number, Record
from vestige.evaluation.results import MetricColumn, Verdict

VERSION: Literal[3] = 3
LONGEST = 600
"""Characters of any text."""


class _Event(Record):
    v: Literal[3] = VERSION

    @property
    def line(self) -> str:
        """The event as one line of JSON: ASCII, every text of it made harmless and visible."""
        return json.dumps(shown(self.model_dump(mode="json")), allow_nan=False, separators=(",", ":"))


class Player(Record):
    """The detector that replays: alert where 1 - P(first class) reaches the `threshold` (None: it has none).

    `policy` chose the threshold on validation. `alpha`: of a detector of what is normal, the share of windows
    for which alerts are promised, its `budget` in words; its alerts keep to that, not to a threshold.
    """

    name: str
    view: str
    task: str
    threshold: Number
    policy: str | None
    alpha: Number = None
    budget: str = ""


class Caveat(Record):
    """What weakens a run's figures, in a sentence: gravely, or not, or it is a warning of the audit."""

    kind: Literal["grave", "plain", "audit"]
    text: str


class Run(_Event):
    """What is looked at. `judged`: its results are known; `caveats`: what weakens them, the worst first.

    `classes[0]` is the negative class. `view`: what detectors may see, `both` where there are both. Empty
    texts and None: not known. `verdict`: which detector to put to work, as its results say. `player`: None
    where nothing is replayed.
    """

    event: Literal["run"] = "run"
    title: str
    source: str
    view: str
    split: str
    classes: list[str]
    models: list[str]
    judged: bool
    synthetic: bool | None
    created: str
    caveats: list[Caveat]
    verdict: Verdict | None = None
    player: Player | None = None


class Figure(Record):
    """A metric as it was `found`, and how its `column` shows it."""

    column: MetricColumn
    found: IntervalResult


class Metrics(_Event):
    """A detector on the test part, with 95% intervals over `clusters`; `trusted`: enough of these.

    `figures`: its metrics in the order of columns; those `at_threshold` are at the `threshold` that `policy`
    chose on validation. `pooling`:
    how windows became recordings; None where each window was judged by itself. `against`: a model and the
    best baseline, in a sentence. `delays`: see `DelayResult`; empty where nobody knows when attacks began.
    """

    event: Literal["metrics"] = "metrics"
    detector: str
    kind: Literal["model", "baseline"]
    view: str
    pooling: Pooling | None
    windows: int
    synthetic: bool
    clusters: str
    trusted: bool
    figures: list[Figure]
    policy: str
    threshold: float
    per_class: list[ClassRow]
    confusion: Confusion
    delays: list[DelayResult]
    against: str = ""


class Profiles(_Event):
    """A detector by profile and by host. Profiles that the test part lacks are `untested`: no figure says
    anything of them; `unseen` are those that training lacked, `unvalidated` those that validation did."""

    event: Literal["profiles"] = "profiles"
    detector: str
    kind: Literal["model", "baseline"]
    synthetic: bool
    by_profile: GroupTable
    by_host: GroupTable
    untested: list[str]
    unseen: list[str]
    unvalidated: list[str]


class Span(Record):
    """From `begin` (Unix seconds) on, `label` is true, until the next span."""

    begin: float
    label: str
    attack: bool


class Recording(_Event):
    """The replay meets a recording; scores refer to its `number`. What it does not say of itself is empty.

    `begin` and `end`: Unix seconds. `spans`: what is true when, where the evidence says so (the first 200).
    `attack`: when the attack begins, None without one. `synthetic`: it was written by a simulator.
    """

    event: Literal["recording"] = "recording"
    number: int
    id: str
    host: str = ""
    profile: str = ""
    synthetic: bool
    begin: Number = None
    end: Number = None
    spans: list[Span] = Field(default_factory=list)
    attack: Number = None


class Moved(Record):
    """A channel that moved: what was `expected` of the step judged, and what it `was`. Of a detector that
    models channels its own expectation, else the middle (median) of the steps before in the window."""

    channel: str
    unit: str
    expected: Number
    was: Number


class Score(_Event):
    """A window, the `window`-th of its recording: when the step that it judges was over (`time`), and where.

    `proba`: by the run's classes. `score`: 1 - P(first class). `alert`: it reaches the threshold, and that
    is what to act on; `most_probable_class` may still be another. `truth`: the true class, None where nobody
    knows. `surprise`: of a next-token detector, -ln P in nats. `p_value`: of a detector of what is normal the
    share of normal windows that are as strange; its score is the same in powers of ten (3: one in 1,000),
    and it alerts within its budget. `reasons`: why it does; of a detector that was taught by labels those of
    the last alert of each recording in a batch. `moved`: of evidence in channels those that moved most, in
    the windows that alert and the last of each batch.
    """

    event: Literal["score"] = "score"
    recording: int
    window: int
    time: Number
    place: dict[str, int | str]
    proba: list[float]
    score: float
    most_probable_class: str
    alert: bool | None
    truth: str | None
    surprise: Number = None
    p_value: Number = None
    reasons: list[str] = Field(default_factory=list)
    moved: list[Moved] = Field(default_factory=list)


class Planted(Record):
    """Of `of` planted anomalies that are `what`, the share that was found, with 95% bounds."""

    what: str
    of: int
    found: int
    share: float
    low: float
    high: float


class LearntCheck(_Event):
    """What a detector that was learnt without labels found when it checked itself: `sentences` say what to
    expect, `planted` how many planted anomalies it finds, `warning` what these figures do not say."""

    event: Literal["learnt"] = "learnt"
    detector: str
    evidence: str
    budget: str
    sentences: list[str]
    planted: list[Planted]
    warning: str


class Day(Record):
    """A day of the evidence (UTC; empty: windows without a time); `promised`: alerts that the budget allows
    for so many windows, None where the detector has none."""

    day: str
    windows: int
    alerts: int
    dismissed: int
    promised: Number


class Drift(Record):
    """The test of the promise. `e_value`: the evidence against it, which is told from `limit` on (`broken`).
    From `since` on, `rare` windows counted of `windows`, where `expected` were promised. `looks`, `events`
    and `hosts`: what the last alerts since then were about most, with how many. `says`: all of it."""

    broken: bool
    e_value: float
    limit: float
    since: str | None
    windows: int
    rare: int
    expected: float
    looks: dict[str, int]
    events: dict[str, int]
    hosts: dict[str, int]
    says: str


class Watch(_Event):
    """What a watch has found so far; `revision` counts changes. The incidents themselves are asked for.

    `saved`: when its state was (Unix seconds). `hosts` and `looks`: what incidents can be chosen by (the
    first 200). `told`: sentences that count. `error`: why the state cannot be read now; what was known stays.
    """

    event: Literal["watch"] = "watch"
    revision: int
    state: str
    saved: Number
    incidents: int
    open: int
    confirmed: int
    dismissed: int
    steps: int
    alerts: int
    promised: Number
    held_back: int | None
    days: list[Day]
    drift: Drift | None
    hosts: list[str]
    looks: list[str]
    told: list[str]
    error: str = ""


class Perf(_Event):
    """What the replay took so far, on this machine.

    `windows` and `recordings`: of which the replay told. Milliseconds are means a window judged:
    `extraction_ms` from bytes to stream values, `inference_ms` from these to probabilities. `windows_per_s`:
    windows by the seconds spent on both, waiting left out. `batch`: windows judged at a time, on average.
    `memory`: bytes of this process that are resident. `cores`: those it may use. `bytes` of `total` bytes of
    evidence were read. `state` `failed`: `note` says why.
    """

    event: Literal["perf"] = "perf"
    state: Literal["running", "done", "failed"]
    note: str = ""
    windows: int
    recordings: int
    seconds: float
    extraction_ms: Number
    inference_ms: Number
    windows_per_s: Number
    batch: Number
    memory: int | None
    cores: int
    bytes: int
    total: int | None


Event = Run | Metrics | Profiles | LearntCheck | Watch | Recording | Score | Perf
_ANY: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse(line: str | bytes) -> Event:
    """The event of a line. Raises pydantic's ValidationError."""
    return _ANY.validate_json(line)


def shown(value: Any, longest: int = LONGEST) -> Any:
    """A JSON value, every text of it made harmless and visible, and cut."""
    if isinstance(value, str):
        return visible(value, longest)
    if isinstance(value, dict):
        return {shown(key, longest): shown(inner, longest) for key, inner in value.items()}
    if isinstance(value, list):
        return [shown(item, longest) for item in value]
    return value
