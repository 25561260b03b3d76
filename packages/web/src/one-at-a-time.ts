import type { OrtModule } from '@textual-inversion/onnx';

/** What was asked of ONNX Runtime last, by whichever model: a page has one of it. */
let last: Promise<unknown> = Promise.resolve();

/**
 * ONNX Runtime of which one call works at a time. On WebGPU its WebAssembly waits for the GPU in the middle of a call; a second call
 * then would keep both from ever ending.
 */
export function oneAtATime(ort: OrtModule, device: GPUDevice): OrtModule {
  const inTurn = <T>(call: () => Promise<T>): Promise<T> => {
    const result = last.then(call);
    // What waits for a device that is lost may never end.
    last = Promise.race([result.catch(() => {}), device.lost]);
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
            release: () => inTurn(() => session.release()),
          };
        }),
    },
  };
}
