import { BufferReader, Parser } from 'pickleparser';
import { TextualInversionError } from '../errors.js';
import type { DType } from '../platform.js';

/** Beside the numbers, a concept is a few hundred bytes of pickle; every byte of one can cost a hundred in memory. */
const MAX_PICKLE_BYTES = 256 * 1024;
const MAX_RANK = 8;

const STORAGES: Readonly<Record<string, DType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** A run of numbers that tensors are views of. */
export class Storage {
  constructor(
    readonly key: string,
    readonly dtype: DType,
  ) {}
}

/** A tensor whose numbers have not been fetched. */
export class TensorView {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/**
 * Reads pickles of tensors and plain values. A pickle is a program, so this one runs none: it knows our stand-ins of the few
 * constructors that tensors are made of, and refuses every other name.
 */
export class TensorPickles {
  /** Every storage that was named, by its key. */
  readonly storages = new Map<string, Storage>();
  private readonly reader: GuardedReader;
  private readonly parser: Parser;

  /** @param name - Of the file, for messages. */
  constructor(bytes: Uint8Array, name: string) {
    this.reader = new GuardedReader(bytes.subarray(0, MAX_PICKLE_BYTES));
    const known = constructors();
    this.parser = new Parser({
      unpicklingTypeOfDictionary: 'Map',
      nameResolver: {
        resolve: (module, attribute) => {
          const found = known.get(`${module}.${attribute}`);
          if (found) return found;
          throw new TextualInversionError('CONCEPT_UNSAFE', {
            where: name,
            expected: 'tensors and plain values',
            found: `a call of ${module}.${attribute}`,
            fix: 'Nothing was run. A file of a concept has no need of it: do not trust this one.',
            details: { name: `${module}.${attribute}` },
          });
        },
      },
      persistentResolver: { resolve: (pid: unknown) => this.persistent(pid) },
    });
  }

  /** Bytes read so far. */
  get position(): number {
    return this.reader.position;
  }

  /** Reads the next pickle: strings, numbers, booleans, null, arrays, maps and `TensorView`s. @throws CONCEPT_UNSAFE, Error */
  next(): unknown {
    return this.parser.read<unknown>(this.reader);
  }

  private persistent(pid: unknown): unknown {
    const [kind, type, key] = Array.isArray(pid) ? (pid as unknown[]) : [];
    // The older format names classes this way too; the parser has already been given ours.
    if (kind === 'module') return type;
    const dtype = typeof type === 'object' && type !== null && 'dtype' in type ? type.dtype : undefined;
    if (kind !== 'storage' || !isDType(dtype)) throw new Error('an unknown kind of storage');
    const storage = this.storages.get(String(key)) ?? new Storage(String(key), dtype);
    this.storages.set(storage.key, storage);
    return storage;
  }
}

type Constructor = (...args: unknown[]) => unknown;

/** Made anew for every file: a pickle may write to what it is given. */
function constructors(): Map<string, Constructor> {
  const tensor: Constructor = (storage, offset, shape, strides) => {
    if (!(storage instanceof Storage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides))
      throw new Error('a tensor without storage, shape or strides');
    if (shape.length !== strides.length || shape.length > MAX_RANK) throw new Error('a tensor of unlikely rank');
    return new TensorView(storage, offset, [...shape], [...strides]);
  };
  /** A module keeps its parameters in a dictionary of its state. */
  class ParameterDict extends Map<string, unknown> {
    __setstate__(state: unknown): void {
      const parameters = state instanceof Map ? state.get('_parameters') : undefined;
      if (parameters instanceof Map) for (const [key, value] of parameters) this.set(String(key), value);
    }
  }
  const set: Constructor = (items) => items ?? [];
  const known = new Map<string, unknown>([
    ['torch._utils._rebuild_tensor', tensor],
    ['torch._utils._rebuild_tensor_v2', tensor],
    ['torch._utils._rebuild_parameter', (data: unknown) => data],
    ['torch._utils._rebuild_parameter_with_state', (data: unknown) => data],
    ['torch.nn.modules.container.ParameterDict', ParameterDict],
    ['torch.Size', (sizes: unknown) => sizes],
    [
      'collections.OrderedDict',
      (items: unknown) => new Map(Array.isArray(items) ? (items as [unknown, unknown][]) : []),
    ],
    ['__builtin__.set', set],
    ['builtins.set', set],
  ]);
  for (const [storage, dtype] of Object.entries(STORAGES)) known.set(`torch.${storage}`, Object.freeze({ dtype }));
  return known as Map<string, Constructor>;
}

/** The parser believes lengths; one that is negative would send it back in circles. */
class GuardedReader extends BufferReader {
  override skip(length: number): void {
    if (!(length >= 0)) throw new Error(`a length of ${length}`);
    super.skip(length);
  }

  override uint64(): number {
    const [low, high] = [this.uint32(), this.uint32()];
    return low + high * 2 ** 32;
  }
}

function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.values(STORAGES).some((dtype) => dtype === value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}
