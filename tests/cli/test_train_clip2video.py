"""avs train-clip2video: on a store and on videos, to checkpoints and stores that are searched as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_captions import SHOTS as _SHOTS  # noqa: F401
