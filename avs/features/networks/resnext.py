"""ResNeXt (Xie et al., CVPR 2017): residual bottlenecks whose 3 x 3 convolutions work in groups of channels.

Names and shapes are those of the state dicts that Facebook published (facebookresearch/WSL-Images), without the
classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from avs.features.networks.batch_norm import FixedBatchNorm

EXPANSION = 4  # channels of a block's output, by its planes
FIRST = 64  # channels of the stem, and planes of the first stage; both double with each stage


def output_dim(blocks: Sequence[int]) -> int:
    """Channels of the last stage."""
    return FIRST * EXPANSION << len(blocks) - 1


class Bottleneck(nn.Module):
    """1 x 1, grouped 3 x 3 and 1 x 1 convolutions beside a shortcut.

    Args:
        inputs: channels that it takes.
        width: channels between its convolutions.
        outputs: channels that it gives.
        stride: of the 3 x 3 convolution, and of the shortcut.
    """

    def __init__(self, inputs: int, width: int, outputs: int, *, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), FixedBatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = FixedBatchNorm(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), FixedBatchNorm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, FixedBatchNorm(outputs))

    def forward(self, values: Tensor) -> Tensor:
        """(B, outputs, h, w) of (B, inputs, H, W)."""
        shortcut = values if self.downsample is None else self.downsample(values)
        values = self.relu(self.bn1(self.conv1(values)))
        values = self.relu(self.bn2(self.conv2(values)))
        values = self.bn3(self.conv3(values))
        values += shortcut
        joined: Tensor = self.relu(values)
        return joined


class ResNeXt(nn.Module):
    """The network up to its global average pool.

    Args:
        blocks: number of bottlenecks in each stage; the channels double from one stage to the next.
        groups: of the 3 x 3 convolutions.
        group_width: channels of a group in the first stage.
    """

    def __init__(self, *, blocks: Sequence[int], groups: int, group_width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, FIRST, 7, 2, padding=3, bias=False), FixedBatchNorm(FIRST)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)
        self.stages: list[str] = []
        channels = FIRST
        for number, count in enumerate(blocks):
            width, outputs = groups * group_width << number, FIRST * EXPANSION << number
            stage = []
            for block in range(count):
                stride = 2 if number and not block else 1
                stage.append(Bottleneck(channels, width, outputs, stride=stride, groups=groups))
                channels = outputs
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*stage))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, D) means of the last stage's channels, of (B, 3, H, W) normalised pixels."""
        values = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        for stage in self.stages:
            values = self.get_submodule(stage)(values)
        means: Tensor = values.mean(dim=(2, 3))
        return means
