"""A checkpoint comes back as it was saved, or is refused with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plugins import install
from vestige import checkpoint
from vestige.checkpoint import HEADER
from vestige.checkpoint.header import digest_of, read_header
from vestige.errors import CheckpointError
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.fitting import FittedDetector, fit_standardize
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import StepBlock
from vestige.schema import Feature, Schema
from vestige.sources import registry as sources
from vestige.testing import synthetic
from vestige.testing.detectors import Parts, small_dataset
from vestige.testing.synthetic import SyntheticSource

SOURCE = "vestige.testing.synthetic:SyntheticSource"
SMALL: dict[str, dict[str, Any]] = {"gbt": {"rounds": 3, "threads": 1}, "gru": {"hidden": 4}}
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"), sources.ENTRY_POINTS, synthetic=SOURCE)


@pytest.fixture(autouse=True)
def _synthetic_is_installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return small_dataset(tmp_path_factory.mktemp("data"), ("tokens", "tensor", "summary"))


@pytest.fixture
def save(parts: Parts, tmp_path: Path) -> Callable[..., Path]:
    """Fit a detector and save its checkpoint; returns the directory."""

    def saved(name: str = "logistic", place: str = "run", **more: Any) -> Path:
        kind, schema = registry.get(name), parts.train.schema
        detector = kind.build(choose_inputs(kind, schema), len(schema.classes), **SMALL.get(name, {}))
        if isinstance(detector, FittedDetector):
            detector.fit(parts.train, parts.validation)
        else:
            fit_standardize(detector, parts.train)
        settings = {"view": "realistic", "threshold": 0.25, "policy": "fpr=0.01", **more}
        directory = tmp_path / place
        checkpoint.save(
            directory,
            detector=detector,
            encoder=parts.train.encoder,
            schema=parts.train.windows.schema,
            source=SyntheticSource(),
            **settings,
        )
        return directory

    return saved


def edit(directory: Path, change: Change) -> None:
    """Change the header as someone would who also mends its digest."""
    file = directory / checkpoint.HEADER
    plain = json.loads(file.read_text())
    del plain["digest"]
    change(plain)
    file.write_text(json.dumps({**plain, "digest": digest_of(plain)}))


def refusal(directory: Path, schema: Schema | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(directory, schema=schema)
    assert caught.value.remedy
    assert str(directory) in str(caught.value)
    return caught.value.what


# What comes back


@pytest.mark.parametrize("name", ["gbt", "gru", "logistic", "lookup"])
def test_what_comes_back_says_the_same_about_every_window(
    name: str, save: Callable[..., Path], parts: Parts
) -> None:
    directory = save(name)
    first = checkpoint.load(directory, schema=parts.test.windows.schema)
    again = checkpoint.load(directory, schema=parts.test.schema)
    test = EncodedWindows.of(parts.test.windows, first.encoder)
    ours, theirs = (
        first.detector.predict_proba(test.batch()),
        again.detector.predict_proba(parts.test.batch()),
    )
    assert np.array_equal(ours, theirs)
    assert first.detector.hyper == again.detector.hyper
    assert first.schema == parts.test.schema
    assert (first.threshold, first.header.policy, first.header.view) == (0.25, "fpr=0.01", "realistic")
    assert {one.name for one in directory.iterdir()} == {"model.json", first.detector.sidecar}


def test_the_header_is_plain_json_with_one_key_a_line(save: Callable[..., Path]) -> None:
    text = (save() / "model.json").read_text()
    assert text.isascii()
    keys = [line.split('"')[1] for line in text.splitlines()[1:-1]]
    assert keys[0] == "format"
    assert keys[-1] == "digest"
    assert {"model", "schema", "encoder", "probe", "weights", "versions"} < set(keys)


def test_header_and_weights_may_lie_apart(save: Callable[..., Path], tmp_path: Path) -> None:
    directory = save()
    header, weights = tmp_path / "a.json", tmp_path / "elsewhere.bin"
    (directory / "model.json").rename(header)
    (directory / "weights.safetensors").rename(weights)
    assert checkpoint.load_files(header, weights).detector.name == "logistic"


def test_notes_of_the_training_travel_along(save: Callable[..., Path]) -> None:
    assert checkpoint.load(save()).header.notes == checkpoint.Notes()
    pooling = checkpoint.Pooling(kind="moving_average_max", boundary=0.7, size=8)
    notes = checkpoint.Notes(pooling=pooling, validation_macro_f1=0.1 + 0.2)
    assert checkpoint.load(save(notes=notes)).header.notes == notes


@pytest.mark.parametrize(
    ("name", "absent"),
    [("gru", ["pytorch_lightning", "xgboost"]), ("gbt", ["torch", "pytorch_lightning"])],
)
def test_loading_imports_no_more_than_it_needs(
    name: str, absent: list[str], save: Callable[..., Path], site: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from vestige import checkpoint\n"
        "checkpoint.load(Path(sys.argv[1]))\n"
        f"found = [one for one in {absent!r} if one in sys.modules]\n"
        "assert not found, found\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-c", code, str(save(name))], check=True, env=environment)


# Damage


def test_a_directory_without_a_header_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "no such checkpoint header"


def test_a_header_without_weights_is_refused(save: Callable[..., Path]) -> None:
    directory = save()
    (directory / "weights.safetensors").unlink()
    assert "weights is missing" in refusal(directory)


@pytest.mark.parametrize("file", ["model.json", "weights.safetensors"])
def test_a_file_cut_short_anywhere_is_refused(file: str, save: Callable[..., Path]) -> None:
    target = save() / file
    whole = target.read_bytes()
    for length in sorted({0, 1, 7, 8, 9, *range(0, len(whole), max(len(whole) // 40, 1)), len(whole) - 1}):
        target.write_bytes(whole[:length])
        refusal(target.parent)


def test_an_edited_digit_anywhere_in_the_header_is_refused(save: Callable[..., Path]) -> None:
    directory = save()
    file = directory / "model.json"
    text = file.read_text()
    places = [at for at, one in enumerate(text) if one.isdigit()]
    for at in places[:: max(len(places) // 60, 1)]:
        other = "1" if text[at] != "1" else "2"
        file.write_text(text[:at] + other + text[at + 1 :])
        refusal(directory)


@pytest.mark.parametrize("name", ["gbt", "gru", "logistic"])
def test_a_flipped_bit_anywhere_in_the_weights_is_refused(name: str, save: Callable[..., Path]) -> None:
    directory = save(name)
    file = directory / registry.get(name).sidecar
    whole = file.read_bytes()
    for at in range(0, len(whole), max(len(whole) // 40, 1)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "does not hold the weights" in refusal(directory)


def test_swapped_weights_are_refused(save: Callable[..., Path]) -> None:
    one, two = save("logistic", "one"), save("lookup", "two")
    (two / "weights.safetensors").replace(one / "weights.safetensors")
    assert "bytes, expected" in refusal(one)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"x"', "[" * 100_000, "\x00", "{}"])
def test_json_that_is_no_header_is_refused(content: str, save: Callable[..., Path]) -> None:
    directory = save()
    (directory / "model.json").write_text(content)
    refusal(directory)


def test_a_header_larger_than_any_is_refused_unread(save: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="larger than any header"):
        read_header(save() / HEADER, largest=10)


# What does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.update(format="vestige-checkpoint/2"), "'vestige-checkpoint/2'; this version"),
        (lambda plain: plain["model"].update(name="oracle"), "model that is not installed: 'oracle'"),
        (lambda plain: plain.update(surprise=1), "surprise"),
        (lambda plain: plain.pop("encoder"), "encoder: is missing"),
        (lambda plain: plain.update(threshold="high"), "threshold"),
        (lambda plain: plain["schema"].update(length=9), "does not match its digest"),
        (lambda plain: plain["model"].update(name="majority"), "do not fit the header"),
        (lambda plain: plain["model"].update(inputs=["vectors"]), "do not fit the header"),
        (lambda plain: plain["model"].update(keep_mask={"summary": [True]}), "the mask of summary has 1"),
        (lambda plain: plain["model"].update(keep_mask=[]), "do not fit the header"),
        (lambda plain: plain["model"].update(hyper={"C": -1}), "C: must be at least 0"),
        (lambda plain: plain.update(encoder={}), "encoder cannot be read"),
        (lambda plain: plain["encoder"]["words"].pop(), "produces other inputs"),
        (lambda plain: plain["probe"].pop("summary"), "summary: not probed"),
    ],
)
def test_a_header_that_was_changed_with_its_digest_is_refused_with_the_reason(
    change: Change, message: str, save: Callable[..., Path]
) -> None:
    directory = save()
    edit(directory, change)
    assert message in refusal(directory)


def _numbers(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where numbers stand in a header; of a long list, the first."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _numbers(value, (*path, key))
    elif isinstance(plain, list):
        for at, value in enumerate(plain[:1]):
            yield from _numbers(value, (*path, at))
    elif isinstance(plain, int | float):
        yield path


@pytest.mark.parametrize("name", ["logistic", "gbt", "gru", "lookup"])
def test_no_number_of_a_header_is_believed(name: str, save: Callable[..., Path]) -> None:
    """Whatever stands in its place, with a digest that fits: a detector comes back, or a clear refusal."""
    directory = save(name)
    whole = (directory / checkpoint.HEADER).read_text()
    places = list(_numbers(json.loads(whole)))
    assert len(places) > 5
    refused = 0
    for place in places:
        values: tuple[Any, ...] = (-1, 10**19, 10**400, 1e300, None, "x", [])
        for value in values:

            def put(plain: Any, place: tuple[Any, ...] = place, value: Any = value) -> None:
                for key in place[:-1]:
                    plain = plain[key]
                plain[place[-1]] = value

            (directory / checkpoint.HEADER).write_text(whole)
            edit(directory, put)
            try:
                checkpoint.load(directory)
            except CheckpointError:
                refused += 1
    assert refused > len(places)


def test_a_source_that_is_not_installed_is_refused(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    directory = save()
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(site)])
    assert "source that is not installed: 'synthetic'" in refusal(directory)


def renamed(schema: Schema) -> Schema:
    return _with_channels(schema, lambda channels: [replace(channels[0], name="cpu2"), *channels[1:]])


def reordered(schema: Schema) -> Schema:
    return _with_channels(schema, lambda channels: channels[::-1])


def rescaled(schema: Schema) -> Schema:
    return _with_channels(schema, lambda channels: [replace(channels[0], unit="percent"), *channels[1:]])


def longer(schema: Schema) -> Schema:
    return replace(schema, length=16)


def fewer(schema: Schema) -> Schema:
    return replace(schema, inputs=schema.inputs[:-1])


def other_classes(schema: Schema) -> Schema:
    return replace(schema, classes=("benign", "attack"))


def _with_channels(schema: Schema, change: Callable[[list[Feature]], list[Feature]]) -> Schema:
    inputs = [
        replace(one, features=tuple(change(list(one.features)))) if one.kind == "tensor" else one
        for one in schema.inputs
    ]
    return replace(schema, inputs=tuple(inputs))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (renamed, 'inputs[tensor].features[cpu].name: "cpu" -> "cpu2"'),
        (reordered, 'inputs[tensor].features[cpu].name: "cpu" -> "hypervisor"'),
        (rescaled, 'inputs[tensor].features[cpu].unit: "share" -> "percent"'),
        (longer, "length: 8 -> 16"),
        (fewer, "inputs (count): 3 -> 2"),
        (other_classes, 'classes[0]: "normal" -> "benign"'),
    ],
)
def test_data_that_mean_something_else_are_refused_with_the_differences(
    change: Callable[[Schema], Schema], line: str, save: Callable[..., Path], parts: Parts
) -> None:
    assert line in refusal(save(), change(parts.train.windows.schema))


def test_another_vocabulary_is_refused_with_the_difference(save: Callable[..., Path], parts: Parts) -> None:
    fitted = parts.train.schema
    tokens = fitted.input("tokens")
    words = ("<pad>", "<unk>", "another event", *(tokens.vocabulary or ())[3:])
    other = fitted.fitted(
        tuple(replace(one, vocabulary=words) if one is tokens else one for one in fitted.inputs)
    )
    assert 'inputs[tokens].vocabulary[2]: "' in refusal(save(), other)


def probe_instead(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """As another version of the source would read its probe: with `new` where `old` was."""
    text = synthetic.PROBE.replace(old, new)
    assert text != synthetic.PROBE

    def probe(reader: synthetic.SyntheticReader) -> list[StepBlock]:
        return [synthetic.block_of(text.encode(), "probe", reader.schema, labelled=False)]

    monkeypatch.setattr(synthetic.SyntheticReader, "probe", probe)


def test_an_extractor_whose_numbers_changed_is_refused_with_the_first_of_them(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = save("gru")
    probe_instead(monkeypatch, "0.5,-1.25", "0.5,-1.26")
    found = refusal(directory)
    assert "the extractor's numbers have changed" in found
    assert "tensor: memory of window 0, step 7: -1.25 -> -1.2" in found


def test_an_extractor_that_numbers_tokens_differently_is_refused(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = save("lookup")
    probe_instead(monkeypatch, "kernel panic", "login failed")
    assert "tokens: window 1, step 7:" in refusal(directory)


def test_only_what_a_detector_reads_is_probed(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = save("lookup")
    assert list(checkpoint.load(directory).header.probe) == ["tokens"]
    probe_instead(monkeypatch, "0.5,-1.25", "0.5,-1.26")
    checkpoint.load(directory)


def test_another_processors_rounding_is_no_change(save: Callable[..., Path]) -> None:
    directory = save("gru")

    def nudge(plain: dict[str, Any]) -> None:
        values = plain["probe"]["tensor"]["values"]
        plain["probe"]["tensor"]["values"] = [one * (1 + 1e-7) if one else one for one in values]

    edit(directory, nudge)
    assert checkpoint.load(directory).detector.name == "gru"


# Interruption


KILLED_BETWEEN_THE_RENAMES = """
import os, sys
from pathlib import Path
from tests.test_checkpoint import Parts, registry, checkpoint, choose_inputs, small_dataset, SyntheticSource
place, run = Path(sys.argv[1]), Path(sys.argv[2])
parts = small_dataset(place, ("tokens",))
kind = registry.get("lookup")
detector = kind.build(choose_inputs(kind, parts.train.schema), 2)
detector.fit(parts.train, parts.validation)
rename, left = Path.replace, [int(sys.argv[3])]
def replace(self, target):
    if not left[0]:
        os._exit(9)
    left[0] -= 1
    return rename(self, target)
Path.replace = replace
checkpoint.save(run, detector=detector, encoder=parts.train.encoder, view="realistic",
                schema=parts.train.windows.schema, source=SyntheticSource())
"""


@pytest.mark.parametrize(("renames", "outcome"), [(0, "old"), (1, "refused"), (2, "new")])
def test_a_kill_while_saving_leaves_the_old_pair_the_new_pair_or_a_clear_refusal(
    renames: int, outcome: str, save: Callable[..., Path], tmp_path: Path, site: Path
) -> None:
    run = save("logistic")
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{Path(__file__).parents[1]}"}
    arguments = [str(tmp_path / "data"), str(run), str(renames)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN_THE_RENAMES, *arguments], env=environment, check=False
    )
    assert done.returncode == (0 if outcome == "new" else 9)
    if outcome == "refused":
        assert "bytes, expected" in refusal(run)
    else:
        assert checkpoint.load(run).detector.name == {"old": "logistic", "new": "lookup"}[outcome]
