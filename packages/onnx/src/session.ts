import type { ByteSource } from '@textual-inversion/core';
import { TextualInversionError } from '@textual-inversion/core';
import type { Env, InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import { type Graph, type Node, sizeOf, type WeightUse } from './graph/graph.js';
import { needed, writeModel } from './graph/model-file.js';

/** The part of ONNX Runtime that this package calls: `onnxruntime-node` and `onnxruntime-web` both are one. */
export interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<OrtSession>;
  };
  readonly Tensor: TensorConstructor;
  readonly env: Env;
}

/** The part of a session that this package calls. */
export interface OrtSession {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, { readonly data: unknown }>>>;
  release(): Promise<void>;
}

export interface SessionSettings {
  /** Name of the execution provider, as ONNX Runtime's JavaScript knows it. */
  readonly provider: string;
  readonly threads: number | undefined;
  /** Whether weights of half precision stay so in memory: each is made float32 for the one node that takes it. @defaultValue false */
  readonly halves?: boolean;
  /** What `webgpu` works on, where it is not to open one itself. */
  readonly device?: InferenceSession.WebGpuExecutionProviderOption['device'];
  /** Whether to ask for runs that are captured and replayed, where there is a `device`. @defaultValue false */
  readonly captured?: boolean;
  /** Further options of ONNX Runtime, for measurements. */
  readonly options?: InferenceSession.SessionOptions;
}

/** Creates a session for a recorded graph. Weights in files are mapped by the runtime itself, others are read here. */
export async function createSession(
  ort: OrtModule,
  graph: Graph,
  name: string,
  settings: SessionSettings,
): Promise<OrtSession> {
  const { provider, threads, halves, device, captured, options } = settings;
  const { nodes, names } = needed(graph);
  const weights = graph.weights.filter(({ value }) => names.has(value.name));
  const folder = commonFolder(weights.flatMap(({ ref }) => ref.source.path ?? []));
  const types = new Set(weights.map(({ ref }) => ref.dtype).filter((dtype) => dtype !== 'F32'));
  const castAtUse = halves === true && types.has('F16') && types.size === 1; // GPUs know no bfloat16
  const model = writeModel(graph, {
    placeOf: ({ value, ref }) =>
      ref.source.path === undefined
        ? { location: value.name, offset: 0 }
        : { location: ref.source.path.slice(folder.length), offset: ref.offset },
    castAtUse,
  });
  const entries = {
    ...(folder ? { model_external_initializers_file_folder_path: folder } : {}),
    // Between the thousands of short nodes of a small model, waking a sleeping thread takes longer than the node; a thread that spins on
    // takes the cores from everything else.
    intra_op: { allow_spinning: '1', spin_duration_us: '50' },
    ...(bytesUsedTwice(nodes, weights) > MANY_BYTES ? { disable_prepacking: '1' } : {}),
    ...sessionEntries(options),
  };
  const external = await Promise.all(weights.filter(({ ref }) => ref.source.path === undefined).map(readWeight));
  try {
    return await ort.InferenceSession.create(model, {
      executionProviders: [provider === 'webgpu' ? { ...CHANNELS_FIRST, ...(device ? { device } : {}) } : provider],
      // The blocked layout and further fusions gain nothing on what large models are recorded as, and cost a copy of filters and 5 s.
      graphOptimizationLevel: provider === 'cpu' && bytesOf(weights) > MANY_BYTES ? 'basic' : 'all',
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      interOpNumThreads: 1,
      // Without an arena every run asks the system again for the pages that the last one gave back: a tenth to a fifth of its time. A plan
      // of where in one block each tensor lies takes another twentieth off a small graph's, and as much memory again.
      enableCpuMemArena: provider === 'cpu',
      enableMemPattern: provider === 'cpu' && allSmall(nodes, weights),
      enableGraphCapture: device !== undefined && captured === true,
      logSeverityLevel: 3,
      ...(external.length > 0 ? { externalData: external } : {}),
      ...options,
      extra: {
        ...options?.extra,
        ...(castAtUse ? { optimization: { disable_specified_optimizers: CASTING_OPTIMIZERS } } : {}),
        session: entries,
      },
    });
  } catch (cause) {
    throw sessionError(`compiling ${name} for ${provider}`, cause);
  }
}

/** Our graphs store pictures channels first; the provider would by default move the channels around every convolution. */
const CHANNELS_FIRST = { name: 'webgpu', preferredLayout: 'NCHW' } as const;

/** What would cast weights when the session is made, or one cast for the forward and the backward pass. */
const CASTING_OPTIMIZERS = 'ConstantFolding;FuseFp16InitializerToFp32NodeTransformer;CommonSubexpressionElimination';

/** Weights from which memory counts more than a tenth of the time. */
const MANY_BYTES = 2 ** 28;

/** Numbers in the largest tensor of a graph whose memory is planned in one block (4 MiB of float32). */
const SMALL_TENSOR = 2 ** 20;

/** Whether the memory that a graph takes is little, whichever of its tensors come together. */
export function allSmall(nodes: readonly Node[], weights: readonly WeightUse[]): boolean {
  const values = [...nodes.flatMap(({ outputs }) => outputs), ...weights.map(({ value }) => value)];
  return values.every(({ shape }) => sizeOf(shape) <= SMALL_TENSOR);
}

/** A weight that the forward and the backward pass both multiply with would be packed twice, beside the file. */
function bytesUsedTwice(nodes: readonly Node[], weights: readonly WeightUse[]): number {
  const uses = new Map<string, number>();
  for (const { inputs } of nodes) {
    for (const input of inputs) if (input) uses.set(input.name, (uses.get(input.name) ?? 0) + 1);
  }
  return bytesOf(weights.filter(({ value }) => (uses.get(value.name) ?? 0) > 1));
}

function bytesOf(weights: readonly WeightUse[]): number {
  return weights.reduce((sum, { ref }) => sum + ref.length, 0);
}

function sessionEntries(options: InferenceSession.SessionOptions | undefined): object {
  const session: unknown = options?.extra?.['session'];
  return typeof session === 'object' && session !== null ? session : {};
}

async function readWeight({ value, ref }: WeightUse): Promise<{ path: string; data: Uint8Array }> {
  return { path: value.name, data: await ref.source.read(ref.offset, ref.length) };
}

/** @throws WEIGHT_CHANGED when a file is not the one that was there at `version`. */
export function checkUnchanged(source: ByteSource, version: string | undefined): void {
  if (source.version === version) return;
  throw new TextualInversionError('WEIGHT_CHANGED', {
    where: source.name,
    expected: 'the file that was there when the model was loaded',
    found: 'another one in its place',
    fix: 'Load the model again.',
  });
}

/** Whose fault a failure of ONNX Runtime is. */
export function sessionError(where: string, cause: unknown): TextualInversionError {
  const found = cause instanceof Error ? cause.message : String(cause);
  if (
    /bad_alloc|out of memory|Failed to allocate|memory access out of bounds|ERR_OUT_OF_MEMORY|exceeds? .*limit/i.test(
      found,
    )
  ) {
    return new TextualInversionError('BACKEND_MEMORY', {
      where,
      found,
      fix: 'Use a smaller picture or batch, or a machine with more memory.',
      cause,
    });
  }
  if (/device.*lost|lost.*device/i.test(found)) {
    return new TextualInversionError('BACKEND_LOST', { where, found, fix: 'Load the model again.', cause });
  }
  return new TextualInversionError('BACKEND_UNAVAILABLE', {
    where,
    expected: 'ONNX Runtime to take the graph',
    found,
    fix: 'Choose another backend.',
    cause,
  });
}

/** The deepest folder above all of `paths`, with its separator; ONNX Runtime reads weights from nowhere else. */
export function commonFolder(paths: readonly string[]): string {
  const [first = '', ...others] = paths.map((path) =>
    path.slice(0, Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1),
  );
  let length = first.length;
  for (const folder of others) {
    let same = 0;
    while (same < Math.min(length, folder.length) && folder[same] === first[same]) same++;
    const shared = first.slice(0, same);
    length = Math.max(shared.lastIndexOf('/'), shared.lastIndexOf('\\')) + 1;
  }
  return first.slice(0, length);
}
