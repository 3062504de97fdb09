"""Keeps the states of sequences beside a model that does not, and tells it what its controls say.

DESIGN: the front decides which sequence is in which slot (scheduling.sequences); here a slot is a number
with arrays. A request that starts a sequence finds the initial state whatever the slot held before, so
that nobody has to tell an instance of sequences that were given up. States change once the whole batch
has been run: what raised can be run again. They are copied, for outputs lie in memory that is lent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.sequence import END, START, Control
from gateway.core.warmup import WarmupInput
from gateway.runtimes.calls import desk_of
from gateway.runtimes.contract import Array, LoadedModel, LoadError, ModelFailed, OutputMemory
from gateway.runtimes.sequence_signature import extra_inputs, without_sequence
from gateway.workers.plans import fits
from gateway.workers.warming import row_of

States = tuple[Array, ...]


def stateful(model: LoadedModel, state_paths: Mapping[str, str]) -> LoadedModel:
    """`model` as callers see it; itself where it keeps no sequences. Raises LoadError."""
    return model if model.spec.sequence is None else Stateful(model, state_paths)


class _Steps(NamedTuple):
    """What the front tells of each row of a batch; `given` are the arrays as they came."""

    slots: list[int]
    flags: list[int]
    identities: Array
    given: Sequence[Array]


class Stateful:
    """Implements contract.LoadedModel around one that has controls and states among its tensors.

    `_kept` are the states of each slot in a sequence; absent before its first request. `extra_outputs` are
    the ordinals of the engine's outputs that are states, and of the faults where it tells any.
    """

    def __init__(self, model: LoadedModel, state_paths: Mapping[str, str]) -> None:
        batching = model.spec.sequence
        assert batching is not None, "asked of stateful models alone"
        self._model = model
        self.desk = desk_of(model)
        self._batching = batching
        self._spec = spec = without_sequence(model.spec)
        _check_extras(model.spec, spec)
        self._states = batching.states
        self._is_spread = batching.is_direct and spec.max_batch_size > 0
        extra = len(model.spec.outputs) - len(spec.outputs)
        self.extra_outputs = tuple(range(len(spec.outputs), len(spec.outputs) + extra))
        self._kept: dict[int, States] = {}
        self._initial = tuple(_initial(state.initial, state_paths) for state in batching.states)

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel.

        `inputs` end in what `hidden_inputs` says, and `outputs` in what `hidden_outputs` does, if anything:
        but for a warm-up, in which everything must succeed.
        """
        count, told = len(self._spec.inputs), len(outputs)
        public = [ordinal for ordinal in outputs if ordinal < len(self._spec.outputs)]
        steps = self._read(inputs[count:], rows)
        states = self._current(steps)
        results: list[Array] | None = None
        following: dict[int, States] = {}
        for members in _alike(states):
            run = _Run(self, steps, members, states)
            answered = run.infer(self._model, inputs[:count], public, memory)
            following.update(run.following(answered[len(public) : len(public) + len(self._states)]))
            answered = [*answered[: len(public)], *answered[len(public) + len(self._states) :]]
            results = run.scatter(answered, results, rows)
        assert results is not None, "a batch has a row"
        refused = self._refused(results[len(public) :], is_told=told > len(public))
        self._keep(steps, following, refused)
        return results[:told]

    def _refused(self, faults: Sequence[Array], *, is_told: bool) -> set[int]:
        """The rows that the model has refused; raises ModelFailed where nobody would hear of it."""
        texts = [bytes(text) for array in faults for text in array.ravel().tolist()]
        refused = {row for row, text in enumerate(texts) if text}
        if refused and not is_told:
            raise ModelFailed(texts[min(refused)][1:].decode())
        return refused

    def close(self) -> None:
        """See contract.LoadedModel."""
        self._kept.clear()
        self._model.close()

    def _read(self, hidden: Sequence[Array], rows: int) -> _Steps:
        if not hidden:  # a warm-up: each row is a sequence of its own, which starts and ends
            numbers = np.array([(row, START | END, row + 1) for row in range(rows)], np.int64)
            hidden = (numbers, np.full((rows, 1), b"", object))
        numbers = hidden[0].reshape(rows, 3)
        identities = numbers[:, 2:]
        if self._batching.identity_dtype is DType.BYTES:
            identities = hidden[1].reshape(rows, 1)
        return _Steps(numbers[:, 0].tolist(), numbers[:, 1].tolist(), identities, hidden)

    def _current(self, steps: _Steps) -> list[States]:
        """The states of each row before its run."""
        found = []
        for slot, flags in zip(steps.slots, steps.flags, strict=True):
            if flags & START:
                self._kept.pop(slot, None)
            found.append(self._kept.get(slot, self._initial))
        return found

    def _keep(self, steps: _Steps, following: Mapping[int, States], refused: set[int]) -> None:
        for row, (slot, flags) in enumerate(zip(steps.slots, steps.flags, strict=True)):
            if flags & END:
                self._kept.pop(slot, None)
            elif self._states and row not in refused:
                self._kept[slot] = following[row]

    # ---- what a run of some of the rows needs -----------------------------------------------------

    def places(self, steps: _Steps, members: Sequence[int]) -> list[int]:
        """The row of the engine's batch for each member."""
        return [steps.slots[row] for row in members] if self._is_spread else list(range(len(members)))

    def extras(self, steps: _Steps, members: Sequence[int], states: Sequence[States]) -> list[Array]:
        """Controls, states and, for a model in Python, what tells ids and flags; a row for each member."""
        lead = self._spec.max_batch_size > 0
        stacked = [
            np.stack([states[row][i] for row in members]) if lead else states[members[0]][i]
            for i in range(len(self._states))
        ]
        controls = [self._control(control, steps, members) for control in self._batching.controls]
        made = [array if lead else array[0] for array in controls] + stacked
        hidden = len(extra_inputs(self._model.spec)) - len(made)
        given = steps.given[:hidden]
        return made + [array[list(members)] if lead else array.reshape(array.shape[-1:]) for array in given]

    def _control(self, control: Control, steps: _Steps, members: Sequence[int]) -> Array:
        if control.kind == "corrid":
            told = steps.identities[list(members)]
            return told if control.dtype is DType.BYTES else told.astype(NUMPY[control.dtype])
        flag = {"start": START, "end": END, "ready": 0}[control.kind]
        chosen = [control.values[not flag or bool(steps.flags[row] & flag)] for row in members]
        return np.array(chosen, NUMPY[control.dtype]).reshape(len(members), 1)

    def fillers(self) -> list[Array]:
        """A row of each extra input for a slot without a request."""
        controls = [_filler(one.dtype, one.values[0], (1,)) for one in self._batching.controls]
        states = list(self._initial)
        rest = extra_inputs(self._model.spec)[len(controls) + len(states) :]
        return controls + states + [_filler(tensor.dtype, 0, tensor.shape) for tensor in rest]

    def check_states(self, results: Sequence[Array], width: int) -> None:
        """Raises ModelFailed unless the engine gave every state as it was configured."""
        lead = (width,) if self._spec.max_batch_size else ()
        for state, result in zip(self._states, results[: len(self._states)], strict=True):
            wanted = NUMPY.get(state.output.dtype, np.dtype(object))
            shape = lead + state.output.shape
            if not isinstance(result, np.ndarray) or result.dtype != wanted or not fits(result.shape, shape):
                what = (
                    f"{result.dtype} {list(result.shape)}" if isinstance(result, np.ndarray) else "no array"
                )
                raise ModelFailed(
                    f"state '{state.output.name}' is {what}, it is configured as {wanted} {list(shape)}"
                )


class _Run:
    """One run of the engine, for rows whose states have the same shapes."""

    def __init__(
        self, model: Stateful, steps: _Steps, members: Sequence[int], states: Sequence[States]
    ) -> None:
        self._model = model
        self._steps = steps
        self._members = members
        self._states = states
        self._places = model.places(steps, members)
        self._width = max(self._places) + 1
        self._has_lead = model.spec.max_batch_size > 0
        self._is_whole = self._places == list(range(len(steps.slots)))

    def infer(
        self, engine: LoadedModel, inputs: Sequence[Array], outputs: Sequence[int], memory: OutputMemory
    ) -> Sequence[Array]:
        """What the engine answers: the wanted outputs, every state, checked, and faults; rows are places."""
        extras = self._model.extras(self._steps, self._members, self._states)
        if self._has_lead and not self._is_whole:
            fillers = [
                _filler(array.dtype, b"" if array.dtype.hasobject else 0, array.shape[1:]) for array in inputs
            ]
            rows = list(self._members)
            inputs = [self._spread(array[rows], one) for array, one in zip(inputs, fillers, strict=True)]
            fill = self._model.fillers()
            extras = [self._spread(array, one) for array, one in zip(extras, fill, strict=True)]
        wanted = (*outputs, *self._model.extra_outputs)
        answered = engine.infer([*inputs, *extras], wanted, self._width, memory)
        if len(answered) != len(wanted):
            raise ModelFailed(f"the model gave {len(answered)} outputs where {len(wanted)} were asked for")
        self._model.check_states(answered[len(outputs) :], self._width)
        return answered

    def _spread(self, array: Array, filler: Array) -> Array:
        """The members' rows at their places, `filler` in between."""
        if len(array) == self._width:
            return array
        shape = array.shape[1:]
        spread: Array = np.empty((self._width, *shape), array.dtype)
        # A state that has grown beyond its initial shape leaves zeros between.
        spread[...] = filler if filler.shape == shape else _filler(array.dtype, 0, shape)
        spread[self._places] = array
        return spread

    def following(self, results: Sequence[Array]) -> dict[int, States]:
        """By row, the states after the run."""
        if not self._has_lead:
            return {0: tuple(_kept(result) for result in results)}
        return {
            row: tuple(_kept(result[place]) for result in results)
            for row, place in zip(self._members, self._places, strict=True)
        }

    def scatter(self, results: Sequence[Array], before: list[Array] | None, rows: int) -> list[Array]:
        """The outputs by row, together with those of runs `before`."""
        if self._is_whole or not self._has_lead:
            return list(results)
        for result in results:
            if not isinstance(result, np.ndarray) or result.shape[:1] != (self._width,):
                raise ModelFailed(f"an output is not an array of {self._width} rows")
        if before is None:
            before = [np.empty((rows, *result.shape[1:]), result.dtype) for result in results]
        for whole, result in zip(before, results, strict=True):
            if whole.dtype != result.dtype or whole.shape[1:] != result.shape[1:]:
                raise ModelFailed("outputs of sequences that ran together differ in shape")
            whole[list(self._members)] = result[self._places]
        return before


def _kept(array: Array) -> Array:
    copy: Array = np.array(array)
    copy.flags.writeable = False
    return copy


def _alike(states: Sequence[States]) -> list[list[int]]:
    """The rows, by what shapes their states have: most often all of them together."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for row, some in enumerate(states):
        groups.setdefault(tuple(array.shape for array in some), []).append(row)
    return list(groups.values())


def _filler(dtype: DType | np.dtype[np.generic], value: object, shape: tuple[int, ...]) -> Array:
    if dtype is DType.BYTES or (isinstance(dtype, np.dtype) and dtype.hasobject):
        return np.full(shape, b"", object)
    return np.full(shape, value, NUMPY[dtype] if isinstance(dtype, DType) else dtype)


def _initial(state: WarmupInput, paths: Mapping[str, str]) -> Array:
    if state.file:
        state = msgspec.structs.replace(state, file=paths.get(state.file, state.file))
    array = row_of(state)
    array.flags.writeable = False
    return array


def _check_extras(whole: ModelSpec, spec: ModelSpec) -> None:
    """Raises LoadError unless the engine has taken controls and states over."""
    if whole.decoupled:
        raise LoadError("a model with sequence_batching cannot answer a request more than once")
    extra = extra_inputs(whole)
    if whole.inputs[len(spec.inputs) :] != extra:
        raise LoadError(f"sequence_batching is not supported for backend '{whole.backend}'")
    if not spec.inputs:
        raise LoadError("a model with sequence_batching has no input of its own")
    for tensor in spec.inputs:
        if tensor.is_optional:  # as options.check_optional, for what the model itself completed
            raise LoadError(f"input '{tensor.name}': optional is not supported with sequence_batching")
