import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  type BackendCandidate,
  type ChosenBackend,
  chooseBackend,
  createEagerRuntime,
  problemOf,
  type Runtime,
} from '@textual-inversion/core';
import type { OnnxRuntimeOptions } from '@textual-inversion/onnx';
import { optionalDependencies } from '../package.json';
import { createOrtThread } from './ort-thread.js';

/** How an engine computes. */
export interface EngineOptions {
  /** Threads of a CPU engine. @defaultValue one per core */
  readonly threads?: number;
}

/** What measurements set besides. */
export interface MeasuredOptions extends EngineOptions {
  /** Further session options of ONNX Runtime. */
  readonly sessionOptions?: OnnxRuntimeOptions['sessionOptions'];
}

/** GPU providers are asked for by name. */
const unmeasured = () => 'only a measurement knows whether it is faster: ask for it by name';

/** In the order in which `auto` tries them. */
function candidates(options: MeasuredOptions): BackendCandidate[] {
  const onnx = (provider: string) => () => createCompiled(provider, options);
  return [
    { name: 'onnx-cpu', what: 'the compiled engine on ONNX Runtime, all cores', create: onnx('cpu') },
    {
      name: 'onnx-webgpu',
      what: 'the compiled engine on a GPU through WebGPU',
      create: onnx('webgpu'),
      objection: unmeasured,
    },
    {
      name: 'onnx-cuda',
      what: 'the compiled engine on an NVIDIA GPU',
      create: onnx('cuda'),
      objection: unmeasured,
    },
    { name: 'onnx-dml', what: 'the compiled engine on DirectML', create: onnx('dml'), objection: unmeasured },
    { name: 'onnx-coreml', what: 'the compiled engine on CoreML', create: onnx('coreml'), objection: unmeasured },
    {
      name: 'tensorflow',
      what: 'libtensorflow, through @tensorflow/tfjs-node or tfjs-node-gpu',
      create: createTensorFlow,
    },
    {
      name: 'wasm',
      what: 'TensorFlow.js in WebAssembly, one core',
      create: async () => {
        await import('@tensorflow/tfjs-backend-wasm');
        return createEagerRuntime({ backend: 'wasm' });
      },
    },
    {
      name: 'cpu',
      what: 'TensorFlow.js in plain JavaScript: slow, always there',
      create: async () => {
        await import('@tensorflow/tfjs-backend-cpu');
        return createEagerRuntime({ backend: 'cpu' });
      },
    },
  ];
}

/** Names that `backend` takes, besides `auto`. */
export const BACKEND_NAMES: readonly string[] = candidates({}).map(({ name }) => name);

/**
 * Makes an engine.
 * @param name - One of `BACKEND_NAMES`, or `auto`: the first that works of those that need no measurement.
 * @throws BACKEND_UNKNOWN, BACKEND_UNAVAILABLE
 */
export function createBackend(name = 'auto', options: MeasuredOptions = {}): Promise<ChosenBackend> {
  return chooseBackend(name, candidates(options));
}

/** Every backend and whether it starts here, for `doctor`. */
export async function probeBackends(): Promise<{ name: string; what: string; works: boolean; problem?: string }[]> {
  const found = [];
  for (const { name, what, create } of candidates({})) {
    try {
      (await create()).dispose();
      found.push({ name, what, works: true });
    } catch (error) {
      found.push({ name, what, works: false, problem: problemOf(error) });
    }
  }
  return found;
}

/** Starts the compiled engine on a thread of its own; on the CPU, with further ones for parts of a batch, one for each core. */
async function createCompiled(provider: string, { threads, sessionOptions }: MeasuredOptions): Promise<Runtime> {
  checkOnnxRuntime();
  const { createOnnxRuntime } = await import('@textual-inversion/onnx');
  const first = createOrtThread();
  const others = Array.from(
    { length: provider === 'cpu' ? (threads ?? availableParallelism()) - 1 : 0 },
    createOrtThread,
  );
  const close = () => {
    for (const thread of [first, ...others]) thread.close();
  };
  try {
    const runtime = await createOnnxRuntime({
      ort: first.ort,
      others: others.map(({ ort }) => ort),
      provider,
      threads,
      sessionOptions,
    });
    const dispose = () => {
      runtime.dispose();
      close();
    };
    return { ...runtime, dispose };
  } catch (error) {
    close();
    throw error;
  }
}

/** An optional package: where its install script fails, which fetches what only CUDA needs, npm leaves it out without a word. */
function checkOnnxRuntime(): void {
  try {
    createRequire(import.meta.url).resolve('onnxruntime-node');
  } catch {
    throw new Error(
      `onnxruntime-node is not installed; \`npm install onnxruntime-node@${optionalDependencies['onnxruntime-node']} --ignore-scripts\` brings it`,
    );
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
