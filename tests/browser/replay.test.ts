import type { JSHandle, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HostTensor, tf } from '../../packages/core/src/index.js';
import { expectClose, GOLDEN, golden } from '../support/golden.js';
import { denoiseInputs, gradientInputs } from '../support/golden-inputs.js';
import { loadGoldenModel } from '../support/model.js';
import { families } from '../support/models.js';
import type { Library } from './page/main.js';
import { filesOf } from './support/files.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

// Functions that run often are captured on WebGPU and replayed: see docs/decisions/dispatches.md.

/** Of float32 sums in another order. */
const SAME = 1e-4;

type Parts = Awaited<ReturnType<Library['openParts']>>;
type Inputs = Record<string, HostTensor>;

let opened: OpenLibrary;
let page: Page;
beforeAll(async () => {
  opened = await openLibrary({ golden: GOLDEN }, { webgpu: true });
  page = opened.page;
}, 180_000);
afterAll(() => opened.close());

describe.each(families)('%s', (family) => {
  function open(backend: string): Promise<JSHandle<Parts>> {
    return page.evaluateHandle(([url, files, name]) => library.openParts(url, files, name), [
      `${opened.origin}/golden/${family}`,
      filesOf(golden(family)),
      backend,
    ] as const);
  }

  test('step and prediction are replayed in turn, and give what they give elsewhere', async () => {
    const model = await loadGoldenModel(family);
    const [step, denoise] = [await gradientInputs(model, family), denoiseInputs(model, family)];
    model.dispose();
    const [replayed, elsewhere] = [await open('onnx-webgpu'), await open('onnx-wasm')];
    for (const [round, factor] of [1, -1.5].entries()) {
      const cases = [
        ['step', scaled(step, 'noisy', factor)],
        ['denoise', scaled(denoise, 'sample', factor)],
      ] as const;
      for (const [name, inputs] of cases) {
        const { outputs, bindGroups } = await run(replayed, name, inputs);
        const { outputs: expected } = await run(elsewhere, name, inputs);
        for (const [key, numbers] of Object.entries(expected))
          expectClose(outputs[key] ?? [], numbers, SAME, `${name} ${key}, round ${round}`);
        if (round > 0) expect(bindGroups, `${name}, round ${round}`).toBe(0);
        else expect(bindGroups, `${name} the first time`).toBeGreaterThan(100);
      }
    }
    for (const parts of [replayed, elsewhere]) await parts.evaluate((model) => model.dispose());
  });
});

test('what no shader writes is not replayed', async () => {
  const answers = await page.evaluate(async () => {
    const { runtime } = await library.createBackend('onnx-webgpu', { assetsUrl: library.assetsUrl });
    const both = ({ x }: Record<'x', tf.Tensor>) => ({
      turned: library.tf.reshape(x, [2, 3]),
      twice: library.tf.mul(x, 2),
    });
    const compiled = runtime.compile('both', both, { often: true });
    const answers = [];
    for (const first of [1, 10]) {
      const x = { data: Float32Array.from({ length: 6 }, (_, i) => first + i), shape: [6] };
      const before = library.gpu.bindGroups;
      const { turned, twice } = await compiled.run({ x });
      answers.push({ turned: [...turned.data], twice: [...twice.data], again: library.gpu.bindGroups > before });
    }
    runtime.dispose();
    return answers;
  });
  expect(answers).toEqual([
    { turned: [1, 2, 3, 4, 5, 6], twice: [2, 4, 6, 8, 10, 12], again: true },
    { turned: [10, 11, 12, 13, 14, 15], twice: [20, 22, 24, 26, 28, 30], again: true },
  ]);
});

/** Runs a function, and counts the bindings of shaders to buffers that this makes. */
async function run(parts: JSHandle<Parts>, name: 'step' | 'denoise', inputs: Inputs) {
  const plain = Object.entries(inputs).map(([key, { data, shape }]) => [key, { data: [...data], shape: [...shape] }]);
  return parts.evaluate(
    async (model, [fn, given]) => {
      const before = library.gpu.bindGroups;
      const outputs = await model.run(fn, given);
      return { outputs, bindGroups: library.gpu.bindGroups - before };
    },
    [name, Object.fromEntries(plain)] as const,
  );
}

function scaled(inputs: Inputs, name: string, factor: number): Inputs {
  const { data = new Float32Array(), shape = [] } = inputs[name] ?? {};
  return { ...inputs, [name]: { data: data.map((x) => x * factor), shape } };
}
