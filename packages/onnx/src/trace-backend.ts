import { type TensorRef, TextualInversionError, tf } from '@textual-inversion/core';
import type { ElementType } from './graph/graph.js';
import { ACTIVATIONS } from './kernels/activations.js';
import { ATTENTION } from './kernels/attention.js';
import { ELEMENTWISE } from './kernels/elementwise.js';
import type { Kernel, KernelAttributes, KernelTable } from './kernels/kernel.js';
import { NORMS } from './kernels/norms.js';
import { PICTURES } from './kernels/pictures.js';
import { PRODUCTS } from './kernels/products.js';
import { REDUCTIONS } from './kernels/reduce.js';
import { SHAPES } from './kernels/shapes.js';
import type { Recorder } from './recorder.js';
import { identity, uniform, type View } from './view.js';

/** Name under which TensorFlow.js knows the backend that records. */
export const TRACE = 'trace';

const KERNELS: KernelTable = {
  ...ELEMENTWISE,
  ...REDUCTIONS,
  ...SHAPES,
  ...PRODUCTS,
  ...PICTURES,
  ...ACTIVATIONS,
  ...NORMS,
  ...ATTENTION,
};

/**
 * A backend whose kernels record themselves instead of computing. Its tensors are views: of what a graph will hold, of a checkpoint's
 * file, or of numbers that are known already.
 */
class TraceBackend extends tf.KernelBackend {
  readonly #views = new WeakMap<object, View>();
  /** Where kernels record; nothing outside of {@link record}. */
  recorder: Recorder | undefined;

  hold(view: View): object {
    const dataId = {};
    this.#views.set(dataId, view);
    return dataId;
  }

  view(dataId: object): View {
    const view = this.#views.get(dataId);
    if (view) return view;
    throw new TextualInversionError('KERNEL_UNSUPPORTED', {
      where: 'a recorded function',
      expected: 'tensors that this engine made',
      found: 'a tensor of another backend',
      fix: 'Load the model with the runtime that runs it.',
    });
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    return this.hold(hostView(values, shape, elementType(dtype)));
  }

  override move(dataId: object, values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): void {
    this.#views.set(dataId, hostView(values, shape, elementType(dtype)));
  }

  override read(): Promise<tf.backend_util.BackendValues> {
    return Promise.reject(unreadable());
  }

  override readSync(): tf.backend_util.BackendValues {
    throw unreadable();
  }

  override disposeData(): boolean {
    return true;
  }

  override refCount(): number {
    return 1;
  }

  override incRef(): void {}

  override numDataIds(): number {
    return 0;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override timerAvailable(): boolean {
    return false;
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {}
}

let backend: TraceBackend | undefined;

/** Registers the backend; once per process. */
function traceBackend(): TraceBackend {
  if (backend) return backend;
  const created = (backend = new TraceBackend());
  tf.registerBackend(TRACE, () => created, 0);
  for (const [kernelName, kernel] of Object.entries(KERNELS)) register(kernelName, created, kernel);
  // TensorFlow.js exports the name of each of its kernels as a constant.
  for (const name of Object.values<unknown>({ ...tf })) {
    if (typeof name !== 'string' || !/^_?[A-Z]/.test(name) || tf.getKernel(name, TRACE)) continue;
    register(name, created, () => {
      throw new TextualInversionError('KERNEL_UNSUPPORTED', {
        where: `TensorFlow.js' kernel ${name}`,
        expected: 'one that the compiling engine knows',
        found: `a call ${callSite()}`,
        fix: 'Add it to packages/onnx/src/kernels, or choose an eager backend such as wasm.',
      });
    });
  }
  return created;
}

function register(kernelName: string, to: TraceBackend, kernel: Kernel): void {
  tf.registerKernel({
    kernelName,
    backendName: TRACE,
    kernelFunc: ({ inputs, attrs }) => {
      const { recorder } = to;
      const all = Object.values(inputs).flatMap((info) => (info ? [to.view(info.dataId)] : []));
      const input = (name: string): View => {
        const info = inputs[name];
        if (!info) throw new Error(`${kernelName} has no input ${name}`);
        return to.view(info.dataId);
      };
      // A model may make a constant while it is read; what comes of it is recorded when it is used.
      if (!recorder) throw outside(kernelName);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- TensorFlow.js types all kernels alike
      const results = kernel(recorder, input, (attrs ?? {}) as unknown as KernelAttributes, all);
      const infos = [results].flat().map((view) => ({
        dataId: to.hold(view),
        shape: [...view.shape],
        dtype: dataType(view.type),
      }));
      return Array.isArray(results) ? infos : (infos[0] ?? []);
    },
  });
}

/** A tensor that is only a reference to a checkpoint's file. */
export function weightTensor(
  ref: TensorRef,
  shape: readonly number[],
  permute: readonly number[] | undefined,
): tf.Tensor {
  const order = permute ?? identity(shape.length);
  const view: View = {
    source: { kind: 'weight', ref },
    type: 'float32',
    shape: order.map((axis) => shape[axis] ?? 1),
    order,
  };
  return tensorOf(traceBackend(), view);
}

function tensorOf(to: TraceBackend, view: View): tf.Tensor {
  return tf.engine().makeTensorFromDataId(to.hold(view), [...view.shape], dataType(view.type), to);
}

/**
 * Runs `fn` once with every operation recorded.
 * @param inputs - Views of the recorder's inputs.
 * @returns Views of what `fn` returned.
 */
export function record(
  recorder: Recorder,
  inputs: Readonly<Record<string, View>>,
  fn: (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
): Record<string, View> {
  const to = traceBackend();
  const before = tf.engine().backendName;
  use(TRACE);
  to.recorder = recorder;
  tf.engine().startScope('record');
  try {
    const tensors = Object.fromEntries(Object.entries(inputs).map(([name, view]) => [name, tensorOf(to, view)]));
    const outputs = fn(tensors);
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, to.view(tensor.dataId)]));
  } finally {
    tf.engine().endScope();
    to.recorder = undefined;
    if (before && before !== TRACE) use(before);
  }
}

/** Backends that are there already are switched to at once; the promise only says so. */
function use(name: string): void {
  void tf.setBackend(name);
}

function hostView(values: tf.backend_util.BackendValues, shape: readonly number[], type: ElementType): View {
  const data = Array.isArray(values) ? [] : values;
  const [first = 0] = data;
  if (data.every((value) => value === first)) return uniform(first, shape, type);
  return { source: { kind: 'numbers', data: data.slice() }, type, shape, order: identity(shape.length) };
}

function elementType(dtype: tf.DataType): ElementType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw new TextualInversionError('KERNEL_UNSUPPORTED', {
    where: 'a recorded function',
    expected: 'numbers or truth values',
    found: `a tensor of ${dtype}`,
  });
}

const dataType = (type: ElementType): 'float32' | 'int32' | 'bool' => (type === 'int64' ? 'int32' : type);

function unreadable(): TextualInversionError {
  return new TextualInversionError('KERNEL_UNSUPPORTED', {
    where: `reading a tensor's numbers ${callSite()}`,
    expected: 'a function that decides nothing by the numbers it computes',
    found: 'a recording, which has no numbers yet',
    fix: 'Make what you need a input or an output of the function.',
  });
}

function outside(kernel: string): TextualInversionError {
  return new TextualInversionError('KERNEL_UNSUPPORTED', {
    where: `${kernel} ${callSite()}`,
    expected: 'operations on placed weights inside a compiled function',
    found: 'one outside',
    fix: 'Compile the function with the runtime that placed the weights.',
  });
}

/** Where the recorded function called TensorFlow.js. */
function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 50; // TensorFlow.js alone takes ten
  const lines = (new Error().stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = limit;
  const own = lines.find((line) => !/trace-backend|tfjs-core|\btf\.[jt]s|<anonymous>/.test(line));
  return own ? own.trim() : 'at an unknown place';
}
