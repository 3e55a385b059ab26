"""What varies in a simulated message: users, addresses, paths, durations."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from random import Random
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

USERS = (
    "amira", "bela", "chen", "dora", "emeka", "farid", "greta", "hana", "ivo", "jonas", "kofi", "lena",
    "mateo", "noor", "olga", "pavel", "quinn", "rosa", "sven", "tariq", "uma", "vera", "wei", "yara", "zoe",
    "backup", "deploy", "monitor", "postman", "reports",
)  # fmt: skip
FOLDERS = ("data", "etc", "home", "opt", "srv", "tmp", "var")
NAMES = ("archive", "cache", "config", "index", "ledger", "media", "orders", "report", "state", "users")
PAGES = ("/", "/login", "/cart", "/search", "/items", "/account", "/orders", "/help", "/errors/404.html")
TABLES = ("accounts", "audit", "invoices", "items", "orders", "payments", "sessions", "stock")
JOBS = (
    "rotate-logs",
    "sync-stock",
    "send-digest",
    "clean-cache",
    "build-index",
    "close-ledger",
    "pull-rates",
)
PEERS = ("mirror", "gateway", "search", "mail", "ledger", "ticker")


class Line(NamedTuple):
    """A message of a session: `gap` seconds after the one before; `kind` says which anomaly, if any."""

    gap: float
    component: str
    level: str
    text: str
    kind: str = ""


Session = list[Line]


class Values:
    """Random values of one log file. `host` is what the machine calls itself, `variant` (0..2) which build
    of the software it runs, `release` (0..2) which release: a new one brings messages never seen before."""

    def __init__(self, seed: str, host: str, variant: int) -> None:
        self.random = Random(seed).random
        self.host = host
        self.variant = variant
        self.release = 0
        self.network = f"10.{self.below(200)}.{self.below(200)}"

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.random() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return low + int(self.random() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self.random() * len(items))]

    def chance(self, share: float) -> bool:
        """True that often."""
        return self.random() < share

    def soon(self, mean: float) -> float:
        """An exponential waiting time, in seconds."""
        return -mean * log(1.0 - self.random())

    def user(self) -> str:
        """A person or a service account."""
        return self.pick(USERS)

    def ip(self) -> str:
        """An address inside."""
        return f"{self.network}.{self.between(2, 250)}"

    def far_ip(self) -> str:
        """An address outside."""
        return f"203.0.{self.between(80, 120)}.{self.between(1, 254)}"

    def port(self) -> int:
        """A client's port."""
        return self.between(32768, 60999)

    def hex(self) -> str:
        """Twelve hexadecimal digits."""
        return f"{int(self.random() * 0x1000000000000):012x}"

    def path(self) -> str:
        """A file's path."""
        return f"/{self.pick(FOLDERS)}/{self.pick(NAMES)}/{self.pick(NAMES)}-{self.below(900)}.dat"

    def ms(self) -> int:
        """A duration in milliseconds, now and then a long one."""
        return 1 + int(self.soon(40))
