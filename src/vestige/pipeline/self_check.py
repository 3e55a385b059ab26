"""How sensitive a detector of what is normal is: what it finds of anomalies that are planted into copies of
the part that it was checked on, and what trivial detectors find of the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.foreign import foreign_texts
from vestige.evaluation.plants import Lowest, N, Plants, detected, judge, plant_all
from vestige.evaluation.sensitivity import LARGER, Sensitivity
from vestige.evaluation.trivial import beside
from vestige.models.normal.detector import Normal
from vestige.reading.encoding import EncodedWindows, Encoder
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.sources.base import Source
from vestige.splits.stages import Stages

FloatArray = NDArray[np.float64]


def sensitivity(
    source: Source[Any],
    detector: Normal,
    learn: EncodedWindows,
    parts: Stages,
    *,
    seed: int = 0,
    n: int = N,
) -> Sensitivity:
    """Plant into copies of the check part, and count what is found.

    `learn`: the windows that `detector` learnt from, with its encoder; `n`: plants of a kind and strength.
    All detectors alert on as large a share of the calibrate part.
    """
    plants = planted(source, parts.check, learn.encoder.symbols, seed=seed, n=n)
    reader = source.reader(learn.windows.schema)
    bound, lowest = learn.encoder.bind(plants.table), lowest_of(detector, learn.encoder, plants)
    return Sensitivity.of(
        detector.name,
        detected(plants, lowest, detector.alpha),
        detected(plants, lowest, LARGER * detector.alpha),
        beside(
            plants,
            bound,
            learn,
            learn.over(parts.calibrate),
            stream=reader.symbol_stream,
            timed=reader.timed,
            share=detector.alpha,
            seed=seed,
        ),
        share=detector.alpha,
        kinds=plants.kinds,
        left_out=plants.left_out,
    )


def planted(
    source: Source[Any],
    windows: WindowSet,
    symbols: str,
    *,
    seed: int,
    n: int,
    texts: int | None = None,
) -> Plants:
    """Plants in copies of `windows`, whose table of symbols is called `symbols`, `n` of a kind and strength.
    What is foreign is so to all of the evidence, and the same wherever it is planted: at most `texts`."""
    reader, table = source.reader(windows.schema), windows.table(symbols)
    foreign = foreign_texts(source.name, table, seed=seed)[:texts]
    return plant_all(windows, table, foreign, stream=reader.symbol_stream, timed=reader.timed, seed=seed, n=n)


def lowest_of(detector: Normal, encoder: Encoder, plants: Plants) -> Lowest:
    """The lowest p-value of the windows of each plant, with it and without."""
    bound, names = encoder.bind(plants.table), detector.input_names

    def p_value(steps: Steps) -> FloatArray:
        return np.exp(detector.log_p(bound.encode(steps, names)))

    return judge(plants, p_value, bound.streams(names))
