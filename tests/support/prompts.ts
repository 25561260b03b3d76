import { about, golden, readTensors } from './golden.js';
import { pick } from './models.js';

/** The prompts of a pipeline's text file and their ids, in which the concept's rows follow the vocabulary. */
export function goldenPrompts(family: string): {
  all: readonly string[];
  idsOf: (suffix: string, prompt: string) => number[];
} {
  const path = golden(`${family}-golden`, 'text.safetensors');
  const { prompts } = about<{ prompts: string[] }>(path);
  const file = readTensors(path);
  return {
    all: prompts,
    idsOf: (suffix, prompt) => {
      const row = prompts.indexOf(prompt);
      const { data, shape } = pick(file, `ids${suffix}`);
      const tokens = shape[1] ?? 0;
      if (row < 0) throw new Error(`the golden file lacks ids of "${prompt}"`);
      return Array.from(data.slice(row * tokens, (row + 1) * tokens));
    },
  };
}
