import { asRows, type ConceptFormat, onlyRows } from './format.js';

/** Names that tools give to rows, not people to words. */
const NAMELESS = ['clip_l', 'clip_g'];

/** One tensor named after the token: `[V, D]`, or `[D]` in files of 2022. Read by `load_textual_inversion`. */
export const diffusers: ConceptFormat = {
  name: 'diffusers',
  tools: 'diffusers, A1111, ComfyUI, InvokeAI',
  read(file) {
    const [[token, value] = []] = file;
    const rows = file.size === 1 ? asRows(value) : undefined;
    if (!rows || token === undefined) return undefined;
    return { token: token === '' || NAMELESS.includes(token) ? undefined : token, rows: [rows] };
  },
  extensions: ['.safetensors', '.bin', '.pt'],
  encoders: 1,
  toFile: (concept) => new Map([[concept.token, onlyRows(concept)]]),
};
