import type { OrtModule, OrtSession } from '@textual-inversion/onnx';
import type { InferenceSession, InferenceSessionFactory, Tensor } from 'onnxruntime-common';
import type { Interruptible } from './interruptible.js';

/** ONNX Runtime with all that a session can do. */
type WholeOrtModule = Omit<OrtModule, 'InferenceSession'> & { readonly InferenceSession: InferenceSessionFactory };
type Tensors = Readonly<Record<string, Tensor>>;
type Results = Readonly<Record<string, { readonly data: Tensor['data'] }>>;

/** Bytes of a buffer are a multiple of it. */
const ALIGNMENT = 16;

/**
 * ONNX Runtime whose sessions replay their runs where `enableGraphCapture` asks for it: the shaders of the first run are recorded and
 * started again as they were, instead of kernels preparing buffers and bindings for each node. Numbers come and go through host memory,
 * as they do everywhere. A graph that cannot be captured runs as it is.
 * @param calls - Those that need the device.
 */
export function replaying(ort: WholeOrtModule, device: GPUDevice, calls: Interruptible): OrtModule {
  const copies = countCopies(device);
  return {
    Tensor: ort.Tensor,
    env: ort.env,
    InferenceSession: {
      async create(model, options) {
        const asItIs = () =>
          calls.run(() => ort.InferenceSession.create(model, { ...options, enableGraphCapture: false }));
        if (!options?.enableGraphCapture) return asItIs();
        try {
          const session = await ort.InferenceSession.create(model, options);
          return wholeOr(new CapturedSession(session, ort, device, copies), asItIs);
        } catch {
          return asItIs();
        }
      },
    },
  };
}

/**
 * Copies from buffer to buffer that the device was asked for so far. ONNX Runtime makes some, of what is only reshaped, and captures
 * none of them (1.30): a replay would go on with the numbers of the first run.
 */
function countCopies(device: GPUDevice): () => number {
  let copies = 0;
  const createEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = createEncoder(descriptor);
    const copy = encoder.copyBufferToBuffer.bind(encoder);
    encoder.copyBufferToBuffer = (...what: Parameters<typeof copy>) => {
      copies += 1;
      copy(...what);
    };
    return encoder;
  };
  return () => copies;
}

/** The captured session if all of its first run can be replayed, and otherwise another. */
function wholeOr(captured: CapturedSession, other: () => Promise<OrtSession>): OrtSession {
  let asItIs: (() => Promise<OrtSession>) | undefined = other;
  let current: OrtSession = captured;
  return {
    async run(feeds) {
      if (!asItIs) return current.run(feeds);
      const results = await captured.firstRun(feeds).catch(() => undefined);
      if (!results) {
        await captured.release();
        current = await asItIs();
      }
      asItIs = undefined; // it holds on to the weights
      return results ?? current.run(feeds);
    },
    release: () => current.release(),
  };
}

/** Inputs and outputs stay in buffers of the device: a captured run reads and writes where it once did. */
class CapturedSession implements OrtSession {
  readonly #inputs = new Map<string, { readonly buffer: GPUBuffer; readonly tensor: Tensor }>();

  constructor(
    private readonly session: InferenceSession,
    private readonly ort: WholeOrtModule,
    private readonly device: GPUDevice,
    private readonly copies: () => number,
  ) {}

  async run(feeds: Tensors): Promise<Results> {
    return download(await this.#compute(feeds));
  }

  /** Runs, is captured, and replayed. @returns `undefined` if there was more to do than starting shaders */
  async firstRun(feeds: Tensors): Promise<Results | undefined> {
    const before = this.copies();
    const outputs = await this.#compute(feeds);
    const whole = this.copies() === before;
    const results = await download(outputs);
    return whole ? results : undefined;
  }

  async release(): Promise<void> {
    await this.session.release();
    for (const { buffer } of this.#inputs.values()) buffer.destroy();
    this.#inputs.clear();
  }

  #compute(feeds: Tensors): Promise<Tensors> {
    const inputs = Object.entries(feeds).map(([name, tensor]) => [name, this.#upload(name, tensor)]);
    return this.session.run(Object.fromEntries(inputs));
  }

  #upload(name: string, { dims, data }: Tensor): Tensor {
    if (!(data instanceof Float32Array)) throw new Error(`${name} is not float32`);
    let input = this.#inputs.get(name);
    if (!input) {
      const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
      const size = Math.ceil(data.byteLength / ALIGNMENT) * ALIGNMENT;
      const buffer = this.device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
      input = { buffer, tensor: this.ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims }) };
      this.#inputs.set(name, input);
    }
    this.device.queue.writeBuffer(input.buffer, 0, data.buffer, data.byteOffset, data.byteLength);
    return input.tensor;
  }
}

/** Reads outputs, and gives them back. */
async function download(outputs: Tensors): Promise<Results> {
  const read = Object.entries(outputs).map(async ([name, output]) => [name, { data: await output.getData(true) }]);
  return Object.fromEntries(await Promise.all(read));
}
