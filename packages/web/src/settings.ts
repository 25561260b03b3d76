import type { GenerateSettings } from '@textual-inversion/core';

/** The settings of a picture as A1111 keeps them in a PNG's `parameters`, which many tools read. PNG text is Latin-1. */
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
  const text = [prompt, ...(negativePrompt ? [`Negative prompt: ${negativePrompt}`] : []), line].join('\n');
  return Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 256 ? character : `\\u{${code.toString(16)}}`;
  }).join('');
}
