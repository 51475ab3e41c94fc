"""Building blocks that several networks share."""

import math

import matplotlib
import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_block(n_in: int, n_out: int, *, pool: int | tuple[int, int] = 1) -> nn.Sequential:
    """Return a 3 × 3 convolution, batch normalisation, ReLU and, where asked, max pooling."""
    layers = [
        nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    ]
    if pool != 1:
        layers.append(nn.MaxPool2d(pool))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """Two convolutions beside a short cut [1]_.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Deep residual learning for image recognition",
       CVPR 2016.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.first = conv_block(n_in, n_out)
        self.second = nn.Sequential(
            nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(n_out)
        )
        self.short_cut = nn.Identity()
        if n_in != n_out:
            self.short_cut = nn.Sequential(
                nn.Conv2d(n_in, n_out, kernel_size=1, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size [shape=(n, n_out, height, width)]."""
        return functional.relu(self.second(self.first(x)) + self.short_cut(x))


class ResidualOverTime(nn.Module):
    """The same along one dimension, with as many channels out as in.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size [shape=(n, width, frames)]."""
        return functional.relu(x + self.body(x))


class MeanAndMax(nn.Module):
    """Average over frequency, then mean and maximum over time: any length becomes one vector."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn [shape=(n, channels, bands, frames)] into [shape=(n, 2 * channels)]."""
        x = x.mean(dim=2)
        return torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=1)


class Cepstrum(nn.Module):
    """The first cepstral coefficients of each frame: an orthonormal DCT over mel bands.

    Parameters
    ----------
    n_bands : int
        Mel bands that come in.
    n_mfcc : int
        Coefficients that go out.
    """

    def __init__(self, n_bands: int, n_mfcc: int):
        super().__init__()
        self.register_buffer("basis", cosine_basis(n_bands, n_mfcc))

    def forward(self, x: Tensor) -> Tensor:
        """Turn [shape=(n, 1, n_bands, frames)] into a series [shape=(n, frames, n_mfcc)]."""
        # A transform over fixed numbers gains nothing from half precision and would lose some.
        with torch.autocast(x.device.type, enabled=False):
            return torch.einsum("kb,nbt->ntk", self.basis, x[:, 0].float())


class RowScale(nn.Module):
    """Bring each row of a one-channel picture to a scale of its own (batch normalisation).

    Parameters
    ----------
    n_rows : int
        Height of the picture [shape=(n, 1, n_rows, frames)].
    """

    def __init__(self, n_rows: int):
        super().__init__()
        self.scale = nn.BatchNorm1d(n_rows)

    def forward(self, x: Tensor) -> Tensor:
        """Return a picture of the same size."""
        return self.scale(x[:, 0])[:, None]


class CepstrumPicture(nn.Module):
    """Cepstral coefficients as a picture, one row a coefficient, each at a scale of its own.

    Parameters
    ----------
    n_bands, n_mfcc
        As in `Cepstrum`.
    size : tuple of int, optional
        Height and width that the picture is brought to by its nearest cells.
    """

    def __init__(self, n_bands: int, n_mfcc: int, size: tuple[int, int] | None = None):
        super().__init__()
        self.cepstrum = Cepstrum(n_bands, n_mfcc)
        self.rows = RowScale(n_mfcc)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Turn [shape=(n, 1, n_bands, frames)] into [shape=(n, 1, n_mfcc, frames)] or a size."""
        picture = self.rows(self.cepstrum(x).transpose(1, 2)[:, None])
        return functional.interpolate(picture, self.size) if self.size else picture


class Coloured(nn.Module):
    """A grey picture in matplotlib's colours, at another size, as it is usually saved.

    Parameters
    ----------
    height, width : int
        Size in pixels that goes out.
    """

    def __init__(self, height: int, width: int):
        super().__init__()
        colours = matplotlib.colormaps["viridis"](range(256))[:, :3]
        self.register_buffer("colours", torch.tensor(colours, dtype=torch.float32))
        self.size = (height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn levels in [0, 255] [shape=(n, 1, ...)] into [shape=(n, 3, height, width)]."""
        coloured = self.colours[x[:, 0].long()].permute(0, 3, 1, 2)
        coloured = functional.interpolate(coloured, self.size, mode="bilinear", antialias=True)
        return (2 * coloured - 1).contiguous(memory_format=torch.channels_last)


def cosine_basis(n_bands: int, n_mfcc: int) -> Tensor:
    """Return the orthonormal DCT-II that makes cepstral coefficients of mel bands.

    Returns
    -------
    basis : Tensor [shape=(n_mfcc, n_bands)]
    """
    band = torch.arange(n_bands) + 0.5
    basis = torch.cos(math.pi / n_bands * torch.arange(n_mfcc)[:, None] * band)
    basis *= math.sqrt(2 / n_bands)
    basis[0] /= math.sqrt(2)
    return basis
