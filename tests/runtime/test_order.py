"""Which image goes through the network when, in one process and in several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.order import Order, repeated, shuffled
from regnetc_runtime.training.recipe import Call, Recipe

RECIPE = Recipe(
    name="x", data="digits", epochs=3, batch=16, norm_batch=4,
    optimizer=Call("sgd", {"lr": 0.1}), schedule=Call("constant", {}),
)  # fmt: skip
IMAGES = 103
ORDER = Order(IMAGES, RECIPE, shuffled(IMAGES, 5))


def told(
    order: Order, step: int, rank: int = 0, world: int = 1
) -> list[tuple[int, int, list[int]]]:
    chunks = order.chunks(step, 3 * order.steps, rank, world)
    return [(c.epoch, c.first, c.indices.tolist()) for c in chunks]


def test_an_epoch_has_every_image_at_most_once() -> None:
    assert ORDER.steps == 6
    everything = told(ORDER, 0)
    assert len(everything) == 3 * 6 * 4
    epochs = []
    for epoch in range(3):
        seen = [i for e, _, images in everything if e == epoch for i in images]
        assert len(seen) == len(set(seen)) == 96
        assert set(seen) <= set(range(IMAGES))
        epochs.append(seen)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_chunks_of_one(world: int) -> None:
    alone = told(ORDER, 0)
    shares = [told(ORDER, 0, rank, world) for rank in range(world)]
    each = 4 // world
    joined = [
        chunk
        for step in range(3 * ORDER.steps)
        for share in shares
        for chunk in share[step * each : (step + 1) * each]
    ]
    assert joined == alone


@pytest.mark.parametrize("step", [0, 1, 5, 6, 7, 17])
def test_it_goes_on_anywhere(step: int) -> None:
    assert told(ORDER, step) == told(ORDER, 0)[4 * step :]
    assert told(ORDER, step, 1, 2) == told(ORDER, 0, 1, 2)[2 * step :]


def test_repeats_keep_the_length() -> None:
    order = Order(IMAGES, replace(RECIPE, repeats=3), shuffled(IMAGES, 5))
    seen = [i for e, _, images in told(order, 0) if e == 0 for i in images]
    assert len(seen) == 96
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert len(set(seen)) == 32
    assert len(repeated(np.arange(10), 4)) == 10


def test_too_few_images() -> None:
    with pytest.raises(Problem) as e:
        Order(15, RECIPE, shuffled(15, 0))
    assert e.value.name == "too-few-images"
