"""Where alerts and incidents go: files, standard output, syslog, a webhook, a terminal."""

from vestige.service.sinks.base import Sink
from vestige.service.sinks.making import make, make_all

__all__ = ["Sink", "make", "make_all"]
