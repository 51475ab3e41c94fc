"""ResNet18 for pictures of music, from scratch or pretrained on photographs."""

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from genre_utils.models.weights import TorchvisionWeights, WeightsError

IMAGENET = TorchvisionWeights(ResNet18_Weights.IMAGENET1K_V1)
"""Where the weights that were trained on photographs come from."""


def build(
    *, n_classes: int = 10, n_channels: int = 1, pretrained: bool = False, dropout: float = 0.0
) -> nn.Module:
    """Return a ResNet18 [1]_ for pictures of any size from about 32 × 32 on.

    Parameters
    ----------
    n_classes : int
        Number of genres.
    n_channels : {1, 3}
        1 for grey pictures, 3 for coloured ones.
    pretrained : bool
        Start from weights trained on ImageNet instead of at random; torchvision fetches
        them once (47 MB) and keeps them. For grey pictures the first layer's kernels are
        added up over the colours, which equals showing it the same picture in all three.
    dropout : float
        Share of the pooled features that is hidden in training.

    Returns
    -------
    network : nn.Module
        Takes standardised float32 [shape=(n, n_channels, height, width)] and returns
        logits [shape=(n, n_classes)].

    Raises
    ------
    ValueError
        If `n_channels` is neither 1 nor 3.
    WeightsError
        If the pretrained weights are not there and cannot be fetched.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Deep residual learning for image recognition",
       CVPR 2016.
    """
    if n_channels not in (1, 3):
        raise ValueError(f"n_channels is {n_channels}; expected 1 (grey) or 3 (coloured)")
    network = resnet18(weights=None)
    if pretrained:
        network.load_state_dict(IMAGENET.fetch())
    if n_channels == 1:
        colours = network.conv1
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        if pretrained:
            with torch.no_grad():
                network.conv1.weight.copy_(colours.weight.sum(dim=1, keepdim=True))
        else:
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.fc = nn.Linear(network.fc.in_features, n_classes)
    if dropout:
        network.fc = nn.Sequential(nn.Dropout(dropout), network.fc)
    return network


def weights_available() -> bool:
    """Tell whether the ImageNet weights are on this computer or can be fetched now."""
    try:
        IMAGENET.fetch()
    except WeightsError:
        return False
    return True
