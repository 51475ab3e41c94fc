"""Networks that weigh the moments of a track: attention pooling and a small transformer."""

import torch
from torch import Tensor, nn

from genre_utils.models.layers import conv_block


def _frames(width: int) -> nn.Sequential:
    """Return convolutions that turn a spectrogram into one vector an eighth of its frames."""
    return nn.Sequential(
        conv_block(1, width, pool=2),
        conv_block(width, 2 * width, pool=2),
        conv_block(2 * width, 4 * width, pool=2),
        conv_block(4 * width, 4 * width, pool=(2, 1)),
    )


class AttentionPool(nn.Module):
    """Convolutions, then a weighted mean over time whose weights are learnt [1]_.

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
    .. [1] Ilse, Tomczak & Welling, "Attention-based deep multiple instance learning",
       ICML 2018.
    """

    def __init__(self, *, n_classes: int = 10, width: int = 32, dropout: float = 0.3):
        super().__init__()
        self.body = _frames(width)
        self.score = nn.Sequential(nn.Linear(4 * width, 64), nn.Tanh(), nn.Linear(64, 1))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)] of [shape=(n, 1, bands, frames)]."""
        frames = self.body(x).mean(dim=2).transpose(1, 2)
        weights = torch.softmax(self.score(frames).float(), dim=1)
        return self.head((weights * frames).sum(dim=1))


class ConvTransformer(nn.Module):
    """Convolutions, then two transformer layers [1]_ over their frames, then the mean.

    Parameters
    ----------
    n_bands : int
        Mel bands of the input [shape=(n, 1, n_bands, frames)].
    n_classes : int
        Number of genres.
    width : int
        Channels of the first convolution.
    n_model : int
        Size of a frame's vector inside the transformer.
    max_frames : int
        Longest input in frames.
    dropout : float
        Share that is hidden in training.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int = 10,
        width: int = 32,
        n_model: int = 128,
        max_frames: int = 4096,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.body = _frames(width)
        self.embed = nn.Linear(4 * width * (n_bands // 16), n_model)
        self.place = nn.Parameter(0.02 * torch.randn(max_frames // 8, n_model))
        layer = nn.TransformerEncoderLayer(
            n_model, nhead=4, dim_feedforward=2 * n_model, dropout=dropout,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(n_model), nn.Linear(n_model, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)]."""
        frames = self.embed(self.body(x).flatten(1, 2).transpose(1, 2))
        frames = self.encoder(frames + self.place[: frames.shape[1]])
        return self.head(frames.mean(dim=1))
