import { readClipLayersConfig } from '../clip/foreign.js';
import { ForeignConfig } from '../foreign-config.js';
import type { ClipVisionConfig } from './config.js';

const DEFAULTS = { width: 768, innerWidth: 3072, layers: 12, heads: 12 };

/** Reads a transformers `config.json` of a CLIP picture model with projection, or of a whole CLIP. @throws MODEL_CONFIG, MODEL_UNSUPPORTED */
export function readClipVisionConfig(json: unknown, where: string): ClipVisionConfig {
  const outer = new ForeignConfig(where, json);
  const [architecture = ''] = outer.texts('architectures');
  const known = ['CLIPVisionModelWithProjection', 'CLIPModel'];
  if (!known.includes(architecture)) throw outer.unsupported('architectures', known.join(' or '), architecture);
  const config = architecture === 'CLIPModel' ? outer.below('vision_config') : outer;
  return {
    ...readClipLayersConfig(config, DEFAULTS),
    sizePx: config.count('image_size', 224),
    patchPx: config.count('patch_size', 32),
    channels: config.count('num_channels', 3),
    projectionWidth: outer.count('projection_dim', 512),
  };
}
