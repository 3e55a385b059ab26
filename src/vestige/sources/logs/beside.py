"""What is said of lines that are no messages of a file's own format: named, counted, never silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vestige.evidence.defects import DETAIL, RECORD, Defect
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.parse import BETWEEN, Messages, Rules, places

MOST_NAMED = 20
"""Lines of a file that are named because no message has them."""
BETWEEN_MESSAGES, OF_NO_FORMAT = "lines_between_messages", "lines_of_no_format"
OF_OTHERS, WITH_ESCAPES = "messages_of_other_formats", "lines_with_escapes"
UNDECODABLE = "undecodable_lines"
OF_NONE, OVER_LONG = "lines_without_header", "over_long"
PIECES, SILENT = "pieces_alone", "records_without_message"
DOUBTFUL = {
    WITH_ESCAPES: "{:,} lines hold what tells terminals about colours, which is left out",
    UNDECODABLE: "{:,} lines hold bytes that are no text of the encoding, which are replaced "
    "(--encoding latin-1 reads those of western Europe)",
    OF_NONE: "lines that belong to no message, such as those before the first one: {:,}",
    PIECES: "{:,} pieces of messages whose next piece does not follow, as where two streams of a container "
    "mix, are messages by themselves",
    SILENT: "{:,} records hold no message where others have theirs, so that their text is a level at most: "
    "read as events they may say more, and journalctl -o json writes long messages with --all alone",
    OVER_LONG: "lines or messages that were read up to a bound alone (--max-line-bytes): {:,}",
}
"""What is doubtful where there are any of these, in the order in which it is told."""
COUNTED = (BETWEEN_MESSAGES, OF_NO_FORMAT, OF_OTHERS, *DOUBTFUL)


@dataclass
class Beside:
    """`unread`: the first lines that no message has, and why; `changed`: the first line of another format,
    and what that is; `counts` of all such lines."""

    unread: list[tuple[int, str]] = field(default_factory=list)
    changed: tuple[int, str] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, rules: Rules, block: Block, messages: Messages) -> list[tuple[int, str]]:
        """Take in what a block holds beside messages. Returns what is to be named of it."""
        if messages.counts.get(OF_OTHERS) and self.changed is None:
            self.changed = _first_of_another(rules, block)
        return self.add(messages.unread, messages.counts)

    def add(self, unread: Iterable[tuple[int, str]], counts: Mapping[str, int]) -> list[tuple[int, str]]:
        """The same of lines that were looked at already."""
        new = list(unread)[: MOST_NAMED - len(self.unread)]
        self.unread += new
        for name in COUNTED:
            self.counts[name] += counts.get(name, 0)
        return new

    @property
    def more(self) -> dict[str, int]:
        """How many there were beyond those named, as `LeftOut.add` takes it."""
        between = sum(why == BETWEEN for _, why in self.unread)
        return {
            DETAIL: self.counts[BETWEEN_MESSAGES] - between,
            RECORD: self.counts[OF_NO_FORMAT] - (len(self.unread) - between),
        }

    @property
    def warnings(self) -> list[str]:
        """Whole sentences about what is doubtful."""
        told = []
        if self.changed is not None:
            row, name = self.changed
            told.append(
                f"from line {row} on there are messages of another format, {name}: "
                f"{self.counts[OF_OTHERS]:,} in all"
            )
        told += [says.format(self.counts[name]) for name, says in DOUBTFUL.items() if self.counts[name]]
        return told


def defects(file: str, unread: Iterable[tuple[int, str]]) -> list[Defect]:
    """What is said of lines that no message has."""
    return [Defect(file, row, DETAIL if why == BETWEEN else RECORD, why) for row, why in unread]


def _first_of_another(rules: Rules, block: Block) -> tuple[int, str] | None:
    """The first line of a block that begins a message of another format, and which that is."""
    foreign = rules.foreign
    lines = rules.text(block.data).split("\n")
    numbers = places(block, len(lines))[2]
    for number, line in zip(numbers.tolist(), lines, strict=False):
        if foreign is None or line[:1] in {"", " ", "\t"} or rules.header.match(line):
            continue
        other = foreign.format(line)
        if other is not None:
            return number, f"{other.name} ({other.header})"
    return None
