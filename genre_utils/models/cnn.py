"""Convolutional networks on spectrograms, cepstra and waveforms.

Each takes standardised float32 and returns logits [shape=(n, n_classes)]; spectrograms
have the shape (n, 1, bands, frames).
"""

import torch
from torch import Tensor, nn

from genre_utils.models.layers import (
    CepstrumPicture,
    MeanAndMax,
    Residual,
    ResidualOverTime,
    RowScale,
    conv_block,
)


def small_resnet(
    *, n_bands: int, n_classes: int = 10, width: int = 24, dropout: float = 0.3
) -> nn.Sequential:
    """Return a residual network for few, long spectrograms.

    Each band is brought to a scale of its own; then one convolution, four residual blocks
    with pooling in between, and mean and maximum over time. It has a fraction of the
    parameters of ResNet18 and no early stride.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input.
    n_classes : int
        Number of genres.
    width : int
        Channels of the first block; later ones have up to eight times as many.
    dropout : float
        Share of the pooled features that is hidden in training.
    """
    widths = [width, width, 2 * width, 4 * width, 8 * width]
    blocks: list[nn.Module] = [RowScale(n_bands), conv_block(1, width, pool=2)]
    for position, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        blocks.append(Residual(n_in, n_out))
        if position < len(widths) - 2:
            blocks.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *blocks, MeanAndMax(), nn.Dropout(dropout), nn.Linear(16 * width, n_classes)
    )


def chunk_cnn(*, n_classes: int = 10, width: int = 32, dropout: float = 0.3) -> nn.Sequential:
    """Return four convolutions with pooling and one hidden layer, for chunks of a few seconds.

    Parameters
    ----------
    n_classes : int
        Number of genres.
    width : int
        Channels of the first convolution.
    dropout : float
        Share of the hidden layer that is hidden in training.
    """
    return nn.Sequential(
        conv_block(1, width, pool=2),
        conv_block(width, 2 * width, pool=2),
        conv_block(2 * width, 4 * width, pool=2),
        conv_block(4 * width, 4 * width, pool=(2, 1)),
        MeanAndMax(),
        nn.Linear(8 * width, 128),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(128, n_classes),
    )


def vgg(*, n_classes: int = 10, width: int = 32, dropout: float = 0.5) -> nn.Sequential:
    """Return a VGG-like network [1]_: pairs of convolutions, and a wide dense layer.

    The first convolution is followed by pooling at once, since the clip is long.

    Parameters
    ----------
    n_classes : int
        Number of genres.
    width : int
        Channels of the first pair; each later pair has twice as many, up to eight times.
    dropout : float
        Share of the dense layer that is hidden in training.

    References
    ----------
    .. [1] Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
       recognition", ICLR 2015.
    """
    layers: list[nn.Module] = [conv_block(1, width, pool=2)]
    n_in = width
    for n_out in (width, 2 * width, 4 * width, 8 * width):
        layers += [conv_block(n_in, n_out), conv_block(n_out, n_out, pool=2)]
        n_in = n_out
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d((5, 8)),
        nn.Flatten(),
        nn.Linear(40 * n_in, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(512, n_classes),
    )


def cnn9(
    *, n_bands: int, n_frames: int, n_mfcc: int = 13, n_classes: int = 10, dropout: float = 0.3
) -> nn.Sequential:
    """Return six convolutions and three dense layers on cepstral coefficients.

    The dense part reads every position of the last convolution, so the number of
    parameters grows with the length of a segment.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input, or coefficients where it has these already (`n_mfcc` = 0).
    n_frames : int
        Frames of a segment.
    n_mfcc : int
        Coefficients that are made of the bands; 0 where the input has them already.
    n_classes, dropout
        As in `small_resnet`.
    """
    rows = n_mfcc or n_bands
    before = CepstrumPicture(n_bands, n_mfcc) if n_mfcc else RowScale(n_bands)
    n_positions = (rows // 4) * (n_frames // 8)
    return nn.Sequential(
        before,
        conv_block(1, 32),
        conv_block(32, 32, pool=2),
        conv_block(32, 64),
        conv_block(64, 64, pool=2),
        conv_block(64, 128, pool=(1, 2)),
        conv_block(128, 128),
        nn.Flatten(),
        nn.Linear(128 * n_positions, 256),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(256, 64),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(64, n_classes),
    )


class EveryLevel(nn.Module):
    """Convolutions over time whose every level is heard [1]_.

    The kernels are as high as the spectrogram, so that they slide over time alone. Mean,
    maximum and deviation over time are taken of the bands themselves and after each block,
    and two dense layers read them all: a few seconds are described down to their mixing and
    mastering.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input.
    n_classes : int
        Number of genres.
    width : int
        Channels of the convolutions.
    n_blocks : int
        Residual blocks after the first convolution.
    n_hidden : int
        Size of the hidden layer.
    dropout : float
        Share of the pooled features, and of the hidden layer, that is hidden in training.

    References
    ----------
    .. [1] Lee & Nam, "Multi-level and multi-scale feature aggregation using pretrained
       convolutional neural networks for music auto-tagging", IEEE Signal Processing
       Letters 24(8), 2017.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int = 10,
        width: int = 256,
        n_blocks: int = 2,
        n_hidden: int = 512,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.bands = RowScale(n_bands)
        self.first = nn.Sequential(
            nn.Conv1d(n_bands, width, kernel_size=5, padding=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(ResidualOverTime(width) for _ in range(n_blocks))
        n_pooled = 3 * (n_bands + width * (1 + n_blocks))
        self.head = nn.Sequential(
            nn.BatchNorm1d(n_pooled),
            nn.Dropout(dropout),
            nn.Linear(n_pooled, n_hidden),
            nn.BatchNorm1d(n_hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(n_hidden, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)] of spectrograms."""
        bands = self.bands(x)[:, 0]
        levels = [bands, self.first(bands)]
        for block in self.blocks:
            levels.append(block(levels[-1]))
        pooled = [level.float() for level in levels]
        return self.head(
            torch.cat([p for x in pooled for p in (x.mean(2), x.amax(2), x.std(2))], dim=1)
        )


class WaveformCnn(nn.Module):
    """Strided convolutions straight on samples [1]_: no spectrogram, nothing hand-made.

    Parameters
    ----------
    n_classes : int
        Number of genres.
    width : int
        Channels of the first convolution.
    dropout : float
        Share of the pooled features that is hidden in training.

    References
    ----------
    .. [1] Lee, Park, Kim & Nam, "Sample-level deep convolutional neural networks for
       music auto-tagging using raw waveforms", SMC 2017.
    """

    def __init__(self, *, n_classes: int = 10, width: int = 32, dropout: float = 0.3):
        super().__init__()
        widths = [1, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(n_in, n_out, kernel_size=9, stride=4, padding=4, bias=False),
                    nn.BatchNorm1d(n_out),
                    nn.ReLU(inplace=True),
                )
                for n_in, n_out in zip(widths, widths[1:], strict=False)
            )
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of signals [shape=(n, n_samples)]."""
        return self.head(self.body(x[:, None]).mean(dim=-1))
