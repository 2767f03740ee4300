"""Agents of unequal spaces as rows of one: observations padded and with masks, actions of which each has its part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.spaces.actions import ActionChecker, ActionLayout, num_discrete, num_elements, stacked_space
from puffer_numba.spaces.merged import kind_of, merged, missing_texts, within
from puffer_numba.spaces.observations import (
    ACTION_MASK,
    MISFIT,
    ObservationLayout,
    Write,
    leaf_bounds,
    read_value,
    value_writer,
)

AnyArray = NDArray[Any]
Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]
OBSERVATION = "observation"
"""The key of what is observed beside an `ACTION_MASK`."""


class MergedSpaces:
    """One observation space and one action space for agents that have different ones.

    **Actions** of all are those of `merged`, and of discrete and continuous ones side by side where agents have either
    one. What an agent lacks is ignored; so is what lies beyond the bounds of its own Boxes, which is clipped. Integers
    that it does not have are an error.

    **Observations** are padded by `merged`. Where agents differ in their discrete actions, observations become
    ``{"observation": ..., "action_mask": ...}``, with an element for each choice of the common action space, so that no
    policy chooses what an agent does not have. Where agents have an ``action_mask`` of their own, that is widened where
    it is; of one that allows nothing, as where it is another's turn, all choices of the agent remain.

    Attributes:
        observation_space, action_space: of all rows, not flat.
        parts: by agent.

    Args:
        observation_spaces, action_spaces: of each agent.
        text_length: as for `ObservationLayout`.

    Raises:
        APIUsageError: spaces that cannot be merged, or have no fixed size; an ``action_mask`` of another length than
            the agent has choices.
    """

    def __init__(
        self, observation_spaces: Mapping[Any, Any], action_spaces: Mapping[Any, Any], text_length: int | None = None
    ) -> None:
        own = {
            agent: ObservationLayout(space, f"observation of {agent!r}", text_length)
            for agent, space in observation_spaces.items()
        }
        self.action_space, actions = _merged_actions(action_spaces)
        masks = {agent: _own_mask(layout.space, actions[agent]) for agent, layout in own.items()}
        inner = merged(
            {
                agent: layout.space if masks[agent] is None else _without_mask(layout.space)
                for agent, layout in own.items()
            },
            "observation",
        )
        num_choices = len(actions[next(iter(own))].legal)
        are_masked = any(mask is not None for mask in masks.values())
        self.observation_space = inner
        if are_masked or not all(part.legal.all() for part in actions.values()):
            mask = Box(0, 1, (num_choices,), np.int8)
            parts = inner.spaces if are_masked else {OBSERVATION: inner}
            self.observation_space = Dict({**parts, ACTION_MASK: mask})
        whole = _Whole(ObservationLayout(self.observation_space), inner, are_masked)
        self.parts = {
            agent: AgentPart(ObservationPart(layout, masks[agent], whole, actions[agent]), actions[agent])
            for agent, layout in own.items()
        }

    def stacked_actions(self) -> Any:
        """The space of all rows' actions, in which each has what its agent has."""
        actions = [part.action for part in self.parts.values()]
        return stacked_space([action.bounds for action in actions], actions[0].whole)


class ActionPart:
    """Which elements of flat actions are an agent's own.

    Attributes:
        agent: its name.
        layout: of its own space.
        whole: the flat action space of all.
        bounds: minimum and maximum of each element, of the whole's shape: 0 for integers that it lacks.
        choices: numbers of its own choices among those of the whole, as they lie in an ``action_mask``.
        counts: how many of these each of its integers has.
        legal: bool, which choices it can make: its own, and 0 for each integer that it lacks.
        idle: the second of these alone.

    Args:
        positions: of the elements of its own flat action in one of the whole.
    """

    def __init__(self, agent: Any, layout: ActionLayout, whole: Any, positions: Positions) -> None:
        self.agent, self.layout, self.whole, self._positions = agent, layout, whole, positions
        own = layout.flat_space
        self._shape = tuple(own.shape or ())
        self._low, self._high = (np.ravel(bound) for bound in leaf_bounds(own))
        self._num_discrete = num_discrete(own)
        self._check = ActionChecker(own, 1)
        self.counts, self.choices, self.idle = self._choices()
        self.legal = self.idle.copy()
        self.legal[self.choices] = True
        self.bounds = self._bounds()

    def _choices(self) -> tuple[Positions, Positions, Flags]:
        """``counts``, ``choices`` and ``idle``."""
        n = num_discrete(self.whole)
        first, last = (np.ravel(bound)[:n].astype(np.int64) for bound in leaf_bounds(self.whole))
        starts = np.cumsum([0, *(last - first + 1)])
        zeros = starts[:-1] - first  # where each integer's 0 is among the choices
        lows, highs = (bound[: self._num_discrete].astype(np.int64) for bound in (self._low, self._high))
        own = zeros[self._positions[: self._num_discrete]]
        runs = [np.arange(i, j) for i, j in zip(own + lows, own + highs + 1, strict=True)]
        idle = np.zeros(starts[-1], np.bool_)
        idle[np.delete(zeros, self._positions[: self._num_discrete])] = True
        return highs - lows + 1, np.concatenate([np.zeros(0, np.int64), *runs]), idle

    def _bounds(self) -> tuple[AnyArray, AnyArray]:
        low, high = (np.array(bound) for bound in leaf_bounds(self.whole))
        for bound, own in ((low, self._low), (high, self._high)):
            flat = bound.reshape(-1)  # a view
            flat[: num_discrete(self.whole)] = 0
            flat[self._positions] = own
        return low, high

    def reader(self, row: AnyArray) -> Callable[[], Any]:
        """A function that returns the agent's own action, which is in ``row``, a flat one of the whole.

        It raises `APIUsageError` where the agent does not have it.
        """
        flat, n = row.reshape(-1), self._num_discrete
        if not self._shape and n:
            return self._number_reader(flat)
        own = np.empty(len(self._positions), row.dtype)
        read = self.layout.reader(own)
        (integers, numbers), (first, lowest), (last, highest) = (
            np.split(values.astype(row.dtype, copy=False), [n]) for values in (own, self._low, self._high)
        )

        def read_part() -> Any:
            np.take(flat, self._positions, out=own)
            if n and ((integers < first) | (integers > last)).any():
                self._raise_outside(own)
            if len(numbers):
                np.clip(numbers, lowest, highest, out=numbers)
            return read()

        return read_part

    def _number_reader(self, flat: AnyArray) -> Callable[[], Any]:
        """The same for a Discrete."""
        (at,) = self._positions.tolist()
        number, item = np.dtype(self.layout.flat_space.dtype).type, flat[at : at + 1].item
        low, high = int(self._low[0]), int(self._high[0])

        def read_number() -> Any:
            action = item()
            if not low <= action <= high:
                self._raise_outside(action)
            return number(action)

        return read_number

    def _raise_outside(self, action: Any) -> None:
        raise APIUsageError(
            f"the action of {self.agent!r} is {np.asarray(action).tolist()}, outside its own {self.layout.flat_space}; "
            f"{self.whole} is that of all agents, of which the action_mask in its observation says what it has. "
            "It was not stepped."
        )

    def write(self, action: Any, row: AnyArray) -> None:
        """Put the agent's own flat action into ``row``, an array of a flat one of the whole.

        Raises:
            APIUsageError: it is not in the agent's own flat space.
        """
        if np.shape(action) != self._shape:
            shape, space = np.shape(action), self.layout.flat_space
            raise APIUsageError(f"the action of {self.agent!r} has shape {shape}; expected {space}.")
        try:
            values = self._check([action])
        except APIUsageError as error:
            raise APIUsageError(f"agent {self.agent!r}: {error}") from None
        row.reshape(-1)[self._positions] = values.reshape(-1)


class _Whole(NamedTuple):
    """How observations of all agents lie in memory."""

    layout: ObservationLayout
    inner: Any
    """The space of all that is observed but an action mask."""
    in_place: bool
    """Whether the mask is among the parts of that, and not beside it."""


class ObservationPart:
    """Where in observations of all agents one of them has its own.

    Attributes:
        layout: of the agent's own observations.

    Args:
        mask: the space of its own action mask, if it has one.
    """

    def __init__(self, layout: ObservationLayout, mask: Any, whole: _Whole, action: ActionPart) -> None:
        self.layout, self._mask, self._whole, self._action = layout, mask, whole, action
        self._inner = layout.space if mask is None else _without_mask(layout.space)

    def writer(self, row: AnyArray) -> Write:
        """A function that writes the agent's own observation into ``row``, a flat one of all, padded."""
        target, mask = self._places(row)
        write_value = value_writer(*within(self._inner, self._whole.inner, target))
        texts = list(missing_texts(self._inner, self._whole.inner, target))
        write_mask = None if mask is None else self._mask_writer(mask)

        def write_fast(observation: Any) -> None:
            write_value(observation)
            if write_mask is not None:
                write_mask(observation)

        def write(observation: Any) -> None:
            row[...] = 0
            for letters, end in texts:
                letters[...] = end
            try:
                write_fast(observation)
            except MISFIT:
                write_fast(self.layout.check(observation))

        return write

    def own_row(self, row: AnyArray) -> AnyArray:
        """The agent's own flat observation, a new array, of what ``row`` has of it, a flat one of all."""
        target, mask = self._places(row)
        value = read_value(*within(self._inner, self._whole.inner, target))
        if self._mask is not None:
            assert mask is not None
            value = {**value, ACTION_MASK: mask[self._action.choices].reshape(self._mask.shape)}
        flat = np.zeros(self.layout.flat_space.shape, self.layout.flat_space.dtype)
        self.layout.writer(flat)(value)
        return flat

    def _places(self, row: AnyArray) -> tuple[Any, AnyArray | None]:
        """Of ``row``, a flat observation of all: a record of all but the mask, and the mask."""
        layout, inner, in_place = self._whole
        record = layout.record(row)
        if layout.space is inner:
            return record, None
        return record if in_place else record[OBSERVATION], record[ACTION_MASK]

    def _mask_writer(self, target: AnyArray) -> Write:
        action = self._action
        if self._mask is None:
            legal = action.legal

            def write_legal(_: Any) -> None:
                target[...] = legal

            return write_legal
        shape, idle, choices, counts = self._mask.shape, action.idle, action.choices, action.counts
        starts = np.cumsum([0, *counts[:-1]])

        def write_own(observation: Any) -> None:
            mask = observation[ACTION_MASK]
            if mask.shape != shape:
                raise ValueError
            legal = mask.reshape(-1) != 0
            nothing = ~np.logical_or.reduceat(legal, starts)  # it is not its turn: anything of its own may be drawn
            target[...] = idle
            target[choices] = legal | np.repeat(nothing, counts)

        return write_own


class AgentPart(NamedTuple):
    """What belongs to one agent."""

    observation: ObservationPart
    action: ActionPart


def _own_mask(space: Any, action: ActionPart) -> Any:
    """The space of an agent's own action mask; None for none."""
    mask = space.get(ACTION_MASK) if isinstance(space, Dict) else None
    if mask is None or not len(action.choices):
        return None
    size = None if mask.shape is None else int(np.prod(mask.shape))
    if size != len(action.choices):
        raise APIUsageError(
            f"observation[{ACTION_MASK!r}] of {action.agent!r} is {mask}, but {action.layout.flat_space} has "
            f"{len(action.choices)} choices; it takes one element for each. (A mask of something else needs another "
            "name.)"
        )
    return mask


def _without_mask(space: Dict) -> Dict:
    return Dict([(key, part) for key, part in space.spaces.items() if key != ACTION_MASK])


def _merged_actions(spaces: Mapping[Any, Any]) -> tuple[Any, dict[Any, ActionPart]]:
    """The action space of all, and the part of each agent."""
    layouts = {agent: ActionLayout(space) for agent, space in spaces.items()}
    alike = len(set(map(kind_of, spaces.values()))) == 1
    space = merged(spaces, "action") if alike else _side_by_side(list(layouts.values()))
    whole = ActionLayout(space)
    find = _positions_by_path if alike else _positions_side_by_side
    return space, {
        agent: ActionPart(agent, layout, whole.flat_space, find(layout, whole)) for agent, layout in layouts.items()
    }


def _side_by_side(layouts: Sequence[ActionLayout]) -> Any:
    """Integers and numbers of all kinds of action spaces."""
    kinds = {}
    for k, layout in enumerate(layouts):
        n = num_discrete(layout.flat_space)
        low, high = (np.ravel(bound) for bound in leaf_bounds(layout.flat_space))
        parts: dict[str, Any] = {}
        if n:
            first, last = low[:n].astype(np.int64), high[:n].astype(np.int64)
            parts["discrete"] = MultiDiscrete(last - first + 1, start=first)
        if n < len(low):
            parts["continuous"] = Box(low[n:], high[n:], dtype=low.dtype.type)
        kinds[k] = Dict(parts)
    return merged(kinds, "action")


def _positions_side_by_side(own: ActionLayout, whole: ActionLayout) -> Positions:
    size, n = num_elements(own.flat_space), num_discrete(own.flat_space)
    return np.concatenate([np.arange(n), num_discrete(whole.flat_space) + np.arange(size - n)])


def _positions_by_path(own: ActionLayout, whole: ActionLayout) -> Positions:
    """Where each element of a flat action of ``own`` is in one of ``whole``, which was merged of its space."""
    places = {path: (leaf, start) for path, leaf, start in whole.leaves}
    positions = np.empty(num_elements(own.flat_space), np.int64)
    for path, leaf, start in own.leaves:
        big, at = places[path]
        numbers = at + np.arange(int(np.prod(big.shape))).reshape(big.shape)
        part = np.ravel(numbers[tuple(map(slice, leaf.shape))])
        positions[start : start + len(part)] = part
    return positions
