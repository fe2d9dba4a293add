"""How the weights move: the optimisers, and which parameters have a rate of their own or no weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from avs.models.retrieval import RetrievalModel
from avs.train.optimisers.bert_adam import BertAdam
from avs.train.optimisers.rmsprop import RMSprop
from avs.train.settings import Settings

NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.GroupNorm)


def make_optimiser(model: RetrievalModel, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser of the settings, for the parameters that are trained.

    Every group of parameters has a `factor` on the learning rate of a step.
    """
    groups = list(_groups(model, settings))
    rate, betas, eps = settings.learning_rate, settings.betas, settings.eps
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=betas, eps=eps)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps)
    if settings.optimiser == "bert-adam":
        return BertAdam(groups, lr=rate, betas=betas, eps=eps)
    return RMSprop(groups, lr=rate, eps=eps)


def _groups(model: RetrievalModel, settings: Settings) -> Iterator[dict[str, Any]]:
    """The trained parameters by their factor on the rate, and by whether they decay; in the order of the model."""
    factors = {id(p): group.factor for group in model.rate_groups() for p in group.parameters}
    spared = _spared_by_name(model) if settings.legacy else _spared_by_class(model)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = settings.weight_decay > 0 and id(parameter) not in spared
            groups.setdefault((factors.get(id(parameter), 1.0), decays), []).append(parameter)
    for (factor, decays), parameters in groups.items():
        decay = {"weight_decay": settings.weight_decay if decays else 0.0} if settings.decays_weights else {}
        yield {"params": parameters, "factor": factor, **decay}


def _spared_by_class(model: nn.Module) -> set[int]:
    """Biases, and the weights of normalisations."""
    spared = {id(p) for name, p in model.named_parameters() if name.rpartition(".")[2].endswith("bias")}
    return spared | {id(p) for module in model.modules() if isinstance(module, NORMS) for p in module.parameters()}


def _spared_by_name(model: nn.Module) -> set[int]:
    """What BERT's names say, as the authors' code does: CLIP's own normalisations have other names, and decay."""
    return {id(p) for name, p in model.named_parameters() if "bias" in name or "LayerNorm." in name}
