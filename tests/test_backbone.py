"""What backbones are asked for, each at work in an emitted module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from regnetc.driver import check_file
from regnetc.emit import emit
from regnetc_runtime.load import build, load
from torch import nn

BODY = """use "families.regnet"

model Net extends RegNetY {
  d = 8
  w0 = 16
  wa = 12
  wm = 2
  g = 8
  b = 1
  image = 64
  classes = 5
"""
X = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def made(tmp_path: Path, *lines: str) -> nn.Module:
    path = tmp_path / "net.regnet"
    path.write_text(BODY + "".join(f"  {line}\n" for line in lines) + "}\n")
    (resolution,) = check_file(path).resolutions.values()
    return build(load(emit(resolution.network).encode(), "net.py"))


def test_frozen_stages_do_not_learn(tmp_path: Path) -> None:
    net = made(tmp_path, "frozen = 2").train()
    before = {k: t.clone() for k, t in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(X).square().mean().backward()
    optimizer.step()
    still = {k for k, t in net.state_dict().items() if torch.equal(t, before[k])}
    assert {k.partition(".")[0] for k in still} == {"stem", "s1", "s2"}
    assert {k for k in before if k.startswith(("stem.", "s1.", "s2."))} == still
    assert not net.eval().training
    assert net.train().s3.training  # type: ignore[union-attr]
    assert not net.s2.training  # type: ignore[union-attr]


def test_checkpointing_changes_no_gradient(tmp_path: Path) -> None:
    """The same gradients, from blocks that are computed once more."""
    found = []
    for lines in ((), ("checkpointing = 1",)):
        net = made(tmp_path, *lines).train()
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        for m in net.modules():
            if type(m).__name__ == "Block":
                m.register_forward_pre_hook(count)
        net(X).square().mean().backward()
        found.append((calls, [p.grad for p in net.parameters()], list(net.buffers())))
    (once, ours, statistics), (twice, theirs, others) = found
    assert (once, twice) == (8, 16)
    assert all(torch.equal(a, b) for a, b in zip(statistics, others, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        assert a is not None
        assert b is not None
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


def test_stochastic_depth(tmp_path: Path) -> None:
    """Blocks are skipped in proportion to their depth, in training alone, and the mean stays."""
    plain, net = made(tmp_path), made(tmp_path, "drop_path = 0.5")
    blocks = [m for m in net.modules() if type(m).__name__ == "Block"]
    rates = [m.drop_path for m in blocks]
    assert rates == pytest.approx([0.5 * k / 8 for k in range(1, 9)])
    assert torch.equal(net.eval()(X), plain.eval()(X))
    block = [m for m in blocks if isinstance(m.proj, nn.Identity)][-1]
    width: int = block.f.c.out_channels  # type: ignore[assignment, union-attr]
    rate = float(block.drop_path)  # type: ignore[arg-type]
    x = torch.randn(1, width, 4, 4).expand(4000, -1, -1, -1)
    with torch.no_grad():
        whole = block.f(x[:1])  # type: ignore[operator]
        block.training = True  # its norms stay as they are
        torch.manual_seed(0)
        out = block(x)
    skipped = (out == x.relu()).flatten(1).all(1)
    assert skipped.float().mean().item() == pytest.approx(rate, abs=0.03)
    kept = (x[:1] + whole / (1 - rate)).relu()
    assert torch.allclose(out[~skipped][0], kept[0], atol=1e-5)


@pytest.mark.parametrize(
    ("pool", "seen"),
    [
        ("avg", lambda f: f.mean((2, 3))),
        ("max", lambda f: f.amax((2, 3))),
        ("avgmax", lambda f: (f.mean((2, 3)) + f.amax((2, 3))) / 2),
        ("catavgmax", lambda f: torch.cat((f.mean((2, 3)), f.amax((2, 3))), 1)),
    ],
)
def test_poolings_without_a_classifier(pool: str, seen: object, tmp_path: Path) -> None:
    net, bare = (made(tmp_path, f"pool = {pool}").eval() for _ in range(2))
    bare.head.fc = nn.Identity()  # type: ignore[union-attr]
    with torch.no_grad():
        features = bare.features(X)  # type: ignore[operator]
        assert torch.allclose(bare(X), seen(features[-1]), atol=1e-6)  # type: ignore[operator]
        assert net(X).shape == (4, 5)


def test_features_that_are_asked_for(tmp_path: Path) -> None:
    net = made(tmp_path).eval()
    with torch.no_grad():
        every = net.features(X)  # type: ignore[operator]
        some = net.features(X, out=(2, 4))  # type: ignore[operator]
    assert [f.shape[2] for f in every] == [16, 8, 4, 2]
    assert len(some) == 2
    assert torch.equal(some[0], every[1])
    assert torch.equal(some[1], every[3])
