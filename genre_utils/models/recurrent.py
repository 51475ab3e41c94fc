"""Networks that read a spectrogram or a cepstral series in the order of time."""

import torch
from torch import Tensor, nn

from genre_utils.models.layers import Cepstrum, conv_block

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
"""Long short-term memory, and gated recurrent units."""


class MfccLstm(nn.Module):
    """Two LSTM layers on a series of cepstral coefficients; the last state decides.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input [shape=(n, 1, n_bands, frames)].
    n_mfcc : int
        Coefficients a frame that are made of them.
    n_hidden : int
        Size of the state.
    n_classes : int
        Number of genres.
    dropout : float
        Share of the state that is hidden in training.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_mfcc: int = 13,
        n_hidden: int = 64,
        n_classes: int = 10,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.cepstrum = Cepstrum(n_bands, n_mfcc)
        self.scale = nn.BatchNorm1d(n_mfcc)
        self.lstm = nn.LSTM(n_mfcc, n_hidden, num_layers=2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(n_hidden, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Return the last state [shape=(n, n_hidden)]."""
        series = self.scale(self.cepstrum(x).transpose(1, 2)).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            return self.lstm(series.float())[0][:, -1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)]."""
        return self.head(self.embed(x))


class ConvRecurrent(nn.Module):
    """Convolutions over chunks of a spectrogram, then a recurrent layer over their frames.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input [shape=(n, 1, n_bands, frames)].
    cell : {'lstm', 'gru'}
        Kind of recurrent layer.
    n_classes : int
        Number of genres.
    width : int
        Channels of the first convolution.
    n_hidden : int
        Size of the state.
    dropout : float
        Share of the state that is hidden in training.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        cell: str,
        n_classes: int = 10,
        width: int = 32,
        n_hidden: int = 128,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.body = nn.Sequential(
            conv_block(1, width, pool=2),
            conv_block(width, 2 * width, pool=2),
            conv_block(2 * width, 4 * width, pool=(2, 1)),
            conv_block(4 * width, 4 * width, pool=(2, 1)),
        )
        self.recurrent = CELLS[cell](4 * width * (n_bands // 16), n_hidden, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_hidden, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)]."""
        frames = self.body(x).flatten(1, 2).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            states = self.recurrent(frames.float())[0]
        return self.head(states[:, -1])
