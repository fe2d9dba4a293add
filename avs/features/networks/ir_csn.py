"""ir-CSN (Tran et al., ICCV 2019): a residual network over clips that keeps channels and space-time apart.

A block is a 1 x 1 x 1 convolution, a depth-wise 3 x 3 x 3 one, and a 1 x 1 x 1 one. Nothing else mixes channels, and
nothing else looks around in space and time ("interaction-reduced"). ir-CSN-152 has 3 + 8 + 36 + 3 blocks.

Its tensors are named as in the files of VMZ for PyTorch (torchvision's VideoResNet), without the classifier.
The layers are those of VMZ's Caffe2 code (c2/lib/models/r3d_model.py), which the accuracies of the paper come from:

    the stem is followed by a max pool over 3 x 3 pixels (`use_pool1`)
    the depth-wise convolution and the shortcut have the stride, which halves time too, from the second stage on
    batch normalisation divides by sqrt(variance + 0.001), and not by torch's + 0.00001
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from avs.features.networks.batch_norm import FixedBatchNorm

BATCH_NORM_EPSILON = 1e-3
EXPANSION = 4  # a block ends with so many times its inner channels


def output_dim(blocks: Sequence[int], width: int) -> int:
    """Number of channels of the last stage of a network with so many blocks in each."""
    return width * EXPANSION << (len(blocks) - 1)


class IrCsn(nn.Module):
    """The network up to its global average pool.

    Args:
        blocks: number of blocks in each stage; the channels double from one stage to the next.
        width: channels of the stem, and inner channels of the first stage.
    """

    def __init__(self, *, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            _batch_norm(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.stages: list[str] = []
        channels = width
        for number, count in enumerate(blocks):
            inner, stage = width << number, []
            for block in range(count):
                stage.append(ChannelSeparatedBlock(channels, inner, stride=2 if number and not block else 1))
                channels = inner * EXPANSION
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*stage))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, D) means of the last stage's channels over time and space, of (B, 3, F, H, W) normalised clips."""
        values = self.stem(clips)
        for stage in self.stages:
            values = self.get_submodule(stage)(values)
        means: Tensor = values.mean(dim=(2, 3, 4))
        return means


class ChannelSeparatedBlock(nn.Module):
    """A convolution that mixes channels, a depth-wise one, and again one that mixes channels, beside a shortcut.

    Args:
        inputs: channels that it takes.
        inner: channels between its convolutions; it gives EXPANSION times as many.
        stride: of the depth-wise convolution and of the shortcut, in time and space.
    """

    def __init__(self, inputs: int, inner: int, *, stride: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        depth_wise = nn.Conv3d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.conv1 = nn.Sequential(_mixing(inputs, inner), _batch_norm(inner), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(depth_wise, _batch_norm(inner), nn.ReLU(inplace=True))
        self.conv3 = nn.Sequential(_mixing(inner, outputs), _batch_norm(outputs))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_mixing(inputs, outputs, stride), _batch_norm(outputs))

    def forward(self, values: Tensor) -> Tensor:
        """(B, 4 * inner, f, h, w) of (B, inputs, F, H, W)."""
        shortcut = values if self.downsample is None else self.downsample(values)
        found: Tensor = self.conv3(self.conv2(self.conv1(values)))
        found += shortcut
        return found.relu_()


def _mixing(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 1, stride, bias=False)


def _batch_norm(channels: int) -> FixedBatchNorm:
    return FixedBatchNorm(channels, epsilon=BATCH_NORM_EPSILON)
