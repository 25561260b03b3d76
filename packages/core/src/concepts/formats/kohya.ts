import { asRows, type ConceptFormat, onlyRows } from './format.js';

/** kohya's trainer: one nameless tensor. */
export const kohya: ConceptFormat = {
  name: 'kohya',
  tools: 'kohya sd-scripts, A1111, ComfyUI, InvokeAI',
  read(file) {
    const rows = asRows(file.get('emb_params'));
    return rows && { rows: [rows] };
  },
  extensions: ['.safetensors', '.pt', '.bin'],
  encoders: 1,
  toFile: (concept) => new Map([['emb_params', onlyRows(concept)]]),
};

/**
 * OneTrainer spells the same thing differently, and reads no other spelling. It can also train what the text encoder puts out
 * (`emp_params_out`); such a file is more than a word, and not read.
 */
export const oneTrainer: ConceptFormat = {
  name: 'onetrainer',
  tools: 'OneTrainer, A1111, ComfyUI, InvokeAI',
  read(file) {
    const rows = file.size === 1 ? asRows(file.get('emp_params')) : undefined;
    return rows && { rows: [rows] };
  },
  extensions: ['.safetensors'],
  encoders: 1,
  toFile: (concept) => new Map([['emp_params', onlyRows(concept)]]),
};
