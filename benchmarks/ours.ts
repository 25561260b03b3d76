/**
 * Our side of a benchmark: prepares a task, then runs it whenever a line comes in on stdin. Speaks JSON, one object a line.
 * `node ours.mjs TASK FOLDER [OPTIONS]`
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  createBackend,
  type DiffusionModel,
  Generator,
  type HostTensor,
  invert,
  loadModel,
  openFolder,
  preparePrompts,
  readPictures,
  startTraining,
  timestepEmbedding,
  train,
} from './library.js';

interface Options {
  readonly threads?: number;
  /** @defaultValue 'onnx-cpu' */
  readonly backend?: string;
  readonly session?: Record<string, unknown>;
}
type Run = () => Promise<unknown>;
type Task = (model: DiffusionModel) => Promise<Run>;

const [, , name = '', folder = '', optionsText = '{}'] = process.argv;
const options: Options = JSON.parse(optionsText);
const PROMPT = 'a photo of a <thing> on the beach';

function numbers(...shape: number[]): HostTensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return { data: Float32Array.from({ length: size }, (_, i) => Math.sin(i * 1.37)), shape };
}

/** `sd15-unet-512` -> `unet`, side 512. `tiny-step-4` -> `step`, batch 4 at the model's own side. */
const [, kind = '', number = '0', variant = ''] = /^(?:sd15|tiny)-([a-z]+)-?(\d*)-?(.*)$/.exec(name) ?? [];
const isTiny = name.startsWith('tiny');

const latentSide = (model: DiffusionModel): number =>
  (isTiny || !Number(number) ? model.sizePx : Number(number)) / model.autoencoder.config.downscale;
const batchOf = (): number => (isTiny ? Number(number) || 1 : 1);

const TASKS: Readonly<Record<string, Task>> = {
  async unet(model) {
    const inputs = await denoiseInputs(model, batchOf());
    return () => model.functions.denoise.run(inputs);
  },
  async guided(model) {
    const inputs = await denoiseInputs(model, 2);
    return () => model.functions.denoise.run(inputs);
  },
  /** Steps of the training loop itself: draws, prompts, gradient, AdamW. The pictures are encoded before, once, as `invert` does it. */
  async step(model) {
    const side = latentSide(model);
    const shape = [model.unet.config.inChannels, side, side] as const;
    const { data } = numbers(...shape);
    const rows = model.textEncoders.map(({ table }) => numbers(1, table.width));
    const options = {
      token: '<thing>',
      steps: Number.POSITIVE_INFINITY,
      batchSize: batchOf(),
      gradientAccumulation: 1,
      learningRate: { peak: 5e-4, shape: 'constant', warmupSteps: 0 },
      weightDecay: 0,
      maxGradientNorm: 0,
      minSnrGamma: 0,
      seed: 0,
    } as const;
    const posteriors = [[{ mean: data, deviation: data.map(Math.abs), shape }]];
    const steps = train(
      model,
      { posteriors, captions: [[PROMPT]] },
      options,
      startTraining(rows, new Generator(0)),
      rows,
    );
    return () => steps.next();
  },
  /** A whole inversion with the defaults, its compiling and its encoding included. */
  async invert(model) {
    // From where the bundle lies, in benchmarks/.cache/build.
    const folder = fileURLToPath(new URL('../../../examples/concepts/dotti', import.meta.url));
    const pictures = await readPictures(folder);
    return () => invert(model, pictures, { token: '<dotti>', initializer: 'monster' });
  },
  async encode(model) {
    const side = latentSide(model) * model.autoencoder.config.downscale;
    const picture = numbers(1, 3, side, side);
    return () => model.functions.encodePicture.run({ picture });
  },
  async decode(model) {
    const latents = numbers(1, model.autoencoder.config.latentChannels, latentSide(model), latentSide(model));
    return () => model.functions.decodeLatents.run({ latents });
  },
  async text(model) {
    const { inputs } = await preparePrompts(model.textEncoders, [PROMPT.replace('<thing>', 'thing')], []);
    return () => model.functions.encodePrompts.run(inputs);
  },
};

async function denoiseInputs(model: DiffusionModel, batch: number): Promise<Record<string, HostTensor>> {
  const { config } = model.unet;
  const side = latentSide(model);
  return {
    sample: numbers(batch, config.inChannels, side, side),
    time: timestepEmbedding(Array<number>(batch).fill(501), config),
    context: numbers(
      batch,
      model.textEncoders[0]?.tokenizer.maxLength ?? 77,
      model.textEncoders.reduce((sum, { table }) => sum + table.width, 0),
    ),
  };
}

const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
const seconds = async (work: Run): Promise<number> => {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
};

const task = TASKS[kind];
if (!task) throw new Error(`unknown task ${name}`);
const { runtime } = await createBackend(options.backend ?? 'onnx-cpu', {
  threads: options.threads,
  sessionOptions: options.session,
});
let model: DiffusionModel | undefined;
const load = await seconds(async () => (model = await loadModel(await openFolder(folder), runtime)));
if (!model) throw new Error('no model');
const run = await task(model);
const first = await seconds(run);
say({ ready: true, load, first, sinceStart: performance.now() / 1000, variant });
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'end') break;
  const before = process.cpuUsage();
  const wall = await seconds(run);
  const { user, system } = process.cpuUsage(before);
  // On a busy machine the processor's seconds say more than the clock's.
  say({ seconds: wall, processorSeconds: (user + system) / 1e6 });
}
// Linux and macOS differ in the unit.
const unit = process.platform === 'darwin' ? 1 : 1024;
say({ peakBytes: process.resourceUsage().maxRSS * unit });
runtime.dispose(); // writes ONNX Runtime's profile, where the session options asked for one
await new Promise((resolve) => setTimeout(resolve, 500));
process.exit(0);
