import { afterEach, beforeEach, expect, test } from 'vitest';
import { type OpenLibrary, openLibrary } from './support/library.js';

declare global {
  /** Leaves this origin so many bytes of storage, or as many as there are. */
  var limitStorage: (bytes?: number) => Promise<void>;
  /** Names of the files of a run. */
  var filesOfRun: (name: string) => Promise<string[]>;
}

let opened: OpenLibrary;
let evaluate: OpenLibrary['page']['evaluate'];
beforeEach(async () => {
  opened = await openLibrary({}, {});
  const { page, origin } = opened;
  evaluate = page.evaluate.bind(page);
  const devtools = await page.context().newCDPSession(page);
  await page.exposeFunction('limitStorage', (quotaSize?: number) =>
    devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize }),
  );
  await page.evaluate(() => {
    globalThis.filesOfRun = async (name) => {
      let folder = await navigator.storage.getDirectory();
      for (const part of ['textual-inversion', 'runs', name]) folder = await folder.getDirectoryHandle(part);
      const files: string[] = [];
      for await (const file of folder.keys()) files.push(file.replaceAll(/\d{5,}/g, 'N'));
      return files.sort();
    };
  });
}, 180_000);
afterEach(() => opened.close());

test('a request that is refused leaves the run of its name as it is, one that is not replaces it', async () => {
  const found = await evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const images = [new ImageData(32, 32)];
    const settings = { model, token: '<a>', initializer: 'monster', batchSize: 1, run: 'kept' } as const;
    const stopping = new AbortController();
    const onStep = ({ step }: { step: number }) => {
      if (step >= 2) stopping.abort();
    };
    const { signal } = stopping;
    const long = { ...settings, images, steps: 9, checkpointEverySteps: 1 };
    await library.failureOf(() => library.invert({ ...long, signal, onStep }));
    const before = await library.listRuns();
    const refused = [
      await library.failureOf(() => library.invert({ ...settings, images: [] })),
      await library.failureOf(() => library.invert({ ...settings, images, token: 'monster' })),
      await library.failureOf(() => library.invert({ ...settings, images, initializer: '' })),
      await library.failureOf(() => library.invert({ ...settings, images, run: 'other', sizePx: 33 })),
    ];
    const after = await library.listRuns();
    const files = [await filesOfRun('kept'), await filesOfRun('other')];
    const { info } = await library.resume({ model, run: 'kept' });
    const [finished] = await library.listRuns();
    const losses = finished?.losses.filter(Number.isFinite).length;
    await library.invert({ ...settings, images, token: '<b>', steps: 1 });
    const [replaced] = await library.listRuns();
    await library.deleteRun('kept');
    await model.dispose();
    return {
      codes: refused.map(({ code }) => code),
      unchanged: JSON.stringify(after) === JSON.stringify(before),
      step: before[0]?.step,
      losses: before[0]?.losses.length,
      files,
      learned: [info.steps, finished?.finished, losses],
      replaced: [replaced?.token, replaced?.step],
      left: await library.listRuns(),
    };
  });
  const step = found.step ?? 0;
  expect(step).toBeGreaterThan(1);
  expect(step).toBeLessThan(9);
  expect(found).toEqual({
    codes: ['IMAGE_NONE', 'TOKEN_EXISTS', 'INITIALIZER_INVALID', 'SIZE_INVALID'],
    unchanged: true,
    step,
    losses: step,
    files: [['pictures-N', 'run.json', `state-N-${step}.safetensors`], []],
    learned: [9, true, 9],
    replaced: ['<b>', 1],
    left: [],
  });
});

test('a storage that is full during a training costs what is kept, and not the word', async () => {
  const found = await evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const warnings: string[] = [];
    const stopping = new AbortController();
    const learn = (run: string, onFull: () => void) => {
      let full: Promise<void> | undefined;
      return library.invert({
        ...{ model, images: [new ImageData(32, 32)], token: '<a>', initializer: 'monster', batchSize: 1 },
        ...{ run, steps: 9, checkpointEverySteps: 3, signal: stopping.signal },
        onStep: () => {
          full ??= limitStorage(1000).then(onFull);
        },
        onWarning: (message) => warnings.push(message),
      });
    };
    const { info } = await learn('one', () => {});
    await limitStorage();
    const stopped = await library.failureOf(() => learn('two', () => stopping.abort()));
    await model.dispose();
    return { steps: info.steps, stopped: stopped.code, warnings };
  });
  expect(found).toMatchObject({ steps: 9, stopped: 'ABORTED' });
  expect(found.warnings.length).toBeGreaterThan(1);
  for (const warning of found.warnings) expect(warning).toMatch(/^Step \d was not kept\. .*storage of this site/);
});

test('a run is not deleted while it goes on', async () => {
  const found = await evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const images = [new ImageData(32, 32)];
    const stopping = new AbortController();
    let refused: ReturnType<typeof library.failureOf> | undefined;
    const stopped = await library.failureOf(() =>
      library.invert({
        ...{ model, images, token: '<a>', initializer: 'monster', batchSize: 1, run: 'kept', signal: stopping.signal },
        onStep: () => {
          refused ??= library.failureOf(() => library.deleteRun('kept')).finally(() => stopping.abort());
        },
      }),
    );
    const kept = await library.listRuns();
    await library.deleteRun('kept');
    await model.dispose();
    return { refused: (await refused)?.code, stopped: stopped.code, kept: kept.length, left: await library.listRuns() };
  });
  expect(found).toEqual({ refused: 'STORAGE_BUSY', stopped: 'ABORTED', kept: 1, left: [] });
});
