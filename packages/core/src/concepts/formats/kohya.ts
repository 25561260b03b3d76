import { asRows, type ConceptFormat, onlyRows } from './format.js';

/** kohya's trainer: one nameless tensor. */
export const kohya: ConceptFormat = {
  name: 'kohya',
  tools: 'kohya sd-scripts, A1111, ComfyUI, InvokeAI',
  read(file) {
    const rows = asRows(file.get('emb_params'));
    return rows && { rows: [rows] };
  },
  write: { container: 'safetensors', encoders: 1, toFile: (concept) => new Map([['emb_params', onlyRows(concept)]]) },
};

/** OneTrainer spells the same thing differently. Its readers take kohya's, so it is only read. */
export const oneTrainer: ConceptFormat = {
  name: 'onetrainer',
  tools: 'OneTrainer',
  read(file) {
    const rows = asRows(file.get('emp_params'));
    return rows && { rows: [rows] };
  },
};
