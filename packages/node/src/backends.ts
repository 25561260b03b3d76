import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createEagerRuntime, nearest, type Runtime, TextualInversionError } from '@textual-inversion/core';

/** A way to compute on this machine. */
interface Backend {
  readonly name: string;
  readonly what: string;
  /** Makes an engine; throws when the machine lacks what it needs. */
  readonly create: (options: EngineOptions) => Promise<Runtime>;
  /** Whether `auto` may take it. GPU providers are asked for by name: whether one is faster only a measurement knows. */
  readonly automatic: boolean;
}

export interface EngineOptions {
  /** Threads of a CPU engine. @defaultValue one per core */
  readonly threads?: number;
}

/** An engine, and why it was taken. */
export interface ChosenBackend {
  readonly name: string;
  readonly reason: string;
  readonly runtime: Runtime;
}

const onnx =
  (provider: string) =>
  async ({ threads }: EngineOptions): Promise<Runtime> => {
    const [ort, { createOnnxRuntime }] = await Promise.all([
      import('onnxruntime-node'),
      import('@textual-inversion/onnx'),
    ]);
    return createOnnxRuntime({ ort: 'default' in ort ? ort.default : ort, provider, threads });
  };

/** In the order in which `auto` tries them. */
const BACKENDS: readonly Backend[] = [
  { name: 'onnx-cpu', what: 'the compiled engine on ONNX Runtime, all cores', create: onnx('cpu'), automatic: true },
  {
    name: 'onnx-webgpu',
    what: 'the compiled engine on a GPU through WebGPU',
    create: onnx('webgpu'),
    automatic: false,
  },
  { name: 'onnx-cuda', what: 'the compiled engine on an NVIDIA GPU', create: onnx('cuda'), automatic: false },
  { name: 'onnx-dml', what: 'the compiled engine on DirectML', create: onnx('dml'), automatic: false },
  { name: 'onnx-coreml', what: 'the compiled engine on CoreML', create: onnx('coreml'), automatic: false },
  {
    name: 'tensorflow',
    what: 'libtensorflow, through @tensorflow/tfjs-node or tfjs-node-gpu',
    create: createTensorFlow,
    automatic: true,
  },
  {
    name: 'wasm',
    what: 'TensorFlow.js in WebAssembly, one core',
    automatic: true,
    create: async () => {
      await import('@tensorflow/tfjs-backend-wasm');
      return createEagerRuntime({ backend: 'wasm' });
    },
  },
  {
    name: 'cpu',
    what: 'TensorFlow.js in plain JavaScript: slow, always there',
    automatic: true,
    create: async () => {
      await import('@tensorflow/tfjs-backend-cpu');
      return createEagerRuntime({ backend: 'cpu' });
    },
  },
];

/** Names that `backend` takes, besides `auto`. */
export const BACKEND_NAMES: readonly string[] = BACKENDS.map(({ name }) => name);

/**
 * Makes an engine.
 * @param name - One of `BACKEND_NAMES`, or `auto`: the first that works of those that need no measurement.
 * @throws BACKEND_UNKNOWN, BACKEND_UNAVAILABLE
 */
export async function createBackend(name = 'auto', options: EngineOptions = {}): Promise<ChosenBackend> {
  if (name !== 'auto') {
    const backend = BACKENDS.find((candidate) => candidate.name === name);
    if (!backend) {
      const guess = nearest(name, BACKEND_NAMES);
      throw new TextualInversionError('BACKEND_UNKNOWN', {
        where: 'backend',
        expected: `auto, ${BACKEND_NAMES.join(', ')}`,
        found: JSON.stringify(name),
        fix: guess && `Did you mean "${guess}"?`,
      });
    }
    return { name, reason: `asked for: ${backend.what}`, runtime: await start(backend, options) };
  }
  const refused: string[] = [];
  for (const backend of BACKENDS.filter(({ automatic }) => automatic)) {
    try {
      const runtime = await backend.create(options);
      const because = refused.length ? `; before it: ${refused.join('; ')}` : '';
      return { name: backend.name, reason: `the fastest that works here: ${backend.what}${because}`, runtime };
    } catch (error) {
      refused.push(`${backend.name} (${error instanceof Error ? firstLine(error.message) : String(error)})`);
    }
  }
  throw new TextualInversionError('BACKEND_UNAVAILABLE', {
    where: 'backend',
    expected: 'one that works',
    found: refused.join('; '),
  });
}

/** Every backend and whether it starts here, for `doctor`. */
export async function probeBackends(): Promise<{ name: string; what: string; works: boolean; problem?: string }[]> {
  const found = [];
  for (const backend of BACKENDS) {
    const { name, what } = backend;
    try {
      (await backend.create({})).dispose();
      found.push({ name, what, works: true });
    } catch (error) {
      found.push({
        name,
        what,
        works: false,
        problem: error instanceof Error ? firstLine(error.message) : String(error),
      });
    }
  }
  return found;
}

async function start(backend: Backend, options: EngineOptions): Promise<Runtime> {
  try {
    return await backend.create(options);
  } catch (cause) {
    throw new TextualInversionError('BACKEND_UNAVAILABLE', {
      where: `backend ${backend.name}`,
      expected: backend.what,
      found: cause instanceof Error ? firstLine(cause.message) : String(cause),
      fix: 'textual-inversion doctor lists what works here.',
      cause,
    });
  }
}

/** Binds the addon that a user installed beside us or in the project at hand. */
async function createTensorFlow(): Promise<Runtime> {
  restoreOldUtilities();
  const places = [import.meta.url, join(process.cwd(), 'package.json')].map((place) => createRequire(place));
  const found = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']
    .flatMap((name) => places.map((require) => () => load(require, name)))
    .some((attempt) => attempt());
  if (!found) throw new Error('neither @tensorflow/tfjs-node nor tfjs-node-gpu is installed');
  return createEagerRuntime({ backend: 'tensorflow' });
}

/** Loads a module. @returns Whether it is there; one that is there and broken throws. */
function load(require: NodeJS.Require, name: string): boolean {
  try {
    require.resolve(name);
  } catch {
    return false;
  }
  require(name);
  return true;
}

/** The addon's JavaScript calls two functions that Node 23 removed. */
function restoreOldUtilities(): void {
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message;
}
