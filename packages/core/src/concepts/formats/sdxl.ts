import { asRows, type ConceptFormat } from './format.js';

/** CLIP L's name, then CLIP bigG's: as most tools write them, and as diffusers' pivotal tuning did at first. */
const NAMES = [
  ['clip_l', 'clip_g'],
  ['text_encoders_0', 'text_encoders_1'],
] as const;

/** Rows for both text encoders of SDXL. A file with rows for more (T5 of SD 3, or outputs) belongs to another kind of model. */
export const sdxl: ConceptFormat = {
  name: 'sdxl',
  tools: 'diffusers, A1111, ComfyUI, InvokeAI, kohya sd-scripts, OneTrainer',
  read(file) {
    const tensors = [...file.values()].filter((value) => asRows(value)).length;
    for (const [first, second] of NAMES) {
      const [l, g] = [asRows(file.get(first)), asRows(file.get(second))];
      if (l && g && tensors === 2) return { rows: [l, g] };
    }
    return undefined;
  },
  extensions: ['.safetensors', '.pt', '.bin'],
  encoders: 2,
  toFile: ({ rows: [l, g] }) => {
    if (!l || !g) throw new Error('a concept for SDXL has rows for two encoders');
    return new Map([
      ['clip_l', l],
      ['clip_g', g],
    ]);
  },
};
