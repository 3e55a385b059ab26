"""Times as people read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOBODY_KNOWS = (0, int(np.iinfo(np.int64).min))


def known(t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these times somebody knows `(n,)`."""
    return ~np.isin(t_ns, _NOBODY_KNOWS)


def rfc3339(t_ns: NDArray[np.int64]) -> list[str | None]:
    """Times (Unix ns) as RFC 3339 in UTC with nanoseconds; None where nobody knows the time."""
    texts: NDArray[Any] = np.datetime_as_string(t_ns.astype("datetime64[ns]"), unit="ns")
    told = zip(texts.tolist(), known(t_ns).tolist(), strict=True)
    return [f"{text}Z" if is_known else None for text, is_known in told]
