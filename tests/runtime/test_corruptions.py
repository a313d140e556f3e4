"""Common corruptions: each is what its name says, by its own numbers, and the same every time."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.data import digits
from regnetc_runtime.data.batches import Batch
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation import corruptions, smoothing
from regnetc_runtime.evaluation.accuracy import evaluate
from regnetc_runtime.evaluation.corruptions import KINDS, SEVERITIES, STRENGTHS, corrupt
from regnetc_runtime.evaluation.robustness import ALEXNET, Robustness, evaluate_corrupted
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

CPU = torch.device("cpu")
BY_CHANCE = {"gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog", "elastic"}


def photo(side: int) -> Tensor:
    """A flower (3 x side x side, uint8)."""
    image = Image.fromarray(load_sample_image("flower.jpg")).crop((100, 0, 527, 427))
    return torch.from_numpy(np.array(image.resize((side, side)))).permute(2, 0, 1)


def grey(side: int, value: int, channels: int = 3) -> Tensor:
    return torch.full((channels, side, side), value, dtype=torch.uint8)


@pytest.mark.parametrize("side", [8, 31, 32, 64, 65, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_any_image_can_be_corrupted(kind: str, channels: int, side: int) -> None:
    image = photo(side)[:channels]
    for severity in SEVERITIES:
        found = corrupt(image, kind, severity, 0, 7)
        assert (found.shape, found.dtype) == (image.shape, torch.uint8)
        assert not torch.equal(found, image) or side < 32
        assert torch.equal(found, corrupt(image, kind, severity, 0, 7))
    other = corrupt(image, kind, 5, 0, 8)
    assert torch.equal(other, corrupt(image, kind, 5, 0, 7)) == (kind not in BY_CHANCE)


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"elastic", "motion_blur"}))
def test_more_is_worse(kind: str, side: int) -> None:
    """By the mean change over some draws; the authors' elastic does not grow, nor fog from 3 to 4."""
    image, draws = photo(side), 20 if kind == "fog" else 1
    severities = (1, 2, 3, 5) if kind == "fog" else SEVERITIES
    changes = [
        sum(float((corrupt(image, kind, s, i).float() - image).abs().mean()) for i in range(draws))
        for s in severities
    ]
    assert all(a < b for a, b in pairwise(changes)), changes


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "zoom_blur", "elastic", "contrast", "pixelate"])  # fmt: skip
def test_a_flat_image_stays_flat(kind: str) -> None:
    for side in (32, 224):
        image = grey(side, 90)
        for severity in SEVERITIES:
            assert (corrupt(image, kind, severity, 0).int() - image.int()).abs().max() <= 1


def test_noise_has_its_deviation() -> None:
    image, size = grey(224, 128), STRENGTHS["gaussian_noise"][1]
    for severity in (1, 2, 3):
        found = corrupt(image, "gaussian_noise", severity, 0).float() / 255
        assert float(found.std()) == pytest.approx(size[severity - 1], rel=0.02)
        assert float(found.mean()) == pytest.approx(128 / 255, abs=0.002)


def test_shots_are_those_of_poisson() -> None:
    found = corrupt(grey(224, 51), "shot_noise", 1, 0).float() / 255
    assert float(found.mean()) == pytest.approx(0.2, rel=0.01)
    assert float(found.var()) == pytest.approx(0.2 / 60, rel=0.03)


def test_salt_and_pepper_are_as_many_as_said() -> None:
    found = corrupt(grey(224, 99), "impulse_noise", 4, 0)
    assert float((found == 255).float().mean()) == pytest.approx(0.085, rel=0.05)
    assert float((found == 0).float().mean()) == pytest.approx(0.085, rel=0.05)
    assert set(found.unique().tolist()) == {0, 99, 255}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("fine", [1, 9])
def test_a_point_becomes_a_disc(fine: int) -> None:
    image = grey(224, 0)
    image[:, 112, 112] = 255
    x = image.float() / 255
    disc = corruptions._disc(6.0, 0.5, 1, fine)
    found = corruptions._defocus_blur(x, disc)
    assert float(found.sum()) == pytest.approx(3, rel=1e-5)
    ys, xs = (found[0] > float(found.max()) / 2).nonzero().unbind(1)
    reach = ((ys - 112) ** 2 + (xs - 112) ** 2).sqrt().max()
    assert 5.5 <= float(reach) <= 7
    assert len(ys) == pytest.approx(np.pi * 36, rel=0.1)


def test_a_point_leaves_a_trail() -> None:
    x = torch.zeros(1, 64, 64)
    x[0, 20, 40] = 1
    found = corruptions._motion_blur(x, 10, 3, 0.0)
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    # The pixel to the left of the point sees it one step to its right.
    assert found[0, 20, 20:41].flip(0).numpy() == pytest.approx(weights / weights.sum(), abs=1e-6)
    assert float(found[0, 21:].sum() + found[0, :20].sum()) == 0
    slanted = corruptions._motion_blur(x, 10, 3, np.pi / 4)
    assert float(slanted[0, 19, 39]) > 0
    assert float(slanted.sum()) == pytest.approx(1, rel=1e-5)


def test_filters_are_those_of_scipy_and_pillow() -> None:
    field = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0))
    for sigma in (0.8, 2.44, 30.0):
        found = smoothing.separable(field, smoothing.gaussian(40, sigma))[0]
        wanted = gaussian_filter(field[0].double().numpy(), sigma, mode="reflect", truncate=3)
        assert np.allclose(found.numpy(), wanted, atol=1e-6)
    image = photo(224)
    pil = Image.fromarray(image.permute(1, 2, 0).numpy())
    for severity, share in zip(SEVERITIES, STRENGTHS["pixelate"][1], strict=True):
        assert isinstance(share, float)
        few = int(224 * share)
        small = pil.resize((few, few), Image.Resampling.BOX)
        wanted = np.array(small.resize((224, 224), Image.Resampling.BOX))
        found = corrupt(image, "pixelate", severity).permute(1, 2, 0)
        assert np.abs(found.numpy().astype(int) - wanted).max() <= 1


def test_zooming_keeps_the_middle() -> None:
    ramp = torch.arange(33.0).expand(1, 33, 33) - 16
    found = smoothing.separable(ramp, smoothing.bilinear_zoom(33, 1.25))
    assert torch.allclose(found, ramp / 1.25, atol=1e-4)


def test_brightness_is_the_value_of_hsv() -> None:
    image = photo(32)
    hsv = rgb_to_hsv(image.permute(1, 2, 0).numpy() / 255)
    hsv[..., 2] = (hsv[..., 2] + 0.3).clip(max=1)
    wanted = hsv_to_rgb(hsv) * 255
    found = corrupt(image, "brightness", 5).permute(1, 2, 0).numpy()
    assert np.abs(found - wanted).max() <= 0.51


def test_jpeg_is_that_of_pillow() -> None:
    image = photo(224)
    out = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(out, "JPEG", quality=10)
    wanted = np.array(Image.open(out)).astype(int)
    found = corrupt(image, "jpeg", 4).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - wanted).mean() < 0.5


def test_fog_gets_finer_with_less_fading() -> None:
    rough = [
        corruptions._plasma(100, fading, numpy_generator("fog", str(fading)))
        for fading in (1.2, 3.0)
    ]
    for cloud in rough:
        assert (float(cloud.min()), float(cloud.max())) >= (0, 0.5)
        assert cloud.shape == (100, 100)
    steps = [float(cloud.diff(dim=1).abs().mean()) for cloud in rough]
    assert steps[0] > 2 * steps[1]


def test_nothing_elastic_is_nothing() -> None:
    x = photo(32).float() / 255
    found = corruptions._elastic(x, 0, 0, 0, numpy_generator(0))
    assert torch.allclose(found, x, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "kind", "severity"),
    [
        (grey(32, 0), "snow", 1),
        (grey(32, 0), "fog", 0),
        (grey(32, 0), "fog", 6),
        (grey(7, 0), "fog", 1),
        (grey(32, 0)[:, :30], "fog", 1),
    ],
)
def test_what_cannot_be_corrupted(image: Tensor, kind: str, severity: int) -> None:
    with pytest.raises(Problem) as e:
        corrupt(image, kind, severity)
    assert e.value.name == "bad-corruption"


class Brightness(nn.Module):
    """Says that what is bright on the whole is of class 1."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


def test_a_network_is_judged_under_every_corruption() -> None:
    images = digits.load(32)[1].images[:40]
    means = images.mean(dim=(1, 2, 3))
    plain = Preprocess(32, 32, (float(means.median()) / 255,), (1.0,), channels=1)
    labels = (means > means.median()).long()

    def judged(size: int, workers: int) -> Robustness:
        parts = [slice(i, i + size) for i in range(0, len(labels), size)]
        batches = [Batch(images[part], labels[part]) for part in parts]
        return evaluate_corrupted(
            Brightness(), batches, plain, CPU, Precision(), data="digits", workers=workers
        )

    found = judged(40, 1)
    again = judged(7, 3)
    assert (found.clean, found.top1, found.images) == (again.clean, again.top1, 40)
    one = evaluate(Brightness(), [Batch(images, labels)], plain, CPU, Precision(), data="digits")
    assert found.clean == one.top1 == 100
    assert set(found.top1) == set(KINDS)
    noisy = [
        corrupt(x.round().to(torch.uint8), "shot_noise", 5, 0, i) for i, x in enumerate(images)
    ]
    batch = Batch(torch.stack(noisy), labels)
    by_hand = evaluate(Brightness(), [batch], plain, CPU, Precision(), data="digits")
    assert found.top1["shot_noise"][4] == by_hand.top1
    assert found.top1["brightness"][4] == 50  # all are bright now
    assert found.errors["brightness"] == pytest.approx(100 - sum(found.top1["brightness"]) / 5)
    assert found.mean_error == pytest.approx(sum(found.errors.values()) / 12)
    relative = [found.errors[kind] / ALEXNET[kind] for kind in KINDS]
    assert found.relative_error == pytest.approx(100 * sum(relative) / 12)


def test_alexnet_is_as_bad_as_alexnet() -> None:
    rows = {kind: tuple([100 - ALEXNET[kind]] * 5) for kind in KINDS}
    assert Robustness("x", 1, 56.5, rows, 1.0).relative_error == pytest.approx(100)


def test_some_corruptions_only() -> None:
    image = torch.zeros(2, 1, 8, 8)
    grey_ = Preprocess(8, 8, (0.5,), (0.5,), channels=1)
    batch = Batch(image, torch.tensor([0, 1]))
    found = evaluate_corrupted(
        Brightness(), [batch], grey_, CPU, Precision(), data="x", kinds=["fog"], severities=[2]
    )
    assert list(found.top1) == ["fog"]
    assert len(found.top1["fog"]) == 1
    with pytest.raises(Problem, match="at least one"):
        evaluate_corrupted(Brightness(), [batch], grey_, CPU, Precision(), data="x", kinds=[])
