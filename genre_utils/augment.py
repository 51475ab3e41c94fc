"""Changes to training batches of spectrograms, so that a network sees none of them twice."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genre_utils.training import Batch


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training batch; everything is off by default.

    Attributes
    ----------
    crop_frames : int
        Length in frames of a piece cut out at a random place; 0 keeps all frames.
    stretch : float
        Pieces are taken up to so much shorter or longer, as a share, and brought to one
        length: tempo changes without pitch.
    shift : int
        Most bands that a spectrogram is moved up or down: pitch, roughly.
    gain : float
        Standard deviation of a change of level, in standard deviations of the batch.
    equaliser : float
        Standard deviation of a smooth curve over frequency that is added, in standard
        deviations of the batch: another room, another master.
    masks : int
        Number of bands and of stretches of time that are hidden, each up to a sixth [1]_.
    mixup : float
        Parameter of the beta distribution that items and their targets are mixed by [2]_;
        0 mixes nothing.

    References
    ----------
    .. [1] Park et al., "SpecAugment", Interspeech 2019.
    .. [2] Zhang, Cisse, Dauphin & Lopez-Paz, "mixup: Beyond empirical risk minimization",
       ICLR 2018.
    """

    crop_frames: int = 0
    stretch: float = 0.0
    shift: int = 0
    gain: float = 0.0
    equaliser: float = 0.0
    masks: int = 0
    mixup: float = 0.0

    def __call__(
        self, batch: Batch, targets: Tensor, chance: torch.Generator
    ) -> tuple[Batch, Tensor]:
        """Return the batch and its targets, changed.

        Parameters
        ----------
        batch : Tensor [shape=(n, 1, n_bands, n_frames)], or a tuple that begins with one
            Spectrograms of any number type.
        targets : Tensor [shape=(n, n_classes), dtype=float32]
            Probabilities.
        chance : torch.Generator
            Decides all that is random.
        """
        first, *others = batch if isinstance(batch, tuple) else (batch,)
        x = first.float()
        if self.crop_frames and self.crop_frames < x.shape[-1]:
            x = self._cropped(x, chance)
        if self.shift:
            moves = torch.randint(-self.shift, self.shift + 1, (len(x),), generator=chance)
            x = torch.stack(
                [torch.roll(item, int(by), 1) for item, by in zip(x, moves, strict=True)]
            )
        if self.gain or self.equaliser:
            x = x + x.std() * self._colour(x, chance)
        for _ in range(self.masks):
            for dim in (2, 3):
                x = _masked(x, dim, chance)
        changed = [x, *(other.float() for other in others)]
        if self.mixup:
            seed = int(torch.randint(2**31, (1,), generator=chance))
            share = float(np.random.default_rng(seed).beta(self.mixup, self.mixup))
            partner = torch.randperm(len(x), generator=chance).to(x.device)
            changed = [share * part + (1 - share) * part[partner] for part in changed]
            targets = share * targets + (1 - share) * targets[partner]
        if x.ndim == 4:
            changed[0] = changed[0].contiguous(memory_format=torch.channels_last)
        return (tuple(changed) if others else changed[0]), targets

    def _cropped(self, x: Tensor, chance: torch.Generator) -> Tensor:
        n_frames, pieces = x.shape[-1], []
        for item in x:
            by = 1 + self.stretch * (2 * float(torch.rand(1, generator=chance)) - 1)
            length = min(n_frames, round(self.crop_frames * by))
            start = int(torch.randint(n_frames - length + 1, (1,), generator=chance))
            piece = item[..., start : start + length]
            if length != self.crop_frames:
                piece = functional.interpolate(piece, size=self.crop_frames, mode="linear")
            pieces.append(piece)
        return torch.stack(pieces)

    def _colour(self, x: Tensor, chance: torch.Generator) -> Tensor:
        """Return a level and a smooth curve over the bands for each item."""
        level = self.gain * torch.randn(len(x), 1, 1, 1, generator=chance)
        points = self.equaliser * torch.randn(len(x), 1, 6, generator=chance)
        curve = functional.interpolate(
            points, size=x.shape[2], mode="linear", align_corners=True
        ).unsqueeze(-1)
        return (level + curve).to(x.device)


def _masked(x: Tensor, dim: int, chance: torch.Generator) -> Tensor:
    """Hide up to a sixth of a dimension behind the batch's mean, at a place for each item."""
    size = x.shape[dim]
    length = torch.randint(size // 6 + 1, (len(x),), generator=chance)
    start = (torch.rand(len(x), generator=chance) * (size - length)).long()
    place = torch.arange(size)
    hidden = (place >= start[:, None]) & (place < (start + length)[:, None])
    shape = [len(x), 1, 1, 1]
    shape[dim] = size
    return torch.where(hidden.view(shape).to(x.device), x.mean(), x)
