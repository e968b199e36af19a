"""What other programs call the weights of UniFormerV2 and of CLIP's image network, and what we call them.

Each map is a table of two columns. `{i}` stands for a number and is the same on both sides; what follows a name, such
as `.weight`, is kept. `@n` marks the n-th of several tensors that are one of ours when put below one another.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

_CLIP = """
class_embedding                                     class_token
positional_embedding                                positions
conv1                                               stem
ln_pre                                              stem_norm
transformer.resblocks.{i}.ln_1                      layers.{i}.norm
transformer.resblocks.{i}.attn.in_proj_weight       layers.{i}.attention.inputs.weight
transformer.resblocks.{i}.attn.in_proj_bias         layers.{i}.attention.inputs.bias
transformer.resblocks.{i}.attn.out_proj             layers.{i}.attention.output
transformer.resblocks.{i}.ln_2                      layers.{i}.mlp.norm
transformer.resblocks.{i}.mlp.c_fc                  layers.{i}.mlp.enter
transformer.resblocks.{i}.mlp.c_proj                layers.{i}.mlp.leave
"""
_VIDEO = """
transformer.resblocks.{i}.lmhra1.pos_embed.0        layers.{i}.relation_1.norm
transformer.resblocks.{i}.lmhra1.pos_embed.1        layers.{i}.relation_1.reduce
transformer.resblocks.{i}.lmhra1.pos_embed.2        layers.{i}.relation_1.mix
transformer.resblocks.{i}.lmhra1.pos_embed.3        layers.{i}.relation_1.expand
transformer.resblocks.{i}.lmhra2.pos_embed.0        layers.{i}.relation_2.norm
transformer.resblocks.{i}.lmhra2.pos_embed.1        layers.{i}.relation_2.reduce
transformer.resblocks.{i}.lmhra2.pos_embed.2        layers.{i}.relation_2.mix
transformer.resblocks.{i}.lmhra2.pos_embed.3        layers.{i}.relation_2.expand
transformer.temporal_cls_token                      query
transformer.balance                                 balance
transformer.dpe.{i}                                 global_blocks.{i}.position.convolution
transformer.dec.{i}.ln_1                            global_blocks.{i}.query_norm
transformer.dec.{i}.ln_3                            global_blocks.{i}.token_norm
transformer.dec.{i}.attn.in_proj_weight             global_blocks.{i}.attention.inputs.weight
transformer.dec.{i}.attn.in_proj_bias               global_blocks.{i}.attention.inputs.bias
transformer.dec.{i}.attn.out_proj                   global_blocks.{i}.attention.output
transformer.dec.{i}.ln_2                            global_blocks.{i}.mlp.norm
transformer.dec.{i}.mlp.c_fc                        global_blocks.{i}.mlp.enter
transformer.dec.{i}.mlp.c_proj                      global_blocks.{i}.mlp.leave
"""
_OFFICIAL_HEAD = """
transformer.proj.0                                  head.norm
transformer.proj.2                                  head.linear
"""
_MMACTION_HEAD = """
transformer.norm                                    head.norm
cls_head.fc_cls                                     head.linear
"""
_TIMM = """
cls_token                                           class_token
pos_embed                                           positions
patch_embed.proj                                    stem
norm_pre                                            stem_norm
blocks.{i}.norm1                                    layers.{i}.norm
blocks.{i}.attn.qkv                                 layers.{i}.attention.inputs
blocks.{i}.attn.proj                                layers.{i}.attention.output
blocks.{i}.norm2                                    layers.{i}.mlp.norm
blocks.{i}.mlp.fc1                                  layers.{i}.mlp.enter
blocks.{i}.mlp.fc2                                  layers.{i}.mlp.leave
"""
_TRANSFORMERS = """
embeddings.class_embedding                          class_token
embeddings.position_embedding.weight                positions
embeddings.patch_embedding                          stem
pre_layrnorm                                        stem_norm
encoder.layers.{i}.layer_norm1                      layers.{i}.norm
encoder.layers.{i}.self_attn.q_proj                 layers.{i}.attention.inputs@0
encoder.layers.{i}.self_attn.k_proj                 layers.{i}.attention.inputs@1
encoder.layers.{i}.self_attn.v_proj                 layers.{i}.attention.inputs@2
encoder.layers.{i}.self_attn.out_proj               layers.{i}.attention.output
encoder.layers.{i}.layer_norm2                      layers.{i}.mlp.norm
encoder.layers.{i}.mlp.fc1                          layers.{i}.mlp.enter
encoder.layers.{i}.mlp.fc2                          layers.{i}.mlp.leave
"""


@dataclass(frozen=True)
class KeyMap:
    """The names that one program gives to weights.

    Attributes:
        name: Of the format, in messages and provenance records.
        table: Their names and ours, a pair on each line.
        recognises: Whether a state dict, without its prefix, has this format. Of several formats, the first counts.
        prefix: What may stand before every name, and is taken off.
        only: Where any name begins so, names that do not are another network's, such as CLIP's text network.
        ignored: Names (regular expressions, from their beginning) that have no place in UniFormerV2.
        partial: Whether it holds only CLIP's part; the rest of a network then stays as it was initialised.
        note: What the user should know about the format.
    """

    name: str
    table: str
    recognises: Callable[[Collection[str]], bool]
    prefix: str = ""
    only: str = ""
    ignored: str = "$^"
    partial: bool = False
    note: str = field(default="", compare=False)

    def ours(self, theirs: str) -> str | None:
        """Return our name of a weight, None where there is none."""
        return _renamed(theirs, self._rules[0])

    def theirs(self, ours: str) -> str | None:
        """Return their name of one of our weights, without prefix, None where they have none."""
        return _renamed(ours, self._rules[1])

    def bare(self, names: Iterable[str]) -> dict[str, str]:
        """Return their names without the prefix, and what they are in the file; other networks' names left out."""
        names = list(names)
        if self.only and any(name.startswith(self.only) for name in names):
            names = [name for name in names if name.startswith(self.only)]
        return {name.removeprefix(self.prefix or self.only): name for name in names}

    def translate(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Return the weights under our names, and the names in the file that the map does not know."""
        parts: dict[str, dict[int, Tensor]] = {}
        unknown = []
        for bare, name in self.bare(state).items():
            ours = self.ours(bare)
            if ours is not None:
                target, _, rest = ours.partition("@")
                place, _, suffix = rest.partition(".")
                parts.setdefault(f"{target}.{suffix}" if suffix else target, {})[int(place or 0)] = state[name]
            elif not re.match(self.ignored, bare):
                unknown.append(name)
        return {name: _joined(each) for name, each in parts.items()}, unknown

    @cached_property
    def _rules(self) -> tuple[list[tuple[re.Pattern[str], str]], list[tuple[re.Pattern[str], str]]]:
        pairs = [line.split() for line in self.table.splitlines() if line]
        return [_rule(a, b) for a, b in pairs], [_rule(b, a) for a, b in pairs]


def _official(names: Collection[str]) -> bool:
    return any(name.startswith(("transformer.dec.", "transformer.temporal_cls_token")) for name in names)


MMACTION2 = KeyMap(
    "mmaction2",
    _CLIP + _VIDEO + _MMACTION_HEAD,
    lambda names: _official(names) and any(n.startswith(("transformer.norm.", "cls_head.")) for n in names),
    prefix="backbone.",
    ignored=r"data_preprocessor\.",
    note="mmaction2 orders the classes of Kinetics in its own way: a head that is kept follows that order",
)
OFFICIAL = KeyMap(
    "official",
    _CLIP + _VIDEO + _OFFICIAL_HEAD,
    _official,
    prefix="backbone.",
)
OPENAI_CLIP = KeyMap(
    "openai-clip",
    _CLIP,
    lambda names: "conv1.weight" in names and any(n.startswith("transformer.resblocks.") for n in names),
    only="visual.",
    ignored=r"(proj|ln_post\.)",
    partial=True,
)
TIMM_CLIP = KeyMap(
    "timm-clip",
    _TIMM,
    lambda names: "patch_embed.proj.weight" in names and "norm_pre.weight" in names,
    ignored=r"(norm|fc_norm|head)\.",
    partial=True,
    note="take weights of a quickgelu model, such as vit_base_patch16_clip_quickgelu_224.openai: "
    "the activation is not written in the file",
)
TRANSFORMERS_CLIP = KeyMap(
    "transformers-clip",
    _TRANSFORMERS,
    lambda names: "embeddings.patch_embedding.weight" in names and "pre_layrnorm.weight" in names,
    only="vision_model.",
    ignored=r"(post_layernorm\.|embeddings\.position_ids)",
    partial=True,
)
FORMATS = (MMACTION2, OFFICIAL, OPENAI_CLIP, TIMM_CLIP, TRANSFORMERS_CLIP)


def find_format(names: Iterable[str]) -> KeyMap | None:
    """Return the map of the format that has these names, None if none has."""
    names = list(names)
    return next((each for each in FORMATS if each.recognises(each.bare(names).keys())), None)


def _rule(source: str, target: str) -> tuple[re.Pattern[str], str]:
    pattern = re.escape(source).replace(re.escape("{i}"), r"(?P<i>\d+)")
    return re.compile(rf"{pattern}(?P<rest>(\..+)?)$"), target


def _renamed(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, target in rules:
        if match := pattern.match(name):
            found = match.groupdict()
            return target.replace("{i}", found.get("i") or "") + found["rest"]
    return None


def _joined(parts: dict[int, Tensor]) -> Tensor:
    return torch.cat([parts[place] for place in sorted(parts)]) if len(parts) > 1 else next(iter(parts.values()))
