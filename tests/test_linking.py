"""Object files laid out by ourselves do what they should, and what is not known is left to LLVM's linker."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from vestige.linking import laid_out, placed

CODE = """
@table = private constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]
declare i64 @labs(i64)
declare void @ours(i64)
define i64 @other(i64 %n) noinline {
  %place = getelementptr [4 x i64], [4 x i64]* @table, i64 0, i64 %n
  %value = load i64, i64* %place
  ret i64 %value
}
define i64 @entry(i64 %n, i64 %more) {
  call void @ours(i64 %n)
  %value = call i64 @other(i64 %n)
  %positive = call i64 @labs(i64 %more) nobuiltin
  %sum = add i64 %value, %positive
  ret i64 %sum
}
"""
VARIABLE = "@counter = global i64 1\n" + CODE.replace(
    "ret i64 %sum", "store i64 1, i64* @counter\n  ret i64 %sum"
)
LINUX = "x86_64-unknown-linux-gnu"
OURS = ctypes.CFUNCTYPE(None, ctypes.c_int64)
RUNS = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def built(text: str, triple: str) -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(f'target triple = "{triple}"\n{text}')
    machine = llvm.Target.from_triple(triple).create_target_machine(codemodel="large", reloc="static")
    return bytes(machine.emit_object(module))


def rights_at(address: int) -> str:
    """What this process may do with its memory there."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        begin, end = (int(bound, 16) for bound in span.split("-"))
        if begin <= address < end:
            return rights
    raise LookupError(f"nothing is at {address:#x}")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its code runs on x86-64 alone")
def test_code_finds_its_constants_its_functions_and_those_from_outside() -> None:
    image = laid_out(built(CODE, LINUX), "entry")
    assert image is not None
    assert {patch.name for patch in image.patches} >= {"", "labs", "ours"}
    heard: list[int] = []
    ours = OURS(heard.append)
    address = ctypes.cast(ours, ctypes.c_void_p).value or 0
    for _ in range(2):  # wherever it is put
        run = RUNS(placed(image, {"ours": address}))
        assert [run(n, -5) for n in range(4)] == [15, 25, 35, 45]
    assert heard == 2 * [0, 1, 2, 3]
    where = ctypes.cast(run, ctypes.c_void_p).value or 0
    assert rights_at(where) == "r-xp"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its code runs on x86-64 alone")
def test_a_function_that_is_nowhere_is_an_error() -> None:
    image = laid_out(built(CODE, LINUX), "entry")
    assert image is not None
    with pytest.raises(OSError, match="the C library has no ours"):
        placed(image, {})


@pytest.mark.parametrize(
    ("text", "triple"),
    [
        (CODE, "aarch64-unknown-linux-gnu"),
        (CODE, "x86_64-apple-darwin"),
        (VARIABLE, LINUX),
    ],
    ids=["another processor", "another format", "a variable"],
)
def test_what_is_not_known_is_left_to_llvm(text: str, triple: str) -> None:
    try:
        code = built(text, triple)
    except RuntimeError:
        if triple == LINUX:
            raise
        pytest.skip(f"this LLVM builds nothing for {triple}")
    assert laid_out(code, "entry") is None
