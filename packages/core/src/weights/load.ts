import { TextualInversionError, throwIfAborted } from '../errors.js';
import type { Placement, Runtime, TensorRef } from '../platform.js';
import { type Tensor, tf } from '../tf.js';
import type { Checkpoint } from './checkpoint.js';
import { toFloat32 } from './half.js';
import type { Scope } from './scope.js';

/** One tensor that a model asked for. */
export interface TensorRequest {
  readonly ref: TensorRef;
  readonly placement: Placement;
}

export interface LoadOptions {
  readonly signal?: AbortSignal;
  /** Called after each tensor. @param bytes - Read so far, of `total`. */
  readonly onProgress?: (bytes: number, total: number) => void;
}

/** Stands for every tensor in a dry read: it has no numbers and needs no backend, and readers do nothing with a tensor but keep it. */
const NOTHING: Tensor = Object.create(tf.Tensor.prototype) as Tensor;

/** Tensors on their way at once: enough to hide a disk or a network behind the conversion, few enough to stay small. */
const IN_FLIGHT = 4;

/**
 * Reads a model without its numbers: names and shapes are checked, and every tensor of the checkpoint must be read once.
 * @returns What to fetch.
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_UNREAD
 */
export function dryRead(checkpoint: Checkpoint, read: (scope: Scope) => unknown): readonly TensorRequest[] {
  const requests = new Map<string, TensorRequest>();
  const known = new Set<string>();
  const names = [...checkpoint.tensors.keys()];
  read(
    checkpointScope(checkpoint.name, names, known, (name, path, shape, permute) => {
      const ref = checkpoint.tensors.get(name);
      if (!ref) throw missingTensor(path, shape, checkpoint);
      if (requests.has(name)) throw new Error(`${path} is read twice`);
      if (withoutTrailingOnes(ref.shape).join() !== withoutTrailingOnes(shape).join()) {
        throw new TextualInversionError('WEIGHT_SHAPE', {
          where: path,
          expected: `[${shape.join(', ')}]`,
          found: `[${ref.shape.join(', ')}] in ${ref.source.name}`,
          fix: 'The configuration and the weights belong to different models.',
        });
      }
      requests.set(name, { ref, placement: { shape, permute } });
      return NOTHING;
    }),
  );
  const unread = names.filter((name) => !requests.has(name) && !known.has(name));
  if (unread.length > 0) {
    throw new TextualInversionError('WEIGHT_UNREAD', {
      where: checkpoint.name,
      expected: 'every tensor to belong to the model',
      found: `${unread.length} that do not: ${unread.slice(0, 5).join(', ')}${unread.length > 5 ? ', …' : ''}`,
      fix: 'This kind of model is not supported, or its configuration is not its own.',
      details: { unread },
    });
  }
  return [...requests.values()];
}

/**
 * Loads a model: reads it dry, brings its tensors to the runtime one by one in the order of the file, and reads it again with them.
 * Nothing stays behind when it fails.
 * @throws What `dryRead` throws; WEIGHT_NOT_FINITE, ABORTED
 */
export async function load<T>(
  checkpoint: Checkpoint,
  runtime: Runtime,
  read: (scope: Scope) => T,
  { signal, onProgress }: LoadOptions = {},
): Promise<T> {
  const requests = inFileOrder(dryRead(checkpoint, read));
  const total = requests.reduce((sum, { ref }) => sum + ref.length, 0);
  const placed = new Map<string, Tensor>();
  let [next, bytes] = [0, 0];
  const work = async () => {
    try {
      for (let request = requests[next++]; request; request = requests[next++]) {
        throwIfAborted(signal, `loading ${checkpoint.name}`);
        placed.set(request.ref.name, await runtime.place(request.ref, request.placement));
        bytes += request.ref.length;
        onProgress?.(bytes, total);
      }
    } catch (error) {
      next = requests.length; // the others stop, too
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, work));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    for (const tensor of placed.values()) tensor.dispose();
    throw failed.reason;
  }
  return read(
    checkpointScope(checkpoint.name, [...checkpoint.tensors.keys()], new Set(), (name) => {
      const tensor = placed.get(name);
      if (!tensor) throw new Error(`${name} was not read in the dry run`);
      return tensor;
    }),
  );
}

/** Shard after shard, each from its beginning: disks and networks like it. */
function inFileOrder(requests: readonly TensorRequest[]): TensorRequest[] {
  const files = [...new Set(requests.map(({ ref }) => ref.source))];
  const rank = ({ ref }: TensorRequest) => files.indexOf(ref.source);
  return requests.toSorted((a, b) => rank(a) - rank(b) || a.ref.offset - b.ref.offset);
}

/** What `Runtime.place` does on an ordinary TensorFlow.js backend: reads, converts, checks, permutes on the host, uploads. */
export async function placeEagerly(ref: TensorRef, { shape, permute }: Placement): Promise<Tensor> {
  const data = toFloat32(await ref.source.read(ref.offset, ref.length), ref.dtype);
  const bad = firstNotFinite(data);
  if (bad !== undefined) {
    throw new TextualInversionError('WEIGHT_NOT_FINITE', {
      where: `${ref.source.name}: ${ref.name}`,
      expected: 'finite numbers',
      found: `${data[bad]} at ${bad}`,
      fix: 'The file is damaged; download it again.',
    });
  }
  if (!permute) return tf.tensor(data, [...shape], 'float32');
  return tf.tensor(
    permuted(data, shape, permute),
    permute.map((axis) => shape[axis] ?? 1),
    'float32',
  );
}

function firstNotFinite(data: Float32Array): number | undefined {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return i;
  return undefined;
}

/** Row-major numbers with their axes in another order. */
export function permuted(data: Float32Array, shape: readonly number[], permute: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const sizes = permute.map((axis) => shape[axis] ?? 1);
  const steps = permute.map((axis) => strides[axis] ?? 1);
  const out = new Float32Array(data.length);
  if (out.length === 0) return out;
  // The last axis is the inner loop; the others count up like a clock.
  const [size = 1, step = 1] = [sizes.at(-1), steps.at(-1)];
  const index = sizes.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to += size) {
    for (let i = 0, at = from; i < size; i++, at += step) out[to + i] = data[at] ?? 0;
    for (let axis = sizes.length - 2; axis >= 0; axis--) {
      from += steps[axis] ?? 0;
      const position = (index[axis] = (index[axis] ?? 0) + 1);
      if (position < (sizes[axis] ?? 1)) break;
      index[axis] = 0;
      from -= (steps[axis] ?? 0) * (sizes[axis] ?? 1);
    }
  }
  return out;
}

type ReadTensor = (
  name: string,
  path: string,
  shape: readonly number[],
  permute: readonly number[] | undefined,
) => Tensor;

/** @param root - The part's name, which messages begin with and names in the file do not. */
function checkpointScope(root: string, names: readonly string[], known: Set<string>, tensor: ReadTensor): Scope {
  const paths = new Set<string>(); // every tensor and everything above one
  for (const name of names)
    for (let dot = name.length; dot > 0; dot = name.lastIndexOf('.', dot - 1)) paths.add(name.slice(0, dot));
  const at = (prefix: string): Scope => {
    const full = (name: string) => (prefix ? `${prefix}.${name}` : name);
    const scope: Scope = {
      path: prefix ? `${root}.${prefix}` : root,
      in: (name) => at(full(name)),
      has: (name) => paths.has(full(name)),
      firstOf: (...alternatives) => {
        const found = alternatives.find((name) => scope.has(name)) ?? alternatives[0];
        if (found === undefined) throw new Error('firstOf needs a name');
        return scope.in(found);
      },
      tensor: (name, shape, permute) => tensor(full(name), `${root}.${full(name)}`, shape, permute),
      ignore: (name) => void known.add(full(name)),
    };
    return scope;
  };
  return at('');
}

function withoutTrailingOnes(shape: readonly number[]): readonly number[] {
  const last = shape.findLastIndex((size) => size !== 1);
  return shape.slice(0, last + 1);
}

function missingTensor(path: string, shape: readonly number[], { files }: Checkpoint): TextualInversionError {
  return new TextualInversionError('WEIGHT_MISSING', {
    where: path,
    expected: `a tensor of shape [${shape.join(', ')}]`,
    found: `none in ${files.join(', ')}`,
    fix: 'The configuration and the weights belong to different models, or the download is incomplete.',
  });
}
