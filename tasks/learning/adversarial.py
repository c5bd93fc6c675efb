"""The adversarial scheme of GAN-SGDMA: a denoiser against a critic that also classifies.

WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028) with the source paper's terms: the critic's loss is
E[D(fake)] - E[D(real)] + 10 E[(|grad D(x)| - 1)^2] plus the class loss on real and denoised examples, the denoiser's is
weight (-E[D(G(noisy))]) + the mean squared error. It knows nothing of pictures: vectors are learnt the same way.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moodreel.schemas.training import Adversarial, TrainingConfig
from moodreel.tasks.learning.examples import Batch
from moodreel.tasks.learning.machine import autocast
from moodreel.tasks.learning.objective import ClassLoss
from moodreel.tasks.learning.optimizers import build_optimizer, descend


@runtime_checkable
class AdversarialNetwork(Protocol):
    """What can be trained so: `critic` gives (scores (n,), logits (n, 7)) of examples, `denoiser` examples."""

    denoiser: nn.Module
    critic: nn.Module

    def examples(self, inputs: Tensor) -> Tensor:
        """Return what both see of a batch of inputs, of zero mean and a spread of about 1."""
        ...


class AdversarialObjective:
    """Learn to denoise and to classify at once, each part by its own optimizer of the recipe's kind."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        terms: Adversarial,
        class_loss: ClassLoss,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self._parts: AdversarialNetwork = self.network  # type: ignore[assignment]  # nn.Module hides its parts' types
        self._config, self._terms, self._class_loss, self._device = config, terms, class_loss, device
        self._critic_optimizer = build_optimizer(self._parts.critic.parameters(), config)
        self._denoiser_optimizer = build_optimizer(self._parts.denoiser.parameters(), config)
        self._sigmas = torch.tensor(terms.noise_sigmas, device=device)

    def begin_epoch(self, is_frozen: bool) -> None:
        """See `Objective`; the recipe's checks allow no frozen epochs here."""
        self.network.train()

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """See `Objective`; the first `share` of the batch are the real examples, of which noisy ones are made."""
        batch = batch.to(self._device)
        taught = self._class_loss.ask_teachers(batch.inputs)
        count = max(1, round(self._terms.share * len(batch.targets)))
        examples = self._parts.examples(batch.inputs)
        real, others = examples[:count], examples[count:]
        noisy = add_noise(real, self._sigmas)
        return self._teach_critic(real, others, noisy, batch.targets, taught, rate) | self._teach_denoiser(
            real, noisy, rate * self._terms.denoiser_rate_factor
        )

    def _teach_critic(
        self, real: Tensor, others: Tensor, noisy: Tensor, targets: Tensor, taught: Tensor | None, rate: float
    ) -> dict[str, float]:
        count = len(noisy)
        with autocast(self._config.precision, self._device):
            with torch.no_grad():
                denoised = self._parts.denoiser(noisy).float()
                if self._terms.denoise_all:
                    others = self._parts.denoiser(others).float()
            scores, logits = self._parts.critic(torch.cat([real, others, denoised]))
            distance = scores[-count:].float().mean() - scores[:count].float().mean()
            penalty = gradient_penalty(lambda mixed: self._parts.critic(mixed)[0], real, denoised)
        both = torch.cat([targets, targets[:count]])
        lesson = None if taught is None else torch.cat([taught, taught[:count]])
        class_loss = self._class_loss(logits, both, lesson)
        judgement = distance + self._terms.gradient_penalty * penalty
        loss = class_loss + self._terms.judgement_weight * judgement
        descend(self._critic_optimizer, loss, rate, self._config.gradient_norm)
        return {"class": class_loss.item(), "critic": distance.item(), "penalty": penalty.item()}

    def _teach_denoiser(self, clean: Tensor, noisy: Tensor, rate: float) -> dict[str, float]:
        with autocast(self._config.precision, self._device):
            denoised = self._parts.denoiser(noisy)
            judged = self._parts.critic(denoised)[0]
        error = F.mse_loss(denoised.float(), clean)
        loss = error - self._terms.critic_weight * judged.float().mean()
        descend(self._denoiser_optimizer, loss, rate, self._config.gradient_norm)
        return {"denoising": error.item()}

    def state(self) -> dict[str, Any]:
        """See `Objective`."""
        return {
            "network": self.network.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
            "denoiser_optimizer": self._denoiser_optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Objective`."""
        self.network.load_state_dict(state["network"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])
        self._denoiser_optimizer.load_state_dict(state["denoiser_optimizer"])


def add_noise(clean: Tensor, sigmas: Tensor) -> Tensor:
    """Add Gaussian noise of one of the levels, drawn for each example, to (n, ...) examples."""
    chosen = sigmas[torch.randint(len(sigmas), (len(clean),), device=clean.device)]
    return clean + chosen.view(-1, *[1] * (clean.ndim - 1)) * torch.randn_like(clean)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return E[(|grad D(x)| - 1)^2] at random points x between pairs of real and fake examples (n, ...)."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).float().sum(), mixed, create_graph=True)
    length: Tensor = slope.flatten(1).norm(dim=1)
    return (length - 1).square().mean()
