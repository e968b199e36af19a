"""Weights spread over processes, for models that do not fit into one GPU together with their optimiser (FSDP2)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from leaplan.errors import ConfigError
from leaplan.training.checkpoints import refuse_misfit


class FullySharded(ModelParallelStrategy):
    """Each of n processes keeps 1/n of weights, gradients and optimiser state, and gathers weights as it needs them.

    The module shards itself in `configure_model`; see `shard`. Checkpoints are the single files of any other strategy:
    states of the optimiser are numbered as it numbers them, group by group (Lightning goes by the module), and weights
    that no stage has trained so far have none (torch's `set_optimizer_state_dict` refuses that).
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Spread over all processes of all nodes."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    def setup(self, trainer: Any) -> None:
        """Move the module to its device and make the optimiser.

        Raises:
            ConfigError: The module has not sharded itself: its processes would each learn on their own.
        """
        if next(sharded_parts(self.lightning_module), None) is None:
            kind = type(self.lightning_module).__name__
            raise ConfigError(f"{kind} has nothing to shard", "Set --trainer.strategy ddp")
        super().setup(trainer)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return all weights on the first process, nothing on the others."""
        state = super().lightning_module_state_dict()
        for name in self._scalars() & state.keys():
            state[name] = state[name].reshape(())
        return state

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the state of all weights on the first process, nothing on the others."""
        saved = optimizer.state_dict()
        names, scalars = _ordered_names(self.model, optimizer), self._scalars()
        state = {
            number: {key: _whole(value, names[number] in scalars) for key, value in values.items()}
            for number, values in saved["state"].items()
        }  # all processes take part in each
        return {} if self.global_rank else {**saved, "state": state}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Return a checkpoint, whose weights and optimiser states are in place already.

        Raises:
            CheckpointError: It does not fit the module.
        """
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        path = self.broadcast(checkpoint_path)
        content: dict[str, Any] = torch.load(path, mmap=True, map_location="cpu", weights_only=True)
        state = content["state_dict"]
        for name in self._scalars() & state.keys():
            state[name] = state[name].reshape(1)
        refuse_misfit(self.lightning_module, state, str(path))
        set_model_state_dict(self.model, state, options=StateDictOptions(full_state_dict=True, strict=False))
        for optimizer, saved in zip(self.optimizers, content.get("optimizer_states", []), strict=False):
            self._load_optimizer(optimizer, saved)
        return content

    def _load_optimizer(self, optimizer: Any, saved: dict[str, Any]) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state = {
            number: {
                key: value if key == "step" else _share(value, parameters[number]) for key, value in values.items()
            }
            for number, values in saved["state"].items()
        }
        optimizer.load_state_dict({**saved, "state": state})

    def _scalars(self) -> set[str]:
        """Return the names of the parameters that are scalars where nothing is sharded."""
        owners = ((name, getattr(module, "sharded_scalars", ())) for name, module in self.model.named_modules())
        return {f"{name}.{scalar}" for name, scalars in owners for scalar in scalars}


def _ordered_names(model: nn.Module, optimizer: Any) -> list[str]:
    """Return the names of an optimiser's parameters in the order in which it numbers them."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def _whole(value: Tensor, scalar: bool) -> Tensor:
    """Return all of a sharded tensor, in main memory."""
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.reshape(()).cpu() if scalar else whole.cpu()


def _share(value: Tensor, parameter: Any) -> Tensor:
    """Return this process's share of a tensor that is shaped like a sharded parameter."""
    whole = value.reshape(parameter.shape).to(parameter.device)
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)


def shard(network: nn.Module, methods: Sequence[str], mesh: Any) -> None:
    """Spread the weights of `network` over the processes of a device mesh.

    The layers of a language model inside are gathered one at a time; all else is gathered together.

    Args:
        network: Equal on all processes.
        methods: Names of the methods, besides `forward`, through which training enters the network. None of them may
            call another: weights would be let go of with the inner one.
        mesh: One-dimensional.

    Raises:
        ConfigError: Weights that learn have different number formats.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    formats = {parameter.dtype for parameter in network.parameters() if parameter.requires_grad}
    if len(formats) > 1:
        names = " and ".join(sorted(str(each).removeprefix("torch.") for each in formats))
        raise ConfigError(f"weights of {names} cannot be sharded together", "Set --model.language.dtype float32")
    _lengthen_scalars(network)
    for layer in language_layers(network):
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for method in methods:
        register_fsdp_forward_method(network, method)


def _lengthen_scalars(network: nn.Module) -> None:
    """Make vectors of one number out of scalar parameters, which torch does not shard."""
    for module in network.modules():
        scalars = [name for name, parameter in module.named_parameters(recurse=False) if parameter.ndim == 0]
        for name in scalars:
            parameter = module.get_parameter(name)
            setattr(module, name, nn.Parameter(parameter.detach()[None], parameter.requires_grad))
        if scalars:
            module.sharded_scalars = tuple(scalars)  # type: ignore[assignment]


def language_layers(network: nn.Module) -> list[nn.Module]:
    """Return the layers of the language model inside `network`, in order."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]


def gather_weights(module: nn.Module) -> None:
    """Gather all weights of a sharded module on each process, and keep them there until `scatter_weights`.

    Evaluation needs it: processes have different numbers of windows and write plans of different lengths, so they
    cannot meet at each layer.
    """
    for part in sharded_parts(module):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def scatter_weights(module: nn.Module) -> None:
    """Let go of the weights that `gather_weights` has gathered."""
    for number, part in enumerate(sharded_parts(module)):
        part.set_reshard_after_forward(number > 0, recurse=False)  # backward needs the outermost at once
        part.reshard()


def sharded_parts(module: nn.Module) -> Iterator[Any]:
    """Yield the modules whose weights are gathered together, the outermost first."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.fsdp import FSDPModule

        yield from (part for part in module.modules() if isinstance(part, FSDPModule))
