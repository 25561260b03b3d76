"""Textual inversion in plain PyTorch on three concept sets: does the model let a new word stand for an individual?"""
from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from concepts import ConceptSet, concept_sets
from drawing import draw
from evaluate import image_features
from export import PACKAGE, load_export
from judges import background_word
from models import TRAIN_STEPS, ClipPair, alphas_cumprod, with_rows
from sampling import GUIDANCE, Painter, sheet
from supply import stacked, to_tensor
from training import choose_device
from vocabulary import encode
from world import BACKGROUNDS

# How the learning rate goes over a run, as packages/core names it.
SHAPES = {"constant": lambda _: 1.0, "linear": lambda done: 1 - done, "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done))}
CONCEPTS = ("dotti", "zebro", "lemmi")
EDITS = (
    "a photo of {} on a pink background", "a photo of {} on the beach", "a photo of {} wearing a red hat", "a photo of {} next to a house",
    "a photo of two {}", "an outline of {}",
)


def add_word(tokenizer, text_encoder, word: str, initializer: str) -> int:
    """A new row of the embedding, equal to the initializer's."""
    tokenizer.add_tokens(word)
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    rows = text_encoder.get_input_embeddings().weight
    number = tokenizer.convert_tokens_to_ids(word)
    with torch.no_grad():
        rows[number] = rows[tokenizer(initializer).input_ids[1]]
    return number


def invert(concept: ConceptSet, hints: dict, tokenizer, vae, unet, text_encoder, seed: int = 0, initializer: str = "monster") -> list[float]:
    """Optimizes the concept's one vector with everything else frozen; returns the losses."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    word, batch = f"<{concept.name}>", hints["batchSize"]
    number = add_word(tokenizer, text_encoder, word, initializer)
    embedding = text_encoder.get_input_embeddings()
    frozen = embedding.weight.detach().clone()
    vector = frozen[number].clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([vector], lr=hints["learningRate"], weight_decay=0.0)
    shape = SHAPES[hints.get("learningRateShape", "constant")]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: shape(step / hints["steps"]))
    with torch.no_grad():
        code = vae.encode(to_tensor(stacked(map(draw, concept.training))).to(unet.device)).latent_dist
    signal, losses = alphas_cumprod().to(unet.device), []
    for step in range(hints["steps"]):
        chosen = torch.from_numpy(rng.integers(len(concept.training), size=batch))
        latents = code.sample()[chosen] * vae.config.scaling_factor
        t = torch.randint(0, TRAIN_STEPS, (batch,), device=unet.device)
        noise = torch.randn_like(latents)
        a = signal[t].reshape(-1, 1, 1, 1)
        ids = encode(tokenizer, [concept.captions[i].format(word) for i in chosen]).to(unet.device)
        with with_rows(text_encoder, ids == number, vector):
            context = text_encoder(ids).last_hidden_state
        predicted = unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, encoder_hidden_states=context).sample
        velocity = a.sqrt() * noise - (1 - a).sqrt() * latents
        loss = (predicted - velocity).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        embedding.weight[number] = vector
    return losses


def closeness(pair: ClipPair, pictures: np.ndarray, held_out: np.ndarray) -> float:
    """Mean CLIP similarity of every picture with every held-out picture."""
    return float((image_features(pair, pictures) @ image_features(pair, held_out).T).mean())


def judge(concept: ConceptSet, painter: Painter, pair: ClipPair, guidance: float) -> tuple[dict, list]:
    word, seeds = f"<{concept.name}>", range(32)
    held_out = np.stack([draw(s) for s in concept.held_out])
    shown = painter.paint([f"a photo of {word}"] * 32, seeds, guidance)
    told = painter.paint([concept.best_caption] * 32, seeds, guidance)
    prompts = [(colour, f"a photo of {word} on {'an' if colour == 'orange' else 'a'} {colour} background") for colour in BACKGROUNDS for _ in range(8)]
    placed = painter.paint([p for _, p in prompts], range(len(prompts)), guidance)
    right = [background_word(p) == colour for p, (colour, _) in zip(placed, prompts)]
    numbers = {
        "concept": closeness(pair, shown, held_out), "caption": closeness(pair, told, held_out),
        "real": closeness(pair, np.stack([draw(s) for s in concept.training]), held_out), "background": float(np.mean(right)),
    }
    edits = painter.paint([e.format(word) for e in EDITS], range(100, 100 + len(EDITS)), guidance)
    rows = [[*[draw(s) for s in concept.training], *told[:4], *shown[:4], *edits]]
    return numbers, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=PACKAGE)
    parser.add_argument("--run", type=Path, required=True, help="where the results go")
    parser.add_argument("--hints", type=Path, default=PACKAGE / "textual_inversion.json", help="steps, batch size, learning rate and templates")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS)
    given = parser.parse_args()
    hints = json.loads(given.hints.read_text("utf-8"))
    tokenizer, vae, unet, text_encoder, pair = load_export(given.model)
    device = choose_device()
    for module in (vae, unet, text_encoder, pair):
        module.to(device).eval().requires_grad_(False)
    painter = Painter(given.model, tokenizer, vae, unet, text_encoder)
    results, rows = {}, []
    for concept in concept_sets():
        if concept.name not in given.concepts:
            continue
        began = time.monotonic()
        losses = invert(concept, hints, tokenizer, vae, unet, text_encoder)
        seconds = time.monotonic() - began
        results[concept.name], more = judge(concept, painter, pair, given.guidance)
        results[concept.name] |= {"seconds": seconds, "loss_first": float(np.mean(losses[:50])), "loss_last": float(np.mean(losses[-50:]))}
        rows += more
        print(concept.name, json.dumps(results[concept.name]), flush=True)
    Image.fromarray(sheet(rows, zoom=4)).save(given.run / "experiment.png")
    print("| concept | `a photo of <concept>` | best caption | real pictures | background right |\n|---|---|---|---|---|")
    for name, r in results.items():
        print(f"| {name} | {r['concept']:.3f} | {r['caption']:.3f} | {r['real']:.3f} | {r['background']:.0%} |")
    (given.run / "experiment.json").write_text(json.dumps({"hints": hints, "guidance": given.guidance, "results": results}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
