import type { TorchValue } from '../../weights/torch-file.js';
import type { Concept } from '../concept.js';
import { asRows, type ConceptFile, type ConceptFormat, onlyRows, type ReadConceptFile } from './format.js';

/** The paper's own layout, with A1111's name and step count beside it. */
export const a1111: ConceptFormat = {
  name: 'a1111',
  tools: 'A1111, diffusers, ComfyUI, InvokeAI',
  read(file) {
    const found = file.has('name') || file.has('step') ? readParameters(file) : undefined;
    if (!found) return undefined;
    const [name, step, model] = [file.get('name'), file.get('step'), file.get('sd_checkpoint_name')];
    return {
      ...found,
      token: typeof name === 'string' && name !== '' ? name : found.token,
      info: {
        ...(typeof step === 'number' ? { steps: step } : {}),
        ...(typeof model === 'string' ? { model } : {}),
      },
    };
  },
  extensions: ['.pt', '.bin'],
  encoders: 1,
  toFile: (concept) => {
    const file = stringToParam(concept);
    file.set('name', concept.token);
    file.set('step', concept.info.steps ?? 0);
    file.set('sd_checkpoint', null);
    file.set('sd_checkpoint_name', concept.info.model ?? null);
    return file;
  },
};

/** The paper's own layout; its official code keeps the rows in a ParameterDict, which reads like a dictionary. */
export const compvis: ConceptFormat = {
  name: 'compvis',
  tools: 'the official code of the paper, A1111, ComfyUI, InvokeAI, OneTrainer',
  read: readParameters,
  extensions: ['.pt', '.bin'],
  encoders: 1,
  toFile: stringToParam,
};

/** The tools take files of one word alone. */
function readParameters(file: ConceptFile): ReadConceptFile | undefined {
  const parameters = file.get('string_to_param');
  if (!(parameters instanceof Map) || parameters.size !== 1) return undefined;
  const [[key, value] = []] = parameters;
  const rows = asRows(value);
  return rows && { token: key === '*' ? undefined : key, rows: [rows] };
}

/** All of them look the rows up under `*`. */
function stringToParam(concept: Concept): Map<string, TorchValue> {
  return new Map<string, TorchValue>([
    ['string_to_token', new Map([['*', 265]])], // the id of "*" in CLIP's vocabulary
    ['string_to_param', new Map([['*', onlyRows(concept)]])],
  ]);
}
