"""Files of weights as other programs write them, for a small network."""

import torch

from leaplan.recognition.key_maps import MMACTION2, OFFICIAL
from leaplan.recognition.uniformerv2 import RELATIONS, ClassHead, UniFormerV2

WIDTH, DEPTH, HEADS, PATCH, SIDE, CLASSES = 32, 3, 4, 8, 32, 7


def small(kind="kinetics", resolution=SIDE, classes=CLASSES, **options):
    """A network of that kind and its head, with no weight at zero."""
    torch.manual_seed(0)
    blocks = options.pop("blocks", 2)
    depth = options.pop("depth", DEPTH)
    network = UniFormerV2(
        WIDTH, depth, HEADS, PATCH, resolution, range(depth - blocks, depth), RELATIONS[kind], kind == "ssv2", **options
    ).eval()
    head = ClassHead(WIDTH, classes).eval()
    for part in (network, head):
        for tensor in part.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return network, head


def other(kind="kinetics", resolution=SIDE, classes=CLASSES, **options):
    """The same network with other weights: what is loaded into."""
    network, head = small(kind, resolution, classes, **options)
    for parameter in [*network.parameters(), *head.parameters()]:
        parameter.data.normal_()
    return network, head


def frames(count=2, side=SIDE):
    return torch.rand(count, 3, 4, side, side, generator=torch.Generator().manual_seed(3)) - 0.5


def logits(network, head, clip):
    with torch.no_grad():
        return head(network(clip).pooled)


def named(network, head, key_map, prefix=""):
    """Their state dict: names of `key_map`, those of the backbone with a prefix."""
    state = {**network.state_dict(), **{f"head.{name}": tensor for name, tensor in head.state_dict().items()}}
    theirs = {key_map.theirs(name): tensor for name, tensor in state.items()}
    return {name if name.startswith("cls_head.") else prefix + name: tensor for name, tensor in theirs.items()}


def save_official(path, network, head, prefix="backbone.", wrapper="model_state"):
    state = named(network, head, OFFICIAL, prefix)
    torch.save({wrapper: state, "epoch": 55} if wrapper else state, path)
    return path


def save_mmaction2(path, network, head):
    torch.save({"meta": {"epoch": 5}, "state_dict": named(network, head, MMACTION2, "backbone.")}, path)
    return path


def timm_clip():
    """timm's CLIP image network, small, and its state dict."""
    from timm.models.vision_transformer import vit_base_patch16_clip_quickgelu_224

    torch.manual_seed(1)
    return vit_base_patch16_clip_quickgelu_224(
        pretrained=False, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, patch_size=PATCH, img_size=SIDE, num_classes=5
    ).eval()


def transformers_clip():
    """transformers' CLIP image network, small."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(2)
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
            image_size=SIDE, patch_size=PATCH, hidden_act="quick_gelu",
        )
    ).eval()  # fmt: skip


def openai_clip(network):
    """CLIP as OpenAI names it, in half precision, with the text network and what we leave out."""
    state = {}
    for name, tensor in network.state_dict().items():
        theirs = OFFICIAL.theirs(name)
        if theirs.startswith(("class_emb", "positional", "ln_pre", "conv1")) or "resblocks" in theirs:
            state[f"visual.{theirs}"] = (tensor[:, :, 0] if theirs == "conv1.weight" else tensor).half()
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "positional_embedding": torch.zeros(77, 8)}
    extra = {"visual.proj": torch.zeros(WIDTH, 16), "visual.ln_post.weight": torch.ones(WIDTH)}
    return {**state, **text, **extra, "logit_scale": torch.tensor(1.0), "text_projection": torch.zeros(8, 16)}
