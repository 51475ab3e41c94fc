"""One network of two readers: convolutions, and what a spectrogram is like as a whole."""

import torch
from torch import Tensor, nn

from genre_utils import texture
from genre_utils.models import cnn

_LARGEST = 4.0


class TextureReader(nn.Module):
    """A small dense network on the numbers of `texture`, which any length turns into.

    Parameters
    ----------
    n_bands : int
        Mel bands of the spectrograms [shape=(n, 1, n_bands, frames)].
    n_classes : int
        Number of genres.
    n_hidden : int
        Size of its hidden layer.
    """

    def __init__(self, *, n_bands: int, n_classes: int = 10, n_hidden: int = 128):
        super().__init__()
        sizes = [part.shape[1] for part in self._described(torch.rand(1, 1, n_bands, 32))]
        # The running statistics are slow, so that prediction sees the scale of training.
        self.scale = nn.BatchNorm1d(sum(sizes), momentum=0.02, affine=False)
        # Each kind of number weighs the same, whether it has two hundred columns or thousands.
        shares = torch.cat([torch.full((size,), (100 / size) ** 0.5) for size in sizes])
        self.register_buffer("shares", shares)
        self.dense = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(sum(sizes), n_hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(n_hidden, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)]."""
        with torch.autocast(x.device.type, enabled=False):
            with torch.no_grad():
                numbers = self.scale(torch.cat(self._described(x), dim=1))
            return self.dense(numbers.clamp(-_LARGEST, _LARGEST) * self.shares)

    @staticmethod
    def _described(x: Tensor) -> list[Tensor]:
        x = x[:, 0]
        return [
            texture.levels(x), texture.modulation(x), texture.correlation(x), texture.covariance(x)
        ]  # fmt: skip


class TwoReaders(nn.Module):
    """The small ResNet beside a `TextureReader`; their logits are added up.

    In training one of the two is silent now and then, so that each learns to answer alone
    instead of leaving the work to the other [1]_.

    Parameters
    ----------
    n_bands : int
        Mel bands of the spectrograms [shape=(n, 1, n_bands, frames)], in levels of 0 to 255
        of any number type.
    n_classes : int
        Number of genres.
    silent : float
        How often each of the two is silent, as a share of the items of a batch.

    References
    ----------
    .. [1] Neverova, Wolf, Taylor & Nebout, "ModDrop: adaptive multi-modal gesture
       recognition", IEEE Trans. PAMI 38(8), 2016.
    """

    def __init__(self, *, n_bands: int, n_classes: int = 10, silent: float = 0.25):
        super().__init__()
        self.look = cnn.small_resnet(n_bands=n_bands, n_classes=n_classes)
        self.read = TextureReader(n_bands=n_bands, n_classes=n_classes)
        self.silent = silent

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)]."""
        x = x.float()
        looked, read = self.look(x).float(), self.read(x)
        if not self.training:
            return looked + read
        chance = torch.rand(len(x), 1, device=x.device)
        return looked * (chance >= self.silent) + read * (chance < 1 - self.silent)
