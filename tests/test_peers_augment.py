"""Augmentation against torchvision's and timm's: bit by bit where both do the same, else as distributions."""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peers import import_timm
from PIL import Image
from regnetc_runtime.augment.affine import moved
from regnetc_runtime.augment.chunks import ChunkAugment
from regnetc_runtime.augment.colours import jittered
from regnetc_runtime.augment.crops import Box, random_box, resized
from regnetc_runtime.augment.mixing import Mix, cut_at, mixed_images, mixed_targets
from regnetc_runtime.augment.policies import apply, from_pillow, policy_of, to_pillow
from regnetc_runtime.augment.rectangles import draw_rectangles, erase_
from regnetc_runtime.chance import generator, numpy_generator
from regnetc_runtime.training.recipe import Call, Recipe
from scipy.stats import ks_2samp
from torch import Tensor

MISSING = [name for name in ("timm", "torchvision") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason="`make peers` installs timm and torchvision"),
    pytest.mark.filterwarnings("ignore"),
]
NAMES = {
    "identity": "Identity", "shear-x": "ShearX", "shear-y": "ShearY", "translate-x": "TranslateX",
    "translate-y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "colour": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterise": "Posterize", "solarise": "Solarize",
    "auto-contrast": "AutoContrast", "equalise": "Equalize",
}  # fmt: skip
SIDE = 64
DRAWS = 4_000


def theirs(module: str) -> Any:
    """A module of torchvision or timm."""
    import_timm()
    return importlib.import_module(module)


def picture(channels: int) -> Image.Image:
    rng = np.random.default_rng(channels)
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    noisy = (np.asarray(image) + rng.normal(0, 9, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy).convert("RGB" if channels == 3 else "L")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["trivialaugment", "randaugment"])
def test_operations_equal_torchvisions_in_every_bit(policy: str, name: str, channels: int) -> None:
    """On images of Pillow's, with the magnitudes of torchvision's own tables; all 31 of them."""
    autoaugment = theirs("torchvision.transforms.autoaugment")
    nearest = theirs("torchvision.transforms").InterpolationMode.NEAREST
    if policy == "trivialaugment":
        space = autoaugment.TrivialAugmentWide()._augmentation_space(31)
    else:
        space = autoaugment.RandAugment()._augmentation_space(31, (SIDE, SIDE))
    table, signed = space[NAMES[name]]
    for m in range(31):
        arguments = {"bins": 31, "n": 1, "m": m}
        (ours,) = (c for c in policy_of(Call(policy, arguments), SIDE).choices if c.name == name)
        magnitude = float(table[m]) if table.ndim else 0.0
        assert ours.signed == signed
        assert magnitude in ours.magnitudes
        for signed_one in (magnitude, -magnitude) if signed else (magnitude,):
            expected = autoaugment._apply_op(
                picture(channels), NAMES[name], signed_one, nearest, None
            )
            found = apply(name, picture(channels), signed_one)
            assert found.mode == expected.mode
            assert np.array_equal(np.asarray(found), np.asarray(expected)), (name, signed_one)


def test_no_operation_is_left_out() -> None:
    autoaugment = theirs("torchvision.transforms.autoaugment")
    for policy, space in (
        ("trivialaugment", autoaugment.TrivialAugmentWide()._augmentation_space(31)),
        ("randaugment", autoaugment.RandAugment()._augmentation_space(31, (SIDE, SIDE))),
    ):
        choices = policy_of(Call(policy, {"bins": 31, "n": 1, "m": 0}), SIDE).choices
        assert [NAMES[c.name] for c in choices] == list(space)


def test_pillows_images_there_and_back() -> None:
    functional = theirs("torchvision.transforms.functional")
    for channels in (1, 3):
        pixels = functional.pil_to_tensor(picture(channels))
        assert torch.equal(from_pillow(to_pillow(pixels)), pixels)


def boxes_of(draw: Callable[[], tuple[int, int, int, int]]) -> np.ndarray:
    """Area, height / width, and where in its room the box lies, for many draws."""
    found = np.array([draw() for _ in range(DRAWS)], float)
    top, left, h, w = found.T
    return np.stack([h * w, h / w, top / (401 - h), left / (501 - w)])


def alike(ours: np.ndarray, others: np.ndarray) -> None:
    for a, b in zip(ours, others, strict=True):
        assert ks_2samp(a, b).pvalue > 0.01


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.6, 1.0), (3 / 4, 4 / 3)), ((0.3, 1.0), (1.5, 3.0))],
)
def test_random_crops_are_distributed_as_theirs(
    scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    crop = theirs("torchvision.transforms").RandomResizedCrop
    timms = theirs("timm.data.transforms").RandomResizedCropAndInterpolation
    empty, image = torch.empty(3, 400, 500), Image.new("L", (500, 400))
    rng = numpy_generator(0, "boxes")
    ours = boxes_of(lambda: random_box(400, 500, scale, ratio, rng))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        alike(ours, boxes_of(lambda: crop.get_params(empty, list(scale), list(ratio))))
    random.seed(1)
    alike(ours, boxes_of(lambda: timms.get_params(image, scale, ratio)))


@pytest.mark.parametrize("box", [Box(0, 0, 400, 500), Box(10, 33, 300, 200), Box(5, 6, 50, 41)])
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_equal_torchvisions_in_every_bit(box: Box, channels: int) -> None:
    functional = theirs("torchvision.transforms.v2.functional")
    pixels = torch.randint(0, 256, (channels, 400, 500), generator=generator(0), dtype=torch.uint8)
    expected = functional.resized_crop(pixels, *box, [96, 96], antialias=True)
    assert torch.equal(resized(pixels, box, 96), expected)


def test_rectangles_are_distributed_as_torchvisions() -> None:
    erasing = theirs("torchvision.transforms").RandomErasing
    empty = torch.empty(1, 400, 500)

    def their_box() -> tuple[int, int, int, int]:
        box: tuple[int, int, int, int] = erasing.get_params(empty, (0.02, 0.33), (0.3, 3.3), [0.0])[
            :4
        ]
        return box

    drawn = iter(draw_rectangles(DRAWS, (400, 500), 1.0, generator(0)).int().tolist())

    def our_box() -> tuple[int, int, int, int]:
        top, bottom, left, right = next(drawn)
        return top, left, bottom - top, right - left

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        alike(boxes_of(our_box), boxes_of(their_box))


def test_erasing_equals_torchvisions() -> None:
    functional = theirs("torchvision.transforms.v2.functional")
    image = torch.randn(3, 20, 30, generator=generator(0))
    expected = functional.erase(image, 3, 5, 10, 7, torch.zeros(1, 1, 1))
    found = erase_(image.clone()[None], torch.tensor([[3, 13, 5, 12.0]]))[0]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_mixing_equals_torchvisions(share: float) -> None:
    """But for rounding: theirs multiplies twice and adds."""
    v2 = theirs("torchvision.transforms.v2")
    images = torch.randn(6, 3, 16, 24, generator=generator(0))
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    whole = torch.nn.functional.one_hot(labels, 5).float()
    mixup, cutmix = v2.MixUp(num_classes=5), v2.CutMix(num_classes=5)
    up = {"lam": share, "labels": labels, "batch_size": 6}
    assert torch.allclose(
        mixed_images(images, Mix(share)), mixup.transform(images, up), atol=1e-6, rtol=0
    )
    assert torch.allclose(mixed_targets(whole, Mix(share)), mixup.transform(labels, up), atol=1e-6)
    cut = cut_at(share, (16, 24), numpy_generator(0, round(100 * share)))
    assert cut.box is not None
    top, left, height, width = cut.box
    given = {
        "box": (left, top, left + width, top + height),
        "lam_adjusted": cut.share,
        "labels": labels,
        "batch_size": 6,
    }
    assert torch.equal(mixed_images(images, cut), cutmix.transform(images, given))
    assert torch.allclose(mixed_targets(whole, cut), cutmix.transform(labels, given), atol=1e-6)


def test_boxes_of_cutmix_are_distributed_as_torchvisions() -> None:
    cutmix = theirs("torchvision.transforms.v2").CutMix(alpha=1.0, num_classes=5)
    image = torch.empty(2, 3, 40, 50)
    ours, others = [], []
    rng = numpy_generator(0, "cutmix")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for _ in range(DRAWS):
            mix = cut_at(float(rng.beta(1.0, 1.0)), (40, 50), rng)
            assert mix.box is not None
            ours.append((mix.share, *mix.box))
            params = cutmix.make_params([image])
            x1, y1, x2, y2 = params["box"]
            others.append((params["lam_adjusted"], y1, x1, y2 - y1, x2 - x1))
    alike(np.array(ours).T, np.array(others).T)


def test_jitter_equals_torchvisions() -> None:
    """Within 0.06 of 255, which is what its 0.2989 for red instead of 0.299 comes to."""
    functional = theirs("torchvision.transforms.v2.functional")
    images = torch.rand(6, 3, 20, 20, generator=generator(0))
    factors = 0.4 + 1.2 * torch.rand(6, 3, generator=generator(1))
    found = jittered(images * 255, factors)
    for k in range(6):
        x = functional.adjust_brightness(images[k], float(factors[k, 0]))
        x = functional.adjust_contrast(x, float(factors[k, 1]))
        x = functional.adjust_saturation(x, float(factors[k, 2]))
        assert (found[k] - x * 255).abs().max() < 0.06


def test_turning_equals_torchvisions_where_no_edge_is_near() -> None:
    functional = theirs("torchvision.transforms.v2.functional")
    bilinear = theirs("torchvision.transforms").InterpolationMode.BILINEAR
    image = torch.rand(1, 3, 40, 40, generator=generator(0))
    angle = torch.tensor(20.0).deg2rad()
    cos, sin = float(angle.cos()), float(angle.sin())
    found = moved(image, torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]]))
    expected = functional.rotate(image, 20.0, bilinear)
    inner = (slice(None), slice(None), slice(12, 28), slice(12, 28))
    assert torch.allclose(found[inner], expected[inner], atol=1e-4)


def test_normalising_equals_torchvisions() -> None:
    functional = theirs("torchvision.transforms.v2.functional")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    recipe = Recipe("x", "imagenet", 1, 4, Call("sgd", {"lr": 1}), Call("constant", {}))
    images: Tensor = torch.randint(0, 256, (4, 3, 9, 9), generator=generator(0), dtype=torch.uint8)
    found, _ = ChunkAugment(recipe, mean, std)(images, torch.zeros(4).long(), (0,), 2)
    expected = functional.normalize(
        functional.to_dtype(images, torch.float32, scale=True), mean, std
    )
    assert torch.allclose(found, expected, atol=2e-6)
