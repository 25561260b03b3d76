import { asRows, type ConceptFormat } from './format.js';

/** Rows for both text encoders of SDXL. */
export const sdxl: ConceptFormat = {
  name: 'sdxl',
  tools: 'diffusers, A1111, ComfyUI, InvokeAI, kohya sd-scripts',
  read(file) {
    const [l, g] = [asRows(file.get('clip_l')), asRows(file.get('clip_g'))];
    return l && g && { rows: [l, g] };
  },
  write: {
    container: 'safetensors',
    encoders: 2,
    toFile: ({ rows: [l, g] }) => {
      if (!l || !g) throw new Error('a concept for SDXL has rows for two encoders');
      return new Map([
        ['clip_l', l],
        ['clip_g', g],
      ]);
    },
  },
};
