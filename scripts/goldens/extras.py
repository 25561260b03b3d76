"""Token ids, random numbers, and the two small networks beside the pipelines."""
from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from transformers import CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from tensors import liven, save, seeded, write_json

TEXTS = [
    "a photo of a cat", "Elmo's  holding\ta CAT-toy, 3:45pm!!", "naïve café — über “quoted” & <b>tags</b>", "日本語のテキスト 🐱🎨", "", " ",
    "x" * 100, "supercalifragilisticexpialidocious antidisestablishmentarianism", "don't can't I'll we've", "1234567890", "a" + " b" * 90,
    "<|endoftext|> a <|startoftext|>", "A rendering of <cat-toy> in the style of <my-style>", "emoji 👨‍👩‍👧‍👦 family", "tab\tnewline\nend",
    '$%^&*()_+{}|:"<>?', "ΑΒΓ δεζ", "Здравствуй мир", "ﬁ ligature ①②③", "É e\u0301",
]
SEEDS = (0, 1, 42, 2**31 + 5, 2**53 - 1)
SHAPES = ((1,), (15,), (16,), (17,), (40,), (1, 4, 8, 8), (2, 4, 9, 7))


def write_tokens(path: Path, tokenizer_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    cases = [{"text": text, "ids": tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids} for text in TEXTS]
    write_json(path, cases, indent=0)


def write_randoms(path: Path) -> None:
    tensors = {
        f"{seed}.{'x'.join(map(str, shape))}": seeded(*shape, seed=seed) for seed in SEEDS for shape in SHAPES
    }
    generator = torch.Generator().manual_seed(7)
    tensors["stream.7"] = torch.cat([torch.randn(count, generator=generator) for count in (16, 5, 64, 3, 20)])
    generator = torch.Generator().manual_seed(7)
    tensors["randint.7"] = torch.cat([torch.randint(0, 1000, (count,), generator=generator) for count in (1, 4, 8)]).int()
    save(tensors, path, {
        "stream.7": "sizes 16, 5, 64, 3, 20 drawn one after another",
        "randint.7": "randint(0, 1000) of sizes 1, 4, 8 one after another",
    })


@torch.no_grad()
def write_clip_vision(out: Path, seed: int) -> None:
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=8, projection_dim=24,
        hidden_act="quick_gelu",
    )
    model = liven(CLIPVisionModelWithProjection(config), seed * 100 + 81)
    model.save_pretrained(out / "tiny-clip-vision")
    pixels = seeded(2, 3, 32, 32, seed=seed + 82)
    output = model(pixels)
    save({"pixels": pixels, "image_embeds": output.image_embeds, "last_hidden_state": output.last_hidden_state}, out / "tiny-clip-vision-golden.safetensors")


@torch.no_grad()
def write_tiny_autoencoder(out: Path, seed: int) -> None:
    model = liven(AutoencoderTiny(
        encoder_block_out_channels=(16, 16, 16, 16), decoder_block_out_channels=(16, 16, 16, 16), num_encoder_blocks=(1, 2, 2, 2),
        num_decoder_blocks=(2, 2, 2, 1),
    ), seed * 100 + 83)
    model.save_pretrained(out / "tiny-taesd")
    image, latent = torch.tanh(seeded(1, 3, 64, 64, seed=seed + 84)), seeded(1, 4, 8, 8, seed=seed + 85)
    tensors = {"image": image, "latents": model.encode(image).latents, "latent": latent, "decoded": model.decode(latent).sample}
    save(tensors, out / "tiny-taesd-golden.safetensors")
