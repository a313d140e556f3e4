"""The same work by torchvision, timm, OpenCV and albumentations, each where it is installed."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import metadata
from typing import Any

import numpy as np
import torch
from image_works import RATIO, SCALE, SIDE, Work
from PIL import Image
from regnetc_runtime.augment.crops import random_box
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.training.recipe import Recipe
from torch import Tensor

PACKAGES = (
    "torch",
    "numpy",
    "pillow",
    "simplejpeg",
    "torchvision",
    "timm",
    "opencv-python-headless",
    "albumentations",
)


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def there(name: str) -> Any:
    """A module, or None; torchvision's of PyPI lacks two operators beside a CPU build of torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        if name.partition(".")[0] not in ("torchvision", "timm"):
            return None
    for module in [m for m in sys.modules if m.partition(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]
    try:
        _declare()
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        return None


@cache
def _declare() -> torch.library.Library:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library


def decoders() -> dict[str, Work]:
    cv2 = there("cv2")
    out: dict[str, Work] = {"Pillow": lambda data, _: np.asarray(opened(data))}
    if cv2 is not None:
        out["OpenCV"] = lambda data, _: cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    return out


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def crops() -> dict[str, Work]:
    """Decoding, a random resized crop to 224 and a flip."""
    out: dict[str, Work] = {"Pillow": _pillow}
    v2, timm = there("torchvision.transforms.v2"), there("timm.data")
    if v2 is not None:
        out["torchvision, Pillow's images"] = torchvision()
        out["torchvision, tensors of simplejpeg"] = torchvision(tensors=True)
    if timm is not None:
        out["timm"] = _timm(None)
    if there("cv2") is not None:
        out["OpenCV, without antialiasing"] = partial(_opencv, how="INTER_LINEAR")
        out["OpenCV, means of areas"] = partial(_opencv, how="INTER_AREA")
    if there("albumentations") is not None:
        out["albumentations, without antialiasing"] = _albumentations()
    return out


def trivial() -> dict[str, Work]:
    v2 = there("torchvision.transforms.v2")
    if v2 is None:
        return {}
    return {
        "torchvision, Pillow's images": torchvision(v2.TrivialAugmentWide()),
        "torchvision, tensors of simplejpeg": torchvision(v2.TrivialAugmentWide(), tensors=True),
    }


def randaugment() -> dict[str, Work]:
    v2 = there("torchvision.transforms.v2")
    out: dict[str, Work] = {}
    if v2 is not None:
        out["torchvision, Pillow's images"] = torchvision(v2.RandAugment())
        out["torchvision, tensors of simplejpeg"] = torchvision(v2.RandAugment(), tensors=True)
    if there("timm.data") is not None:
        out["timm, its own operations"] = _timm("rand-m9-n2")
    return out


def torchvision(*policy: object, tensors: bool = False) -> Work:
    v2 = there("torchvision.transforms.v2")
    steps = [v2.RandomResizedCrop(SIDE, SCALE, RATIO), v2.RandomHorizontalFlip(), *policy]
    if not tensors:
        whole = v2.Compose([*steps, v2.PILToTensor()])
        return lambda data, _: whole(opened(data))
    simplejpeg = there("simplejpeg")
    whole = v2.Compose(steps)
    return lambda data, _: whole(
        torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1)
    )


def _timm(policy: str | None) -> Work:
    transform = there("timm.data").create_transform(
        SIDE, is_training=True, use_prefetcher=True, scale=SCALE, ratio=RATIO, hflip=0.5,
        color_jitter=None, auto_augment=policy, interpolation="bilinear", re_prob=0.0,
    )  # fmt: skip
    return lambda data, _: transform(opened(data))


def _pillow(data: bytes, k: int) -> Tensor:
    rng = numpy_generator(0, "image", 0, k)
    image = opened(data)
    top, left, height, width = random_box(image.height, image.width, SCALE, RATIO, rng)
    box = (left, top, left + width, top + height)
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _opencv(data: bytes, k: int, how: str) -> Tensor:
    cv2 = there("cv2")
    rng = numpy_generator(0, "image", 0, k)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    high, wide = pixels.shape[:2]
    top, left, height, width = random_box(high, wide, SCALE, RATIO, rng)
    part = pixels[top : top + height, left : left + width]
    part = cv2.cvtColor(
        cv2.resize(part, (SIDE, SIDE), interpolation=getattr(cv2, how)), cv2.COLOR_BGR2RGB
    )
    return torch.from_numpy(cv2.flip(part, 1) if rng.random() < 0.5 else part).permute(2, 0, 1)


def _albumentations() -> Work:
    a, cv2 = there("albumentations"), there("cv2")
    cv2.setNumThreads(1)
    whole = a.Compose(
        [a.RandomResizedCrop((SIDE, SIDE), SCALE, RATIO), a.HorizontalFlip(p=0.5)], seed=0
    )

    def work(data: bytes, _: int) -> Tensor:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return torch.from_numpy(whole(image=pixels)["image"]).permute(2, 0, 1)

    return work


class Files(torch.utils.data.Dataset[Tensor]):
    """Files in memory, each many times, through torchvision's transforms."""

    def __init__(self, files: tuple[bytes, ...], times: int) -> None:
        self.files, self.times, self.work = files, times, torchvision()

    def __len__(self) -> int:
        return len(self.files) * self.times

    def __getitem__(self, index: int) -> Any:
        return self.work(self.files[index % len(self.files)], index)


def torchvision_loader(
    files: tuple[bytes, ...], times: int, chunk: int, workers: int
) -> Iterable[Tensor]:
    return torch.utils.data.DataLoader(Files(files, times), chunk, num_workers=workers)


def torchvision_chunk(
    recipe: Recipe, mean: Any, std: Any
) -> Callable[[Tensor, Tensor], Any] | None:
    """A chunk by torchvision's transforms: images one by one where each is to be changed by itself."""
    v2 = there("torchvision.transforms.v2")
    if v2 is None:
        return None
    to_float, normalise = v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)
    bilinear = there("torchvision.transforms").InterpolationMode.BILINEAR
    one = [v2.RandomAffine(recipe.turn, interpolation=bilinear)] if recipe.turn else []
    one += [v2.ColorJitter(*recipe.jitter)] if any(recipe.jitter) else []
    each, erase = v2.Compose(one or [v2.Identity()]), v2.RandomErasing(recipe.erase)
    mix = v2.RandomChoice(
        [v2.MixUp(alpha=a, num_classes=1000) if not cut else v2.CutMix(alpha=a, num_classes=1000)
         for a, cut in ((recipe.mixup, False), (recipe.cutmix, True)) if a] or [v2.Identity()]
    )  # fmt: skip

    def work(images: Tensor, labels: Tensor) -> Any:
        images = to_float(images)
        if one:
            images = torch.stack([each(x) for x in images])
        images = normalise(images)
        if recipe.erase:
            images = torch.stack([erase(x) for x in images])
        return mix(images, labels)

    return work
