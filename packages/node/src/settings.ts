import type { GenerateSettings } from '@textual-inversion/core';

/** The settings of a picture as A1111 keeps them in a PNG's `parameters`, which many tools read. */
export function parametersText({ prompt, negativePrompt, ...settings }: GenerateSettings): string {
  const facts = {
    Steps: settings.steps,
    Sampler: settings.sampler,
    'CFG scale': settings.guidanceScale,
    Seed: settings.seed,
    Size: `${settings.widthPx}x${settings.heightPx}`,
    Model: settings.model,
  };
  const line = Object.entries(facts)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');
  return [prompt, ...(negativePrompt ? [`Negative prompt: ${negativePrompt}`] : []), line].join('\n');
}
