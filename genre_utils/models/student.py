"""Networks for a phone: few weights, few steps, and early strides that leave little to compute.

Each takes standardised float32 [shape=(n, 1, bands, frames)] of any number of frames from
32 on and returns logits [shape=(n, n_classes)].
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from genre_utils.models.layers import MeanAndMax, RowScale


def strided(
    *,
    n_bands: int,
    widths: Sequence[int],
    stem: tuple[int, int] = (4, 4),
    n_classes: int = 10,
    dropout: float = 0.1,
) -> nn.Sequential:
    """Return plain 3 × 3 convolutions, each of which halves its picture.

    After each of the last two a separable convolution with a short cut looks again.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input.
    widths : sequence of int
        Channels of the first convolution, 5 × 5, and of those after it.
    stem : tuple of int
        By how much the first convolution shortens bands and frames.
    n_classes : int
        Number of genres.
    dropout : float
        Share of the pooled features that is hidden in training.
    """
    body: list[nn.Module] = []
    for position, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        body.append(_convolution(n_in, n_out, kernel=3, stride=2))
        if position >= len(widths) - 3:
            body.append(Separable(n_out, n_out))
    return _network(body, n_bands, widths, stem, n_classes, dropout)


def separable(
    *,
    n_bands: int,
    widths: Sequence[int],
    depth: int = 2,
    stem: tuple[int, int] = (4, 4),
    n_classes: int = 10,
    dropout: float = 0.1,
) -> nn.Sequential:
    """Return depthwise separable convolutions [1]_, with short cuts where the size stays.

    Parameters
    ----------
    n_bands, widths
        As in `strided`.
    depth : int
        Separable convolutions a width; the first of them halves the picture.
    stem, n_classes, dropout
        As in `strided`.

    References
    ----------
    .. [1] Howard et al., "MobileNets: efficient convolutional neural networks for mobile
       vision applications", arXiv:1704.04861, 2017.
    """
    body = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        body += [Separable(n_in, n_out, stride=2)]
        body += [Separable(n_out, n_out) for _ in range(depth - 1)]
    return _network(body, n_bands, widths, stem, n_classes, dropout)


class Separable(nn.Module):
    """A convolution of each channel for itself, then one across the channels.

    Parameters
    ----------
    n_in, n_out : int
        Channels that come in and go out.
    stride : int
        By how much the picture is shortened; with 1 and as many channels as before there
        is a short cut.
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1):
        super().__init__()
        self.within = _convolution(n_in, n_in, kernel=3, stride=stride, groups=n_in)
        self.across = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=1, bias=False), nn.BatchNorm2d(n_out)
        )
        self.has_short_cut = n_in == n_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return features [shape=(n, n_out, height / stride, width / stride)]."""
        y = self.across(self.within(x))
        return functional.relu(y + x if self.has_short_cut else y)


def _network(body, n_bands, widths, stem, n_classes, dropout) -> nn.Sequential:
    return nn.Sequential(
        RowScale(n_bands),
        _convolution(1, widths[0], kernel=5, stride=stem),
        *body,
        MeanAndMax(),
        nn.Dropout(dropout),
        nn.Linear(2 * widths[-1], n_classes),
    )


def _convolution(n_in, n_out, *, kernel, stride, groups=1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )
