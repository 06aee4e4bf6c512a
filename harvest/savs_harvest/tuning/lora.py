"""LoRA on the support of a draw (arXiv 2106.09685): its rate chosen inside the support, resumable, repeatable."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from savs_harvest.errors import ModelError
from savs_harvest.models.adapters import WEIGHTS
from savs_harvest.models.checkpoints import ADAPTER_CONFIG
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.quantized import import_bitsandbytes
from savs_harvest.models.tuned import TunedOn
from savs_harvest.tuning.examples import Example, batches, divided
from savs_stores.format.fingerprint import canonical, short_hash

RATES = (1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Lora:
    """How a model is tuned: rank and alpha of the adapters on every projection of the language model's attention.

    AdamW without weight decay over `epochs` of the support, `batch` examples a step, gradients clipped at length 1, the
    rate falling along half a cosine. Of several `rates`, the one is taken that has the least loss on the quarter of the
    support that is held out for it; then all of the support is learnt from.
    """

    rank: int = 8
    alpha: int = 16
    rates: tuple[float, ...] = RATES
    epochs: int = 4
    batch: int = 8
    seed: int = 0
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise ValueError(f"rates must be between 0 and 1, got {', '.join(map(str, self.rates)) or 'none'}")
        if self.epochs < 0:
            raise ValueError(f"epochs must not be below 0, got {self.epochs}")


@dataclass(frozen=True)
class Stage:
    """One training: with a rate, on some of the examples; what is held out only tells its loss."""

    number: int
    rate: float
    learnt: Sequence[int]
    held_out: Sequence[int] = ()


@dataclass(frozen=True)
class Tuned:
    """What came of it: the chosen rate, the loss of every rate on what was held out, and that of the last epoch."""

    folder: Path
    rate: float
    held_out: dict[float, float]
    loss: float


def tune(
    model: LoadedModel,
    examples: Sequence[Example],
    labels: np.ndarray,
    settings: Lora,
    tuned_on: TunedOn,
    out: Path,
    on_steps: Callable[[int, int], None] = lambda done, total: None,
) -> Tuned:
    """Tune adapters and write them to a folder that `--adapter` takes; the same command resumes after a kill.

    State is written after every epoch beside the folder, and removed at the end. Where nothing can be held out, the
    first rate is taken. Raises `ModelError` where the folder holds something else, and where peft is missing.
    """
    with _alone(out):
        _check_free(out)
        return _tuned(model, examples, labels, settings, tuned_on, out, on_steps)


def _tuned(
    model: LoadedModel,
    examples: Sequence[Example],
    labels: np.ndarray,
    settings: Lora,
    tuned_on: TunedOn,
    out: Path,
    on_steps: Callable[[int, int], None],
) -> Tuned:
    learnt, held = divided(labels, settings.seed)
    choosing = settings.rates if len(settings.rates) > 1 and len(held) else ()
    total = settings.epochs * (len(choosing) + 1)
    state = _State(out, _key(model, examples, settings, tuned_on))
    tuner = _Tuner(model, examples, settings, state, lambda done: on_steps(done, total))
    stages = [Stage(number, one, learnt.tolist(), held.tolist()) for number, one in enumerate(choosing)]
    held_out = {stage.rate: tuner.run(stage)[1] for stage in stages}
    rate = min(held_out, key=lambda one: (held_out[one], one), default=settings.rates[0])
    loss, _ = tuner.run(Stage(len(settings.rates), rate, range(len(examples))))
    tuner.save(out, tuned_on)
    return Tuned(out, rate, held_out, loss)


class _Tuner:
    """A model with adapters that learn: of one stage after the other, each from its own beginning."""

    def __init__(
        self,
        model: LoadedModel,
        examples: Sequence[Example],
        settings: Lora,
        state: _State,
        on_epochs: Callable[[int], None],
    ) -> None:
        self.examples, self.settings, self.state, self.on_epochs = examples, settings, state, on_epochs
        self.device = model.device
        self.config, self.model = _with_adapters(model, settings)
        self.weights = [one for one in self.model.parameters() if one.requires_grad]
        self.done = 0

    def run(self, stage: Stage) -> tuple[float, float]:
        """Return the mean loss of the last epoch, and that of what is held out; what was run before is taken up."""
        kept = self.state.read(stage.number)
        if kept and kept["epoch"] == self.settings.epochs:
            self._told(self.settings.epochs)
            if not stage.held_out:
                self._load(kept["weights"])
            return kept["loss"], kept["held_out"]
        self._begin(stage)
        optimizer = torch.optim.AdamW(self.weights, lr=stage.rate, weight_decay=0.0)
        loss, first = math.nan, 0
        if kept:
            self._load(kept["weights"])
            optimizer.load_state_dict(kept["optimizer"])
            loss, first = kept["loss"], kept["epoch"]
        self._told(first)
        for epoch in range(first, self.settings.epochs):
            loss = self._epoch(stage, epoch, optimizer)
            held = self._held_out(stage) if epoch + 1 == self.settings.epochs else math.nan
            self.state.write(stage.number, self._kept(epoch + 1, optimizer, loss, held))
            self._told(1)
        return loss, self._held_out(stage) if not self.settings.epochs else held

    def _begin(self, stage: Stage) -> None:
        """Give the adapters the weights that peft begins with: A at random from the seed, B zero."""
        generator = torch.Generator().manual_seed(1000 * self.settings.seed + stage.number)
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                if not weight.requires_grad:
                    continue
                begun = torch.zeros(weight.shape)
                if "lora_A" in name:
                    nn.init.kaiming_uniform_(begun, a=math.sqrt(5), generator=generator)
                weight.copy_(begun)

    def _epoch(self, stage: Stage, epoch: int, optimizer: torch.optim.Optimizer) -> float:
        size, total = self.settings.batch, 0.0
        steps = math.ceil(len(stage.learnt) / size)
        for step, places in enumerate(batches(len(stage.learnt), size, (self.settings.seed, stage.number, epoch))):
            along = (epoch * steps + step) / (steps * self.settings.epochs)
            for group in optimizer.param_groups:
                group["lr"] = stage.rate * (1 + math.cos(math.pi * along)) / 2
            optimizer.zero_grad()
            for place in places:
                loss = self.examples[stage.learnt[place]].loss(self.model, self.device)
                (loss / len(places)).backward()
                total += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
            optimizer.step()
        if not math.isfinite(total) or not all(bool(one.isfinite().all()) for one in self.weights):
            raise ModelError(f"the loss is not finite at the rate {stage.rate:g}: leave it out (--rate)")
        return total / len(stage.learnt)

    @torch.no_grad()
    def _held_out(self, stage: Stage) -> float:
        losses = [float(self.examples[place].loss(self.model, self.device)) for place in stage.held_out]
        return float(np.mean(losses)) if losses else math.nan

    def _kept(self, epoch: int, optimizer: torch.optim.Optimizer, loss: float, held_out: float) -> dict[str, Any]:
        weights = {name: one.detach().cpu() for name, one in self.model.named_parameters() if one.requires_grad}
        return {
            "epoch": epoch,
            "weights": weights,
            "optimizer": optimizer.state_dict(),
            "loss": loss,
            "held_out": held_out,
        }

    def _load(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, one in self.model.named_parameters():
                if one.requires_grad:
                    one.copy_(weights[name])

    def _told(self, epochs: int) -> None:
        self.done += epochs
        self.on_epochs(self.done)

    def save(self, out: Path, tuned_on: TunedOn) -> None:
        """Write the adapter as peft lays it out, with what it was tuned on in the file of its weights."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        _check_free(out)  # another process may have been at it meanwhile
        building = out.with_name(f".{out.name}.building")
        shutil.rmtree(building, ignore_errors=True)  # of a run that was killed here
        building.mkdir(parents=True)
        weights = {
            name: one.contiguous().cpu()
            for name, one in get_peft_model_state_dict(self.model, save_embedding_layers=False).items()
        }
        save_file(weights, building / WEIGHTS, metadata=tuned_on.metadata())
        self.config.target_modules = sorted(self.config.target_modules)  # a set, in another order in each process
        self.config.save_pretrained(building)
        if not (building / ADAPTER_CONFIG).exists():
            raise ModelError(f"{building} has no {ADAPTER_CONFIG} after it was written")
        building.rename(out)
        self.state.remove()


def _key(model: LoadedModel, examples: Sequence[Example], settings: Lora, tuned_on: TunedOn) -> str:
    """Return what tells one tuning from all others: another model, another prompt or another answer is another one."""
    read = [[example.inputs["input_ids"].tolist(), list(example.answer)] for example in examples]
    on = {"model": dict(model.identity), "read": read, "settings": asdict(settings), "on": tuned_on.identity()}
    return f"{short_hash(canonical(on)):016x}"


class _State:
    """What a killed run goes on from: a file a stage, in a folder beside the adapter's."""

    def __init__(self, out: Path, key: str) -> None:
        self.folder, self.key = out.with_name(f".{out.name}.tuning"), key

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.key}.{number}.pt"

    def read(self, number: int) -> dict[str, Any] | None:
        path = self._path(number)
        try:
            return torch.load(path, weights_only=True) if path.exists() else None
        except Exception as error:  # of a damaged file torch raises whatever there is
            raise ModelError(f"{path} cannot be read: remove it, and it is trained again") from error

    def write(self, number: int, kept: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(number)
        beside = path.with_suffix(".writing")
        torch.save(kept, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)

    def remove(self) -> None:
        for path in self.folder.glob("*"):
            path.unlink()
        if self.folder.exists():
            self.folder.rmdir()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes from the folder inside the block. Raises `ModelError` where one is at it."""
    from filelock import FileLock, Timeout

    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ModelError(f"{out} is being made by another process: wait until it is done, or name another") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: nobody else's is removed
        lock.release()


def _check_free(out: Path) -> None:
    if out.exists():
        raise ModelError(f"{out} is there already: name another folder (--out), or remove it")


def _with_adapters(model: LoadedModel, settings: Lora) -> tuple[Any, Any]:
    """Return the configuration, and the model with adapters on all projections of its attention, the rest frozen."""
    import_bitsandbytes()  # peft does, where it is installed
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise ModelError('tuning needs peft: pip install "savs[adapter]"') from error
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=sorted(projections_of(model)),
        inference_mode=False,
    )
    model.model.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of transformers that peft asks by, and of where the model lies
        with_adapters = get_peft_model(model.model, config)
    # peft writes where the checkpoint lies, which is nobody's business.
    config.base_model_name_or_path = str(model.identity["model"] or model.folder.name)
    if settings.checkpointing:
        _enable_checkpointing(model.model)
        _train_without_dropout(with_adapters)
    return config, with_adapters


def _enable_checkpointing(model: Any) -> None:
    """Let layers be computed again in the backward pass, by the name that this transformers has for it."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _train_without_dropout(model: nn.Module) -> None:
    """Let layers forget what they can compute again, which they do in training only; nothing is dropped."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()


def projections_of(model: LoadedModel) -> list[str]:
    """Return the names of all linear projections of the attention that heads are taken from."""
    names = {id(module): name for name, module in model.model.named_modules()}
    return sorted(
        {
            names[id(part)]
            for projection in model.projections
            for part in projection.attention.modules()
            if isinstance(part, nn.Linear)
        }
    )
