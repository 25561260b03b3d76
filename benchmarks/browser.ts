/**
 * Measures the engines of a browser on the embedded model, in Chromium, in turn: `npm run bench:browser -- TASK [BATCH] [THREADS]`.
 * `wasm` and `webgpu`: a training step, compiled and eager. `load`: from opening the page to the first step. `host [FOLDER]`: what a
 * compiled step on WebGPU takes beside its shaders, replayed and as it is, of another checkpoint too.
 */
import { filesOf } from '../tests/browser/support/files.js';
import { openLibrary } from '../tests/browser/support/library.js';

const [task = '', batch = '4', threads = '1'] = process.argv.slice(3);
const ROUNDS = task === 'webgpu' ? 1 : 10;

async function steps(compiled: string, eager: string): Promise<void> {
  const { page, close } = await openLibrary({}, { webgpu: task === 'webgpu' });
  const rows = await page.evaluate(
    async ({ names, batch, threads, rounds }) => {
      const url = `${library.assetsUrl}tiny/`;
      const files = await library.listRemote(url);
      const sides = [];
      for (const name of names) {
        const before = library.gpu.bytes;
        library.gpu.peakBytes = before;
        const parts = await library.openParts(url, files, name, { threads });
        const first = await parts.rehearse(batch);
        sides.push({ name, parts, first, seconds: [0], dispatches: 0, peakBytes: library.gpu.peakBytes - before });
      }
      for (let round = 0; round < rounds; round++) {
        for (const side of sides) {
          const before = library.gpu.dispatches;
          side.seconds[round] = await side.parts.rehearse(batch);
          side.dispatches = library.gpu.dispatches - before;
        }
      }
      return sides.map(({ parts: _, ...side }) => side);
    },
    { names: [compiled, eager], batch: Number(batch), threads: Number(threads), rounds: ROUNDS },
  );
  await close();
  const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
  for (const { name, first, seconds, dispatches, peakBytes } of rows) {
    const range = `${Math.min(...seconds).toFixed(3)} to ${Math.max(...seconds).toFixed(3)}`;
    const gpu = dispatches > 0 ? `, ${dispatches} dispatches, peak of buffers ${(peakBytes / 1e6).toFixed(0)} MB` : '';
    console.log(`${name}: ${median(seconds).toFixed(3)} s (${range}), first ${first.toFixed(2)} s${gpu}`);
  }
  const [ours = [], theirs = []] = rows.map(({ seconds }) => seconds);
  console.log(`eager / compiled: ${(median(theirs) / median(ours)).toFixed(2)}, batch ${batch}, threads ${threads}`);
}

/** One side after the other: two models of SD 1.5's size would not fit together. */
async function hostWork(folder: string | undefined): Promise<void> {
  const { page, origin, close } = await openLibrary(folder ? { model: folder } : {}, { webgpu: true });
  const given = folder ? { url: `${origin}/model`, files: filesOf(folder) } : undefined;
  for (const replayed of [false, true]) {
    const { seconds, dispatches, held, peak } = await page.evaluate(
      async ({ given, replayed }) => {
        const { assetsUrl, gpu } = library;
        gpu.idle = true;
        const url = given?.url ?? `${assetsUrl}tiny/`;
        const files = given?.files ?? (await library.listRemote(url));
        const parts = await library.openParts(url, files, 'onnx-webgpu', { recompute: given !== undefined, replayed });
        const batch = given ? 1 : 4;
        await parts.rehearse(batch);
        const before = gpu.dispatches;
        gpu.peakBytes = gpu.bytes;
        const seconds = [];
        for (let round = 0; round < 7; round++) seconds.push(await parts.rehearse(batch));
        const counts = { dispatches: (gpu.dispatches - before) / 7, held: gpu.bytes, peak: gpu.peakBytes };
        parts.dispose();
        await new Promise((resolve) => setTimeout(resolve, 500)); // sessions are released behind the scenes
        return { seconds, ...counts };
      },
      { given, replayed },
    );
    const ms = seconds.map((x) => Math.round(1000 * x)).toSorted((a, b) => a - b);
    const bytes = `${(held / 1e9).toFixed(2)} GB between steps, ${(peak / 1e9).toFixed(2)} at the peak`;
    console.log(
      `${replayed ? 'replayed' : 'as it is'}: ${ms[3]} ms (${ms[0]} to ${ms[6]}), ${dispatches} dispatches, ${bytes}`,
    );
  }
  await close();
}

async function load(): Promise<void> {
  const { page, close } = await openLibrary({}, {});
  const sizes: Promise<number>[] = [];
  page.context().on('requestfinished', (request) => {
    sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
  });
  await page.reload();
  await page.waitForFunction(() => 'library' in globalThis);
  const seconds = await page.evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const images = [new OffscreenCanvas(64, 64)].map((canvas) => {
      canvas.getContext('2d')?.fillRect(8, 8, 32, 48);
      return canvas.transferToImageBitmap();
    });
    let first = 0;
    const onStep = () => {
      first ||= performance.now() / 1000;
    };
    await library.invert({ model, images, token: '<thing>', initializer: 'monster', steps: 2, onStep });
    return first;
  });
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  await close();
  console.log(
    `first step after ${seconds.toFixed(2)} s; ${(bytes / 2 ** 20).toFixed(1)} MiB in ${sizes.length} answers`,
  );
}

if (task === 'wasm') await steps('onnx-wasm', 'wasm');
else if (task === 'webgpu') await steps('onnx-webgpu', 'webgpu');
else if (task === 'load') await load();
else if (task === 'host') await hostWork(process.argv[4]);
else throw new Error('npm run bench:browser -- wasm|webgpu|load [BATCH] [THREADS], or host [FOLDER]');
