import type { ForeignConfig } from '../foreign-config.js';
import { CLIP_ACTIVATIONS, type ClipLayersConfig } from './layer.js';

/** Reads the keys that both halves of CLIP have. @param defaults - transformers' own. */
export function readClipLayersConfig(
  json: ForeignConfig,
  defaults: { width: number; innerWidth: number; layers: number; heads: number },
): ClipLayersConfig {
  const width = json.count('hidden_size', defaults.width);
  const heads = json.count('num_attention_heads', defaults.heads);
  if (width % heads !== 0) throw json.wrong('num_attention_heads', `a divisor of the width ${width}`, heads);
  const activation = CLIP_ACTIVATIONS[json.text('hidden_act', 'quick_gelu')];
  if (activation === undefined)
    throw json.unsupported('hidden_act', Object.keys(CLIP_ACTIVATIONS).join(' or '), json.value('hidden_act'));
  return {
    width,
    heads,
    activation,
    layers: json.count('num_hidden_layers', defaults.layers),
    innerWidth: json.count('intermediate_size', defaults.innerWidth),
    epsilon: json.number('layer_norm_eps', 1e-5),
  };
}
