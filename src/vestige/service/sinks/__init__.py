"""Where alerts and incidents go: files, standard output, syslog, a webhook, a terminal."""

from vestige.service.sinks.base import Sink, Standing
from vestige.service.sinks.making import make, make_all

__all__ = ["Sink", "Standing", "make", "make_all"]
