"""A multilayer perceptron on features of a segment."""

from collections.abc import Sequence

from torch import nn


def mlp(
    *, n_features: int, widths: Sequence[int] = (512, 256, 128), n_classes: int = 10,
    dropout: float = 0.3,
) -> nn.Sequential:  # fmt: skip
    """Return dense layers with dropout, behind a scaling of each feature.

    Parameters
    ----------
    n_features : int
        Numbers that come in [shape=(n, n_features), dtype=float32]; each is brought to a
        scale of its own (batch normalisation).
    widths : sequence of int
        Units of the hidden layers.
    n_classes : int
        Number of genres.
    dropout : float
        Share of each hidden layer that is hidden in training.
    """
    layers: list[nn.Module] = [nn.BatchNorm1d(n_features)]
    for n_in, n_out in zip([n_features, *widths], widths, strict=False):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))
