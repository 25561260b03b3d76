import {
  type Batched,
  type CompiledFunction,
  disposedModel,
  type FunctionTraits,
  type HostTensor,
  type Runtime,
  type TensorFunction,
  type TensorRef,
  TextualInversionError,
  tf,
} from '@textual-inversion/core';
import type { InferenceSession } from 'onnxruntime-common';
import { divided, together } from './batch.js';
import { checkFinite } from './finite.js';
import { neededInputs } from './graph/model-file.js';
import { Recorder, type Target } from './recorder.js';
import { checkUnchanged, createSession, type OrtModule, type SessionSettings, sessionError } from './session.js';
import { record, weightTensor } from './trace-backend.js';
import { type View, viewOf } from './view.js';

export interface OnnxRuntimeOptions {
  /** `onnxruntime-node` or `onnxruntime-web`. */
  readonly ort: OrtModule;
  /** Execution provider: `cpu`, `webgpu`, `cuda`, `dml`, `coreml`, or `wasm` in a browser. @defaultValue 'cpu' */
  readonly provider?: string;
  /** Further ones, each of which computes on a thread of its own while `ort` does: batches of small models are divided among them. */
  readonly others?: readonly OrtModule[];
  /** Threads of the `cpu` provider, which the parts of a divided batch share. @defaultValue one per core */
  readonly threads?: number;
  /** Device of the `webgpu` provider in a browser. @defaultValue one that it opens itself */
  readonly device?: SessionSettings['device'];
  /** Further session options of ONNX Runtime, for measurements. */
  readonly sessionOptions?: InferenceSession.SessionOptions;
}

/** What a provider is good at; those not named here are taken for GPUs. */
const TARGETS: Readonly<Record<string, Omit<Target, 'roomy'>>> = {
  cpu: { loops: true, fused: true, launches: false },
  wasm: { loops: true, fused: true, launches: false },
};
export const GPU = { loops: false, fused: false, launches: true } as const;
/** Below this size weights may be held twice. The copies of all other threads together stay below it, too. */
const ROOMY_BYTES = 2 ** 28;

/**
 * The engine: records functions once and runs them on ONNX Runtime. Weights stay in their files.
 * @throws BACKEND_UNAVAILABLE when the module or the provider does not work; found out by running a small graph.
 */
export async function createOnnxRuntime(options: OnnxRuntimeOptions): Promise<Runtime> {
  const { ort, others = [], provider = 'cpu', threads, device, sessionOptions } = options;
  const lanes = [ort, ...others];
  const settings: SessionSettings = { provider, threads, device, options: sessionOptions };
  const kind = TARGETS[provider] ?? GPU;
  await tryOut(ort, settings, { ...kind, roomy: true });

  const functions = new Set<{ dispose(): void }>();
  const versions = new Map<TensorRef['source'], string | undefined>();
  const placed = new Set<{ dispose(): void }>();
  let bytes = 0;
  // A browser's tab, or a desktop's graphics memory; elsewhere time counts more.
  const scarce = () => provider === 'webgpu' && bytes > ROOMY_BYTES;
  // On the processor weights are read where they lie in their files; elsewhere every session has a copy of them.
  const alone = () => provider !== 'cpu' && bytes > ROOMY_BYTES;
  let disposed = false;
  let halvesWork: Promise<boolean> | undefined;
  const compileOne = async (
    name: string,
    fn: TensorFunction<string, string>,
    inputs: Record<string, HostTensor>,
    { batched, often }: FunctionTraits,
  ) => {
    if (disposed) throw disposedModel();
    for (const [source, version] of versions) checkUnchanged(source, version);
    const target = { ...kind, roomy: bytes <= ROOMY_BYTES };
    // In a small model two threads that share a graph mostly wait for each other, so each gets half of the batch and a graph of its own. Large models keep both busy.
    const copies = Math.min(lanes.length, Math.floor(ROOMY_BYTES / Math.max(bytes, 1)));
    const parts = batched && copies > 1 ? divided(inputs, batched, copies) : [inputs];
    const graph = recordGraph(target, fn, parts[0] ?? inputs);
    const halves = scarce() && (await (halvesWork ??= takesHalves(ort, settings)));
    const share = Math.max(1, Math.floor((threads ?? lanes.length) / parts.length));
    const partSettings = { ...settings, halves, captured: often, ...(parts.length > 1 ? { threads: share } : {}) };
    const starting = lanes.slice(0, parts.length).map((lane) => startGraph(lane, name, graph, partSettings));
    const started = await Promise.all(starting).catch(async (error: unknown) => {
      await Promise.all(starting.map(disposeStarted));
      throw error;
    });
    const [only] = started;
    return only && started.length === 1 ? only : sideBySide(started, batched ?? {});
  };
  return {
    name: `onnx-${provider}`,
    compiled: true,
    scarce,
    async place(ref, { shape, permute }) {
      await checkFinite(ref);
      versions.set(ref.source, ref.source.version);
      const tensor = weightTensor(ref, shape, permute);
      placed.add(tensor);
      bytes += ref.length;
      return tensor;
    },
    compile(name, fn, traits = {}) {
      const compiled = perShapes(name, (inputs) => compileOne(name, fn, inputs, traits), alone);
      functions.add(compiled);
      return compiled;
    },
    dispose() {
      disposed = true;
      for (const each of [...functions, ...placed]) each.dispose();
      functions.clear();
      placed.clear();
      versions.clear();
      bytes = 0;
    },
  };
}

interface Started {
  run(inputs: Record<string, HostTensor>): Promise<Record<string, HostTensor>>;
  /** Frees what it holds, after the runs that have begun. Never rejects. */
  dispose(): Promise<void>;
}

/** Once it has started; what fails to start has nothing to free. */
function disposeStarted(starting: Promise<Started>): Promise<void> {
  return starting.then(
    (started) => started.dispose(),
    () => {},
  );
}

/** Copies of a function that each take a part of the batch, at the same time. */
function sideBySide(copies: readonly Started[], batched: Batched): Started {
  return {
    async run(inputs) {
      const parts = divided(inputs, batched, copies.length);
      return together(await Promise.all(copies.map((copy, i) => copy.run(parts[i] ?? {}))), batched);
    },
    async dispose() {
      await Promise.all(copies.map((copy) => copy.dispose()));
    },
  };
}

/**
 * A function that is compiled once for every set of shapes it meets.
 * @param alone - Whether there is room for one session alone: then what was compiled for other shapes goes first.
 */
function perShapes<I extends string, O extends string>(
  name: string,
  start: (inputs: Record<I, HostTensor>) => Promise<Started>,
  alone: () => boolean,
): CompiledFunction<I, O> {
  const started = new Map<string, Promise<Started>>();
  const clear = async () => {
    const all = [...started.values()];
    started.clear();
    await Promise.all(all.map(disposeStarted));
  };
  const prepare = (key: string, inputs: Record<I, HostTensor>) => {
    const room = alone() ? clear() : Promise.resolve();
    const session = room.then(() => start(inputs));
    started.set(key, session);
    session.catch(() => {
      if (started.get(key) === session) started.delete(key);
    });
    return session;
  };
  return {
    async run(inputs) {
      const key = Object.entries<HostTensor>(inputs)
        .map(([input, { data, shape }]) => {
          const size = shape.reduce((product, length) => product * length, 1);
          if (size !== data.length)
            throw new Error(`${name}: ${input} has ${data.length} numbers, not [${shape.join()}]`);
          return `${input}:${shape.join()}`;
        })
        .sort()
        .join(' ');
      const session = started.get(key) ?? prepare(key, inputs);
      const outputs = await (await session).run(inputs);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- named by the recorded function's own keys
      return outputs as Record<O, HostTensor>;
    },
    dispose() {
      clear().catch(() => {}); // never rejects
    },
  };
}

interface RecordedGraph {
  readonly recorder: Recorder;
  /** Those that some output depends on. */
  readonly inputs: readonly string[];
  readonly outputs: Readonly<Record<string, { name: string; shape: readonly number[] }>>;
}

/** Records `fn` for inputs of these shapes. */
export function recordGraph(
  target: Target,
  fn: TensorFunction<string, string>,
  inputs: Record<string, { readonly shape: readonly number[] }>,
): RecordedGraph {
  const recorder = new Recorder(target);
  const { graph } = recorder;
  const views: Record<string, View> = {};
  for (const [name, { shape }] of Object.entries(inputs)) views[name] = viewOf(graph.input(`in.${name}`, shape));
  const results = record(recorder, views, fn);
  const outputs = Object.entries(results).map(([name, view]) => {
    // As it was made: reshaping it would copy it, and the shape is known here.
    graph.output(recorder.unshaped(recorder.value(recorder.cast(view, 'float32'))), `out.${name}`);
    return [name, { name: `out.${name}`, shape: view.shape }] as const;
  });
  const taken = new Set(neededInputs(graph).map(({ name }) => name));
  const names = Object.keys(inputs).filter((name) => taken.has(`in.${name}`));
  return { recorder, inputs: names, outputs: Object.fromEntries(outputs) };
}

export async function startGraph(
  ort: OrtModule,
  name: string,
  { recorder, inputs, outputs }: RecordedGraph,
  settings: SessionSettings,
): Promise<Started> {
  const session = await createSession(ort, recorder.graph, name, settings);
  const running = new Set<Promise<unknown>>();
  const tensorOf = (data: Float32Array, shape: readonly number[]) => new ort.Tensor('float32', data, [...shape]);
  const always = recorder.graph.given.map(({ value: { name: input, shape }, data }) => {
    const tensor = data instanceof Float32Array ? tensorOf(data, shape) : new ort.Tensor('int64', data, [...shape]);
    return [input, tensor] as const;
  });
  return {
    async run(given) {
      const feeds = Object.fromEntries([
        ...always,
        ...inputs.map((input) => {
          const tensor = given[input];
          if (!tensor) throw new Error(`${name} needs the input ${input}`);
          return [`in.${input}`, tensorOf(tensor.data, tensor.shape)] as const;
        }),
      ]);
      const run = session.run(feeds);
      running.add(run);
      const results = await run
        .catch((cause: unknown) => {
          throw sessionError(`running ${name} on ${settings.provider}`, cause);
        })
        .finally(() => running.delete(run));
      return Object.fromEntries(
        Object.entries(outputs).map(([key, output]) => {
          const data = results[output.name]?.data;
          if (!(data instanceof Float32Array)) throw new Error(`${name} gave no ${key}`);
          return [key, { data, shape: [...output.shape] }];
        }),
      );
    },
    async dispose() {
      await Promise.allSettled(running);
      await session.release().catch(() => {}); // one that cannot be released is lost anyway
    },
  };
}

async function runOnce(
  ort: OrtModule,
  name: string,
  graph: RecordedGraph,
  settings: SessionSettings,
  inputs: Record<string, HostTensor>,
): Promise<Record<string, HostTensor>> {
  const started = await startGraph(ort, name, graph, settings);
  try {
    return await started.run(inputs);
  } finally {
    await started.dispose();
  }
}

/** Runs a small graph, so that a module or a provider that is broken is found before gigabytes are read. */
async function tryOut(ort: OrtModule, settings: SessionSettings, target: Target): Promise<void> {
  const input = { x: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] } };
  const graph = recordGraph(target, ({ x }) => ({ x: x as never }), input);
  const { provider } = settings;
  try {
    const { x } = await runOnce(ort, 'a first graph', graph, settings, input);
    if (x?.data.join() !== '1,2,3,4') throw new Error(`it computes ${x?.data.join()} instead of 1,2,3,4`);
  } catch (cause) {
    throw new TextualInversionError('BACKEND_UNAVAILABLE', {
      where: `onnx-${provider}`,
      expected: 'ONNX Runtime with this execution provider',
      found: cause instanceof Error ? cause.message : String(cause),
      fix: 'Choose another backend, or install a build of ONNX Runtime that has the provider.',
      cause,
    });
  }
}

/** Whether the provider computes with weights of half precision; not every graphics adapter does. Found out by running a small graph. */
export async function takesHalves(ort: OrtModule, settings: SessionSettings): Promise<boolean> {
  // A browser's device says so; trying it there would leave an error on the console.
  if (settings.device?.features.has('shader-f16') === false) return false;
  const source = { name: 'one half', size: 2, read: () => Promise.resolve(Uint8Array.of(0x00, 0x38)) };
  const half = weightTensor({ name: 'half', dtype: 'F16', shape: [1], source, offset: 0, length: 2 }, [1], undefined);
  const input = { x: { data: Float32Array.of(3), shape: [1] } };
  const graph = recordGraph({ ...GPU, roomy: true }, ({ x }) => ({ y: tf.mul(half, x as never) }), input);
  half.dispose();
  // That it fails is an answer, not an error to be logged.
  const options = { ...settings.options, logSeverityLevel: 4 } as const;
  try {
    const { y } = await runOnce(ort, 'half precision', graph, { ...settings, halves: true, options }, input);
    return y?.data[0] === 1.5;
  } catch {
    return false;
  }
}
