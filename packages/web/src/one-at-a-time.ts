import type { OrtModule } from '@textual-inversion/onnx';
import { pause } from './gpu.js';
import { type Interruptible, interruptible } from './interruptible.js';

/** Milliseconds that a call may take to fail on a device that is lost; one that has not by then never ends. */
const FAILING_MS = 5000;

/** What was asked of ONNX Runtime last, by whichever model: a page has one of it. */
let last: Promise<unknown> = Promise.resolve();

/**
 * ONNX Runtime of which one call works at a time. Sessions that are made at once look for their weights in one place, and take one
 * another's; on WebGPU, where WebAssembly waits for the GPU in the middle of a call, two runs at once never end.
 * @param calls - What interrupts those that wait for a device: once it is lost, they may do so without end.
 */
export function oneAtATime(ort: OrtModule, calls: Interruptible = interruptible()): OrtModule {
  const inTurn = <T>(call: () => Promise<T>, ending = calls): Promise<T> => {
    let work: Promise<unknown> | undefined;
    const result = last.then(() => ending.run(() => (work = call())));
    // Another would disturb one that was interrupted and still works.
    last = result.catch(() => Promise.race([work, pause(FAILING_MS)])).catch(() => {});
    return result;
  };
  return {
    Tensor: ort.Tensor,
    env: ort.env,
    InferenceSession: {
      create: (model, options) =>
        inTurn(async () => {
          const session = await ort.InferenceSession.create(model, options);
          return {
            run: (feeds) => inTurn(() => session.run(feeds)),
            // Waits for no device, and frees what is left of one that is lost.
            release: () => inTurn(() => session.release(), interruptible()),
          };
        }),
    },
  };
}
