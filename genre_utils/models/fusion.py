"""Networks of several branches: a picture, a cepstral series and, if wanted, a table row."""

import torch
from torch import Tensor, nn

from genre_utils.models import resnet
from genre_utils.models.recurrent import MfccLstm


class Fusion(nn.Module):
    """ResNet18 on a mel picture beside an LSTM on cepstral coefficients, joined.

    Parameters
    ----------
    n_bands : int
        Mel bands of the spectrogram that the LSTM reads.
    picture : tuple of int
        Height and width that the spectrogram is shrunk to for ResNet18.
    n_classes : int
        Number of genres.
    n_features : int
        Length of the table row of a third branch; 0 for none.
    gated : bool
        Instead of joining the vectors, mix them by a learnt weight for each of their
        entries [1]_.
    pretrained : bool
        As in `resnet.build`.

    References
    ----------
    .. [1] Arevalo, Solorio, Montes-y-Gómez & González, "Gated multimodal units for
       information fusion", ICLR workshop 2017.
    """

    N_JOINED = 128

    def __init__(
        self,
        *,
        n_bands: int,
        picture: tuple[int, int],
        n_classes: int = 10,
        n_features: int = 0,
        gated: bool = False,
        pretrained: bool = False,
    ):
        super().__init__()
        self.shrink = nn.AdaptiveAvgPool2d(picture)
        self.look = resnet.build(n_classes=self.N_JOINED, pretrained=pretrained)
        self.listen = MfccLstm(n_bands=n_bands, n_hidden=self.N_JOINED)
        self.listen.head = nn.Identity()
        self.read = None
        if n_features:
            self.read = nn.Sequential(
                nn.BatchNorm1d(n_features), nn.Linear(n_features, self.N_JOINED), nn.ReLU()
            )
        n_branches = 3 if n_features else 2
        self.gate = nn.Linear(n_branches * self.N_JOINED, self.N_JOINED) if gated else None
        n_joined = self.N_JOINED if gated else n_branches * self.N_JOINED
        self.head = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(n_joined, 128), nn.ReLU(), nn.Linear(128, n_classes)
        )

    def forward(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return the logits [shape=(n, n_classes)].

        Parameters
        ----------
        x : Tensor or tuple of Tensor
            Spectrograms [shape=(n, 1, n_bands, frames)], and with a third branch table
            rows [shape=(n, n_features)].
        """
        spectrogram, row = x if self.read else (x, None)
        vectors = [self.look(self.shrink(spectrogram)), self.listen.embed(spectrogram)]
        if self.read:
            vectors.append(self.read(row))
        joined = torch.cat(vectors, dim=1)
        if self.gate:
            share = torch.sigmoid(self.gate(joined))
            joined = share * torch.tanh(vectors[0]) + (1 - share) * torch.tanh(vectors[1])
        return self.head(joined)
