"""The loop of every neural detector: Lightning's Trainer, our loader, our state."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies import DDPStrategy

from vestige.errors import UsageError
from vestige.models.fitting import class_weights
from vestige.models.neural import NeuralDetector
from vestige.nn.products import can_round, rounded_products
from vestige.reading.encoding import EncodedWindows
from vestige.training import history, random_state, state, together
from vestige.training.config import TrainingConfig
from vestige.training.epochs_bar import EpochsBar
from vestige.training.errors import StoppedError
from vestige.training.history import Report, Row
from vestige.training.interrupt import StopRequests
from vestige.training.judge import OBJECTIVES, Validation
from vestige.training.loader import Loader, rows_of
from vestige.training.network import Network
from vestige.training.progress import on_terminal, quiet
from vestige.training.ranks import Ranks, own
from vestige.training.resume import ResumeCallback
from vestige.training.state import State

log = logging.getLogger(__name__)
MIB = 1 << 20
FEWEST_WINDOWS = 16
"""Windows of a batch that make it worth while to wake another thread."""


def fit_neural(
    detector: NeuralDetector,
    train: EncodedWindows,
    validation: EncodedWindows,
    config: TrainingConfig,
    path: Path,
    *,
    resume: bool,
    progress: bool,
    report: Report | None = None,
) -> list[Row]:
    """See `vestige.training.train`; `path` is the file that keeps the state."""
    identity = _identity(detector, train, validation, config)
    ranks = own(config)
    resumed = _resumed(path, identity) if resume else None
    if resumed is None and ranks.first:
        path.unlink(missing_ok=True)
    elif resumed is not None and resumed.plain["finished"]:
        log.info("this training had finished: nothing is left to do")
        detector.module.load_state_dict(resumed.under("best"))
        detector.module.eval()
        history.write(path.parent, resumed.plain["history"])
        return list(resumed.plain["history"])
    device = _device(config, ranks)
    with random_state.isolated(), _threads(config), _products(config, device), quiet():
        network, judged = _prepare(detector, train, validation, config, device, ranks)
        rows = _fit(network, judged, path, identity, resumed, progress=progress, report=report)
    detector.to(device)
    detector.module.eval()
    return rows


def _prepare(
    detector: NeuralDetector,
    train: EncodedWindows,
    validation: EncodedWindows,
    config: TrainingConfig,
    device: torch.device,
    ranks: Ranks,
) -> tuple[Network, Validation]:
    limit, objective = config.cache_mb * MIB, OBJECTIVES[detector.task]
    rows = rows_of(detector, train, device, limit)
    others = rows_of(detector, validation, device, limit - rows.nbytes)
    judged = Validation(others, detector.outputs, objective)
    loader = Loader(
        rows,
        size=config.batch_size,
        accumulate=config.accumulate,
        seed=config.seed,
        most=config.epoch_windows,
        ranks=ranks,
    )
    weight_K = torch.ones(detector.outputs)
    if config.class_weights and objective.weighs_classes:
        weight_K = torch.from_numpy(class_weights(train.label, detector.n_classes))
    detector.module.train()
    return Network(detector.module, weight_K, loader, config), judged


def _fit(
    network: Network,
    judged: Validation,
    path: Path,
    identity: dict[str, Any],
    resumed: State | None,
    *,
    progress: bool,
    report: Report | None,
) -> list[Row]:
    with StopRequests() as requests:
        callback = ResumeCallback(
            network, judged, path, identity=identity, requests=requests, resumed=resumed, report=report
        )
        shown = progress and callback.ranks.first and on_terminal()
        trainer = _trainer(network, callback, resumed, bar=shown)
        try:
            trainer.fit(network)
            callback.save(trainer, finished=True)
        except SystemExit as error:  # what Lightning makes of a KeyboardInterrupt: the second Ctrl-C
            saved = "the last saved state is kept" if path.exists() else "nothing was saved yet"
            raise StoppedError(
                f"training was stopped at once; {saved}",
                where=path,
                remedy="repeat the command with --resume to go on",
            ) from error
        finally:
            together.part()
    network.module.load_state_dict(callback.best.weights)
    return callback.rows


def _trainer(network: Network, callback: ResumeCallback, resumed: State | None, *, bar: bool) -> Trainer:
    """Without Lightning's own logging, checkpoints (they are pickles) and look for a cluster."""
    config, epochs = network.config, network.epochs
    if resumed is not None:
        at = resumed.plain["loader"]
        epochs -= at["epoch"] + (at["batch"] == network.loader.batches)
    cuda = network.loader.rows.device.type == "cuda"
    callbacks: list[Callback] = [callback]
    if bar:
        # Before the other one, which may end the training.
        callbacks.insert(0, EpochsBar(network, callback.rows, callback.validation.objective.figure))
    return Trainer(
        accelerator="gpu" if cuda else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=_strategy(callback.ranks, cuda=cuda),
        use_distributed_sampler=False,
        precision=_precision(config, cuda=cuda),
        max_epochs=epochs,
        min_epochs=0,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip or None,
        callbacks=callbacks,
        plugins=[LightningEnvironment()],
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=callback.path.parent,
    )


def _strategy(ranks: Ranks, *, cuda: bool) -> str | DDPStrategy:
    """Processes that train together average their gradients (Li et al., VLDB 2020)."""
    if ranks.alone:
        return "auto"
    # Buffers are each process's own: among them is what adds up its losses.
    return DDPStrategy(process_group_backend="nccl" if cuda else "gloo", broadcast_buffers=False)


def _identity(
    detector: NeuralDetector, train: EncodedWindows, validation: EncodedWindows, config: TrainingConfig
) -> dict[str, Any]:
    """What must be the same for a resumed run to be the run that was interrupted."""
    plain = detector.hyper.model_dump(mode="json")
    hyper = {f"{detector.name}.{name}": value for name, value in plain.items()}
    digest = state.data_digest(detector, train, validation)
    return {**config.fixed(), "model": detector.name, **hyper, "data": digest}


def _resumed(path: Path, identity: dict[str, Any]) -> State | None:
    if not path.exists():
        log.info("nothing to resume in %s: training starts afresh", path.parent)
        return None
    saved = state.read(path)
    state.refuse_other(path, ours=identity, theirs=saved.plain["identity"])
    return saved


def _device(config: TrainingConfig, ranks: Ranks) -> torch.device:
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise UsageError("there is no CUDA device here", remedy="use --device auto or --device cpu")
    if available and config.device != "cpu":
        if config.devices > torch.cuda.device_count():
            raise UsageError(
                f"--devices {config.devices}: there are {torch.cuda.device_count()} CUDA devices here",
                remedy="name no more, or use --device cpu",
            )
        return torch.device("cuda", ranks.local)
    return torch.device("cpu")


def _precision(config: TrainingConfig, *, cuda: bool) -> Any:
    if config.precision == "auto" and not cuda:
        return "32-true"
    if config.precision == "auto":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if config.precision == "16" and not cuda:
        raise UsageError("precision 16 needs a CUDA device", remedy="use --precision auto or bf16")
    if config.precision == "bf16" and not cuda:
        return "32-true"  # but for products: see _products
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[config.precision]


def _products(config: TrainingConfig, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """`--precision bf16` on a CPU rounds matrix products alone. Weights and all other arithmetic stay in
    float32, unlike with autocast, so that the recurrent layers keep their fast path.

    Raises:
        UsageError: products would not be rounded on this processor, and would be no faster.
    """
    if config.precision != "bf16" or device.type != "cpu":
        return contextlib.nullcontext()
    if not can_round():
        raise UsageError(
            "precision bf16 needs a CUDA device, or a processor whose AVX-512 BF16 or AMX PyTorch uses",
            remedy="use --precision auto",
        )
    return rounded_products()


def threads_for(config: TrainingConfig, cores: int) -> int:
    """How many threads a training takes on a CPU of which it may use so many cores.

    As many as it is told to; else one a core that has at least `FEWEST_WINDOWS` windows of every batch
    (`benchmarks/bench_threads.py`). The number rests on nothing that changes from run to run, because another
    number adds floating-point numbers in another order.
    """
    return config.threads or max(1, min(cores // config.devices, config.batch_size // FEWEST_WINDOWS))


def _cores() -> int:
    """How many cores this process may use: of those that torch found (`OMP_NUM_THREADS`, or the processors
    that it is bound to), no more than a container allows."""
    allowed: int = cpu_count()
    return min(torch.get_num_threads(), allowed)


@contextlib.contextmanager
def _threads(config: TrainingConfig) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(config, _cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
