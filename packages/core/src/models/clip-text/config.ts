import type { ClipLayersConfig } from '../clip/layer.js';

/** CLIP's text half, as Stable Diffusion uses it. */
export interface ClipTextConfig extends ClipLayersConfig {
  readonly vocabSize: number;
  /** Length of every prompt in tokens. */
  readonly positions: number;
  /** Width of the projected end-of-text state; undefined where the model has no projection. */
  readonly projectionWidth: number | undefined;
}
