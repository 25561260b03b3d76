import type { GenerateSettings } from './text-to-image.js';

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

/** Texts as a PNG's plain text chunks hold them, which is Latin-1: what does not fit is written as an escape. */
export function latin1(texts: Readonly<Record<string, string>>): Record<string, string> {
  const escaped = (text: string) =>
    Array.from(text, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code < 256 ? character : `\\u{${code.toString(16)}}`;
    }).join('');
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, escaped(text)]));
}
