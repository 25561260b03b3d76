// oxlint-disable unicorn/require-post-message-target-origin -- threads have no origins
import { Worker } from 'node:worker_threads';
import type { OrtModule, OrtSession } from '@textual-inversion/onnx';
import { env, type InferenceSession, Tensor } from 'onnxruntime-common';

/** What a thread answers. */
interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: unknown;
}

interface Numbers {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** ONNX Runtime on a thread of its own. */
export interface OrtThread {
  readonly ort: OrtModule;
  /** Ends the thread once it has answered. */
  close(): void;
}

/**
 * ONNX Runtime for Node on a thread of its own: a run of seconds leaves this one free for signals, progress and other work, and several
 * threads run side by side. The thread starts with the first session, and keeps no process alive that waits for nothing.
 */
export function createOrtThread(): OrtThread {
  let worker: Worker | undefined;
  let closing = false;
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>();
  let calls = 0;

  const rest = (): void => {
    if (waiting.size > 0) return;
    if (closing) worker?.terminate().catch(() => {});
    else worker?.unref();
  };
  const failAll = (error: unknown): void => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const start = (): Worker => {
    // Of the process's own flags, --input-type would keep a thread that starts from a file from starting.
    const started = new Worker(new URL('./ort-worker.mjs', import.meta.url), { execArgv: [] });
    started.on('message', ({ id, result, error }: Answer) => {
      const call = waiting.get(id);
      waiting.delete(id);
      rest();
      if (error === undefined) call?.resolve(result);
      else call?.reject(error);
    });
    started.on('error', failAll);
    started.on('exit', (code) => failAll(new Error(`the thread of ONNX Runtime ended with status ${code}`)));
    return started;
  };
  const call = <T>(name: string, given: object): Promise<T> =>
    new Promise((resolve, reject) => {
      if (closing && waiting.size === 0) throw new Error('the thread of ONNX Runtime was closed');
      worker ??= start();
      const id = calls++;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the call of that name gives
      waiting.set(id, { resolve: (result) => resolve(result as T), reject });
      worker.ref();
      worker.postMessage({ id, call: name, given });
    });

  const create = async (model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<OrtSession> => {
    const session = await call<number>('create', { model, options });
    const run = async (feeds: Readonly<Record<string, Tensor>>) => {
      const numbers = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, { type, data, dims }]);
      const outputs = await call<Record<string, Numbers>>('run', { session, feeds: Object.fromEntries(numbers) });
      const tensors = Object.entries(outputs).map(([name, { data, dims }]) => [
        name,
        new Tensor('float32', data, dims),
      ]);
      return Object.fromEntries(tensors);
    };
    return { run, release: () => call<void>('release', { session }) };
  };
  return {
    ort: { InferenceSession: { create }, Tensor, env },
    close() {
      closing = true;
      rest();
    },
  };
}
