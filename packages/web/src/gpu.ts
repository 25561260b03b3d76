import { type Runtime, TextualInversionError } from '@textual-inversion/core';
import { type Interruptible, interruptible } from './interruptible.js';

/** The largest weight of SD 1.x has 151 MB; engines cut in pieces what one binding does not hold, down to this. */
const MIN_BINDING_BYTES = 128 * 2 ** 20;
/** What the engines use where it is there. */
const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
/** Milliseconds that a device may take to say that it is lost, after its calls have begun to fail. */
const LAST_WORDS_MS = 10_000;

/** The GPU, where there is one that is large enough. */
export async function openAdapter(): Promise<GPUAdapter> {
  const found = await globalThis.navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!found) throw new Error(globalThis.navigator.gpu ? 'no graphics adapter' : 'this browser has no WebGPU');
  const { maxStorageBufferBindingSize: bytes } = found.limits;
  if (bytes < MIN_BINDING_BYTES) throw new Error(`an adapter that binds at most ${Math.floor(bytes / 2 ** 20)} MiB`);
  return found;
}

/** A device with all that the adapter allows. Ours, and not the engine's own, so that we hear of its loss. */
export async function openDevice(): Promise<GPUDevice> {
  const adapter = await openAdapter();
  const features: ReadonlySet<string> = adapter.features;
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const limit: unknown = Reflect.get(adapter.limits, name);
    if (typeof limit === 'number') requiredLimits[name] = limit;
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- newer than the types that TensorFlow.js brings along
  const requiredFeatures = FEATURES.filter((name) => features.has(name)) as GPUFeatureName[];
  return adapter.requestDevice({ requiredFeatures, requiredLimits });
}

/** Calls that need a device: they end with BACKEND_LOST when it is lost, whatever the engine makes of it. @param where - Name of the engine. */
export function untilLost(device: GPUDevice, where: string): Interruptible {
  const calls = interruptible();
  device.lost
    .then(({ message, reason }) => {
      const error = new TextualInversionError('BACKEND_LOST', {
        where,
        expected: 'the graphics device that the model is on',
        found: `one that was lost (${message || reason || 'for no reason given'})`,
        fix: 'Load the model again.',
      });
      calls.interrupt(error);
    })
    .catch(() => {}); // never rejects
  return calls;
}

/** A runtime on a device. @param calls - What `untilLost` gave for it. */
export function onDevice(runtime: Runtime, calls: Interruptible): Runtime {
  return {
    ...runtime,
    compile: (name, fn, traits) => {
      const compiled = runtime.compile(name, fn, traits);
      // A device that was lost interrupts before that.
      const run: typeof compiled.run = (inputs) =>
        compiled.run(inputs).catch((error: unknown) => pause(LAST_WORDS_MS).then(() => Promise.reject(error)));
      return {
        run: (inputs) => calls.run(() => run(inputs)),
        dispose: () => compiled.dispose(),
      };
    },
  };
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
