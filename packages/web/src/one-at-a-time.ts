import type { OrtModule } from '@textual-inversion/onnx';

/** What was asked of ONNX Runtime last, by whichever model: a page has one of it. */
let last: Promise<unknown> = Promise.resolve();

/**
 * ONNX Runtime of which one call works at a time. Sessions that are made at once look for their weights in one place, and take one
 * another's; on WebGPU, where WebAssembly waits for the GPU in the middle of a call, two runs at once never end.
 * @param device - What calls wait for, and may wait for without end once it is lost.
 */
export function oneAtATime(ort: OrtModule, device?: GPUDevice): OrtModule {
  const inTurn = <T>(call: () => Promise<T>): Promise<T> => {
    const result = last.then(call);
    last = result.catch(() => {});
    return result;
  };
  device?.lost.then(() => (last = Promise.resolve())).catch(() => {}); // never rejects
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
