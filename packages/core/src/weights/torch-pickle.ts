import { TextualInversionError } from '../errors.js';
import type { DType } from '../platform.js';
import { type PickleNames, PickleReader, StandIn } from './pickle.js';

/** Beside the numbers, a concept is a few hundred bytes of pickle; every byte of one can cost a hundred in memory. */
const MAX_PICKLE_BYTES = 256 * 1024;
const MAX_RANK = 8;
/** Entries of dictionaries that are made from others; those are the one thing that a few bytes can ask for again and again. */
const MAX_COPIED = 10_000;

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
export class TensorPickles implements PickleNames {
  /** Every storage that was named, by its key. */
  readonly storages = new Map<string, Storage>();
  private readonly reader: PickleReader;
  private copied = 0;
  private readonly known: ReadonlyMap<string, StandIn>;

  /** @param name - Of the file, for messages. */
  constructor(
    bytes: Uint8Array,
    private readonly name: string,
  ) {
    this.reader = new PickleReader(bytes.subarray(0, MAX_PICKLE_BYTES), this);
    const first = new StandIn(([value]) => value);
    const set = new StandIn(([items]) => items ?? []);
    this.known = new Map<string, StandIn>([
      ['torch._utils._rebuild_tensor', TENSOR],
      ['torch._utils._rebuild_tensor_v2', TENSOR],
      ['torch._utils._rebuild_parameter', first],
      ['torch._utils._rebuild_parameter_with_state', first],
      ['torch.nn.modules.container.ParameterDict', new StandIn(() => new ParameterDict())],
      ['torch.Size', first],
      ['collections.OrderedDict', new StandIn(([items]) => this.dictionary(items))],
      ['__builtin__.set', set],
      ['builtins.set', set],
      ...STORAGES,
    ]);
  }

  /** Bytes read so far. */
  get position(): number {
    return this.reader.position;
  }

  /** Reads the next pickle: strings, numbers, booleans, null, arrays, maps and `TensorView`s. @throws CONCEPT_UNSAFE, Error */
  next(): unknown {
    return this.reader.next();
  }

  find(module: string, attribute: string): StandIn {
    const name = `${module}.${attribute}`;
    const found = this.known.get(name);
    if (found) return found;
    throw new TextualInversionError('CONCEPT_UNSAFE', {
      where: this.name,
      expected: 'tensors and plain values',
      found: `a call of ${name}`,
      fix: 'Nothing was run. A file of a concept has no need of it: do not trust this one.',
      details: { name },
    });
  }

  persistent(id: unknown): unknown {
    const [kind, type, key] = Array.isArray(id) ? (id as unknown[]) : [];
    // The older format names classes this way too; ours stands there already.
    if (kind === 'module') return type;
    if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string')
      throw new Error('an unknown kind of storage');
    const storage = this.storages.get(key) ?? new Storage(key, type.dtype);
    this.storages.set(storage.key, storage);
    return storage;
  }

  setState(object: unknown, state: unknown): void {
    // What else a dictionary knows beside its entries, such as the versions of a network's layers, is nothing to us.
    if (!(object instanceof Map)) throw new Error('the state of what has none');
    const parameters = object instanceof ParameterDict && state instanceof Map ? state.get('_parameters') : undefined;
    if (!(parameters instanceof Map)) return;
    this.count(parameters.size);
    for (const [key, value] of parameters as Map<unknown, unknown>) object.set(key, value);
  }

  private dictionary(items: unknown): Map<unknown, unknown> {
    const entries = Array.isArray(items) ? (items as unknown[]) : [];
    this.count(entries.length);
    return new Map(
      entries.map((entry) => {
        if (!Array.isArray(entry)) throw new Error('an entry that is no pair');
        return [entry[0], entry[1]];
      }),
    );
  }

  private count(copies: number): void {
    this.copied += copies;
    if (this.copied > MAX_COPIED) throw new Error('more entries than a concept has');
  }
}

/** A module keeps its parameters in a dictionary of its state. */
class ParameterDict extends Map<unknown, unknown> {}

/** A class of storages, such as `torch.FloatStorage`; none is ever called. */
class StorageType extends StandIn {
  constructor(readonly dtype: DType) {
    super(() => {
      throw new Error('a storage that is made in the pickle');
    });
  }
}

const STORAGES = (
  [
    ['Double', 'F64'],
    ['Float', 'F32'],
    ['Half', 'F16'],
    ['BFloat16', 'BF16'],
    ['Long', 'I64'],
    ['Int', 'I32'],
    ['Short', 'I16'],
    ['Char', 'I8'],
    ['Byte', 'U8'],
    ['Bool', 'BOOL'],
  ] as const
).map(([type, dtype]): [string, StandIn] => [`torch.${type}Storage`, new StorageType(dtype)]);

const TENSOR = new StandIn(([storage, offset, shape, strides]) => {
  if (!(storage instanceof Storage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides))
    throw new Error('a tensor without storage, shape or strides');
  if (shape.length !== strides.length) throw new Error('fewer strides than sizes');
  return new TensorView(storage, offset, [...shape], [...strides]);
});

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isCount);
}
