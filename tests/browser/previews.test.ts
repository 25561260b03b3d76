import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PreviewOptions } from '../../packages/web/src/index.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

let opened: OpenLibrary;
beforeAll(async () => {
  opened = await openLibrary({}, {});
}, 180_000);
afterAll(() => opened.close());

/** Learns a word with previews. @param stopAfter - Milliseconds from the first step to the moment when it is stopped. */
function learn(preview: PreviewOptions, steps: number, stopAfter?: number) {
  return opened.page.evaluate(
    async ([preview, steps, stopAfter]) => {
      const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
      const warnings: string[] = [];
      const drawn: number[] = [];
      const stopping = new AbortController();
      const settings = { token: '<a>', initializer: 'monster', batchSize: 1, steps } as const;
      const end = await library.failureOf(() =>
        library.invert({
          ...{ ...settings, model, preview, images: [new ImageData(32, 32)], signal: stopping.signal },
          onStep: () => {
            if (stopAfter !== undefined) setTimeout(() => stopping.abort(), stopAfter);
          },
          onPreview: ({ step }) => drawn.push(step),
          onWarning: (message) => warnings.push(message),
        }),
      );
      await model.dispose();
      return { end, warnings, drawn };
    },
    [preview, steps, stopAfter] as const,
  );
}

test.each([{ everySteps: 0 }, { everySteps: Number.NaN }, { everySteps: 1, prompt: 'a photo' }])(
  '%j is refused before the first step',
  async (preview) => {
    const { end, drawn } = await learn(preview, 2);
    expect(end.code).toBe('OPTION_INVALID');
    expect(end.message).toMatch(/^preview\./);
    expect(drawn).toEqual([]);
  },
);

test('one that cannot be drawn is told once, and the word is learned', async () => {
  const prompt = `${'very '.repeat(90)} {}`;
  const { end, warnings, drawn } = await learn({ everySteps: 1, prompt, steps: 2 }, 3);
  expect(end.code).toBe('none');
  expect(warnings).toEqual([expect.stringMatching(/^There are no more previews\. .*Shorten the prompt/)]);
  expect(drawn).toEqual([]);
});

test.each([
  ['stops the training', 2, 'ABORTED'],
  ['after the last step leaves the word that was learned', 1, 'none'],
])('a stop while one is drawn %s', async (_, steps, code) => {
  const began = performance.now();
  const { end, drawn, warnings } = await learn({ everySteps: 1, steps: 900 }, steps, 500);
  expect(warnings).toEqual([]);
  expect(end.code).toBe(code);
  expect(drawn).toEqual([]);
  expect(performance.now() - began).toBeLessThan(30_000); // all of its steps would take longer
});
