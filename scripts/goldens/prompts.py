"""Prompts with a concept in them, through the real text encoders."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import CLIPTokenizer

from pipelines import Pipeline

PROMPTS = ["a photo of a * on the beach", "an oil painting of *", "Elmo holding a *, it's 3:45pm!!", ""]
PLACEHOLDER = "*"


@dataclass(frozen=True)
class Encoded:
    context: torch.Tensor  # [B, S, D]: what the UNet looks at, of all encoders side by side
    pooled: torch.Tensor | None  # [B, D]: of the second encoder, where there is one
    ids: list[torch.Tensor]  # [B, S] per encoder
    last: object  # what the last encoder returned


class TableWithRows(torch.nn.Module):
    """A vocabulary with the concept's rows behind it; gradients reach the rows."""

    def __init__(self, table: torch.Tensor, rows: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.cat([table, rows])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(ids, self.weight)


def concept_tokens(vectors: int) -> list[str]:
    return ["<concept>", *(f"<concept>_{i}" for i in range(1, vectors))]


def encode(pipeline: Pipeline, rows: list[torch.Tensor], prompts: list[str]) -> Encoded:
    """@param rows: `[V, D]` for each encoder; the placeholder in a prompt becomes their tokens, one behind the other."""
    parts, all_ids, pooled, out = [], [], None, None
    for i, (encoder, plain) in enumerate(zip(pipeline.encoders, pipeline.tokenizers, strict=True)):
        words = concept_tokens(rows[i].shape[0])
        tokenizer = CLIPTokenizer.from_pretrained(plain.name_or_path)
        tokenizer.add_tokens(words)
        texts = [prompt.replace(PLACEHOLDER, " ".join(words)) for prompt in prompts]
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
        holder = (encoder.text_model if hasattr(encoder, "text_model") else encoder).embeddings
        table = holder.token_embedding
        holder.token_embedding = TableWithRows(table.weight, rows[i])
        out = encoder(ids, output_hidden_states=True)
        holder.token_embedding = table
        all_ids.append(ids)
        if pipeline.family.two_encoders:  # Stable Diffusion XL takes the last layer but one, and the second one's projection
            parts.append(out.hidden_states[-2])
            pooled = out[0] if i == 1 else None
        else:
            parts.append(out[0])
    return Encoded(torch.cat(parts, -1), pooled, all_ids, out)


def added_conditions(pipeline: Pipeline, pooled: torch.Tensor | None) -> dict | None:
    """What Stable Diffusion XL's UNet is told beside the prompt."""
    return {"text_embeds": pooled, "time_ids": time_ids(len(pooled))} if pipeline.family.two_encoders else None


def time_ids(batch: int) -> torch.Tensor:
    """Original size, crop, target size. `[B, 6]`"""
    return torch.tensor([[64., 64., 0., 0., 64., 64.]]).repeat(batch, 1)
