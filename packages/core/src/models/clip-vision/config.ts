import type { ClipLayersConfig } from '../clip/layer.js';

/** CLIP's picture half with its projection. */
export interface ClipVisionConfig extends ClipLayersConfig {
  /** Height and width of the pictures in pixels. */
  readonly sizePx: number;
  readonly patchPx: number;
  readonly channels: number;
  readonly projectionWidth: number;
}
