import { disposedModel, TextualInversionError } from '../errors.js';
import type { CompiledFunction, HostTensor, Runtime, TensorFunction } from '../platform.js';
import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import { placeEagerly } from '../weights/load.js';

/** What the eager engine computes with. */
export interface EagerRuntimeOptions {
  /** A TensorFlow.js backend that the caller has registered, such as `wasm`, `cpu`, `webgpu` or `tensorflow`. */
  readonly backend: string;
}

/**
 * Runs functions as they are, operation by operation, on a TensorFlow.js backend.
 * @throws BACKEND_UNAVAILABLE when the backend is not registered or does not start.
 */
export async function createEagerRuntime({ backend }: EagerRuntimeOptions): Promise<Runtime> {
  const started = await tf.setBackend(backend).catch((cause: unknown) => {
    throw unavailable(backend, cause);
  });
  if (!started) throw unavailable(backend, undefined);
  const placed = new Set<Tensor>();
  let disposed = false;
  const takeOver = async () => {
    if (!(await tf.setBackend(backend))) throw unavailable(backend, undefined);
  };

  return {
    name: backend,
    compiled: false,
    async place(ref, placement) {
      while (tf.getBackend() !== backend) await takeOver();
      const tensor = await placeEagerly(ref, placement);
      placed.add(tensor);
      return tensor;
    },
    compile<I extends string, O extends string>(_name: string, fn: TensorFunction<I, O>): CompiledFunction<I, O> {
      return {
        async run(inputs) {
          if (disposed) throw disposedModel();
          await turn();
          // Another engine may have taken over; once the name is right, nothing comes between it and the tidy.
          while (tf.getBackend() !== backend) await takeOver();
          const outputs = tf.tidy(() => {
            const tensors = mapValues(inputs, ({ data, shape }: HostTensor) => tf.tensor(data, [...shape], 'float32'));
            return fn(tensors);
          });
          try {
            const read = await Promise.all(
              Object.entries<Tensor>(outputs).map(async ([name, tensor]) => {
                const data = await tensor.data<'float32'>();
                return [name, { data: data.slice(), shape: [...tensor.shape] }] as const;
              }),
            );
            return Object.fromEntries(read) as Record<O, HostTensor>;
          } finally {
            tf.dispose(outputs);
          }
        },
        dispose() {},
      };
    },
    dispose() {
      disposed = true;
      for (const tensor of placed) tensor.dispose();
      placed.clear();
    },
  };
}

/** Lets timers and messages through, or nobody could stop what takes its time on this thread. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function unavailable(backend: string, cause: unknown): TextualInversionError {
  return new TextualInversionError('BACKEND_UNAVAILABLE', {
    where: 'backend',
    expected: `a TensorFlow.js backend named "${backend}"`,
    found: cause instanceof Error ? cause.message : 'none that starts',
    cause,
  });
}

function mapValues<K extends string, A, B>(record: Record<K, A>, change: (value: A) => B): Record<K, B> {
  return Object.fromEntries(Object.entries<A>(record).map(([key, value]) => [key, change(value)])) as Record<K, B>;
}
