"""Opens a session of ONNX Runtime: its options, and providers that are really there.

One thread, because a worker is the unit of parallelism here. The engine itself leaves out, with a line in
its log, providers that cannot be loaded; here that is a failure, or where nobody asked for a GPU, told.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from gateway.runtimes.contract import LoadError, one_line
from gateway.runtimes.onnx_providers import TENSORRT, Choice, Machine, Wish, choose, without_gpu

_UNKNOWN = "its libraries or its driver are missing"
_LEVELS = {
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def session_options(options: Mapping[str, str]) -> Any:
    """ONNX Runtime's session options for ours; raises LoadError for a value out of range."""
    made = ort.SessionOptions()
    made.intra_op_num_threads = _whole(options, "intra_op_thread_count", 1, range(257))
    made.inter_op_num_threads = _whole(options, "inter_op_thread_count", 1, range(257))
    made.graph_optimization_level = _LEVELS[_whole(options, "level", 0, range(-1, 3))]
    made.enable_cpu_mem_arena = bool(_whole(options, "enable_mem_arena", 1, range(2)))
    made.enable_mem_pattern = bool(_whole(options, "enable_mem_pattern", 1, range(2)))
    if _whole(options, "execution_mode", 0, range(2)):
        made.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    made.log_severity_level = 4  # fatal only: whatever else goes wrong comes as an exception
    # A thread that spins takes a core from every other worker.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return made


def _whole(options: Mapping[str, str], key: str, default: int, allowed: range) -> int:
    text = options.get(key, str(default))
    try:
        value = int(text)
    except ValueError:
        value = allowed.stop
    if value not in allowed:
        raise LoadError(f"parameter '{key}' is '{text[:40]}', must be {allowed.start} to {allowed.stop - 1}")
    return value


def open_session(
    engine: Any, file: Path | bytes, options: Any, wish: Wish, machine: Machine
) -> tuple[Any, Choice]:
    """The session, and what it runs on; raises LoadError. `engine` is the package onnxruntime.

    `file` may be what is in it, where that is all there is of the model.
    """
    choice = choose(wish, machine)
    try:
        session = _open(engine, file, options, choice)
        lost = [name for name, _ in choice.providers if name not in session.get_providers()]
        if not lost:
            return session, choice
        raise LoadError(f"{lost[0]} could not be used: {_why_lost(engine, lost[0]) or _UNKNOWN}")
    except LoadError as error:
        if not choice.may_fall_back:
            raise
        choice = without_gpu(wish, machine, str(error))
    return _open(engine, file, options, choice), choice


def _open(engine: Any, file: Path | bytes, options: Any, choice: Choice) -> Any:
    if choice.gpu is not None:
        _load_libraries(engine, choice)
    try:
        source = file if isinstance(file, bytes) else str(file)
        return engine.InferenceSession(source, options, providers=list(choice.providers), enable_fallback=0)
    except Exception as error:  # ruff: ignore[blind-except] - the engine has a dozen classes and no base
        # One that lacks TensorRT's libraries says so by an exception, and not which of them it lacks.
        for name in [name for name, _ in choice.providers if name == TENSORRT]:
            if why := _why_lost(engine, name):
                raise LoadError(f"{name} could not be used: {why}") from None
        raise LoadError(one_line(error, "" if isinstance(file, bytes) else str(file.parent))) from None


def _why_lost(engine: Any, provider: str) -> str:
    """What the provider's library needs and the system does not have; "" where a loader cannot tell."""
    name = provider.removesuffix("ExecutionProvider").lower()
    library = Path(engine.__file__).parent / "capi" / f"libonnxruntime_providers_{name}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        if "cannot open shared object file" in str(error):
            return one_line(error)
    return ""


def _load_libraries(engine: Any, choice: Choice) -> None:
    """Those that came as packages, which no loader would find; what fails here is missed by the session."""
    with contextlib.redirect_stdout(sys.stderr):
        if hasattr(engine, "preload_dlls"):
            engine.preload_dlls()
    if any(name == TENSORRT for name, _ in choice.providers):
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module("tensorrt")
