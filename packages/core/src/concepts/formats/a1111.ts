import type { TorchValue } from '../../weights/torch-file.js';
import type { Concept } from '../concept.js';
import { asRows, type ConceptFormat, onlyRows, type ReadConceptFile } from './format.js';

/** The paper's own layout, with A1111's name and step count beside it. */
export const a1111: ConceptFormat = {
  name: 'a1111',
  tools: 'A1111, ComfyUI, InvokeAI',
  read(file): ReadConceptFile | undefined {
    const parameters = file.get('string_to_param');
    if (!(parameters instanceof Map)) return undefined;
    const [[key, value] = []] = parameters;
    const rows = parameters.size === 1 ? asRows(value) : undefined;
    if (!rows) return undefined;
    const [name, step, model] = [file.get('name'), file.get('step'), file.get('sd_checkpoint_name')];
    return {
      token: typeof name === 'string' ? name : key === '*' ? undefined : key,
      rows: [rows],
      info: {
        ...(typeof step === 'number' ? { steps: step } : {}),
        ...(typeof model === 'string' ? { model } : {}),
      },
    };
  },
  write: {
    container: 'torch',
    encoders: 1,
    toFile: (concept) => {
      const file = stringToParam(concept);
      file.set('name', concept.token);
      file.set('step', concept.info.steps ?? 0);
      file.set('sd_checkpoint', null);
      file.set('sd_checkpoint_name', concept.info.model ?? null);
      return file;
    },
  },
};

/** The paper's own layout; its official code keeps the rows in a ParameterDict, which reads like a dictionary. */
export const compvis: ConceptFormat = {
  name: 'compvis',
  tools: 'the official code of the paper, A1111, ComfyUI, InvokeAI',
  read: () => undefined, // the same layout: a1111 reads it
  write: { container: 'torch', encoders: 1, toFile: stringToParam },
};

/** Both tools look the rows up under `*`. */
function stringToParam(concept: Concept): Map<string, TorchValue> {
  return new Map<string, TorchValue>([
    ['string_to_token', new Map([['*', 265]])], // the id of "*" in CLIP's vocabulary
    ['string_to_param', new Map([['*', onlyRows(concept)]])],
  ]);
}
