"""What pretrained networks have in common here: raw inputs, an embedding, a head for genres.

Each is a library's own classifier (`Adapter.model`) behind the inputs that it asks for, so
that arrays of rows are all that training and prediction handle.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VisionTransformer

from genre_utils.models import resnet


class Adapter(nn.Module):
    """A library's classifier behind its own inputs, with a head for our genres.

    Parameters
    ----------
    model : nn.Module
        The classifier; its last linear layer is called `head_name`.
    """

    head_name: str

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @property
    def head(self) -> nn.Linear:
        """The last layer, from an embedding to one logit a genre."""
        return self.model.get_submodule(self.head_name)

    def features(self, x: Tensor) -> Tensor:
        """Return what the head sees of each item [shape=(n, d)]."""
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self(x)
        finally:
            hook.remove()
        return seen[0]

    @torch.no_grad()
    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Give the head the weights [shape=(n_genres, d)] and bias [shape=(n_genres,)]."""
        self.head.weight.copy_(weight)
        self.head.bias.copy_(bias)

    def begin(self) -> None:
        """Make the head new: all zero, so that nothing but training decides it."""
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


class Pictures(Adapter):
    """A network for photographs that is shown grey pictures.

    It takes bytes [shape=(n, height, width)] or [shape=(n, 1 or 3, height, width)] of any
    size, makes them squares in three colours, and scales them as ImageNet's photographs
    were.

    Parameters
    ----------
    model : nn.Module
        Takes float32 [shape=(n, 3, side, side)].
    side : int
        Height and width in pixels that it was trained with.
    architecture : dict
        The sizes that it was built with.
    """

    def __init__(self, model: nn.Module, *, side: int, architecture: dict):
        super().__init__(model)
        self.side, self.architecture = side, architecture
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [shape=(n, n_genres)]."""
        x = x[:, None] if x.ndim == 3 else x
        square = functional.interpolate(
            x.float() / 255, (self.side, self.side), mode="bilinear", antialias=True
        )
        return self.model((square.expand(-1, 3, -1, -1) - self.mean) / self.std)


class ResNet(Pictures):
    """ResNet18."""

    head_name = "fc"

    @classmethod
    def build(cls, architecture: dict, n_genres: int) -> "ResNet":
        """Return the network with random weights; there are no sizes to choose."""
        model = resnet.build(n_classes=n_genres, n_channels=3)
        return cls(model, side=224, architecture=architecture)


class ViT(Pictures):
    """A Vision Transformer."""

    head_name = "heads.head"

    @classmethod
    def build(cls, architecture: dict, n_genres: int) -> "ViT":
        """Return the network with random weights, of the sizes that torchvision asks for."""
        model = VisionTransformer(**architecture, num_classes=n_genres)
        return cls(model, side=model.image_size, architecture=architecture)


class Hubert(Adapter):
    """HuBERT [1]_, which takes standardised samples [shape=(n, n_samples)]; NaN is padding.

    The logits come from the average over layers and time. Padding changes nothing: it is
    hidden from attention, from the average, and from the normalisation over time in the
    first layer, which the library itself leaves open to it. The convolutions stay as they
    are in training.

    References
    ----------
    .. [1] Hsu, Bolte, Tsai, Lakhotia, Salakhutdinov & Mohamed, "HuBERT", IEEE/ACM TASLP
       29, 2021.
    """

    model_type = "hubert"
    head_name = "classifier"
    new_names = ("classifier.", "projector.", "layer_weights")

    def __init__(self, model: nn.Module):
        super().__init__(model)
        first = model.hubert.feature_extractor.conv_layers[0]
        self.norm = None
        if isinstance(first.layer_norm, nn.GroupNorm):
            self.norm = first.layer_norm = NormOverTime(first.layer_norm, first.conv)
        model.freeze_feature_encoder()

    @staticmethod
    def adapt(config) -> None:
        """Ask for the average over all layers, and no layer between it and the head."""
        config.use_weighted_layer_sum = True
        config.classifier_proj_size = config.hidden_size

    def begin(self) -> None:
        """Make everything new that follows the pretrained layers."""
        super().begin()
        nn.init.zeros_(self.model.layer_weights)
        nn.init.eye_(self.model.projector.weight)
        nn.init.zeros_(self.model.projector.bias)

    @staticmethod
    def prepare(extractor, windows: list[np.ndarray], n_samples: int) -> np.ndarray:
        """Standardise windows, each by itself, and pad them to `n_samples` with NaN."""
        prepared = extractor(
            windows,
            sampling_rate=extractor.sampling_rate,
            padding="max_length",
            max_length=n_samples,
            truncation=True,
            return_attention_mask=True,
            return_tensors="np",
        )
        x = prepared["input_values"].astype(np.float32)
        return np.where(prepared["attention_mask"].astype(bool), x, np.float32(np.nan))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [shape=(n, n_genres)]."""
        sound = ~torch.isnan(x)
        if self.norm is not None:
            self.norm.n_samples = sound.sum(dim=1)
        return self.model(torch.nan_to_num(x), attention_mask=sound.long()).logits


class NormOverTime(nn.GroupNorm):
    """Scale each channel by its mean and variance over the frames that are no padding.

    Parameters
    ----------
    norm : nn.GroupNorm
        The normalisation whose place it takes, with a group for each channel.
    conv : nn.Conv1d
        What makes the frames out of samples.
    """

    def __init__(self, norm: nn.GroupNorm, conv: nn.Conv1d):
        super().__init__(norm.num_groups, norm.num_channels, eps=norm.eps)
        self.load_state_dict(norm.state_dict())
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.n_samples: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Scale frames [shape=(n, n_channels, n_frames)] of `n_samples` samples each item."""
        x = x.float()
        n_frames = (self.n_samples - self.kernel) // self.stride + 1
        is_sound = torch.arange(x.shape[2], device=x.device) < n_frames[:, None]
        is_sound, n_frames = is_sound[:, None], n_frames[:, None, None]
        centred = x - (x * is_sound).sum(dim=2, keepdim=True) / n_frames
        variance = (centred.square() * is_sound).sum(dim=2, keepdim=True) / n_frames
        return (
            centred * torch.rsqrt(variance + self.eps) * self.weight[:, None] + self.bias[:, None]
        )


class Ast(Adapter):
    """The audio spectrogram transformer, which takes log-mel frames [shape=(n, 1024, 128)].

    A clip that is shorter than its window is padded with zeros, as in its own training.
    """

    model_type = "audio-spectrogram-transformer"
    head_name = "classifier.dense"
    new_names = ("classifier.dense.",)

    @staticmethod
    def adapt(config) -> None:
        """Leave everything but the number of classes as it is."""

    @staticmethod
    def prepare(extractor, windows: list[np.ndarray], _n_samples: int) -> np.ndarray:
        """Return the frames of windows; the extractor pads frames, not samples."""
        prepared = extractor(windows, sampling_rate=extractor.sampling_rate)
        return np.asarray(prepared["input_values"], dtype=np.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [shape=(n, n_genres)]."""
        return self.model(x.float()).logits
