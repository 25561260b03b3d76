import {
  type BackendCandidate,
  type ChosenBackend,
  chooseBackend,
  createEagerRuntime,
  type Runtime,
  tf,
} from '@textual-inversion/core';
import type { OrtModule } from '@textual-inversion/onnx';
import { createOnnxRuntime } from '@textual-inversion/onnx';
import { type BufferPool, emptyPool, limitPool } from './buffer-pool.js';
import { onDevice, openAdapter, openDevice, untilLost } from './gpu.js';
import { oneAtATime } from './one-at-a-time.js';
import { replaying } from './replay.js';

export interface EngineOptions {
  /** Folder at our own origin with the files of `textual-inversion-web-assets`: WebAssembly and the embedded model. */
  readonly assetsUrl: string;
  /** Threads of the WebAssembly engines. @defaultValue one per core, where the page is cross-origin isolated; else 1 */
  readonly threads?: number;
}

interface Backend extends Omit<BackendCandidate, 'create'> {
  readonly create: (options: EngineOptions) => Promise<Runtime>;
}

/** Weights beside which a whole training step would not fit a tab. */
const SCARCE_BYTES = 2 ** 28;

/** In the order in which `auto` tries them. */
const BACKENDS: readonly Backend[] = [
  {
    name: 'onnx-webgpu',
    what: 'the compiled engine on WebGPU',
    objection: softwareAdapter,
    create: async (options) => {
      const device = await openDevice();
      const calls = untilLost(device, 'onnx-webgpu');
      try {
        const ort = configured(await import('onnxruntime-web/webgpu'), options);
        const runtime = await createOnnxRuntime({
          ort: oneAtATime(replaying(ort, device, calls), calls),
          provider: 'webgpu',
          device,
        });
        const dispose = () => {
          runtime.dispose();
          device.destroy();
        };
        return onDevice({ ...runtime, dispose }, calls);
      } catch (error) {
        device.destroy();
        throw error;
      }
    },
  },
  {
    name: 'onnx-wasm',
    what: 'the compiled engine in WebAssembly',
    create: async (options) => {
      const ort = configured(await import('onnxruntime-web/wasm'), options);
      return createOnnxRuntime({ ort: oneAtATime(ort), provider: 'wasm' });
    },
  },
  {
    name: 'webgpu',
    what: 'TensorFlow.js on WebGPU',
    objection: softwareAdapter,
    create: async () => {
      const device = await eagerDevice();
      const runtime = await createEagerRuntime({ backend: 'webgpu' });
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the backend that was just started
      const { bufferManager } = tf.backend() as unknown as { readonly bufferManager: BufferPool };
      limitPool(bufferManager);
      const dispose = () => {
        runtime.dispose();
        emptyPool(bufferManager);
      };
      const scarce = () => bufferManager.numBytesUsed > SCARCE_BYTES;
      return onDevice({ ...runtime, dispose, scarce }, untilLost(device, 'webgpu'));
    },
  },
  {
    name: 'wasm',
    what: 'TensorFlow.js in WebAssembly, 1 thread',
    create: async (options) => {
      const wasm = await import('@tensorflow/tfjs-backend-wasm');
      wasm.setWasmPaths(options.assetsUrl);
      // Its threads are started from the text of a function, which minifiers break and content security policies forbid.
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
      return createEagerRuntime({ backend: 'wasm' });
    },
  },
];

/** Names that `backend` takes, besides `auto`. */
export const BACKEND_NAMES: readonly string[] = BACKENDS.map(({ name }) => name);

/**
 * Makes an engine. Every candidate runs a small graph before it is taken.
 * @param name - One of `BACKEND_NAMES`, or `auto`: compiled WebGPU, compiled WebAssembly, then TensorFlow.js.
 * @param without - Backends that `auto` passes by, such as one whose device was lost.
 * @throws BACKEND_UNKNOWN, BACKEND_UNAVAILABLE
 */
export async function createBackend(
  name: string,
  options: EngineOptions,
  without: readonly string[] = [],
): Promise<ChosenBackend> {
  const given = { ...options, assetsUrl: options.assetsUrl.replace(/\/?$/, '/') };
  const candidates = BACKENDS.filter((backend) => name !== 'auto' || !without.includes(backend.name));
  return chooseBackend(
    name,
    candidates.map((backend) => ({
      ...backend,
      what: describe(backend, given),
      create: () => backend.create(given),
    })),
  );
}

/** Points ONNX Runtime at files of our own origin. */
function configured<T extends OrtModule>(ort: T, options: EngineOptions): T {
  ort.env.wasm.wasmPaths = options.assetsUrl;
  ort.env.wasm.numThreads = threadsOf(options);
  return ort;
}

function threadsOf({ threads }: EngineOptions): number {
  if (!globalThis.crossOriginIsolated) return 1;
  return threads ?? Math.max(1, navigator.hardwareConcurrency);
}

function describe({ name, what }: Backend, options: EngineOptions): string {
  if (name !== 'onnx-wasm') return what;
  const threads = threadsOf(options);
  const why = globalThis.crossOriginIsolated ? '' : ': the page is not cross-origin isolated';
  return `${what}, ${threads} thread${threads === 1 ? '' : 's'}${why}`;
}

let eager: GPUDevice | undefined;

/** The device of TensorFlow.js, which has one for all models; a new one where it was lost. */
async function eagerDevice(): Promise<GPUDevice> {
  if (eager) return eager;
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  const device = await openDevice();
  eager = device;
  device.lost.then(() => (eager = undefined)).catch(() => {}); // never rejects
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new WebGPUBackend(device));
  return device;
}

/** A GPU that is only imitated by the CPU must not win over the CPU. */
async function softwareAdapter(): Promise<string | undefined> {
  const { info }: GPUAdapter & { info?: AdapterInfo } = await openAdapter();
  const names = [info?.vendor, info?.architecture, info?.device, info?.description].join(' ');
  const software = info?.isFallbackAdapter || /swiftshader|llvmpipe|software|basic render/i.test(names);
  return software ? 'a software adapter, slower than WebAssembly' : undefined;
}

/** Newer than the types of WebGPU that TensorFlow.js brings along. */
interface AdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly device?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
}
