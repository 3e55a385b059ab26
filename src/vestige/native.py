"""Functions as machine code that is kept on disk, and runs without Numba.

Importing Numba, and loading what it keeps, takes more time than many a log takes to be read. Here a function
is compiled by Numba once, in a process of its own (`python -m vestige.native`). Its machine code, with that
of all functions that it calls, is kept laid out, and later processes only put it into memory (`linking`); on
processors other than x86-64 LLVM's linker (llvmlite) does that. It takes integers, NumPy arrays, and named
tuples of these, and returns an integer, several, or nothing. It may raise nothing, and allocate nothing: code
that needs anything of Python, or of Numba's runtime, is refused when it is built.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import ctypes
import fcntl
import functools
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vestige import linking
from vestige.linking import Image, Patch, laid_out, placed


class NativeError(RuntimeError):
    """A function that cannot be built here, or whose machine code cannot be kept or loaded."""


class NotBuiltError(NativeError):
    """A function that is being built, called where nobody waits for that, see `waiting`."""


_F = TypeVar("_F", bound="Callable[..., Any]")
_waits = contextvars.ContextVar("waits", default=True)
BUILDS = "VESTIGE_NATIVE_BUILDS"
"""Set where functions are compiled: there they are Numba's. Who wants its checks of indices sets it, too."""
_RETURNS: dict[str, tuple[type[Any], int]] = {
    "none": (ctypes.c_int64, 0),
    "int64": (ctypes.c_int64, 1),
    "uint64": (ctypes.c_uint64, 1),
    "bool": (ctypes.c_bool, 1),
}
"""What may be returned, and how many of it (0: nothing); tuples are of `int64`."""
_MOST_RETURNED = 8
_NEEDED = frozenset({"memset", "memcpy", "memmove", "memcmp", "bcmp"})
"""What code may call: the C library of the process has it."""
_NEVER = "NRT_MemInfo_call_dtor"
"""Numba calls it where the last user of an array lets go of it. Arrays from outside have other owners."""


def native(
    function: _F,
    *,
    after: tuple[str, ...] = (),
    lanes: bool = False,
    inline: bool = False,
    build: Callable[..., None] | None = None,
) -> _F:
    """`function` as machine code, built when it is first called with arguments of some types. It is built
    anew when its module's file, or one of those named in `after`, has changed. `lanes`: numbers that are
    written one beside the other are written at once, which Numba does not do of itself. `inline`: whatever
    calls it has its code in it, so that a long function can be written as several short ones at no cost.
    `build`: what builds it, by default `build_apart`."""
    if os.environ.get(BUILDS):
        from vestige.compiling import compiled

        return compiled(function, after=after, forceinline=inline)
    return cast("_F", _Native(function, after, lanes=lanes, build=build or build_apart))


@contextlib.contextmanager
def waiting(waits: bool) -> Iterator[None]:
    """Whether a function that has to be built first is waited for. Where not, it raises NotBuiltError, and is
    built in the background: whoever has another way, and no time, goes that way until it is there."""
    before = _waits.set(waits)
    try:
        yield
    finally:
        _waits.reset(before)


class _Shown:
    """Bytes as an array that NumPy takes for one that may be written. `data` lives as long as it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        place, _ = np.frombuffer(data, np.uint8).__array_interface__["data"]
        self.__array_interface__ = {
            "data": (place, False), "shape": (len(data),), "typestr": "|u1", "version": 3
        }  # fmt: skip


def shown(data: bytes) -> NDArray[np.uint8]:
    """Bytes as a native function takes them, which must not write to them: they are not copied."""
    if not data:
        return np.zeros(0, np.uint8)
    return np.asarray(_Shown(data))


class _Native:
    """A function that is loaded, or built, when it is called."""

    def __init__(
        self, function: Callable[..., Any], after: tuple[str, ...], *, lanes: bool, build: Callable[..., None]
    ) -> None:
        functools.update_wrapper(self, function)
        self._function, self._after, self._build_it = function, after, partial(build, lanes=lanes)
        self._loaded: dict[Any, _Loaded] = {}
        self._background: dict[Path, _Background] = {}

    def __call__(self, *arguments: Any) -> Any:
        flat: list[int] = []
        kinds = tuple([_flatten(argument, flat) for argument in arguments])
        loaded = self._loaded.get(kinds)
        if loaded is None:
            try:
                told = json.dumps([_told(kind) for kind in kinds])
                loaded = self._loaded[kinds] = _Loaded(self._kept(told), len(flat))
            except NotBuiltError:
                raise
            except (OSError, RuntimeError, ValueError, ImportError) as error:
                raise NativeError(f"{self._function.__qualname__}: {error}") from error
        return loaded(flat)

    def _kept(self, kinds: str) -> Path:
        """The file of the function for arguments of these kinds; built where there is none."""
        source = Path(self._function.__code__.co_filename)
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        made_of = f"{name}-{_digest((str(source), *self._after))}"
        path = _folder(source) / f"{made_of}-{_hashed(f'{_processor()} {kinds}')}.native"
        if _whole(path) is not None:
            return path
        build = partial(self._build, kinds, path, name=name, made_of=made_of)
        if _waits.get():
            build()
            return path
        if path not in self._background:
            self._background[path] = _Background(build)
        self._background[path].require_done()
        return path

    def _build(self, kinds: str, path: Path, *, name: str, made_of: str) -> None:
        """Build the file at `path`, unless another process has, and remove what is left of older ones."""
        with _alone(path.parent / f"{name}.lock"):
            if _whole(path) is None:
                self._build_it(self._function, kinds, path)
            for old in path.parent.glob(f"{name}-*"):
                # Nobody else builds this now: a part was left by a build that was killed.
                outdated = old.suffix == ".native" and not old.name.startswith(f"{made_of}-")
                if outdated or old.suffix == ".part":
                    old.unlink(missing_ok=True)


class _Background:
    """A build in a thread of its own, which does little else than wait for the process that compiles. It is
    no reason for this process to stay: that process ends with it, see `_end_with_parent`."""

    def __init__(self, build: Callable[[], None]) -> None:
        self._build = build
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="vestige-native", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._build()
        except (OSError, RuntimeError) as error:
            self._error = error

    def require_done(self) -> None:
        """Raise NotBuiltError while it goes on, and what it failed by once it has."""
        if self._thread.is_alive():
            raise NotBuiltError("it is being built")
        if self._error is not None:
            raise self._error


def _flatten(argument: Any, flat: list[int]) -> Any:
    """Append the numbers that Numba passes for an argument: of an array its owner and parent (none), its
    size, that of an item, its place, shape and strides. Returns what kind of argument it is, see `_told`.

    Of a short call this is most: a dtype is not put into words here, which takes as long as all the rest.
    """
    if isinstance(argument, np.ndarray):
        dtype, n, size, itemsize = argument.dtype, argument.ndim, argument.size, argument.itemsize
        held: Any = argument
        try:
            # Four times as fast as to ask NumPy, but of arrays alone that have no gaps and may be written.
            place = ctypes.addressof(_NO_BYTES.from_buffer(held))
        except (TypeError, ValueError, BufferError):
            place, read_only = argument.__array_interface__["data"]
            if read_only:
                raise ValueError("arrays that may be written") from None
            contiguous = argument.flags.c_contiguous
        else:
            contiguous = True
            if n == 1:
                flat += (0, 0, size, itemsize, place, size, itemsize)
                return dtype, n, contiguous
        flat += (0, 0, size, itemsize, place, *argument.shape, *argument.strides)
        return dtype, n, contiguous
    if isinstance(argument, tuple):
        return type(argument), tuple([_flatten(each, flat) for each in argument])
    if isinstance(argument, np.uint64):
        flat.append(int(argument.view(np.int64)))
        return "uint64"
    flat.append(int(argument))
    return "int64"


_NO_BYTES = ctypes.c_char * 0
"""What any array is long enough for."""


def _told(kind: Any) -> Any:
    """A kind of argument as JSON: a number's name, a named tuple's with the kinds of its items, or an array's
    dtype, dimensions and layout."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind[0], type):
        made, items = kind
        return f"{made.__module__}:{made.__qualname__}", [_told(each) for each in items]
    dtype, n, contiguous = kind
    return f"{dtype.str} {n} {'C' if contiguous else 'A'}"


class _Loaded:
    """Machine code in memory. `n`: how many numbers it takes."""

    def __init__(self, path: Path, n: int) -> None:
        found = _whole(path)
        if found is None:
            raise ValueError("its machine code was damaged as soon as it was built")
        about, code = found
        kind, self._n = _RETURNS[about["returns"]][0], int(about["n"])
        self._out, self._packed = kind * _MOST_RETURNED, struct.Struct(f"{n}q").pack
        if "patches" in about:
            patches = [Patch(*patch) for patch in about["patches"]]
            address = placed(Image(code, int(about["entry"]), patches), {_NEVER: _idle()})
        else:
            address = _link(code, about["symbol"])
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p)(address)

    def __call__(self, flat: list[int]) -> Any:
        out = self._out()
        status = self._run(out, self._packed(*flat))
        if status not in {0, -2}:  # -2 is a None
            raise RuntimeError(f"machine code failed ({status})")
        if self._n == 0:
            return None
        if self._n == 1:
            return out[0]
        return tuple(out[: self._n])


def _whole(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """What is said of machine code, and the code; None where there is none, or it is damaged: code that is
    not what was built ends the process, or worse."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != hashlib.blake2b(content).hexdigest().encode():
        return None
    head, _, code = content.partition(b"\n")
    return json.loads(head), code


_engines: list[Any] = []
"""Whoever lets go of these lets go of their code."""
_lately_linked: list[str] = []
"""Functions that were linked since memory was given back."""


def _link(code: bytes, symbol: str) -> int:
    """The address of a function in an object file that LLVM links."""
    import llvmlite.binding as llvm

    if not _engines:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.add_symbol(_NEVER, _idle())
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    _lately_linked.append(symbol)
    return int(engine.get_function_address(symbol))


def release_linker() -> None:
    """Give back the memory that LLVM's code takes, once functions are linked: it lies in a file, and is read
    again where it is needed. Whoever lives long calls this now and then."""
    if not _lately_linked:
        return
    _lately_linked.clear()
    libc = ctypes.CDLL(None)
    with contextlib.suppress(OSError, AttributeError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, kind, *_, path = line.split(maxsplit=5)
            # Code alone: what is data may have been changed, and the file does not have it so.
            if kind == "r-xp" and Path(path.strip()).name.startswith("libllvmlite"):
                start, stop = (int(part, 16) for part in place.split("-"))
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_DONTNEED)


_MADV_DONTNEED = 4
_IDLE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
"""Arrays that are handed over have no owner that could be told."""


def _idle() -> int:
    return ctypes.cast(_IDLE, ctypes.c_void_p).value or 0


_ABILITIES = ("vendor_id", "cpu family", "model", "flags")


@functools.cache
def _processor() -> str:
    """What machine code is for: the first processor's name and abilities, as Linux tells them."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        first = itertools.takewhile(str.strip, file)
        told = [line for line in first if line.startswith(_ABILITIES)]
        if len(told) > 1:
            return "".join(told)
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@functools.cache
def _content(file: str) -> bytes:
    return hashlib.blake2b(Path(file).read_bytes()).digest()


def _digest(files: tuple[str, ...]) -> str:
    """Of what a function is made of: files, and the compiler."""
    contents = b"".join(_content(file) for file in (__file__, linking.__file__, *files))
    return _hashed(f"{_compiler()} {' '.join(files)} {contents.hex()}")


@functools.cache
def _compiler() -> str:
    return f"{metadata.version('numba')} {metadata.version('llvmlite')}"


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _folder(source: Path) -> Path:
    """Where the machine code of a module is kept: beside it, or in the user's cache; where neither can be
    written, for as long as this process lives."""
    beside = source.parent / "__pycache__"
    with contextlib.suppress(OSError):
        beside.mkdir(exist_ok=True)
    if beside.is_dir() and os.access(beside, os.W_OK):
        return beside
    # Of each installation its own: it removes what is of its earlier versions.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vestige"
    cache /= _hashed(str(source.parent))
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = cache.stat()
    except OSError:
        return _passing()
    # What lies there is run: nobody else may have written it.
    if owned.st_uid != os.geteuid() or owned.st_mode & 0o022:
        return _passing()
    return cache


@functools.cache
def _passing() -> Path:
    """A folder that goes with this process."""
    folder = tempfile.mkdtemp(prefix="vestige-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Of several processes that build the same, one does, and the others wait."""
    handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def build_apart(function: Callable[..., Any], kinds: str, path: Path, *, lanes: bool) -> None:
    """Have a function built by another process. Raises RuntimeError with what that said where it cannot."""
    command = [sys.executable, "-m", __name__, function.__module__, function.__qualname__, kinds, str(path)]
    environment = os.environ | {BUILDS: "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if lanes:
        environment["NUMBA_SLP_VECTORIZE"] = "1"
    # Nothing is ever written to its input, which is closed when this process ends, however it does.
    reads, writes = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            env=environment,
            check=False,
            stdin=reads,
            capture_output=True,
            text=True,
            process_group=0,  # Ctrl-C is for us
        )
    finally:
        os.close(reads)
        os.close(writes)
    if done.returncode:
        raise RuntimeError(f"it cannot be compiled: {done.stderr[-2000:]}")


def build(module: str, name: str, kinds: str, path: Path) -> None:
    """Compile a function of a module for arguments of these kinds, and keep its machine code in a file.
    Raises ValueError for one that returns, or needs, something else than it may."""
    import numba

    function = getattr(importlib.import_module(module), name).py_func
    compiler: Any = numba.njit
    bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    made = compiler(nogil=True, error_model="numpy", **bare)(function)
    made.compile(tuple(_type(kind) for kind in json.loads(kinds)))
    (result,) = made.overloads.values()
    symbol = result.fndesc.llvm_func_name
    final, entry = _without_owners(result.library, symbol)
    needed = {each.name for each in final.functions if each.is_declaration}
    strange = {name for name in needed - _NEEDED - {_NEVER} if not name.startswith("llvm.")}
    if strange:
        raise ValueError(f"{name} needs {', '.join(sorted(strange))}")
    returned = result.signature.return_type
    kind, n = str(returned), 1
    if isinstance(returned, numba.types.UniTuple):
        kind, n = str(returned.dtype), returned.count
    if kind not in _RETURNS or n > _MOST_RETURNED or (n > 1 and kind != "int64"):
        raise ValueError(f"{name} returns {returned}")
    about = {"symbol": entry, "returns": kind, "n": n * _RETURNS[kind][1]}
    code = result.library._codegen._tm.emit_object(final)
    image = laid_out(code, entry)
    if image is not None:
        code = image.content
        about |= {"entry": image.entry, "patches": image.patches}
    part = path.with_suffix(f".{os.getpid()}.part")
    content = json.dumps(about).encode() + b"\n" + code
    part.write_bytes(hashlib.blake2b(content).hexdigest().encode() + b"\n" + content)
    part.replace(path)


def _without_owners(library: Any, symbol: str) -> tuple[Any, str]:
    """The module of a compiled function, and the name of a function in it that takes the arguments packed.

    It is without what counts who uses an array: those from outside have no owner, and at every call within,
    at each row of a program, there would be a count for each array."""
    import llvmlite.binding as llvm

    text = str(library._final_module)
    for name in ("NRT_incref", "NRT_decref"):
        counts = rf"^define [^\n]*@{name}\((\S+) [^\n]*\{{$.*?^\}}$"
        idle = rf"define internal void @{name}(\1 %0) alwaysinline {{\n  ret void\n}}"
        text = re.sub(counts, idle, text, count=1, flags=re.MULTILINE | re.DOTALL)
    entry = f"{symbol}.packed"
    module = llvm.parse_assembly(text + _packed(library._final_module.get_function(symbol), entry))
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = os.environ.get("NUMBA_SLP_VECTORIZE") == "1"
    passes = llvm.create_pass_builder(library._codegen._tm, options)
    passes.getModulePassManager().run(module, passes)
    return module, entry


def _packed(function: Any, name: str) -> str:
    """A function that calls another by its arguments as they lie in memory, each in eight bytes: ctypes takes
    about 0.4 microseconds for an argument, and an array is seven or more. Both begin with the place of what
    is returned; the other is told after it where to put what was raised, which nobody asks for."""
    _, _, *types = (str(argument.type) for argument in function.arguments)
    lines = [f'define i32 @"{name}"(ptr %out, ptr %packed) {{', "%raised = alloca ptr"]
    for i, kind in enumerate(types):
        lines += [f"%at{i} = getelementptr i64, ptr %packed, i64 {i}", f"%a{i} = load {kind}, ptr %at{i}"]
    given = ", ".join(["ptr %out", "ptr %raised", *(f"{kind} %a{i}" for i, kind in enumerate(types))])
    lines += [f'%status = call i32 @"{function.name}"({given})', "ret i32 %status", "}"]
    return "\n".join(["", *lines, ""])


def _type(kind: Any) -> Any:
    """Numba's type for a kind of argument."""
    import numba

    types: Any = numba.types

    if isinstance(kind, list):
        (module, _, name), inner = kind[0].partition(":"), kind[1]
        made = getattr(importlib.import_module(module), name)
        return types.NamedTuple([_type(each) for each in inner], made)
    if kind in {"int64", "uint64"}:
        return getattr(types, kind)
    dtype, n, layout = kind.split(" ")
    # Views with steps of any size, such as words at every byte, need not be aligned.
    return types.Array(numba.from_dtype(np.dtype(dtype)), int(n), layout, aligned=layout == "C")


def _end_with_parent() -> None:
    """End this process as soon as nobody holds the other end of its input: the process that wants the build,
    or what that forked and did not execute."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    build(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
