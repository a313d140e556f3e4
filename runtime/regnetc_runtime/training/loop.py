"""A network with fresh weights to a trained one. Read it from top to bottom.

A step takes `recipe.batch` images in chunks, the unit of everything that is random or normalised. One
process computes them one after the other, several share them out: the numbers are the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..augment.chunks import ChunkAugment
from ..augment.images import prepare_for
from ..chance import seed_of
from ..data import loader
from ..data.bad import BadImages
from ..data.batches import Batch
from ..data.parts import Part
from ..data.subsets import order, side_in_memory
from ..evaluation.accuracy import Accuracy
from ..modes import enough_memory
from ..problems import Problem
from . import parallel, results
from .average import Average
from .drop_path import add_drop_path
from .events import Events
from .gradients import GradientTree, clip
from .job import Job, Watch
from .optimizer import optimizer
from .order import Order
from .parallel import Group
from .run_folder import RunFolder
from .schedule import learning_rate
from .signals import Signals, Stopped
from .state import Epoch, State
from .statistics import RunningStatistics

LOGGED = 50  # steps between two lines of the log
ASKED = 10  # steps between two questions whether any process was told to stop


class Training:
    """A job on its way. Every process has one; the first has the run's folder, and tells the watch.

    The network moves to the device. Raises `wrong-split` for chunks that do not share out evenly,
    `too-few-images`, and what preparing the data raises.
    """

    def __init__(
        self, net: nn.Module, job: Job, group: Group, run: RunFolder | None, watch: Watch
    ) -> None:
        recipe, options = job.recipe, job.options
        self.job, self.group, self.run, self.watch = job, group, run, watch
        self.share, self.learnt, self.kept, self.order = plan(job, group)
        self.end = recipe.epochs * self.order.steps
        net = options.precision.place_net(net, options.device).train()
        if recipe.drop_path:
            add_drop_path(net, recipe.drop_path)
        self.wrapped = parallel.wrap(net, options.parallel, options.device)
        self.forward = torch.compile(self.wrapped) if options.compiled else self.wrapped
        self.statistics = RunningStatistics(net)
        fp16 = options.precision.dtype == "fp16"
        ema = recipe.ema
        self.state = State(
            net=net,
            optimizer=optimizer(net, recipe.optimizer, recipe.lr),
            scaler=torch.amp.GradScaler(options.device.type, enabled=fp16),
            average=Average(net, ema.number("decay"), int(ema.number("every"))) if ema else None,
            sums=torch.zeros(3, dtype=torch.float64, device=options.device),
        )
        self.augment = ChunkAugment(recipe, job.data.mean, job.data.std)
        self.unsaid: list[tuple[str, str]] = []  # what other processes than the first found
        self.parts = results.Parts(
            self.learnt,
            self.kept,
            BadImages(limit=options.bad_share, tell=self._found_unreadable),
            BadImages(limit=options.bad_share, replace=False, tell=self._left_out),
        )
        self.saved_at = time.monotonic()
        self.events: Events | None = None

    def go(self) -> State:
        """Train from where the run stands to the end; the network then has the final weights.

        Raises `Stopped` after SIGINT, SIGTERM and SIGUSR1, and the problems `diverged`,
        `out-of-memory`, `cannot-write` and what the data raise. What was saved by then stays.
        """
        self._take_up()
        with Signals() as self.signals, self.job.options.kernels():
            while self.state.step < self.end:
                with closing(self._batches()) as batches:
                    self._phase(batches)
        return self.state

    def _take_up(self) -> None:
        """Go on from the newest state in the folder."""
        found = parallel.said_by_first(self.run.saved() if self.run is not None else None)
        if found is not None:
            self.state.restore(found)
            self._check_place()
            if not self.group.leads:
                self.state.sums.zero_()  # the first process has those of all
        self.parts.bad.found.update(dict.fromkeys(self.state.unreadable, "named before"))
        if self.run is not None:
            self.run.rewind_log(self.state.step)
            if self.job.options.tensorboard:
                self.events = Events(self.run.root, self.state.step)
            for note in self.run.notes:
                self.watch.note(note)

    def _check_place(self) -> None:
        """Raise `changed-run` for a state that no run of this recipe comes to."""
        state, split, chunk = self.state, self.state.split, self.job.recipe.chunk
        epochs = state.step // self.order.steps
        if state.step > self.end or len(state.history) != epochs or not split or chunk % split:
            raise Problem(
                "changed-run",
                f"the state after {state.step:,} steps with {len(state.history):,} epochs is none of this run",
                help="begin a new run in another folder with -o",
            )

    def _batches(self) -> Generator[Batch]:
        """The chunks of this process, from here on and as long as images have the same size."""
        epoch, self.phase_end = self._phase_bounds()
        job = self.job
        chunks = self.order.chunks(
            self.state.step, self.phase_end, self.group.rank, self.group.world
        )
        batches = loader.load(
            self.learnt,
            chunks,
            prepare_for(job.recipe, job.image, job.channels, epoch, side_in_memory(self.learnt)),
            seed=job.seed,
            workers=job.options.workers,
            bad=self.parts.bad,
            warn=self.watch.note,
        )
        return cast("Generator[Batch]", batches)

    def _phase_bounds(self) -> tuple[int, int]:
        """The epoch that is running, and the step with which its size of images ends."""
        recipe, image = self.job.recipe, self.job.image
        epoch = end = self.state.step // self.order.steps
        while end < recipe.epochs and recipe.crop_of(end, image) == recipe.crop_of(epoch, image):
            end += 1
        return epoch, end * self.order.steps

    def _phase(self, batches: Iterator[Batch]) -> None:
        """All steps for which there are batches."""
        begun, steps = time.monotonic(), 0
        while self.state.step < self.phase_end:
            self._learn([next(batches) for _ in range(self.share)])
            steps += 1
            step = self.state.step
            speed = steps * self.job.recipe.batch / (time.monotonic() - begun)
            if step % self.order.steps == 0:
                self._end_epoch(speed, time.monotonic() - begun)
                begun, steps = time.monotonic(), 0
            elif step % LOGGED == 0:
                self._log_step(speed)
            self._maybe_stop_or_save()

    def _learn(self, batches: list[Batch]) -> None:
        """One step; where memory runs out, again in smaller parts."""
        while (sums := self._try(batches)) is None:
            self._cut_finer()
        with enough_memory(self.job.recipe.chunk // self.state.split):
            self._move()
        self.state.sums += sums
        self.state.step += 1
        if self.state.average is not None:
            warm = self.state.step > self.job.recipe.schedule.number("warmup") * self.order.steps
            self.state.average.update(self.state.step, warm=warm)

    def _try(self, batches: list[Batch]) -> Tensor | None:
        """The gradients of a step; None where memory ran out, but smaller parts may fit."""
        try:
            with enough_memory(self.job.recipe.chunk // self.state.split):
                return self._gradients(batches)
        except Problem as problem:
            if problem.name != "out-of-memory" or not self._can_cut_finer():
                raise
            return None

    def _gradients(self, batches: list[Batch]) -> Tensor:
        """The gradient of the mean loss of a step, in the parameters; loss, hits and images summed."""
        job, split = self.job, self.state.split
        sums = torch.zeros_like(self.state.sums)
        self.state.optimizer.zero_grad(set_to_none=True)
        self.statistics.begin()
        tree = None  # two are the same in any order, and shards are added up where they lie
        if len(batches) * split > 2 and (self.group.world == 1 or job.options.parallel == "ddp"):
            tree = GradientTree(self.state.net.parameters())
        for k, batch in enumerate(batches):
            place = (job.seed, "chunk", self.state.step, self.group.rank * self.share + k)
            labels = batch.labels.to(job.options.device, non_blocking=True)
            images = batch.images.to(job.options.device, non_blocking=True)
            images, targets = self.augment(images, labels, place, job.classes)
            images = job.options.precision.place_batch(images, job.options.device)
            parts = zip(images.chunk(split), targets.chunk(split), labels.chunk(split), strict=True)
            for j, (x, wanted, true) in enumerate(parts):
                last = k == len(batches) - 1 and j == split - 1
                if job.recipe.drop_path:
                    torch.manual_seed(seed_of(*place, "drop_path", j))
                with parallel.synchronised(self.wrapped, last and tree is None):
                    with job.options.precision.autocast(job.options.device):
                        logits = self.forward(x)
                        loss = cross_entropy(logits, wanted)
                    part: Tensor = self.state.scaler.scale(loss) / (len(batches) * split)
                    torch.autograd.backward(part)
                if tree is not None:
                    tree.take()
                self.statistics.end_chunk(last)
                hits = (logits.detach().argmax(1) == true).sum()
                sums += torch.stack([loss.detach() * len(x), hits, hits.new_tensor(len(x))])
        self.statistics.end()
        if tree is not None:
            parallel.mean_(tree.give())
        return sums

    def _move(self) -> None:
        """Change the weights along the gradient."""
        state, recipe = self.state, self.job.recipe
        lr = learning_rate(state.step, self.order.steps, recipe)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        if recipe.clip:
            state.scaler.unscale_(state.optimizer)
            clip(state.net.parameters(), recipe.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()

    def _can_cut_finer(self) -> bool:
        """Whether parts can be halved: processes cannot, as only one of them may be short of memory."""
        split = self.state.split * 2
        chunk = self.job.recipe.chunk
        return self.group.world == 1 and chunk % split == 0 and chunk // split >= 2

    def _cut_finer(self) -> None:
        """After memory ran out: compute chunks in twice as many parts from here on."""
        chunk, split = self.job.recipe.chunk, self.state.split * 2
        self.statistics.undo()
        self.state.optimizer.zero_grad(set_to_none=True)
        self.state.split = split
        if self.job.options.device.type == "cuda":
            torch.cuda.empty_cache()
        text = (
            f"out of memory at step {self.state.step:,}: chunks of {chunk:,} images are computed in "
            f"{split} parts from here on, and batch norm sees {chunk // split:,} images at once"
        )
        self.watch.note(text)
        if self.run is not None:
            step = self.state.step + 1  # a state from before does not know of it
            self.run.log({"event": "out-of-memory", "step": step, "parts": split})

    def _end_epoch(self, speed: float, seconds: float) -> None:
        """Validate, tell, and save; `seconds` went into learning."""
        loss, hits, images = self._totals()
        state, recipe = self.state, self.job.recipe
        seen = results.validate(state, self.parts, self.job, self.group)
        self._name_others()
        found = seen.average or seen.raw
        epoch = Epoch(
            epoch=state.step // self.order.steps,
            epochs=recipe.epochs,
            loss=loss / images,
            top1=100 * hits / images,
            lr=learning_rate(state.step - 1, self.order.steps, recipe),
            validation_loss=found.loss if found else None,
            validation_top1=found.top1 if found else None,
            raw_top1=seen.raw.top1 if seen.raw and seen.average else None,
            images_per_s=speed,
            seconds=seconds,
            memory_mib=results.peak_mib(self.job.options.device),
        )
        best = _is_best(found, state.history)
        state.history.append(epoch)
        state.sums.zero_()
        if best:
            results.save_best(state, self.job, self.run)
        if (
            self.run is not None
        ):  # before the state: what a killed run has said too early is taken back
            self._tell({"event": "epoch", "step": state.step, **epoch.to_json()})
        self._save()
        self.watch.epoch(epoch)

    def _log_step(self, speed: float) -> None:
        loss, hits, images = self._totals()
        lr = learning_rate(self.state.step - 1, self.order.steps, self.job.recipe)
        text = f"loss {loss / images:.3f}, {speed:,.0f} images/s"
        self.watch.step(self.state.step, self.end, text)
        if self.run is not None:
            entry = {"loss": loss / images, "top1": 100 * hits / images, "lr": lr}
            speeds = {
                "images_per_s": speed,
                "memory_mib": results.peak_mib(self.job.options.device),
            }
            self._tell({"event": "step", "step": self.state.step, **entry, **speeds})

    def _tell(self, entry: dict[str, Any]) -> None:
        """A line for the log, and for TensorBoard."""
        if self.run is not None:
            self.run.log(entry)
        if self.events is not None:
            self.events.add(entry)

    def _totals(self) -> list[float]:
        """Loss, hits and images of the epoch so far, of all processes. Raises `diverged`.

        The weights are looked at, too: the step that spoils them still has a loss, and a state with
        them would be one that nothing goes on from.
        """
        sums = self.state.sums.clone()
        if not _finite(self.state.net):
            sums[0] = math.nan
        totals: list[float] = parallel.sum_(sums).tolist()
        if not math.isfinite(totals[0]):
            raise Problem(
                "diverged",
                f"loss or weights are no numbers any more, at step {self.state.step:,} of {self.end:,} "
                f"(epoch {(self.state.step - 1) // self.order.steps + 1})",
                help="begin a new run (-o) with a smaller rate (--set optimizer.lr=...), a longer warm-up, or "
                "--set clip=1; going on with this one would end the same way",
            )
        return totals

    def _maybe_stop_or_save(self) -> None:
        """Do what a signal asks for, and save the state now and then."""
        state = self.state
        if self.group.world > 1 and state.step % ASKED:
            return
        device = self.job.options.device
        due = time.monotonic() - self.saved_at > self.job.options.save_s
        asked = self.signals.of_any(device)
        if asked or parallel.any_of(due, device):
            if state.step % self.order.steps:  # the end of an epoch has been saved
                self._totals()
                self._save()
            if asked and state.step < self.end:
                raise Stopped(asked, state.step)

    def _save(self) -> None:
        """Save everything that the next step depends on."""
        total = parallel.sum_(self.state.sums)
        if not self.group.leads:
            total.zero_()
        found = self.state.save()
        if self.run is not None:
            self.run.save(self.state.step, found, self.job.options.keep)
        self.saved_at = time.monotonic()

    def _found_unreadable(self, name: str, why: str) -> None:
        self._name_unreadable(name, f"{why}; another image takes its place")

    def _left_out(self, name: str, why: str) -> None:
        self._name_unreadable(name, f"{why}; it is left out of the validation")

    def _name_others(self) -> None:
        """Name what other processes could not read."""
        if self.group.world == 1:
            return
        for found in parallel.said_by_all(self.unsaid):
            for name, text in found if self.group.leads else ():
                self._name_unreadable(name, text)
        self.unsaid = []

    def _name_unreadable(self, name: str, text: str) -> None:
        """Name an image once, whatever looked at it."""
        if not self.group.leads:
            self.unsaid.append((name, text))
            return
        if name in self.state.unreadable:
            return
        self.state.unreadable.append(name)
        self.watch.note(text)
        if self.run is not None:
            step = self.state.step + 1  # as above
            self.run.log({"event": "bad-image", "step": step, "name": name})


def plan(job: Job, group: Group) -> tuple[int, Part, Part, Order]:
    """How many chunks of a step each process computes, images to learn from and kept back, their order.

    Raises `wrong-split`, `too-few-images`, `no-training-images`.
    """
    share = _share(job, group)
    learnt, kept = job.parts()
    found = Order(len(learnt.labels), job.recipe, lambda e: order(learnt, e, job.seed))
    return share, learnt, kept, found


def _share(job: Job, group: Group) -> int:
    """How many chunks of a step each process computes."""
    recipe = job.recipe
    if recipe.chunks % group.world == 0:
        return recipe.chunks // group.world
    chunks = "1 chunk" if recipe.chunks == 1 else f"{recipe.chunks:,} chunks"
    help_ = "take another number of processes"
    if recipe.batch % group.world == 0 and recipe.batch // group.world >= 2:
        size = recipe.batch // group.world
        help_ = f"--set norm_batch={size} makes batch norm see {size} images at once, and {group.world} chunks"
    raise Problem(
        "wrong-split",
        f"a step of {recipe.batch:,} images is {chunks} of {recipe.chunk:,}, which "
        f"{group.world} processes cannot share",
        help=help_,
    )


@torch.no_grad()
def _finite(net: nn.Module) -> bool:
    """Whether all weights and statistics (of a sharded network, those here) are numbers."""
    tensors = [parallel.local(t) for t in net.state_dict().values() if t.is_floating_point()]
    return bool(torch.stack([t.isfinite().all() for t in tensors]).all())


def _is_best(found: Accuracy | None, history: list[Epoch]) -> bool:
    """Whether no epoch before did as well on the validation images."""
    if found is None:
        return False
    return all(e.validation_top1 is None or found.top1 > e.validation_top1 for e in history)
