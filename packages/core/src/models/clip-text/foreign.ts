import { readClipLayersConfig } from '../clip/foreign.js';
import { ForeignConfig } from '../foreign-config.js';
import type { ClipTextConfig } from './config.js';

const PLAIN = 'CLIPTextModel';
const PROJECTED = ['CLIPTextModelWithProjection', 'CLIPModel'];
const DEFAULTS = { width: 512, innerWidth: 2048, layers: 12, heads: 8 };

/**
 * Reads a transformers `config.json` of a CLIP text model.
 *
 * Its `bos_token_id`, `eos_token_id` and `pad_token_id` are not read: the published files say 0, 2 and 1, which none of their
 * tokenizers use.
 * @param where - For messages, such as `text_encoder/config.json`.
 * @throws MODEL_CONFIG, MODEL_UNSUPPORTED
 */
export function readClipTextConfig(json: unknown, where: string): ClipTextConfig {
  const outer = new ForeignConfig(where, json);
  const [architecture = PLAIN] = outer.value('architectures') === undefined ? [] : outer.texts('architectures');
  const projected = PROJECTED.includes(architecture);
  if (!projected && architecture !== PLAIN)
    throw outer.unsupported('architectures', [PLAIN, ...PROJECTED].join(' or '), architecture);
  const config = architecture === 'CLIPModel' ? outer.below('text_config') : outer;
  return {
    ...readClipLayersConfig(config, DEFAULTS),
    vocabSize: config.count('vocab_size', 49408),
    positions: config.count('max_position_embeddings', 77),
    projectionWidth: projected ? outer.count('projection_dim', 512) : undefined,
  };
}
